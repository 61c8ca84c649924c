# SPDX-License-Identifier: EUPL-1.2
"""Reading one entity: its rows, reduced to what the permit lets exist."""

from __future__ import annotations

from dataclasses import replace

import apsw

from poorter.gate.permit import Permit, TypeRule
from poorter.store.contract import StoredAttribute, StoredEntity
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
    rule = permit.rule_of(types)
    if rule is None:
        return None
    attributes = reduced(all_attributes(connection, number), rule)
    return StoredEntity(
        urn,
        types,
        tuple(str(scopes).split()),
        version,  # type: ignore[arg-type]
        created_us,  # type: ignore[arg-type]
        modified_us,  # type: ignore[arg-type]
        attributes,
    )


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


def reduced(attributes: tuple[StoredAttribute, ...], rule: TypeRule) -> tuple[StoredAttribute, ...]:
    """Those that exist for this request."""
    if rule.attributes is None and not rule.without:
        return attributes
    return tuple([attribute for attribute in attributes if rule.covers(attribute.name)])


def recent_entity(
    connection: apsw.Connection, recent: Recent, permit: Permit, urn: str
) -> StoredEntity | None:
    """One entity, out of those read lately where it is among them."""
    whole = recent.get(urn)
    if whole is None:
        generation = recent.generation
        found = next(iter(list(connection.execute(_ENTITY, (urn,)))), None)
        if found is None:
            return None
        number, types, scopes, version, created_us, modified_us = found
        whole = StoredEntity(
            urn,
            tuple(types.split(" ")),
            tuple(scopes.split()),
            version,
            created_us,
            modified_us,
            all_attributes(connection, number),
        )
        recent.keep(urn, whole, generation)
    rule = permit.rule_of(whole.types)
    if rule is None:
        return None
    kept = reduced(whole.attributes, rule)
    return whole if kept is whole.attributes else replace(whole, attributes=kept)
