# SPDX-License-Identifier: EUPL-1.2
"""Key files: private, rotatable, both kinds of signature."""

from pathlib import Path

import msgspec
import pytest

from poorter.city.errors import Invalid, Unavailable
from poorter.identity.keys import (
    add_missing_keys,
    load_key,
    make_keys,
    read_ring,
    read_secret,
    rotate_key,
)


def test_keys_are_made_once_and_sign_in_both_ways(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder, "example.org/city", 5)
    with pytest.raises(Invalid):
        make_keys(folder, "example.org/city", 5)
    for use in ("ledger", "policy", "letters"):
        key = load_key(folder, use)
        classic, quantum = key.sign(b"words")
        public = key.public()
        assert public.verify((classic, quantum), b"words")
        assert not public.verify((classic, quantum), b"other")
        assert not public.verify((bytes(64), quantum), b"words")
        assert not public.verify((classic, bytes(len(quantum))), b"words")
        assert "KeyPair" in repr(key)
    assert len(read_secret(folder / "pepper")) == 32


def test_a_rotated_key_signs_and_the_old_one_still_verifies(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder, "o", 5)
    old = load_key(folder, "ledger")
    signed = old.sign(b"before")
    rotate_key(folder, "ledger", "o", 9)
    new = load_key(folder, "ledger")
    assert new.public() != old.public()
    ring = [entry.public() for entry in read_ring(folder) if entry.use == "ledger"]
    assert [public.verify(signed, b"before") for public in ring] == [True, False]
    assert [e.until_us for e in read_ring(folder) if e.use == "ledger"] == [9, None]
    assert len(list(folder.glob("ledger-*.key"))) == 1


def test_a_city_from_before_gets_the_keys_that_came_since(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder, "o", 5)
    ring = [entry for entry in read_ring(folder) if entry.use != "letters"]
    (folder / "ring.json").write_bytes(msgspec.json.encode(ring))
    add_missing_keys(folder, "o", 9)
    add_missing_keys(folder, "o", 10)
    assert [(e.use, e.since_us) for e in read_ring(folder)][-1] == ("letters", 9)
    load_key(folder, "letters")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder, "o", 5)
    next(folder.glob("ledger-*.key")).chmod(0o644)
    with pytest.raises(Unavailable, match="chmod 600"):
        load_key(folder, "ledger")
    with pytest.raises(Unavailable, match="no keys"):
        read_ring(tmp_path)
