# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions at work: changes in, notifications out, each let out by the subscriber's permit of
that moment and recorded as a use of it (CIM 009, 5.8.6)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import Entity
from poorter.city.errors import CityError, Denied, NotFound, Unavailable
from poorter.city.ids import mint
from poorter.city.limits import SUBSCRIBER_QUEUE_MAX
from poorter.city.query import Query
from poorter.city.time import SECOND_US
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.standards.ngsild.contexts import Contexts
from poorter.standards.ngsild.face import record_uses_of
from poorter.standards.ngsild.linked import Links
from poorter.standards.ngsild.subscriptions.delivery import Counts, Delivery, Letter
from poorter.standards.ngsild.subscriptions.matching import (
    Facts,
    Index,
    concerns,
    facts_of,
    meant,
    meets,
)
from poorter.standards.ngsild.subscriptions.message import (
    context_link,
    entity_data,
    notification,
    whole_data,
)
from poorter.standards.ngsild.subscriptions.model import Endpoint, Subscription, parse_subscription
from poorter.standards.ngsild.subscriptions.sending import Sender
from poorter.store.contract import Change, Changed, PutRecord, Record, Store, StoredEntity

log = logging.getLogger(__name__)
RECORD = "subscription"
DEAD_LETTER = "dead-letter"
SUBSCRIPTIONS_MAX = 50_000
PERIODIC_MAX = 1000  # entities in one notification by time
COUNTS_S = 10.0
_encode = msgspec.json.Encoder().encode


