# SPDX-License-Identifier: EUPL-1.2
"""How many lines each person has, once a day, under one root that goes into the ledger.

A compressed sparse Merkle tree: no key is the empty hash, one key is its leaf, more are

    SHA-256(1 || left || right)      leaf: SHA-256(0 || key || seq || index)

by the bits of the key. Who knows their key (a keyed name that only the city can make and only the
person gets) can be shown how many lines about them there were, or that there was none. The map
says nothing to others, and a city that drops somebody's newest line must also show another map.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from poorter.ledger.tiles import write_whole

EMPTY = bytes(32)
KEY_BYTES = 32
DEPTH_MAX = 8 * KEY_BYTES
_PLACE = struct.Struct(">QQ")
_ROW = struct.Struct(">32sQQ")
_HEAD = struct.Struct(">4sBxxxQQ")  # magic, depth of the stored nodes, rows, size of the tree
_NODE = struct.Struct(">I32s")
_MAGIC = b"PHM1"
_BUCKET = 64


@dataclass(frozen=True, slots=True)
class Row:
    """A person's key, the number of their lines, and the leaf of the last one."""

    key: bytes
    seq: int
    leaf: int

    def hashed(self) -> bytes:
        """The row as a leaf of the map."""
        return hashlib.sha256(b"\x00" + self.key + _PLACE.pack(self.seq, self.leaf)).digest()


@dataclass(frozen=True, slots=True)
class HeadProof:
    """The way from the root down to a key: siblings, the topmost first. `found` is the key's own
    row, another's where the key is not in the map, None where there is nothing at all."""

    siblings: tuple[bytes, ...]
    found: Row | None


def key_of(name: bytes) -> bytes:
    """The key in the map of a person, by their name in the store."""
    return hashlib.sha256(b"poorter head map\x00" + name).digest()


def _bit(key: bytes, depth: int) -> int:
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def root_of_rows(rows: Sequence[Row], depth: int = 0) -> bytes:
    """The hash of rows, sorted by key, that share their first `depth` bits."""
    if not rows:
        return EMPTY
    if len(rows) == 1:
        return rows[0].hashed()
    split = _split(rows, depth)
    left, right = root_of_rows(rows[:split], depth + 1), root_of_rows(rows[split:], depth + 1)
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(rows: Sequence[Row], depth: int) -> int:
    return bisect_left(rows, 1, key=lambda row: _bit(row.key, depth))


def verify_head(root: bytes, key: bytes, proof: HeadProof) -> bool:
    """Whether the map with this root says of the key what the proof says."""
    if len(key) != KEY_BYTES or len(proof.siblings) > DEPTH_MAX:
        return False
    depth = len(proof.siblings)
    found = proof.found
    if found is not None and any(_bit(found.key, at) != _bit(key, at) for at in range(depth)):
        return False
    hashed = EMPTY if found is None else found.hashed()
    for at in reversed(range(depth)):
        left, right = hashed, proof.siblings[at]
        if _bit(key, at):
            left, right = right, left
        hashed = hashlib.sha256(b"\x01" + left + right).digest()
    return hashed == root


# -- on disk ---------------------------------------------------------------------------------------


def write_map(file: Path, rows: Iterable[Row], size: int) -> bytes:
    """Write the map of a tree of `size` leaves; its root. Rows sorted by key, and the nodes of
    one depth beside them, so that a proof reads a few hundred rows and not all."""
    ordered = sorted(rows, key=lambda row: row.key)
    depth = max(0, len(ordered).bit_length() - _BUCKET.bit_length())
    nodes: list[tuple[int, bytes]] = []
    for bucket in _buckets(ordered, depth):
        nodes.append((len(bucket), root_of_rows(bucket, depth)))
    parts = [_HEAD.pack(_MAGIC, depth, len(ordered), size)]
    parts += [_NODE.pack(*node) for node in nodes]
    parts += [_ROW.pack(row.key, row.seq, row.leaf) for row in ordered]
    write_whole(file, b"".join(parts))
    return _levels(nodes)[-1][0][1]


def _buckets(rows: Sequence[Row], depth: int) -> Iterator[Sequence[Row]]:
    start = 0
    for prefix in range(1 << depth):
        end = bisect_left(rows, prefix + 1, start, key=lambda row: _prefix(row.key, depth))
        yield rows[start:end]
        start = end


def _prefix(key: bytes, depth: int) -> int:
    return int.from_bytes(key[:8], "big") >> (64 - depth) if depth else 0


def _levels(nodes: list[tuple[int, bytes]]) -> list[list[tuple[int, bytes]]]:
    """(how many rows, hash) of each node, from the stored depth up to the root."""
    levels = [nodes]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([_join(below[n], below[n + 1]) for n in range(0, len(below), 2)])
    return levels


def _join(left: tuple[int, bytes], right: tuple[int, bytes]) -> tuple[int, bytes]:
    number = left[0] + right[0]
    if number <= 1:
        return number, left[1] if left[0] else right[1]
    return number, hashlib.sha256(b"\x01" + left[1] + right[1]).digest()


class HeadMap:
    """A written map, opened to prove from."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        magic, self._depth, self._rows, self.size = _HEAD.unpack_from(data, 0)
        if magic != _MAGIC or len(data) != self._start() + self._rows * _ROW.size:
            raise ValueError("this is no head map, or it is damaged")
        self._data = data
        nodes = [_NODE.unpack_from(data, _HEAD.size + n * _NODE.size) for n in range(self._width)]
        self._tree = _levels(nodes)

    @property
    def root(self) -> bytes:
        """The root of the map."""
        return self._tree[-1][0][1]

    def prove(self, key: bytes) -> HeadProof:
        """What the map says of a key, and the way down to it."""
        siblings: list[bytes] = []
        prefix = _prefix(key, self._depth)
        for above in range(self._depth):
            level = self._tree[self._depth - above]
            number, _ = level[prefix >> (self._depth - above)]
            if number <= 1:
                return HeadProof(tuple(siblings), self._only(key, above))
            below = self._tree[self._depth - above - 1]
            siblings.append(below[prefix >> (self._depth - above - 1) ^ 1][1])
        rows = self._between(key, self._depth)
        depth = self._depth
        while len(rows) > 1:
            split = _split(rows, depth)
            left, right = rows[:split], rows[split:]
            rows, beside = (right, left) if _bit(key, depth) else (left, right)
            siblings.append(root_of_rows(beside, depth + 1))
            depth += 1
        return HeadProof(tuple(siblings), rows[0] if rows else None)

    def _only(self, key: bytes, depth: int) -> Row | None:
        rows = self._between(key, depth)
        return rows[0] if rows else None

    def _between(self, key: bytes, depth: int) -> list[Row]:
        """The rows that share the key's first `depth` bits."""
        places = range(self._rows)
        prefix = _prefix(key, depth)
        first = bisect_left(places, prefix, key=lambda n: _prefix(self._row(n).key, depth))
        last = bisect_left(places, prefix + 1, key=lambda n: _prefix(self._row(n).key, depth))
        return [self._row(n) for n in range(first, last)]

    def _row(self, number: int) -> Row:
        return Row(*_ROW.unpack_from(self._data, self._start() + number * _ROW.size))

    @property
    def _width(self) -> int:
        width: int = 1 << self._depth
        return width

    def _start(self) -> int:
        return _HEAD.size + self._width * _NODE.size


@contextmanager
def open_map(file: Path) -> Iterator[HeadMap]:
    """A map from its file. Raises FileNotFoundError, ValueError when it is damaged."""
    with (
        file.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        yield HeadMap(data)
