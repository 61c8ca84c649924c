# SPDX-License-Identifier: EUPL-1.2
"""What a backup is of: its moment and its files with their digests, signed by the ledger's key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from poorter.city.errors import Invalid, NotFound, Unavailable
from poorter.city.time import SECOND_US
from poorter.identity.keys import KeyPair, PublicPair
from poorter.ledger.tiles import write_whole
from poorter.store.contract import SCHEMA_VERSION

FORMAT = "poorter.backup/1"
FILE, SIGNATURE = "backup.json", "backup.sig"
STORE, LEDGER, SETTINGS = "store", "ledger", "settings"
_CHUNK = 1 << 20


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


def write_manifest(folder: Path, manifest: Manifest, key: KeyPair) -> str:
    """Write and sign it; its SHA-256, by which the ledger knows this backup."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    signatures = [one.hex() for one in key.sign(_message(data))]
    write_whole(folder / SIGNATURE, msgspec.json.encode(signatures))
    write_whole(folder / FILE, data)
    return hashlib.sha256(data).hexdigest()


def read_manifest(folder: Path, keys: Iterable[PublicPair]) -> Manifest:
    """The manifest of a backup that one of these keys signed.

    Raises: NotFound where there is none, Invalid when it is damaged or not signed, Unavailable
    when a newer Poorter made it.
    """
    try:
        data = (folder / FILE).read_bytes()
        given = msgspec.json.decode((folder / SIGNATURE).read_bytes(), type=list[str])
        signatures = bytes.fromhex(given[0]), bytes.fromhex(given[1])
    except FileNotFoundError:
        raise NotFound(f"{folder} holds no backup") from None
    except (OSError, msgspec.MsgspecError, ValueError, IndexError) as wrong:
        raise Invalid(f"{folder}: the manifest can't be read: {wrong}") from None
    if not any(key.verify(signatures, _message(data)) for key in keys):
        raise Invalid(f"{folder}: this backup is not signed by the keys of this city")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as wrong:
        raise Invalid(f"{folder}: the manifest can't be read: {wrong}") from None
    if manifest.format != FORMAT or manifest.schema > SCHEMA_VERSION:
        raise Unavailable(
            f"{folder} was made by a newer Poorter ({manifest.format}, schema {manifest.schema}); "
            f"this one reads {FORMAT} up to schema {SCHEMA_VERSION}"
        )
    return manifest


def files_of(folder: Path) -> dict[str, tuple[int, str]]:
    """All files below a folder but the manifest itself, with size and SHA-256."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in (FILE, SIGNATURE):
            found[name] = file.stat().st_size, file_digest(file)
    return found


def damaged(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What of a backup is not as it was when it was made, in words."""
    there = files_of(folder)
    for name, (size, digest) in manifest.files.items():
        if name not in there:
            yield f"{name} is missing"
        elif there[name] != (size, digest):
            yield f"{name} is damaged"
    yield from (f"{name} does not belong to it" for name in there if name not in manifest.files)


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


def _message(data: bytes) -> bytes:
    return b"poorter-backup\n" + data
