# SPDX-License-Identifier: EUPL-1.2
"""Reading one entity: its rows, reduced to what the permit lets exist."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import msgspec

from poorter.gate.permit import Permit
from poorter.store.contract import StoredAttribute, StoredEntity, visible
from poorter.store.tables.port import Connection, Dialect
from poorter.store.tables.recent import Numbered, Recent
from poorter.store.transient import current

#: what tells of an entity itself
COLUMNS = "e.urn, e.id, e.types, e.scopes, e.version, e.created_us, e.modified_us, e.expires_us"
Rows = list[tuple[Any, ...]]
#: row, name, datasetId, created_us, modified_us, expires_us, version, body
_Instance = tuple[int, str, str, int, int, int | None, int, str]
_decode = msgspec.json.Decoder(list[_Instance]).decode
#: one text and one tuple for all that are the same: thousands of entities lie in memory
_names: dict[str, str] = {}
_NAMES_MAX = 10_000


@cache
def _one(dialect: Dialect) -> str:
    """In one row: a row and a column more cost more than what is in them. One statement, so that
    an entity and its attributes are of one moment."""
    instances = dialect.instances.format("e.id")
    return f"SELECT {COLUMNS}, {instances} FROM entity e WHERE e.urn = ? AND e.live"


@cache
def _several(dialect: Dialect) -> str:
    instances = dialect.instances.format("j.value")
    return f"SELECT j.value, {instances} FROM {dialect.numbers.format('?', 'j')}"


def wholes(connection: Connection, rows: Rows) -> dict[int, StoredEntity]:
    """Entities before any permit, by their numbers, from their rows (`COLUMNS`), read in one go.
    Call it within the transaction that the rows are of."""
    dialect = connection.dialect
    numbers = dialect.many([row[1] for row in rows])
    instances = dict(connection.execute(_several(dialect), (numbers,)))
    return {row[1]: whole(row, instances[row[1]]) for row in rows}


def visible_entity(entity: StoredEntity, permit: Permit, now_us: int) -> StoredEntity | None:
    """What of an entity exists for a read permit, and still does."""
    if entity.holds_until_us is not None:
        left = current(entity, now_us)
        return None if left is None else visible(left, permit)
    return visible(entity, permit)


def whole_entity(connection: Connection, urn: str) -> StoredEntity | None:
    """A live entity before any permit."""
    found = _numbered(connection, urn)
    return None if found is None else found[1]


def _numbered(connection: Connection, urn: str) -> Numbered | None:
    rows = list(connection.execute(_one(connection.dialect), (urn,)))
    return (rows[0][1], whole(rows[0], rows[0][8])) if rows else None


@lru_cache(maxsize=1024)
def _types(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


def whole(row: tuple[Any, ...], instances: str) -> StoredEntity:
    """An entity of `COLUMNS` and its instances as the engine gives them. Its version and time are
    the highest among its own row and those of its attributes."""
    urn, _, types, scopes, version, created_us, modified_us, expires_us = row[:8]
    if len(_names) > _NAMES_MAX:
        _names.clear()
    kept = []
    until_us = expires_us
    found = _decode(instances)
    found.sort()  # as they were made: no two have the same row
    for _, name, dataset, made_us, changed_us, ends_us, later, body in found:
        name = _names.setdefault(name, name)
        kept.append(
            StoredAttribute(name, dataset or None, body.encode(), made_us, changed_us, ends_us)
        )
        if ends_us is not None and (until_us is None or ends_us < until_us):
            until_us = ends_us
        if later > version:  # noqa: PLR1730 - a call costs more than making the attribute
            version = later
        if changed_us > modified_us:  # noqa: PLR1730 - as above
            modified_us = changed_us
    return StoredEntity(
        urn,
        _types(types),
        tuple(scopes.split()) if scopes else (),
        version,
        created_us,
        modified_us,
        tuple(kept),
        None,
        expires_us,
        until_us,
    )


def recent_entity(
    connection: Connection, recent: Recent, permit: Permit, urn: str, now_us: int
) -> StoredEntity | None:
    """One entity, out of those read lately where it is among them."""
    found = recent.get(urn)
    if found is None:
        generation = recent.generation
        read = _numbered(connection, urn)
        if read is None:
            return None
        recent.keep((read,), generation)
        found = read[1]
    return visible_entity(found, permit, now_us)
