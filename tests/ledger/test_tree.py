# SPDX-License-Identifier: EUPL-1.2
"""The tree agrees with another's, its proofs verify, and nothing else does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from poorter.ledger.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


def node_of(hashes: list[bytes]):
    return lambda level, index: root_of(hashes[index << level : (index + 1) << level])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100, 257])
def test_roots_agree_with_an_independent_tree(count: int) -> None:
    other = InmemoryTree(algorithm="sha256")
    for number in range(count):
        other.append_entry(str(number).encode())
    assert root_of(leaves(count)) == other.get_root()


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 70), st.data())
def test_every_leaf_is_proved_and_no_other(count: int, data: st.DataObject) -> None:
    hashes = leaves(count)
    index = data.draw(st.integers(0, count - 1))
    root = root_of(hashes)
    proof = inclusion_proof(node_of(hashes), index, count)
    assert verify_inclusion(hashes[index], index, count, proof, root)
    assert not verify_inclusion(leaf_hash(b"x"), index, count, proof, root)
    assert not verify_inclusion(hashes[index], index, count, proof, leaf_hash(b"x"))
    wrong = data.draw(st.integers(0, count + 3).filter(lambda n: n != index))
    assert not verify_inclusion(hashes[index], wrong, count, proof, root)
    assert not verify_inclusion(hashes[index], index, count, [*proof, root], root)
    if proof:
        assert not verify_inclusion(hashes[index], index, count, proof[:-1], root)
        spot = data.draw(st.integers(0, len(proof) - 1))
        flipped = bytes([proof[spot][0] ^ 1]) + proof[spot][1:]
        bad = [*proof[:spot], flipped, *proof[spot + 1 :]]
        assert not verify_inclusion(hashes[index], index, count, bad, root)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 70), st.integers(0, 70), st.data())
def test_growth_is_proved_and_a_rewrite_is_not(a: int, b: int, data: st.DataObject) -> None:
    old, new = sorted((a, b))
    hashes = leaves(new)
    old_root, new_root = root_of(hashes[:old]), root_of(hashes)
    proof = consistency_proof(node_of(hashes), old, new)
    assert verify_consistency(old, new, old_root, new_root, proof)
    if 0 < old < new:
        spot = data.draw(st.integers(0, old - 1))
        forged = [*hashes[:spot], leaf_hash(b"forged"), *hashes[spot + 1 :]]
        forged_proof = consistency_proof(node_of(forged), old, new)
        assert not verify_consistency(old, new, old_root, root_of(forged), forged_proof)
        assert not verify_consistency(old, new, old_root, new_root, [*proof, new_root])
        assert not verify_consistency(old, new, leaf_hash(b"x"), new_root, proof)


def test_proofs_outside_the_tree_are_refused() -> None:
    with pytest.raises(ValueError, match="no leaf 5"):
        inclusion_proof(node_of(leaves(5)), 5, 5)
    with pytest.raises(ValueError, match="no tree of 6"):
        consistency_proof(node_of(leaves(5)), 6, 5)
