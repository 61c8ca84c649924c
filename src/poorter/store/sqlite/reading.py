# SPDX-License-Identifier: EUPL-1.2
"""Reading one entity: its rows, reduced to what the permit lets exist."""

from __future__ import annotations

import apsw

from poorter.gate.permit import Permit
from poorter.store.contract import StoredAttribute, StoredEntity, visible
from poorter.store.sqlite.recent import Recent

_ENTITY = (
    "SELECT id, types, scopes, version, created_us, modified_us FROM entity WHERE urn = ? AND live"
)
_ATTRIBUTES = (
    "SELECT n.name, a.dataset, a.body, a.created_us, a.modified_us FROM attribute a "
    "CROSS JOIN name n ON n.id = a.name WHERE a.entity = ? AND a.live ORDER BY a.id"
)


def entity_of_row(
    connection: apsw.Connection, permit: Permit, urn: str, row: tuple[object, ...]
) -> StoredEntity | None:
    """The same from a row (id, types, scopes, version, created_us, modified_us)."""
    number, types_text, scopes, version, created_us, modified_us = row
    types = tuple(str(types_text).split(" "))
    if permit.rule_of(types) is None:
        return None
    whole = StoredEntity(
        urn,
        types,
        tuple(str(scopes).split()),
        version,  # type: ignore[arg-type]
        created_us,  # type: ignore[arg-type]
        modified_us,  # type: ignore[arg-type]
        all_attributes(connection, number),
    )
    return visible(whole, permit)


def all_attributes(connection: apsw.Connection, number: object) -> tuple[StoredAttribute, ...]:
    """Every attribute instance of an entity, before any permit."""
    return tuple(
        [
            StoredAttribute(name, dataset or None, body, made_us, changed_us)
            for name, dataset, body, made_us, changed_us in connection.execute(
                _ATTRIBUTES, (number,)
            )
        ]
    )


def whole_entity(connection: apsw.Connection, urn: str) -> StoredEntity | None:
    """A live entity before any permit."""
    found = next(iter(list(connection.execute(_ENTITY, (urn,)))), None)
    if found is None:
        return None
    number, types, scopes, version, created_us, modified_us = found
    return StoredEntity(
        urn,
        tuple(types.split(" ")),
        tuple(scopes.split()),
        version,
        created_us,
        modified_us,
        all_attributes(connection, number),
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
