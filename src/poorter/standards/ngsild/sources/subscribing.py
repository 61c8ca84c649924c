# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions to entities, placed at the sources that may have some of them too (CIM 009,
5.8.1.4, 5.8.2.4, 5.8.5.4): what there should be is held against what was placed, and made so, in
the background, again and again until it holds. What comes of it is the business of `arriving`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Denied, NotFound, Unavailable
from poorter.city.ids import mint
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild.context import CORE, Context
from poorter.standards.ngsild.decode import NULL
from poorter.standards.ngsild.sources.asking import Fault, Way
from poorter.standards.ngsild.sources.hops import Hops
from poorter.standards.ngsild.sources.known import Known
from poorter.standards.ngsild.sources.matching import Sought, fitting
from poorter.standards.ngsild.sources.model import Registration
from poorter.standards.ngsild.sources.reducing import reduced
from poorter.standards.ngsild.sources.sharing import Share, share_with
from poorter.standards.ngsild.sources.watching import sought_of
from poorter.standards.ngsild.subscriptions.engine import Engine
from poorter.standards.ngsild.subscriptions.model import Subscription
from poorter.store.contract import Change, DeleteRecord, PutRecord, Store

log = logging.getLogger(__name__)
RECORD = "placed-subscription"
#: where sources send their notifications to; below the address of this city
ARRIVAL = "/ngsi-ld/ex/remote-notify"
PLACED_MAX = 10_000
AT_ONCE = 8
AGAIN_S = 60.0
PAUSES_S = (1.0, 5.0, 25.0, 60.0)  # then each further minute, while it should be there
GOODBYES = len(PAUSES_S)  # tries to take one back, before it is left to end by itself
Pair = tuple[str, str]  # subscription, registration


@dataclass(frozen=True, slots=True)
class Placed:
    """A subscription of ours at a source. `id`: its name there, which only the source is told;
    `said`: the document that it has, empty while that is not known."""

    id: str
    pair: Pair
    said: bytes = b""


