# SPDX-License-Identifier: EUPL-1.2
"""The daily map: each person can be shown their number of lines, or that there is none."""

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poorter.ledger.headmap import (
    EMPTY,
    HeadProof,
    Row,
    key_of,
    open_map,
    root_of_rows,
    verify_head,
    write_map,
)


def rows(number: int) -> list[Row]:
    dice = random.Random(number)
    return [Row(key_of(n.to_bytes(16, "big")), dice.randrange(1, 99), n) for n in range(number)]


def plain_root(found: list[Row], depth: int = 0) -> bytes:
    """The definition, bit by bit."""
    if len(found) < 2:
        return found[0].hashed() if found else EMPTY
    ones = [r for r in found if int.from_bytes(r.key, "big") >> (255 - depth) & 1]
    zeros = [r for r in found if r not in ones]
    pair = plain_root(zeros, depth + 1) + plain_root(ones, depth + 1)
    return hashlib.sha256(b"\x01" + pair).digest()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 63, 64, 127, 128, 129, 300, 5000])
def test_everybody_in_the_map_is_proven_and_nobody_else(tmp_path: Path, number: int) -> None:
    known = rows(number)
    root = write_map(tmp_path / "m", reversed(known), 7)
    if number <= 300:
        assert root == plain_root(known) == root_of_rows(sorted(known, key=lambda r: r.key))
    with open_map(tmp_path / "m") as found:
        assert (found.root, found.size) == (root, 7)
        for row in known[:: max(1, number // 200)]:
            proof = found.prove(row.key)
            assert proof.found == row and verify_head(root, row.key, proof)
            for seq, leaf in ((row.seq - 1, row.leaf), (row.seq, row.leaf + 1)):
                lie = HeadProof(proof.siblings, Row(row.key, seq, leaf))
                assert not verify_head(root, row.key, lie)
            gone = HeadProof(proof.siblings, None)
            assert not verify_head(root, row.key, gone)
        for n in range(50):
            key = key_of(b"nobody" + n.to_bytes(10, "big"))
            proof = found.prove(key)
            assert (proof.found is None or proof.found.key != key) and verify_head(root, key, proof)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.binary(min_size=32, max_size=32), max_size=40), st.integers(0, 255))
def test_keys_that_share_long_prefixes(keys: set[bytes], bit: int) -> None:
    """Two keys that differ in one late bit only are told apart at that depth."""
    flipped = {(int.from_bytes(k, "big") ^ 1 << (255 - bit)).to_bytes(32, "big") for k in keys}
    known = [Row(key, 1, n) for n, key in enumerate(sorted(keys | flipped))]
    assert root_of_rows(known) == plain_root(known)


def test_a_damaged_map_is_refused(tmp_path: Path) -> None:
    write_map(tmp_path / "m", rows(200), 1)
    data = (tmp_path / "m").read_bytes()
    (tmp_path / "m").write_bytes(data[:-1])
    with pytest.raises(ValueError, match="damaged"), open_map(tmp_path / "m"):
        pass
