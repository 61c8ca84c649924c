# SPDX-License-Identifier: EUPL-1.2
"""Reading one entity: its rows, reduced to what the permit lets exist."""

from __future__ import annotations

import apsw

from poorter.gate.permit import Permit
from poorter.store.contract import StoredAttribute, StoredEntity

_ENTITY = (
    "SELECT id, types, scopes, version, created_us, modified_us FROM entity WHERE urn = ? AND live"
)
_ATTRIBUTES = (
    "SELECT n.name, a.dataset, a.body, a.created_us, a.modified_us FROM attribute a "
    "CROSS JOIN name n ON n.id = a.name WHERE a.entity = ? AND a.live ORDER BY a.id"
)


def entity(connection: apsw.Connection, permit: Permit, urn: str) -> StoredEntity | None:
    """One entity, or None when it is absent or its types are outside the permit.

    Two statements in one read transaction would cost more than they are worth: the version read
    first can only be older than the attributes, which an ETag on it then rightly calls changed.
    """
    row = next(iter(list(connection.execute(_ENTITY, (urn,)))), None)
    return None if row is None else entity_of_row(connection, permit, urn, row)


def entity_of_row(
    connection: apsw.Connection, permit: Permit, urn: str, row: tuple[object, ...]
) -> StoredEntity | None:
    """The same from a row (id, types, scopes, version, created_us, modified_us)."""
    number, types_text, scopes, version, created_us, modified_us = row
    types = tuple(str(types_text).split(" "))
    rule = permit.rule_of(types)
    if rule is None:
        return None
    everything = rule.attributes is None and not rule.without
    attributes = tuple(
        [
            StoredAttribute(name, dataset or None, body, made_us, changed_us)
            for name, dataset, body, made_us, changed_us in connection.execute(
                _ATTRIBUTES, (number,)
            )
            if everything or rule.covers(name)
        ]
    )
    return StoredEntity(
        urn,
        types,
        tuple(str(scopes).split()),
        version,  # type: ignore[arg-type]
        created_us,  # type: ignore[arg-type]
        modified_us,  # type: ignore[arg-type]
        attributes,
    )
