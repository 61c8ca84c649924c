# SPDX-License-Identifier: EUPL-1.2
"""Commands to devices: what a decision set goes to the device that shows it, with a term; what the
device answers stands beside it. Only a decision sets a command attribute (rule 4), so only a
decision reaches a device.

A command is `{"id", "attribute", "value", "until"}` on the device's own topic; the device answers
`{"id", "done": true}`, or `false` and a `reason`. The entity then says in ATTRIBUTE + "Status" how
it went: sent, done, refused, or expired.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied
from poorter.city.ids import mint
from poorter.city.query import Query
from poorter.city.time import SECOND_US, format_us
from poorter.connections.model import DEVICE, Commands
from poorter.gate.permit import Action, Permit
from poorter.store.contract import Changed, Store

Status = Literal["sent", "done", "refused", "expired"]
PENDING_MAX = 100_000
DEVICE_PREFIX = "urn:ngsi-ld:Device:"


@dataclass(frozen=True, slots=True)
class Order:
    """One command under way."""

    id: str
    rule: Commands
    urn: str
    type: str
    device: str
    value: Any
    until_us: int

    def message(self) -> bytes:
        """As the device gets it."""
        doc = {"id": self.id, "attribute": self.rule.attribute, "value": self.value}
        return msgspec.json.encode(doc | {"until": format_us(self.until_us)})

    def status(self, status: Status, now_us: int, reason: str = "") -> Entity:
        """What the entity is to say of it."""
        sub = (Attribute("reason", reason[:200]),) if reason else ()
        name = f"{self.rule.attribute}Status"
        attribute = Attribute(name, status, observed_at_us=now_us, sub=sub)
        return Entity(self.urn, (self.type,), (attribute,))


class Commanding:
    """Orders from the store's changes, and what became of them. Safe to call from any thread."""

    def __init__(
        self,
        rules: Sequence[Commands],
        store: Store,
        permits: Callable[[Action], Permit],
        clock: Clock,
    ) -> None:
        self._rules = tuple(rules)
        self._store = store
        self._permits = permits
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[Changed] = deque(maxlen=PENDING_MAX)
        self._pending: dict[str, Order] = {}
        self._watch = store.watch(self._waiting.extend)
        self._watch.types = frozenset(rule.type for rule in rules)

    def stop(self) -> None:
        """Watch no longer. Orders under way are sent again at the next start, in their term."""
        self._watch.stop()

    def unfinished(self) -> list[Order]:
        """Orders that were under way when the city stopped, those too whose term is over: then
        `expired` tells so."""
        orders: list[Order] = []
        for rule in self._rules:
            try:
                permit = self._permits("read")
            except Denied:
                return []
            after: str | None = None
            while True:
                query = Query(types=(rule.type,), limit=1000, after=after)
                page = self._store.query(permit, query)
                for stored in page.entities:
                    at_us = {a.name: a.modified_at_us for a in stored.attributes}
                    orders += self._left(rule, self._store.decode(stored), at_us)
                after = page.after
                if after is None:
                    break
        return self._kept(orders)

    def orders(self) -> list[Order]:
        """New ones, out of what changed since the last time."""
        changes = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not changes:
            return []
        try:
            permit = self._permits("read")
        except Denied:
            return []  # its goal is rescinded: nothing is sent
        found: list[Order] = []
        for change in changes:
            after, before = change.after(permit), change.before(permit)
            if after is None:
                continue
            entity = self._store.decode(after)
            old = {a.name: a.body for a in before.attributes} if before is not None else {}
            new = {a.name: a.body for a in after.attributes}
            for rule in self._rules:
                name = rule.attribute
                if rule.type in entity.types and name in new and new[name] != old.get(name):
                    found += self._order(rule, entity, self._clock.now_us())
        return self._kept(found)

    def answered(self, device: str, payload: bytes) -> Entity | None:
        """What a device says of an order; None for one that is not (any more) its own.

        Raises: msgspec.DecodeError, msgspec.ValidationError for what is no answer.
        """
        answer = msgspec.json.decode(payload, type=_Answer)
        with self._lock:
            order = self._pending.get(answer.id)
            if order is None or order.device != device:
                return None
            del self._pending[answer.id]
        status: Status = "done" if answer.done else "refused"
        return order.status(status, self._clock.now_us(), answer.reason)

    def expired(self) -> list[Entity]:
        """What the entities whose orders are over are to say."""
        now_us = self._clock.now_us()
        with self._lock:
            over = [order for order in self._pending.values() if order.until_us <= now_us]
            for order in over:
                del self._pending[order.id]
        return [order.status("expired", now_us) for order in over]

    def _order(self, rule: Commands, entity: Entity, set_us: int) -> Iterable[Order]:
        named = entity.value(rule.device)
        if not isinstance(named, str):
            return
        device = named.removeprefix(DEVICE_PREFIX)
        if DEVICE.match(device):
            until_us = set_us + round(rule.expires_s * SECOND_US)
            value = entity.value(rule.attribute)
            yield Order(mint("", 12), rule, entity.urn, rule.type, device, value, until_us)

    def _left(self, rule: Commands, entity: Entity, at_us: dict[str, int]) -> Iterable[Order]:
        set_us = at_us.get(rule.attribute)
        status = entity.value(f"{rule.attribute}Status")
        if set_us is None or status not in (None, "sent"):
            return
        for order in self._order(rule, entity, set_us):
            if status == "sent" or order.until_us > self._clock.now_us():
                yield order

    def _kept(self, orders: list[Order]) -> list[Order]:
        """The orders, noted as under way; a newer one for the same thing takes over."""
        with self._lock:
            for order in orders:
                for old in [o for o in self._pending.values() if _same(o, order)]:
                    del self._pending[old.id]
                if len(self._pending) < PENDING_MAX:
                    self._pending[order.id] = order
            return [order for order in orders if order.id in self._pending]


class _Answer(msgspec.Struct):
    id: str
    done: bool
    reason: str = ""


def _same(a: Order, b: Order) -> bool:
    return (a.urn, a.rule.attribute) == (b.urn, b.rule.attribute)
