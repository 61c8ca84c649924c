# SPDX-License-Identifier: EUPL-1.2
"""A manifest beside the files it names: JSON, with both signatures of the city's ledger key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from poorter.city.errors import Invalid, NotFound, Unavailable
from poorter.identity.keys import KeyPair, PublicPair
from poorter.ledger.tiles import write_whole
from poorter.store.contract import SCHEMA_VERSION

T = TypeVar("T")


class _Head(msgspec.Struct):
    """What every manifest says first."""

    format: str
    schema: int = 0


def write_signed(folder: Path, stem: str, manifest: msgspec.Struct, key: KeyPair) -> str:
    """Write STEM.json and STEM.sig; the SHA-256 of the first, by which the ledger knows it."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    signatures = [one.hex() for one in key.sign(_message(stem, data))]
    write_whole(folder / f"{stem}.sig", msgspec.json.encode(signatures))
    write_whole(folder / f"{stem}.json", data)
    return hashlib.sha256(data).hexdigest()


def read_signed(
    folder: Path, stem: str, manifest: type[T], form: str, keys: Iterable[PublicPair]
) -> T:
    """The manifest of the format `form`, if one of these keys signed it.

    Raises: NotFound where there is none, Invalid when it is damaged or not signed, Unavailable
    when a newer Poorter made it.
    """
    try:
        data = (folder / f"{stem}.json").read_bytes()
        given = msgspec.json.decode((folder / f"{stem}.sig").read_bytes(), type=list[str])
        signatures = bytes.fromhex(given[0]), bytes.fromhex(given[1])
    except FileNotFoundError:
        raise NotFound(f"{folder} holds no {stem}") from None
    except (OSError, msgspec.MsgspecError, ValueError, IndexError) as wrong:
        raise Invalid(f"{folder}: the manifest can't be read: {wrong}") from None
    if not any(key.verify(signatures, _message(stem, data)) for key in keys):
        raise Invalid(f"{folder}: this {stem} is not signed by the keys of this city")
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != form or head.schema > SCHEMA_VERSION:
            raise Unavailable(
                f"{folder} was made by a newer Poorter ({head.format}, schema {head.schema}); "
                f"this one reads {form} up to schema {SCHEMA_VERSION}"
            )
        return msgspec.json.decode(data, type=manifest)
    except msgspec.MsgspecError as wrong:
        raise Invalid(f"{folder}: the manifest can't be read: {wrong}") from None


def _message(stem: str, data: bytes) -> bytes:
    return f"poorter-{stem}\n".encode() + data
