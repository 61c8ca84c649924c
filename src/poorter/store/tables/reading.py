# SPDX-License-Identifier: EUPL-1.2
"""Reading one entity: its rows, reduced to what the permit lets exist."""

from __future__ import annotations

from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

from poorter.gate.permit import Permit
from poorter.store.contract import StoredAttribute, StoredEntity, visible
from poorter.store.tables.port import Connection, Dialect
from poorter.store.tables.recent import Recent
from poorter.store.transient import current

_ATTRIBUTE = "n.name, a.dataset, a.body, a.created_us, a.modified_us, a.expires_us, a.version"
#: one statement, so that an entity and its attributes are of one moment
_ENTITY = (
    "SELECT e.id, e.types, e.scopes, e.version, e.created_us, e.modified_us, e.expires_us, "
    f"{_ATTRIBUTE}, a.id FROM entity e LEFT JOIN attribute a ON a.entity = e.id AND a.live "
    "LEFT JOIN name n ON n.id = a.name WHERE e.urn = ? AND e.live"
)
Rows = list[tuple[Any, ...]]
#: one text and one tuple for all that are the same: thousands of entities lie in memory
_names: dict[str, str] = {}
_NAMES_MAX = 10_000


@cache
def _attributes(dialect: Dialect) -> str:
    return (
        f"SELECT a.entity, {_ATTRIBUTE} FROM {dialect.numbers.format('?', 'j')} "
        f"{dialect.then.format('attribute', 'a', 'a.entity = j.value')} "
        f"{dialect.then.format('name', 'n', 'n.id = a.name')} WHERE a.live ORDER BY a.id"
    )


def entities_of_rows(
    connection: Connection, permit: Permit, rows: Rows, now_us: int
) -> list[StoredEntity | None]:
    """Entities from their rows (urn, id, types, scopes, version, created_us, modified_us,
    expires_us), their attributes read in one go; None for what does not exist for the permit, or
    not any more. Call it within the transaction that the rows are of."""
    numbers = [row[1] for row in rows]
    attributes: dict[int, Rows] = {number: [] for number in numbers}
    dialect = connection.dialect
    found = connection.execute(_attributes(dialect), (dialect.many(numbers),))
    for number, *attribute in found:
        attributes[number].append(tuple(attribute))
    return [_visible(_whole(row, attributes[row[1]]), permit, now_us) for row in rows]


def _visible(whole: StoredEntity, permit: Permit, now_us: int) -> StoredEntity | None:
    if whole.holds_until_us is not None:
        left = current(whole, now_us)
        return None if left is None else visible(left, permit)
    return visible(whole, permit)


def whole_entity(connection: Connection, urn: str) -> StoredEntity | None:
    """A live entity before any permit."""
    rows = list(connection.execute(_ENTITY, (urn,)))
    if not rows:
        return None
    if len(rows) > 1:
        rows.sort(key=itemgetter(14))
    attributes = [row[7:14] for row in rows if row[7] is not None]
    return _whole((urn, *rows[0][:7]), attributes)


@lru_cache(maxsize=1024)
def _types(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


def _whole(row: tuple[Any, ...], attributes: Rows) -> StoredEntity:
    """Its version and time are the highest among its own row and those of its attributes."""
    urn, _, types, scopes, version, created_us, modified_us, expires_us = row
    kept = []
    until_us = expires_us
    if len(_names) > _NAMES_MAX:
        _names.clear()
    for name, dataset, body, made_us, changed_us, ends_us, later in attributes:
        name = _names.setdefault(name, name)
        kept.append(StoredAttribute(name, dataset or None, body, made_us, changed_us, ends_us))
        if ends_us is not None and (until_us is None or ends_us < until_us):
            until_us = ends_us
        version = max(version, later)
        modified_us = max(modified_us, changed_us)
    return StoredEntity(
        urn,
        _types(types),
        tuple(scopes.split()),
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
    whole = recent.get(urn)
    if whole is None:
        generation = recent.generation
        whole = whole_entity(connection, urn)
        if whole is None:
            return None
        recent.keep(urn, whole, generation)
    return _visible(whole, permit, now_us)
