# SPDX-License-Identifier: EUPL-1.2
"""Reading one entity: its rows, reduced to what the permit lets exist."""

from __future__ import annotations

from typing import Any

import apsw

from poorter.gate.permit import Permit
from poorter.store.contract import StoredAttribute, StoredEntity, visible
from poorter.store.sqlite.recent import Recent

_ENTITY = (
    "SELECT id, types, scopes, version, created_us, modified_us FROM entity WHERE urn = ? AND live"
)
_ATTRIBUTES = (
    "SELECT n.name, a.dataset, a.body, a.created_us, a.modified_us, a.version FROM attribute a "
    "CROSS JOIN name n ON n.id = a.name WHERE a.entity = ? AND a.live ORDER BY a.id"
)


def entity_of_row(
    connection: apsw.Connection, permit: Permit, urn: str, row: tuple[Any, ...]
) -> StoredEntity | None:
    """The same from a row (id, types, scopes, version, created_us, modified_us)."""
    if permit.rule_of(tuple(row[1].split(" "))) is None:
        return None
    return visible(_whole(connection, urn, row), permit)


def whole_entity(connection: apsw.Connection, urn: str) -> StoredEntity | None:
    """A live entity before any permit."""
    row = next(iter(list(connection.execute(_ENTITY, (urn,)))), None)
    return None if row is None else _whole(connection, urn, row)


def _whole(connection: apsw.Connection, urn: str, row: tuple[Any, ...]) -> StoredEntity:
    """Its version and time are the highest among its own row and those of its attributes."""
    number, types, scopes, version, created_us, modified_us = row
    attributes = []
    for name, dataset, body, made_us, changed_us, later in connection.execute(
        _ATTRIBUTES, (number,)
    ):
        attributes.append(StoredAttribute(name, dataset or None, body, made_us, changed_us))
        version = max(version, later)
        modified_us = max(modified_us, changed_us)
    return StoredEntity(
        urn,
        tuple(types.split(" ")),
        tuple(scopes.split()),
        version,
        created_us,
        modified_us,
        tuple(attributes),
    )


def recent_entity(
    connection: apsw.Connection, recent: Recent, permit: Permit, urn: str
) -> StoredEntity | None:
    """One entity, out of those read lately where it is among them."""
    whole = recent.get(urn)
    if whole is None:
        generation = recent.generation
        whole = whole_entity(connection, urn)
        if whole is None:
            return None
        recent.keep(urn, whole, generation)
    return visible(whole, permit)