class Engine:
    """Holds the subscriptions of one city and acts on what changes."""

    def __init__(
        self, store: Store, gate: Gate, uses: Any, clock: Clock, contexts: Contexts, sender: Sender
    ) -> None:
        self._store = store
        self._gate = gate
        self._uses = uses
        self._clock = clock
        self._contexts = contexts
        self._sender = sender
        self._index = Index()
        self._subs: dict[str, Subscription] = {}
        self._urls: dict[str, str] = {}
        self._next_us: dict[str, int] = {}  # of those by time, and of throttled ones
        self._waiting: deque[Changed] = deque(maxlen=SUBSCRIBER_QUEUE_MAX)
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._watch = store.watch(self._from_writer)
        self._delivery = Delivery(sender.send, self._bury, clock)
        self._tasks: list[asyncio.Task[None]] = []
        self._missing: list[Record] = []

    async def start(self) -> None:
        """Take the subscriptions from the store, then follow what changes."""
        permit = self._gate.permit("internal:ngsi-ld", RUN, "read")
        after: str | None = None
        while records := self._store.records(permit, RECORD, after=after):
            for record in records:
                if not await self._load(record):
                    self._missing.append(record)
            after = records[-1].id
        self._tasks = [
            asyncio.create_task(self._follow(), name="subscriptions"),
            asyncio.create_task(self._by_time(), name="subscriptions by time"),
            asyncio.create_task(self._keep_counts(), name="subscription counts"),
        ]

    async def stop(self) -> None:
        """Follow no longer; what waits is not sent."""
        self._watch.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._delivery.stop()
        if self._tasks:
            await self._write_counts()

    # -- the subscriptions ---------------------------------------------------------------------

    def get(self, sub_id: str) -> Subscription:
        """One of them. Raises NotFound."""
        found = self._subs.get(sub_id)
        if found is None:
            raise NotFound(f"{sub_id} is not there")
        return found

    def of(self, processor: str, purpose: str) -> list[Subscription]:
        """Those of one (processor, purpose), by id: nobody sees another's."""
        mine = [s for s in self._subs.values() if (s.processor, s.purpose) == (processor, purpose)]
        return sorted(mine, key=lambda sub: sub.id)

    def context_url(self, sub_id: str) -> str:
        """The URL of the @context that its notifications are under."""
        return self._urls.get(sub_id, "")

    def counts(self, sub_id: str) -> Counts:
        """What became of its notifications."""
        return self._delivery.counts(sub_id)

    def check(self, endpoint: Endpoint) -> None:
        """Raises Invalid for an endpoint that this city may not call."""
        self._sender.check(endpoint)

    def has_room(self) -> None:
        """Raises Unavailable when there are as many subscriptions as there may be."""
        if len(self._subs) >= SUBSCRIPTIONS_MAX:
            raise Unavailable(f"there are {SUBSCRIPTIONS_MAX} subscriptions already")

    def put(self, sub: Subscription, url: str, counts: Counts | None = None) -> None:
        """Begin with one, or go on with its new form."""
        self._subs[sub.id] = sub
        self._urls[sub.id] = url
        self._delivery.open(sub.id, sub.endpoint, counts)
        if sub.every_s is None:
            self._index.put(sub)
            self._watch.types = self._index.types
        else:
            self._index.remove(sub.id)
            self._next_us[sub.id] = self._clock.now_us() + round(sub.every_s * SECOND_US)

    def remove(self, sub_id: str) -> None:
        """No more of it."""
        self._subs.pop(sub_id, None)
        self._urls.pop(sub_id, None)
        self._next_us.pop(sub_id, None)
        self._index.remove(sub_id)
        self._delivery.close(sub_id)
        self._watch.types = self._index.types

    async def _load(self, record: Record) -> bool:
        doc = record.doc
        try:
            context = await self._contexts.of(doc["context"])
            sub = parse_subscription(
                doc["doc"], context, record.id, doc["processor"], doc["purpose"], None
            )
            url = doc["url"]
            if url and url != context.url:
                sub = replace(sub, form=replace(sub.form, context=await self._contexts.of(url)))
        except CityError as wrong:
            log.warning("subscription %s waits: %s", record.id, wrong.detail)
            return False
        self.put(sub, doc["url"], Counts(**doc["counts"]))
        return True

    # -- what changes --------------------------------------------------------------------------

    def _from_writer(self, changed: Sequence[Changed]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, changed)

    def _take(self, changed: Sequence[Changed]) -> None:
        self._waiting.extend(changed)
        self._woken.set()

    async def _follow(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                change = self._waiting.popleft()
                try:
                    self._notify(change)
                except Exception:  # the outermost loop: one change may not stop the others
                    log.exception("what changed in %s was not told to subscribers", change.urn)
                await asyncio.sleep(0)  # requests go before notifications

    def _notify(self, change: Changed) -> None:
        seen: dict[str, Facts | None] = {}
        for sub in self._index.about(change.urn, change.types).values():
            now_us = self._clock.now_us()
            if sub.status(now_us) != "active" or now_us < self._next_us.get(sub.id, 0):
                continue
            permit = self._permit(sub)
            if permit is None:
                continue
            if permit.key not in seen:
                seen[permit.key] = facts_of(change.before(permit), change.after(permit))
            facts = seen[permit.key]
            if facts is None or not concerns(sub, facts):
                continue
            if not self._meets(sub.query, facts.entity, permit):
                continue
            if sub.throttling_s:
                self._next_us[sub.id] = now_us + round(sub.throttling_s * SECOND_US)
            self._delivery.put(sub.id, Letter(self._letter(sub.id, change)))

    def _permit(self, sub: Subscription) -> Permit | None:
        try:
            return self._gate.permit(sub.processor, sub.purpose, "read")
        except (Denied, Unavailable):
            return None

    def _meets(self, query: Query, entity: StoredEntity, permit: Permit) -> bool:
        if query.condition is None and query.geo is None and query.scopes is None:
            return True

        def linked(urn: str) -> Entity | None:
            try:
                return self._store.decode(self._store.entity(permit, urn))
            except NotFound:
                return None

        return meets(query, self._store.decode(entity), linked)

    def _letter(self, sub_id: str, change: Changed) -> Any:
        """Makes the message when it is sent: by the permit of that moment, or not at all."""

        async def make() -> tuple[bytes, dict[str, str]] | None:
            sub = self._subs.get(sub_id)
            if sub is None or sub.status(self._clock.now_us()) != "active":
                return None
            permit = self._permit(sub)
            if permit is None:
                return None
            facts = facts_of(change.before(permit), change.after(permit))
            if facts is None:
                return None
            links = Links(self._store, permit, sub.form.contained_by)
            leaving: tuple[StoredEntity, ...] = (facts.entity,)
            if sub.form.join is not None:
                leaving = (*leaving, *links.gather(leaving, sub.form))
            await record_uses_of(self._store, self._gate, self._uses, self._clock, permit, leaving)
            return self._message(sub, entity_data(sub, facts, change.at_us, links))

        return make

    def _message(
        self, sub: Subscription, data: list[dict[str, Any]]
    ) -> tuple[bytes, dict[str, str]]:
        headers: dict[str, str] = {}
        link = context_link(sub, self._urls.get(sub.id, ""))
        if link is not None:
            headers["Link"] = link
        return _encode(notification(sub, data, self._clock.now_us())), headers

    # -- by time -------------------------------------------------------------------------------

    async def _by_time(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(0.5)
            rounds += 1
            if rounds % 60 == 0 and self._missing:
                waiting, self._missing = self._missing, []
                self._missing = [record for record in waiting if not await self._load(record)]
            now_us = self._clock.now_us()
            for sub in [s for s in self._subs.values() if s.every_s is not None]:
                if now_us >= self._next_us.get(sub.id, 0) and sub.status(now_us) == "active":
                    self._next_us[sub.id] = now_us + round((sub.every_s or 0) * SECOND_US)
                    self._delivery.put(sub.id, Letter(self._periodic(sub.id)))

    def _periodic(self, sub_id: str) -> Any:
        async def make() -> tuple[bytes, dict[str, str]] | None:
            sub = self._subs.get(sub_id)
            permit = self._permit(sub) if sub is not None else None
            if sub is None or permit is None:
                return None
            types = () if "*" in sub.types else tuple(sub.types)
            asked = replace(sub.query, types=types, limit=PERIODIC_MAX)
            found = self._store.query(permit, asked).entities
            entities = tuple(entity for entity in found if meant(sub, entity))
            if not entities:
                return None
            links = Links(self._store, permit, sub.form.contained_by)
            leaving = entities
            if sub.form.join is not None:
                leaving = (*entities, *links.gather(entities, sub.form))
            await record_uses_of(self._store, self._gate, self._uses, self._clock, permit, leaving)
            return self._message(sub, whole_data(sub, entities, links))

        return make

    # -- what became of it ---------------------------------------------------------------------

    async def _bury(self, sub_id: str, body: bytes, reason: str) -> None:
        own = self._gate.permit("internal:ngsi-ld", RUN, "administer")
        doc = {"subscription": sub_id, "reason": reason, "bytes": len(body)}
        letter = PutRecord(DEAD_LETTER, mint("dead-"), doc, 0, {"subscription": sub_id})
        await self._store.commit_async(own, Change((letter,)))

    async def _keep_counts(self) -> None:
        while True:
            await asyncio.sleep(COUNTS_S)
            try:
                await self._write_counts()
            except CityError as wrong:
                log.warning("counts of subscriptions were not kept: %s", wrong.detail)

    async def _write_counts(self) -> None:
        own = self._gate.permit("internal:ngsi-ld", RUN, "administer")
        ops: list[Any] = []
        for sub in self._subs.values():
            counts = self._delivery.counts(sub.id)
            if counts.changed:
                counts.changed = False
                ops.append(record_of(sub, self._urls[sub.id], counts))
        for start in range(0, len(ops), 200):
            await self._store.commit_async(own, Change(tuple(ops[start : start + 200])))


def record_of(sub: Subscription, url: str, counts: Counts, expect: int | None = None) -> PutRecord:
    """A subscription as it is kept."""
    doc = {
        "doc": dict(sub.doc),
        "context": sub.context.source,
        "url": url,
        "processor": sub.processor,
        "purpose": sub.purpose,
        "counts": {
            "sent": counts.sent,
            "failed": counts.failed,
            "last_us": counts.last_us,
            "success_us": counts.success_us,
            "failure_us": counts.failure_us,
            "reason": counts.reason,
        },
    }
    return PutRecord(RECORD, sub.id, doc, expect)
