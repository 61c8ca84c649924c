# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions of one kind kept and served: records, queues, intervals, counts. What they are told
of is the business of those who build on this (entities in `engine`, registrations in `sources`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Denied, NotFound, Unavailable
from poorter.city.ids import mint
from poorter.city.time import SECOND_US
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.ledger.tracing import Trace
from poorter.standards.ngsild.contexts import Contexts
from poorter.standards.ngsild.subscriptions.delivery import Counts, Delivery, Letter
from poorter.standards.ngsild.subscriptions.message import context_link, notification
from poorter.standards.ngsild.subscriptions.model import Endpoint, Subscription, parse_subscription
from poorter.standards.ngsild.subscriptions.sending import Sender
from poorter.store.contract import Change, PutRecord, Record, Store

log = logging.getLogger(__name__)
DEAD_LETTER = "dead-letter"
SUBSCRIPTIONS_MAX = 50_000
COUNTS_S = 10.0
COUNTS_AT_ONCE, COUNTS_PAUSE_S = 20, 0.02
_encode = msgspec.json.Encoder().encode
Made = tuple[bytes, dict[str, str]]
Make = Callable[[], Awaitable[Made | None]]
Listener = Callable[[str], None]


class Keeping:
    """Holds the subscriptions of one record kind in one city."""

    record = "subscription"
    notice = "Notification"  # the type of its messages

    def __init__(
        self, store: Store, gate: Gate, clock: Clock, contexts: Contexts, sender: Sender
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._contexts = contexts
        self._sender = sender
        self._subs: dict[str, Subscription] = {}
        self._urls: dict[str, str] = {}
        self._next_us: dict[str, int] = {}  # of those by time, and of throttled ones
        self._delivery = Delivery(sender.send, self._bury, clock)
        self._tasks: list[asyncio.Task[None]] = []
        self._missing: list[Record] = []
        #: beside its own in each message: the tenant that it is about (5.5.10)
        self.headers: Mapping[str, str] = {}
        self._listeners: list[Listener] = []

    async def start(self) -> None:
        """Take the subscriptions from the store, then serve them."""
        permit = self._gate.permit("internal:ngsi-ld", RUN, "read")
        after: str | None = None
        while records := self._store.records(permit, self.record, after=after):
            for record in records:
                if not await self._load(record):
                    self._missing.append(record)
            after = records[-1].id
        self._tasks = [
            asyncio.create_task(self._by_time(), name=f"{self.record} by time"),
            asyncio.create_task(self._keep_counts(), name=f"{self.record} counts"),
        ]

    async def stop(self) -> None:
        """Serve no longer; what waits is not sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._delivery.stop()
        if self._tasks:
            await self._write_counts()

    def _began(self, sub: Subscription, told: bool) -> None:
        """One begins, or has a new form; `told`: it ran before, in an earlier process."""
        raise NotImplementedError

    def _ended(self, sub_id: str) -> None:
        """One is over."""
        raise NotImplementedError

    def _periodic(self, sub_id: str) -> Make:
        """Makes the message of a subscription by time."""
        raise NotImplementedError

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

    def notified(self) -> tuple[int, int]:
        """Notifications sent and tries that failed, for the figures of the city."""
        return self._delivery.totals()

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
        self._began(sub, counts is not None)
        self._tell(sub.id)
        if sub.every_s is not None:
            self._next_us[sub.id] = self._clock.now_us() + round(sub.every_s * SECOND_US)

    def remove(self, sub_id: str) -> None:
        """No more of it."""
        self._subs.pop(sub_id, None)
        self._urls.pop(sub_id, None)
        self._next_us.pop(sub_id, None)
        self._ended(sub_id)
        self._delivery.close(sub_id)
        self._tell(sub_id)

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with the id of each subscription that comes, changes or goes."""
        self._listeners.append(listener)

    def _tell(self, sub_id: str) -> None:
        for listener in self._listeners:
            listener(sub_id)

    def all(self) -> Collection[str]:
        """The ids of all there are."""
        return self._subs.keys()

    async def renew(self, turn: Callable[[str, str], str]) -> None:
        """Ids in subscriptions as `turn` (purpose, text) makes them: a purpose sees its rows of
        persons under other ids from now on."""
        for sub in list(self._subs.values()):
            text = _encode(sub.doc).decode()
            turned = turn(sub.purpose, text)
            if turned == text:
                continue
            kept = record_of(self.record, sub, self._urls[sub.id], self._delivery.counts(sub.id))
            kept = replace(kept, doc={**kept.doc, "doc": msgspec.json.decode(turned)})
            await self._store.commit_async(self._own(), Change((kept,)))
            if sub.id in self._subs:
                await self._load(kept)

    async def _load(self, record: Record | PutRecord) -> bool:
        doc = record.doc
        try:
            context = await self._contexts.of(doc["context"])
            sub = parse_subscription(
                doc["doc"], context, record.id, doc["processor"], doc["purpose"], None
            )
            url = doc["url"]
            if url and url != context.url:
                sub = replace(sub, form=replace(sub.form, context=await self._contexts.of(url)))
            sub = replace(sub, via=doc.get("via", ""))
        except CityError as wrong:
            log.warning("subscription %s waits: %s", record.id, wrong.detail)
            return False
        self.put(sub, doc["url"], Counts(**doc["counts"]))
        return True

    def _permit(self, sub: Subscription) -> Permit | None:
        try:
            return self._gate.permit(sub.processor, sub.purpose, "read")
        except (Denied, Unavailable):
            return None

    def _message(
        self,
        sub: Subscription,
        data: list[dict[str, Any]],
        trace: Trace | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Made:
        headers: dict[str, str] = {**self.headers}
        link = context_link(sub, self._urls.get(sub.id, ""))
        if link is not None:
            headers["Link"] = link
        if trace is not None:
            headers["traceparent"] = trace.header()
        url = self._urls.get(sub.id, "")
        message = notification(sub, data, self._clock.now_us(), self.notice, url)
        return _encode({**message, **(more or {})}), headers

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

    # -- what became of it ---------------------------------------------------------------------

    async def _bury(self, sub_id: str, body: bytes, reason: str) -> None:
        doc = {"subscription": sub_id, "reason": reason, "bytes": len(body)}
        letter = PutRecord(DEAD_LETTER, mint("dead-"), doc, 0, {"subscription": sub_id})
        await self._store.commit_async(self._own(), Change((letter,)))

    def _own(self) -> Permit:
        return self._gate.permit("internal:ngsi-ld", RUN, "administer")

    async def _keep_counts(self) -> None:
        while True:
            await asyncio.sleep(COUNTS_S)
            try:
                await self._write_counts(COUNTS_PAUSE_S)
            except CityError as wrong:
                log.warning("counts of subscriptions were not kept: %s", wrong.detail)

    async def _write_counts(self, pause_s: float = 0.0) -> None:
        """A few at a time: thousands of them are not to hold up what else is there."""
        changed = [sub_id for sub_id in self._subs if self._delivery.counts(sub_id).changed]
        for start in range(0, len(changed), COUNTS_AT_ONCE):
            ops = tuple(self._counted(changed[start : start + COUNTS_AT_ONCE]))
            if ops:
                await self._store.commit_async(self._own(), Change(ops))
            await asyncio.sleep(pause_s)

    def _counted(self, sub_ids: list[str]) -> Iterator[PutRecord]:
        """Those of them that are still there, as they are now."""
        for sub_id in sub_ids:
            sub, counts = self._subs.get(sub_id), self._delivery.counts(sub_id)
            if sub is not None:
                counts.changed = False
                yield record_of(self.record, sub, self._urls[sub_id], counts)


def record_of(
    kind: str, sub: Subscription, url: str, counts: Counts, expect: int | None = None
) -> PutRecord:
    """A subscription as it is kept."""
    doc = {
        "doc": dict(sub.doc),
        "context": sub.context.source,
        "url": url,
        "processor": sub.processor,
        "purpose": sub.purpose,
        "via": sub.via,
        "counts": {
            "sent": counts.sent,
            "failed": counts.failed,
            "last_us": counts.last_us,
            "success_us": counts.success_us,
            "failure_us": counts.failure_us,
            "reason": counts.reason,
        },
    }
    return PutRecord(kind, sub.id, doc, expect)
