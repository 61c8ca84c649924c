# SPDX-License-Identifier: EUPL-1.2
"""What expires by itself: readers leave it out at once, the writer takes it out before it writes
anything else. A store without anything transient pays one comparison a read and one a group."""

from __future__ import annotations

from poorter.gate.permit import SEALED
from poorter.store import contract as c
from poorter.store.body import decode_attribute
from poorter.store.tables.port import Connection
from poorter.store.transient import lasting

_NEXT = (
    "SELECT coalesce(min(at_us), ?1) FROM ("
    "SELECT min(expires_us) AS at_us FROM entity WHERE expires_us IS NOT NULL AND live UNION ALL "
    "SELECT min(expires_us) FROM attribute WHERE expires_us IS NOT NULL AND live) s"
)
#: in the order in which they ended, so that events of one history are the same on each engine
_ENTITIES = "SELECT urn, types FROM entity WHERE expires_us <= ? AND live ORDER BY expires_us, urn"
_ATTRIBUTES = (
    "SELECT e.urn, n.name, a.dataset, a.body FROM attribute a JOIN entity e ON e.id = a.entity "
    "JOIN name n ON n.id = a.name WHERE a.expires_us <= ?1 AND a.live "
    "AND (e.expires_us IS NULL OR e.expires_us > ?1) ORDER BY a.expires_us, a.id"
)
#: an entity, or an attribute, that is still there for a reader
LASTS = "({0}.expires_us IS NULL OR {0}.expires_us > ?)"


class Expiry:
    """When the next of what is kept expires. Never later than that: what was only going to be
    written may have made it earlier."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.next_us = c.NEVER_US
        self.look()

    def at(self, expires_us: int | None) -> None:
        """Something expires then."""
        if expires_us is not None and expires_us < self.next_us:
            self.next_us = expires_us

    def look(self) -> None:
        """Look again, once what had expired is out."""
        ((next_us,),) = self._connection.execute(_NEXT, (c.NEVER_US,))
        self.next_us = int(next_us)


def expired(connection: Connection, now_us: int) -> tuple[c.Op, ...]:
    """What is to be done about all that has expired: of a person nothing stays, else an evolution
    does, as after any deletion."""
    ops: list[c.Op] = []
    for urn, types in connection.execute(_ENTITIES, (now_us,)):
        sealed = str(types).startswith(SEALED)
        ops.append(c.Erase(str(urn)) if sealed else c.Delete(str(urn)))
    for urn, name, dataset, body in connection.execute(_ATTRIBUTES, (now_us,)):
        left = lasting(decode_attribute(str(name), body), now_us)
        if left is None:
            ops.append(c.DeleteAttribute(str(urn), str(name), str(dataset) or None))
        else:
            ops.append(c.SetAttributes(str(urn), (left,)))
    return tuple(ops)
