# SPDX-License-Identifier: EUPL-1.2
"""The Merkle tree of RFC 6962, section 2.1: hashes, roots, proofs and their verification. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

#: hash of the complete subtree at (level, index); level 0 are leaf hashes
Node = Callable[[int, int], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 of 0x00 and the leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 0x01 and the two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees at the right edge, largest first: enough to append to."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)

    def copy(self) -> Frontier:
        """The same edge, to try an append on."""
        return Frontier(self.size, self._peaks)

    def append(self, hashed: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; the (level, index, hash) of every subtree it completed."""
        done = [(0, self.size, hashed)]
        index = self.size
        while index & 1:
            hashed = node_hash(self._peaks.pop(), hashed)
            index >>= 1
            done.append((len(done), index, hashed))
        self._peaks.append(hashed)
        self.size += 1
        return done

    def append_complete(self, level: int, hashed: bytes) -> list[tuple[int, int, bytes]]:
        """The same for a complete subtree of 2^level leaves, where one begins."""
        if self.size & ((1 << level) - 1):
            raise ValueError(f"no subtree of level {level} begins at leaf {self.size}")
        index = self.size >> level
        done = [(level, index, hashed)]
        while index & 1:
            hashed = node_hash(self._peaks.pop(), hashed)
            index >>= 1
            done.append((level + len(done), index, hashed))
        self._peaks.append(hashed)
        self.size += 1 << level
        return done

    def root(self) -> bytes:
        """The root of all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The root of 2^n leaf hashes: level by level, as quick as it gets."""
    sha256 = hashlib.sha256
    row = list(hashes)
    while len(row) > 1:
        pairs = zip(row[::2], row[1::2], strict=True)
        row = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return row[0]


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root of a list of leaf hashes."""
    frontier = Frontier()
    for hashed in hashes:
        frontier.append(hashed)
    return frontier.root()


def subtree_root(node: Node, start: int, end: int) -> bytes:
    """Hash of leaves [start, end), from complete subtrees; `start` is a multiple of its width."""
    if end == start:
        return EMPTY_ROOT
    width = end - start
    if width & (width - 1) == 0 and start % width == 0:
        level = width.bit_length() - 1
        return node(level, start >> level)
    split = _split(width)
    return node_hash(
        subtree_root(node, start, start + split), subtree_root(node, start + split, end)
    )


def inclusion_proof(node: Node, index: int, size: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of `size` leaves (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            proof.append(subtree_root(node, split, end))
            end = split
        else:
            proof.append(subtree_root(node, start, split))
            start = split
    return proof[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """The hashes that show the first `old` leaves unchanged among `new` (RFC 6962, 2.1.2)."""
    if not 0 <= old <= new:
        raise ValueError(f"no tree of {old} within one of {new}")
    if old in (0, new):
        return []
    return _consistency(node, old, 0, new, whole=True)


def _consistency(node: Node, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    if old == end:
        return [] if whole else [subtree_root(node, start, end)]
    split = start + _split(end - start)
    if old <= split:
        return [
            *_consistency(node, old, start, split, whole=whole),
            subtree_root(node, split, end),
        ]
    return [*_consistency(node, old, split, end, whole=False), subtree_root(node, start, split)]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether `leaf` (its hash) is leaf `index` under `root` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, hashed = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            hashed = node_hash(step, hashed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            hashed = node_hash(hashed, step)
        position, last = position >> 1, last >> 1
    return last == 0 and hashed == root


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of `new` leaves extends that of `old` (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if not 0 < old < new:
        return False
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not steps:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_hash = new_hash = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_hash, new_hash = node_hash(step, old_hash), node_hash(step, new_hash)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_hash = node_hash(new_hash, step)
        position, last = position >> 1, last >> 1
    return last == 0 and old_hash == old_root and new_hash == new_root


def _split(width: int) -> int:
    """The largest power of two smaller than `width`."""
    return 1 << ((width - 1).bit_length() - 1)
