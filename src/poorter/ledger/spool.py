# SPDX-License-Identifier: EUPL-1.2
"""A local spool for uses on which a life depends, for while the ledger itself can't be written.

Each entry is length, SHA-256 and bytes, on disk before the data leaves. What was torn by a crash
was never answered for, so reading stops there. Merged later, in order, each entry once.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from pathlib import Path

import msgspec

from poorter.ledger.tiles import sync_folder, write_whole

_HEAD = struct.Struct(">I32s")
ENTRY_BYTES_MAX = 8 * 1024 * 1024


class Spooled(msgspec.Struct, frozen=True, array_like=True):
    """The lines of one use, as the store will get them, and since when they wait."""

    id: str
    at_us: int
    prefix: bytes
    trace: bytes
    lines: list[tuple[bytes, bytes, bytes]]  # name in the store, inner hash, sealed
    audit: bytes
    audit_payload: bytes


class Spool:
    """One file in a folder that should be on another disk than the store."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "vital.spool"
        self._lock = threading.Lock()
        self._mended = False

    def put(self, entry: Spooled) -> None:
        """Durably, before this returns. Raises OSError when this disk is no better."""
        data = msgspec.msgpack.encode(entry)
        if len(data) > ENTRY_BYTES_MAX:
            raise OSError(f"an entry has at most {ENTRY_BYTES_MAX} bytes")
        with self._lock:
            self._mend()
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._file.open("ab", buffering=0) as stream:
                self._file.chmod(0o600)
                start = stream.seek(0, os.SEEK_END)
                try:
                    view = memoryview(_HEAD.pack(len(data), hashlib.sha256(data).digest()) + data)
                    while view:
                        view = view[stream.write(view) :]
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(start)  # no half entry before the next one
                    raise
            if not start:
                sync_folder(self._file.parent)

    def waiting(self) -> list[Spooled]:
        """What waits to be merged, oldest first; a torn end is left out."""
        with self._lock:
            return self._read()[0]

    def clear(self, merged: int) -> None:
        """Take the first `merged` entries out: they are in the ledger now."""
        with self._lock:
            rest = self._read()[0][merged:]
            parts = [msgspec.msgpack.encode(entry) for entry in rest]
            if parts:
                framed = (_HEAD.pack(len(p), hashlib.sha256(p).digest()) + p for p in parts)
                write_whole(self._file, b"".join(framed))
            else:
                self._file.unlink(missing_ok=True)
                sync_folder(self._file.parent)

    def _mend(self) -> None:
        """Once a start: what a crash left half is cut off, so that what follows can be read."""
        if not self._mended and self._file.exists():
            end = self._read()[1]
            if end < self._file.stat().st_size:
                os.truncate(self._file, end)
        self._mended = True

    def _read(self) -> tuple[list[Spooled], int]:
        """(entries, where the last whole one ends)."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return [], 0
        found, at = [], 0
        while at + _HEAD.size <= len(data):
            length, digest = _HEAD.unpack_from(data, at)
            body = data[at + _HEAD.size : at + _HEAD.size + length]
            if len(body) != length or hashlib.sha256(body).digest() != digest:
                break
            found.append(msgspec.msgpack.decode(body, type=Spooled))
            at += _HEAD.size + length
        return found, at
