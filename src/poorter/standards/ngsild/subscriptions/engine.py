# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions at work: changes in, notifications out, each let out by the subscriber's permit of
that moment and recorded as a use of it (CIM 009, 5.8.6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from poorter.city.clock import Clock
from poorter.city.entity import Entity
from poorter.city.errors import NotFound
from poorter.city.time import SECOND_US
from poorter.gate.gate import Gate
from poorter.gate.permit import Permit
from poorter.standards.ngsild.contexts import Contexts
from poorter.standards.ngsild.linked import Links
from poorter.standards.ngsild.subscriptions.delivery import Letter
from poorter.standards.ngsild.subscriptions.keeping import Keeping, Made, Make
from poorter.standards.ngsild.subscriptions.matching import (
    Facts,
    Index,
    concerns,
    facts_of,
    meant,
    meets,
)
from poorter.standards.ngsild.subscriptions.message import entity_data, whole_data
from poorter.standards.ngsild.subscriptions.model import Subscription
from poorter.standards.ngsild.subscriptions.sending import Sender
from poorter.standards.ngsild.subscriptions.waiting import Missed, Waiting
from poorter.store.contract import Changed, Store, StoredEntity
from poorter.store.recording import Recorder

log = logging.getLogger(__name__)
PERIODIC_MAX = 1000  # entities in one notification by time
#: what a subscriber is told, and the entities that leave with it
Said = tuple[list[dict[str, Any]], tuple[StoredEntity, ...]]
Data = Callable[[Subscription, Permit], Said | None]


class Engine(Keeping):
    """Subscriptions to entities: acts on what changes."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        recorder: Recorder,
        clock: Clock,
        contexts: Contexts,
        sender: Sender,
    ) -> None:
        super().__init__(store, gate, clock, contexts, sender)
        self._recorder = recorder
        self._index = Index()
        self.waiting = Waiting()
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._watch = store.watch(self._from_writer)

    async def start(self) -> None:
        """Take the subscriptions from the store, then follow what changes."""
        await super().start()
        self._tasks.append(asyncio.create_task(self._follow(), name="subscriptions"))

    async def stop(self) -> None:
        """Follow no longer; what waits is not sent."""
        self._watch.stop()
        await super().stop()

    def _began(self, sub: Subscription, told: bool) -> None:
        if sub.every_s is None:
            self._index.put(sub)
        else:
            self._index.remove(sub.id)
        self._watch.types = self._index.types

    def _ended(self, sub_id: str) -> None:
        self._index.remove(sub_id)
        self._watch.types = self._index.types

    # -- what changes --------------------------------------------------------------------------

    def _from_writer(self, changed: Sequence[Changed]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, changed)

    def _take(self, changed: Sequence[Changed]) -> None:
        self.waiting.put(changed)
        self._woken.set()

    async def _follow(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while (change := self.waiting.take()) is not None:
                try:
                    self._notify(change)
                except Exception:  # the outermost loop: one change may not stop the others
                    log.exception("what changed in %s was not told to subscribers", change.urn)
                await asyncio.sleep(0)  # requests go before notifications
            missed = self.waiting.missed()
            if missed is not None:
                self._say(missed)

    def _say(self, missed: Missed) -> None:
        """Those whom it may concern see a gap in the numbers, and why at the subscription."""
        concerned = self._index.reached(missed.urns, missed.types, missed.beyond)
        log.warning(
            "changes came faster than subscribers could be told: %d were left out, which may "
            "concern %d subscriptions",
            missed.changes,
            len(concerned),
        )
        gap = Letter(None, "changes came too fast to be told one by one")
        for sub in concerned:
            self._delivery.put(sub.id, gap)

    def _notify(self, change: Changed) -> None:
        seen: dict[str, Facts | None] = {}

        def facts_for(permit: Permit) -> Facts | None:
            if permit.key not in seen:
                seen[permit.key] = facts_of(change.before(permit), change.after(permit))
            return seen[permit.key]

        def shown(sub: Subscription) -> StoredEntity | None:
            permit = self._permit(sub)
            facts = None if permit is None else facts_for(permit)
            return None if facts is None else facts.entity

        for sub in self._index.about(change.urn, change.types, shown).values():
            now_us = self._clock.now_us()
            if sub.status(now_us) != "active" or now_us < self._next_us.get(sub.id, 0):
                continue
            permit = self._permit(sub)
            if permit is None:
                continue
            facts = facts_for(permit)
            if facts is None or not concerns(sub, facts):
                continue
            if not self.meets(sub, facts.entity, permit):
                continue
            if sub.throttling_s:
                self._next_us[sub.id] = now_us + round(sub.throttling_s * SECOND_US)
            self._delivery.put(sub.id, Letter(self._letter(sub.id, change)))

    def meets(self, sub: Subscription, entity: StoredEntity, permit: Permit) -> bool:
        """Whether an entity, as the subscriber sees it, meets q, geoQ and scopeQ."""
        query = sub.query
        if query.condition is None and query.geo is None and query.scopes is None:
            return True

        def linked(urn: str) -> Entity | None:
            try:
                return self._store.decode(self._store.entity(permit, urn))
            except NotFound:
                return None

        return meets(query, self._store.decode(entity), linked)

    def hand_on(self, sub_id: str, data: Data) -> None:
        """Tell a subscriber what a source told this city (5.8.6). `data` is asked at each try, by
        the permit of that moment."""
        now_us = self._clock.now_us()
        sub = self._subs.get(sub_id)
        if sub is None or sub.status(now_us) != "active":
            return
        if sub.throttling_s:
            if now_us < self._next_us.get(sub_id, 0):
                return
            self._next_us[sub_id] = now_us + round(sub.throttling_s * SECOND_US)

        async def make() -> Made | None:
            sub = self._subs.get(sub_id)
            permit = self._permit(sub) if sub is not None else None
            if sub is None or permit is None or sub.status(self._clock.now_us()) != "active":
                return None
            told = data(sub, permit)
            if told is None:
                return None
            docs, leaving = told
            trace = await self._recorder.in_stream(sub.id, permit, leaving)
            return self._message(sub, docs, trace)

        self._delivery.put(sub_id, Letter(make))

    def _letter(self, sub_id: str, change: Changed) -> Make:
        """Makes the message when it is sent: by the permit of that moment, or not at all."""

        async def make() -> Made | None:
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
            trace = await self._recorder.in_stream(sub.id, permit, leaving)
            return self._message(sub, entity_data(sub, facts, change.at_us, links), trace)

        return make

    def _periodic(self, sub_id: str) -> Make:
        async def make() -> Made | None:
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
            trace = await self._recorder.in_stream(sub.id, permit, leaving)
            return self._message(sub, whole_data(sub, entities, links), trace)

        return make
