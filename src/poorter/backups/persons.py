# SPDX-License-Identifier: EUPL-1.2
"""Persons in a backup, whose keys are not in it: do those that are here open their rows?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from poorter.city.errors import Conflict
from poorter.city.time import parse_us
from poorter.gate.inside import ABOUT
from poorter.gate.permit import SEALED
from poorter.store.contents import EntityRow, Row
from poorter.store.walls.sealing import place_of, unseal
from poorter.store.walls.vault import Vault

_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Found:
    """Subjects whose rows are there, those whose rows don't all open, and of these the keys of an
    older copy that open them."""

    there: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    opened_by: dict[str, bytes] = field(default_factory=dict)


def look(rows: Iterable[Row], vault: Vault, older: Path | None) -> Found:
    """Try every value of every person that was not erased. Raises Invalid for a file `older` that
    holds no keys of persons."""
    found = Found()
    past: Mapping[str, bytes] = {} if older is None else vault.older(older)
    for row in rows:
        if not isinstance(row, EntityRow) or row.types[:1] == () or row.types[0][:1] != SEALED:
            continue
        subject = _subject(row)
        keys = () if subject is None else vault.keys(subject)
        if subject is None or not (keys or subject in past):
            continue  # erased: nothing is to open
        found.there.add(subject)
        if not _opens(row, keys):
            old = past.get(subject)
            if old is not None and _opens(row, (*keys, old)):
                found.opened_by[subject] = old
            else:
                found.closed.add(subject)
    return found


def settle(found: Found, vault: Vault, now_us: int, *, go_on: bool) -> list[str]:
    """Keys of the older copy count beside those of now until what they sealed is sealed anew; in
    words. Raises Conflict for persons that stay closed, unless told to `go_on`."""
    said = []
    if found.closed:
        words = (
            f"{len(found.closed)} of {len(found.there)} persons in this backup were sealed with"
            " keys that are not here: they were changed since (poorter rotate persons)"
        )
        if not go_on:
            raise Conflict(
                f"{words}. Give persons.db of a copy of the keys from before that (--person-keys"
                " FILE); whoever was erased since stays erased. Without one they can't be read by"
                " anybody: --unreadable restores all the rest"
            )
        said.append(f"{words}; nobody can read what the backup holds of them")
    if found.opened_by:
        vault.take_former(found.opened_by, now_us)
        said.append(
            f"{len(found.opened_by)} persons open with keys of the copy: once the city is served"
            " all of it is sealed under those of now, and the old ones go (poorter keys)"
        )
    return said


def _subject(row: EntityRow) -> str | None:
    for attribute in row.attributes:
        if attribute.name == ABOUT:
            return str(_decode(attribute.body)["value"])
    return None


def _sealed(row: EntityRow) -> Iterator[tuple[bytes, str]]:
    """(place, sealed text) of each value."""
    for attribute in row.attributes:
        if attribute.name[:1] != SEALED:
            body = _decode(attribute.body)
            moment = body.get("observedAt")
            observed_us = None if moment is None else parse_us(moment)
            place = place_of(row.urn, attribute.name, attribute.dataset, observed_us)
            yield place, str(body.get("value"))


def _opens(row: EntityRow, keys: Sequence[bytes]) -> bool:
    return all(unseal(keys, place, text) is not None for place, text in _sealed(row))
