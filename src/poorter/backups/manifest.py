# SPDX-License-Identifier: EUPL-1.2
"""What a backup is of: its moment and its files with their digests, signed by the ledger's key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from poorter.backups.signed import read_signed
from poorter.city.time import SECOND_US
from poorter.identity.keys import PublicPair

FORMAT, STEM = "poorter.backup/1", "backup"
FILE = f"{STEM}.json"
_OWN = (".json", ".sig")
STORE, LEDGER, SETTINGS = "store", "ledger", "settings"


class Manifest(msgspec.Struct, frozen=True):
    """All that was committed before `at_us` is in it. `tree_size`, `tree_root`: of the signed
    checkpoint in it; the store may hold a few leaves more. `files`: (bytes, SHA-256) by path."""

    format: str
    city: str
    origin: str
    at: str
    at_us: int
    tree_size: int
    tree_root: str
    policy_version: int
    schema: int
    files: dict[str, tuple[int, str]]


def read_manifest(folder: Path, keys: Iterable[PublicPair]) -> Manifest:
    """The manifest of a backup. Raises as `read_signed` does."""
    return read_signed(folder, STEM, Manifest, FORMAT, keys)


def files_of(folder: Path) -> dict[str, tuple[int, str]]:
    """All files below a folder but manifests at its top, with size and SHA-256."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and not (file.parent == folder and file.suffix in _OWN):
            found[name] = file.stat().st_size, file_digest(file)
    return found


def damaged(folder: Path, files: Mapping[str, tuple[int, str]]) -> Iterator[str]:
    """What is not as it was when the manifest was made, in words."""
    there = files_of(folder)
    for name, (size, digest) in files.items():
        if name not in there:
            yield f"{name} is missing"
        elif there[name] != (size, digest):
            yield f"{name} is damaged"
    yield from (f"{name} does not belong to it" for name in there if name not in files)


def file_digest(file: Path) -> str:
    """SHA-256 in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_files(folder: Path) -> None:
    """All files and names below are on the disk when this returns."""
    for path in (folder, *folder.rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def stamp(at_us: int) -> str:
    """A moment as the name of a folder, to the millisecond: names sort as moments do."""
    second, micro = divmod(at_us, SECOND_US)
    return f"{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%S}{micro // 1000:03d}Z"
