# SPDX-License-Identifier: EUPL-1.2
"""The tree as files: C2SP tlog-tiles. Tiles of 256 hashes, bundles of 256 entries, written whole.

A complete tile never changes. A partial one is a new file each time it grows, so a reader never
sees half a write; it goes when its tile is complete.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from poorter.ledger.tree import HASH_BYTES, Frontier, complete_root, leaf_hash

WIDTH = 256
LEVELS_A_TILE = 8
ENTRY_BYTES_MAX = 65_535
FILES_SYNCED_ONE_BY_ONE = 12


def number_path(number: int) -> str:
    """The number in groups of three digits: 1234067 is x001/x234/067."""
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    return "/".join(reversed(groups))


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    """Path of a hash tile at `level`, or of an entry bundle at level "entries"."""
    part = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{number_path(number)}{part}"


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that it is there whole, durably, or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    with new.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
    sync_folder(file.parent)


def write_all(files: Sequence[tuple[Path, bytes]]) -> None:
    """The same for many files of one file system: with one sync of it, where there is such a call,
    for a disk takes as long to sync one file as to sync a hundred."""
    sync = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if len(files) < FILES_SYNCED_ONE_BY_ONE or sync is None:
        for file, data in files:
            write_whole(file, data)
        return
    for folder in {file.parent for file, _ in files}:
        folder.mkdir(parents=True, exist_ok=True)
    new = [(file, file.with_name(file.name + ".new")) for file, _ in files]
    for (_, data), (_, written) in zip(files, new, strict=True):
        written.write_bytes(data)
    handle = os.open(files[0][0].parent, os.O_RDONLY)
    try:
        if sync(handle):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        for file, written in new:
            written.replace(file)
        if sync(handle):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Tiles:
    """Tiles of one log in a folder; appends through `extend`, reads through `node`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cache: dict[tuple[int, int], bytes] = {}
        self._pending: list[tuple[int | str, int, bytes, int]] = []

    def extend(self, old: int, entries: Sequence[bytes], frontier: Frontier) -> None:
        """Append entries [old, old + len): the frontier moves on, the tiles touched are written."""
        self._pending = []
        self._write_entries(old, entries)
        rows: dict[tuple[int, int], list[tuple[int, bytes]]] = {}
        at = 0
        while at < len(entries):
            if frontier.size % WIDTH == 0 and at + WIDTH <= len(entries):
                whole = [leaf_hash(entry) for entry in entries[at : at + WIDTH]]
                rows[(0, frontier.size // WIDTH)] = list(enumerate(whole))
                done = frontier.append_complete(LEVELS_A_TILE, complete_root(whole))
                at += WIDTH
            else:
                done = frontier.append(leaf_hash(entries[at]))
                at += 1
            for level, index, hashed in done:
                if level % LEVELS_A_TILE == 0:
                    key = level // LEVELS_A_TILE, index // WIDTH
                    rows.setdefault(key, []).append((index % WIDTH, hashed))
        for (level, number), hashes in rows.items():
            first = hashes[0][0]
            start = self._tile(level, number, first)[: first * HASH_BYTES] if first else b""
            data = start + b"".join(hashed for _, hashed in hashes)
            self._write(level, number, data, len(data) // HASH_BYTES)
        self._flush()

    def node(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree. Raises ValueError when its tile is missing or damaged."""
        tile_level, up = divmod(level, LEVELS_A_TILE)
        first = index << up
        number, offset = divmod(first, WIDTH)
        data = self._tile(tile_level, number, offset + (1 << up))
        hashes = [
            data[n * HASH_BYTES : (n + 1) * HASH_BYTES] for n in range(offset, offset + (1 << up))
        ]
        frontier = Frontier()
        for hashed in hashes:
            frontier.append(hashed)
        return frontier.root()

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Entries [start, end). Raises ValueError when a bundle is missing or damaged."""
        for number in range(start // WIDTH, -(-end // WIDTH)):
            first = number * WIDTH
            wanted = min(end - first, WIDTH)
            data = self._read("entries", number, wanted)
            bundle = split_bundle(data, number)
            yield from bundle[max(start - first, 0) : wanted]

    def part(self, level: int | str, number: int, width: int) -> bytes:
        """The first `width` hashes or entries of a tile, also when it has grown since.

        Raises: ValueError when there are not that many.
        """
        data = self._read(level, number, width)
        if isinstance(level, int):
            return data[: width * HASH_BYTES]
        bundle = split_bundle(data, number)[:width]
        return b"".join(struct.pack(">H", len(entry)) + entry for entry in bundle)

    def drop_cache(self) -> None:
        """Forget what was read, so that the files themselves are looked at again."""
        self._cache.clear()

    def _write_entries(self, old: int, entries: Sequence[bytes]) -> None:
        number, offset = divmod(old, WIDTH)
        kept = list(self.entries(old - offset, old)) if offset else []
        bundle = [*kept, *entries]
        for start in range(0, len(bundle), WIDTH):
            part = bundle[start : start + WIDTH]
            data = b"".join(struct.pack(">H", len(entry)) + entry for entry in part)
            self._write("entries", number + start // WIDTH, data, len(part))

    def _write(self, level: int | str, number: int, data: bytes, width: int) -> None:
        self._pending.append((level, number, data, width))

    def _flush(self) -> None:
        """All that was written since, in one go. Raises OSError: then it is as if none was."""
        pending, self._pending = self._pending, []
        write_all([(self.folder / tile_path(t[0], t[1], t[3]), t[2]) for t in pending])
        for level, number, data, width in pending:
            if isinstance(level, int):
                self._cache[(level, number)] = data
                if len(self._cache) > 1000:
                    self._cache.pop(next(iter(self._cache)))
            self._drop_parts(level, number, width)

    def _drop_parts(self, level: int | str, number: int, width: int) -> None:
        """Narrower parts of a tile go once a wider one is there."""
        parts = self.folder / (tile_path(level, number) + ".p")
        if parts.is_dir():
            for stale in parts.iterdir():
                if not stale.name.isdecimal() or int(stale.name) < width:
                    stale.unlink(missing_ok=True)
            if width == WIDTH:
                parts.rmdir()

    def _tile(self, level: int, number: int, at_least: int) -> bytes:
        data = self._cache.get((level, number), b"")
        if len(data) < at_least * HASH_BYTES:
            data = self._read(level, number, at_least)
            if len(data) % HASH_BYTES or len(data) < at_least * HASH_BYTES:
                raise ValueError(f"{tile_path(level, number)} is damaged")
            self._cache[(level, number)] = data
        return data

    def _read(self, level: int | str, number: int, at_least: int) -> bytes:
        whole = self.folder / tile_path(level, number)
        if whole.is_file():
            return whole.read_bytes()
        parts = whole.with_name(whole.name + ".p")
        widths = (
            [int(p.name) for p in parts.iterdir() if p.name.isdecimal()] if parts.is_dir() else []
        )
        wide = [width for width in widths if width >= at_least]
        if not wide:
            raise ValueError(f"{tile_path(level, number)} is missing")
        return (parts / str(max(wide))).read_bytes()


def split_bundle(data: bytes, number: int) -> list[bytes]:
    """The entries of a bundle. Raises ValueError when a length leads past its end."""
    found, position = [], 0
    while position < len(data):
        if position + 2 > len(data):
            raise ValueError(f"{tile_path('entries', number)} is damaged")
        (length,) = struct.unpack_from(">H", data, position)
        entry = data[position + 2 : position + 2 + length]
        if len(entry) != length:
            raise ValueError(f"{tile_path('entries', number)} is damaged")
        found.append(entry)
        position += 2 + length
    return found