class Subscribing:
    """Keeps what is placed at sources as it should be."""

    def __init__(
        self, known: Known, engine: Engine, store: Store, gate: Gate, clock: Clock
    ) -> None:
        self._known = known
        self._engine = engine
        self._store = store
        self._gate = gate
        self._clock = clock
        self._placed: dict[Pair, Placed] = {}
        self._by_id: dict[str, Placed] = {}
        self._at: dict[str, set[str]] = {}  # sources by subscription
        self._left: dict[str, Registration] = {}  # gone here; told goodbye first
        self._due: dict[Pair, float] = {}
        self._tries: dict[Pair, int] = {}
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        engine.on_change(self._subscription)
        known.registry.on_change(self._registration)

    async def start(self) -> None:
        """Take what was placed from the store, then see whether it is as it should be."""
        own = self._gate.permit("internal:ngsi-ld", RUN, "read")
        after: str | None = None
        while records := self._store.records(own, RECORD, after=after):
            for record in records:
                pair = record.doc["subscription"], record.doc["registration"]
                self._hold(Placed(record.id, pair, record.doc["said"].encode()))
                self._wake(pair)
            after = records[-1].id
        for sub_id in list(self._engine.all()):
            self._subscription(sub_id)
        self._task = asyncio.create_task(self._run(), name="subscriptions at sources")

    async def stop(self) -> None:
        """Leave what is placed as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def known(self, placed_id: str) -> Placed | None:
        """What a source calls by this name."""
        return self._by_id.get(placed_id)

    def splits(self, sub: Subscription) -> bool:
        """Whether parts of one entity may lie in several places (5.2.12)."""
        return bool(sub.doc.get("splitEntities", self._known.split))

    def share(self, sub: Subscription, registration: Registration) -> Share | None:
        """What of a subscription the source may be told, as both stand now."""
        try:
            permit = self._gate.permit(sub.processor, sub.purpose, "read")
        except (Denied, Unavailable):
            return None
        types = frozenset() if "*" in sub.types else sub.types
        registry = self._known.registry
        return share_with(registry, registration, permit, _sought(sub), types)

    # -- what is to be looked at ---------------------------------------------------------------

    def _subscription(self, sub_id: str) -> None:
        registry = self._known.registry
        if registry.any:
            for one in registry.running():
                if "createSubscription" in one.operations:
                    self._wake((sub_id, one.id))
        for reg_id in self._at.get(sub_id, ()):
            self._wake((sub_id, reg_id))

    def _registration(self, before: Registration | None, after: Registration | None) -> None:
        one = after or before
        if one is None:
            return
        if after is None:
            self._left[one.id] = one
        for sub_id in list(self._engine.all()):
            pair = sub_id, one.id
            if pair in self._placed or (after and "createSubscription" in after.operations):
                self._wake(pair)

    def _wake(self, pair: Pair, pause_s: float = 0.0) -> None:
        self._due[pair] = asyncio.get_running_loop().time() + pause_s
        self._woken.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        again = loop.time() + AGAIN_S
        while True:
            now = loop.time()
            ready = [pair for pair, at in self._due.items() if at <= now][:AT_ONCE]
            for pair in ready:
                del self._due[pair]
            if ready:
                await asyncio.gather(*map(self._settle, ready))
                continue
            self._left = {
                key: one
                for key, one in self._left.items()
                if any(key == pair[1] for pair in (*self._due, *self._placed))
            }
            self._woken.clear()
            until = min(self._due.values(), default=now + AGAIN_S)
            try:
                await asyncio.wait_for(self._woken.wait(), max(0.01, until - now))
            except TimeoutError:
                if loop.time() >= again:
                    again = loop.time() + AGAIN_S
                    for pair in self._placed:  # a grant may have come or gone
                        self._wake(pair)

    # -- one of them ---------------------------------------------------------------------------

    async def _settle(self, pair: Pair) -> None:
        try:
            done = await self._make_so(pair)
        except CityError as wrong:
            log.warning("subscription %s at source %s: %s", *pair, wrong.detail)
            done = False
        except Exception:  # the outermost loop: one pair may not stop the others
            log.exception("subscription %s at source %s", *pair)
            done = True
        if done:
            self._tries.pop(pair, None)
            return
        tries = self._tries[pair] = self._tries.get(pair, 0) + 1
        self._wake(pair, PAUSES_S[min(tries, len(PAUSES_S)) - 1])

    async def _make_so(self, pair: Pair) -> bool:
        """Whether it is as it should be now."""
        sub, registration = self._sub(pair[0]), self._source(pair[1])
        placed = self._placed.get(pair)
        if registration is None and self._known.registry.waits(pair[1]):
            return False
        if registration is None:
            return placed is None or await self._forget(placed)
        way = Way(self._known, None, _context(sub), Hops(sub.via if sub else ""))
        wanted = None
        if sub is not None and pair[1] not in self._left:
            wanted = await self._wanted(way, sub, registration)
        if wanted is None:
            return placed is None or await self._take_back(way, registration, placed)
        doc, spoken = wanted
        said = msgspec.json.encode([doc, spoken.url])
        if placed is None:
            if len(self._placed) >= PLACED_MAX:
                log.warning("%s subscriptions lie at sources: no more are placed", PLACED_MAX)
                return True
            placed = Placed(mint("urn:ngsi-ld:Subscription:"), pair)
            await self._keep(placed)
        elif placed.said == said:
            return True
        reply = await self._place(way, registration, placed, doc, spoken)
        if _refused(reply):
            log.warning("source %s takes no subscription: %s", pair[1], reply)
            return await self._forget(placed)
        if _well(reply):
            await self._keep(Placed(placed.id, pair, said))
        return _well(reply)

    def _sub(self, sub_id: str) -> Subscription | None:
        try:
            return self._engine.get(sub_id)
        except NotFound:
            return None

    def _source(self, reg_id: str) -> Registration | None:
        try:
            return self._known.registry.get(reg_id)
        except NotFound:
            return self._left.get(reg_id)

    async def _wanted(
        self, way: Way, sub: Subscription, registration: Registration
    ) -> tuple[dict[str, Any], Context] | None:
        closed = way.closed(registration)
        if closed is not None and closed.status == 508:
            return None  # it came from there, or would come back
        ends_us = sub.expires_at_us
        if sub.local or (ends_us is not None and ends_us <= self._clock.now_us()):
            return None
        if "createSubscription" not in registration.operations:
            return None
        share = self.share(sub, registration)
        if share is None:
            return None
        parts = fitting(registration, _sought(sub))
        spoken = await way.spoken(registration)
        endpoint = self._known.own_url + ARRIVAL
        doc = reduced(sub, share, parts, spoken, endpoint, self.splits(sub))
        return None if doc is None else (doc, spoken)

    async def _place(
        self,
        way: Way,
        registration: Registration,
        placed: Placed,
        doc: dict[str, Any],
        spoken: Context,
    ) -> Reply | Fault:
        """Put it there, or change what is there."""
        closed = way.closed(registration)
        if closed is not None:
            return closed
        path = "/subscriptions/" + quote(placed.id, safe=":")
        if placed.said:
            before, url = msgspec.json.decode(placed.said)
            same = url == spoken.url and "updateSubscription" in registration.operations
            if same:
                gone = dict.fromkeys(before.keys() - doc.keys(), NULL)
                reply = await way.ask(registration, "PATCH", path, {}, spoken, {**doc, **gone})
                if not _is(reply, 404):
                    return reply
            elif "deleteSubscription" in registration.operations:
                await way.ask(registration, "DELETE", path, {}, spoken)
        body = {"id": placed.id, **doc}
        reply = await way.ask(registration, "POST", "/subscriptions", {}, spoken, body)
        if _is(reply, 409) and not placed.said:  # it got there, though we were not told
            reply = await way.ask(registration, "PATCH", path, {}, spoken, doc)
        return reply

    async def _take_back(self, way: Way, registration: Registration, placed: Placed) -> bool:
        tries = self._tries.get(placed.pair, 0)
        if "deleteSubscription" in registration.operations and tries < GOODBYES:
            path = "/subscriptions/" + quote(placed.id, safe=":")
            spoken = await way.spoken(registration)
            reply = await way.ask(registration, "DELETE", path, {}, spoken)
            if not _well(reply) and not _is(reply, 404):
                return False
        return await self._forget(placed)

    # -- what is placed ------------------------------------------------------------------------

    def _hold(self, placed: Placed) -> None:
        self._placed[placed.pair] = self._by_id[placed.id] = placed
        self._at.setdefault(placed.pair[0], set()).add(placed.pair[1])

    async def _keep(self, placed: Placed) -> None:
        doc = {
            "subscription": placed.pair[0],
            "registration": placed.pair[1],
            "said": placed.said.decode(),
        }
        await self._commit(PutRecord(RECORD, placed.id, doc))
        self._hold(placed)

    async def _forget(self, placed: Placed) -> bool:
        await self._commit(DeleteRecord(RECORD, placed.id))
        self._placed.pop(placed.pair, None)
        self._by_id.pop(placed.id, None)
        self._at.get(placed.pair[0], set()).discard(placed.pair[1])
        if not self._at.get(placed.pair[0]):
            self._at.pop(placed.pair[0], None)
        return True

    async def _commit(self, op: Any) -> None:
        own = self._gate.permit("internal:ngsi-ld", RUN, "administer")
        await self._store.commit_async(own, Change((op,)))


def _sought(sub: Subscription) -> Sought:
    return replace(sought_of(sub), open=True)


def _context(sub: Subscription | None) -> Context:
    return CORE if sub is None else sub.context


def _is(reply: Reply | Fault, status: int) -> bool:
    return isinstance(reply, Reply) and reply.status == status


def _refused(reply: Reply | Fault) -> bool:
    """Whether asking again would be answered the same."""
    return isinstance(reply, Reply) and 400 <= reply.status < 500 and reply.status != 429


def _well(reply: Reply | Fault) -> bool:
    return isinstance(reply, Reply) and 200 <= reply.status < 300
