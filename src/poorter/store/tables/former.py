# SPDX-License-Identifier: EUPL-1.2
"""Former values of what has no moment of its own (CIM 009, 4.5.7): instances beside history, where
a city keeps any. Of what is about a person none is kept: nobody asked for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from poorter.city.entity import Attribute
from poorter.city.ids import mint
from poorter.gate.permit import SEALED
from poorter.store import contract as c
from poorter.store.body import encode_attribute
from poorter.store.stored import StoredAttribute
from poorter.store.tables.instances import PREFIX, UNDATED_US, Instances
from poorter.store.tables.port import Connection
from poorter.store.tables.reading import whole_entity

#: what the ids of such instances begin with
FORMER = PREFIX + "former:"
_decode = msgspec.json.Decoder().decode
_OLDER = (
    "DELETE FROM instance WHERE urn = ?1 AND name = ?2 AND dataset = ?3 AND observed_us = ?4 "
    "AND id LIKE ?5 AND n <= (SELECT n FROM instance WHERE urn = ?1 AND name = ?2 "
    "AND dataset = ?3 AND observed_us = ?4 AND id LIKE ?5 ORDER BY n DESC LIMIT 1 OFFSET ?6)"
)


class Former:
    """Keeps them. `number`: so many of each attribute instance, the newest; 0: none at all."""

    def __init__(
        self, connection: Connection, instances: Instances, flush: Callable[[], None]
    ) -> None:
        self.number = 0
        self._connection = connection
        self._instances = instances
        self._flush = flush

    def note(self, op: c.Op, now_us: int) -> None:
        """Before an op is applied: what it overwrites or takes away."""
        written = _written(op)
        if not self.number or written is None:
            return
        self._flush()
        urn = op.entity.urn if isinstance(op, c.Put | c.Replace) else getattr(op, "urn", "")
        entity = whole_entity(self._connection, urn)
        if entity is None or entity.types[0].startswith(SEALED):
            return
        for stored in entity.attributes:
            new = written.get((stored.name, stored.dataset_id))
            if new is None and not _goes(op, stored):
                continue
            if new is not None and encode_attribute(new) == stored.body:
                continue
            ends_us = stored.expires_at_us
            if ends_us is not None and ends_us <= now_us:
                continue
            if "observedAt" not in _decode(stored.body):
                self._keep(urn, stored)

    def _keep(self, urn: str, stored: StoredAttribute) -> None:
        key = (urn, stored.name, stored.dataset_id or "")
        said_us = stored.modified_at_us
        self._instances.record(key, mint(FORMER), said_us, said_us, None, stored.body)
        list(self._connection.execute(_OLDER, (*key, UNDATED_US, FORMER + "%", self.number)))


def _written(op: c.Op) -> dict[tuple[str, str | None], Attribute] | None:
    """What an op writes, by name and datasetId; None for an op that is about nothing of this."""
    if isinstance(op, c.SetAttributes):
        return None if op.mode == "keep" else {one.key: one for one in op.attributes}
    if isinstance(op, c.Put | c.Replace):
        return {one.key: one for one in op.entity.attributes}
    return {} if isinstance(op, c.Delete | c.DeleteAttribute) else None


def _goes(op: c.Op, stored: StoredAttribute) -> bool:
    """Whether an op takes away what it does not write."""
    if isinstance(op, c.DeleteAttribute):
        same = op.every_instance or stored.dataset_id == op.dataset_id
        return stored.name == op.name and same
    return isinstance(op, c.Replace | c.Delete) or (isinstance(op, c.Put) and op.replace)
