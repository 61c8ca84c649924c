# SPDX-License-Identifier: EUPL-1.2
"""The city handle in process: each call asks the gate anew, then the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity, Observation
from poorter.city.errors import Denied, NotFound
from poorter.city.query import HistoryQuery, Query
from poorter.decide.advice import Proposal
from poorter.decide.decisions import Decisions
from poorter.gate.gate import Gate
from poorter.gate.inside import open_types
from poorter.gate.permit import Action, Permit
from poorter.gate.uses import Uses
from poorter.store import contract as c
from poorter.store.recording import Recorder
from poorter.stream.local import Gap, LocalStream
from poorter.systems.city import CAPABILITIES, Changed, Held, Mean, Missed, Own


class LocalCity:
    """The city as one (processor, purpose) knows it, from within the same process."""

    capabilities = CAPABILITIES

    def __init__(
        self,
        store: c.Store,
        gate: Gate,
        decisions: Decisions,
        stream: LocalStream,
        uses: Uses,
        recorder: Recorder,
        clock: Clock,
        processor: str,
        purpose: str,
        own: Own | None = None,
    ) -> None:
        self._store = store
        self._gate = gate
        self._decisions = decisions
        self._stream = stream
        self._uses = uses
        self._recorder = recorder
        self.clock = clock
        self.processor = processor
        self.purpose = purpose
        self.own = own or Own()

    def _permit(self, action: Action) -> Permit:
        return self._gate.permit(self.processor, self.purpose, action)

    async def _recorded(self, permit: Permit, entities: Sequence[c.StoredEntity]) -> None:
        """Nothing personal reaches a system before its line is durable."""
        trace = await self._recorder.before_leaving(permit, entities)
        self._recorder.ended(permit, trace, ok=True)

    async def entity(self, urn: str) -> Entity | None:
        """One entity, None when absent or hidden."""
        permit = self._permit("read")
        try:
            stored = self._store.entity(permit, urn)
        except NotFound:
            self._uses.count(permit)
            return None
        await self._recorded(permit, (stored,))
        return self._store.decode(stored)

    async def entities(self, query: Query) -> list[Entity]:
        """Entities that match, one page, by ascending id."""
        permit = self._permit("read")
        page = self._store.query(permit, query)
        await self._recorded(permit, page.entities)
        return [self._store.decode(stored) for stored in page.entities]

    async def history(self, query: HistoryQuery) -> list[Observation]:
        """Observations by attribute, then event time."""
        permit = self._permit("read")
        found = self._store.history(permit, query)
        await self._recorded_one(permit, query.urn)
        return found

    async def _recorded_one(self, permit: Permit, urn: str) -> None:
        if not permit.personal:
            self._uses.count(permit)
            return
        with suppress(NotFound):  # then nothing of it was found either
            await self._recorded(permit, (self._store.entity(permit, urn),))

    async def means(self, urn: str, name: str, from_us: int, width_us: int) -> list[Mean]:
        """Means of one attribute since `from_us`, in buckets of `width_us`; empty ones absent."""
        query = HistoryQuery(urn, (name,), from_us=from_us)
        permit = self._permit("read")
        found = self._store.aggregate(permit, query, width_us)
        await self._recorded_one(permit, urn)
        return [Mean(b.start_us, b.count, b.mean) for b in found.get(name, [])]

    async def put(self, entity: Entity) -> None:
        """Write an entity as a whole, new or not."""
        await self._commit(c.Put(entity))

    async def set(
        self, urn: str, attributes: Sequence[Attribute], expect: int | None = None
    ) -> None:
        """Set attributes of an entity; Conflict when `expect` is not its version."""
        await self._commit(c.SetAttributes(urn, tuple(attributes), expect=expect))

    async def remove(self, urn: str) -> None:
        """Take an entity out of the state."""
        await self._commit(c.Delete(urn, missing_ok=True))

    async def hold(
        self,
        pool: str,
        hold_id: str,
        *,
        capacity: int,
        taken: int,
        until_us: int,
        entity: Entity | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Take one unit of a pool and write `entity` in the same transaction, or Conflict."""
        op = c.Hold(pool, hold_id, 1, capacity, taken, until_us)
        await self._commit(op, *_put(entity), key=idempotency_key)

    async def extend_hold(
        self, pool: str, hold_id: str, until_us: int, entity: Entity | None = None
    ) -> None:
        """Move the end of a running hold; NotFound when it is over."""
        await self._commit(c.ExtendHold(pool, hold_id, until_us), *_put(entity))

    async def end_hold(self, pool: str, hold_id: str, entity: Entity | None = None) -> None:
        """Give a unit back; NotFound when it is over."""
        await self._commit(c.EndHold(pool, hold_id), *_put(entity))

    async def held(self, pool: str) -> Held:
        """The running holds of a pool."""
        permit = self._permit("read")
        found = self._store.pool(permit, pool)
        self._uses.count(permit)
        return Held(found.units, found.holds)

    async def advise(self, proposal: Proposal) -> str:
        """Put advice before its mandate; the id of the advice."""
        return await self._decisions.advise(proposal, self.processor)

    async def changes(self, types: Sequence[str]) -> AsyncIterator[Changed]:
        """Changes of entities of these types; ends when the permit does. Raises Missed."""
        wanted = frozenset(types)
        follower = self._stream.follow(lambda event: not wanted.isdisjoint(open_types(event.types)))
        try:
            async for event in follower:
                try:
                    permit = self._gate.permit(self.processor, self.purpose, "read")
                except Denied:
                    return
                told = self._store.told(permit, event)
                if told is not None:
                    if told.subject is not None:
                        row = c.StoredEntity(told.urn, told.types, (), 0, 0, 0, (), told.subject)
                        await self._recorder.in_stream("changes", permit, (row,))
                    yield Changed(told.sequence, told.urn, told.types, told.names)
        except Gap as gap:
            raise Missed(gap.after) from None
        finally:
            follower.close()

    async def _commit(self, *ops: c.Op, key: str | None = None) -> c.Committed:
        permit = self._permit("write")
        lines, trace = self._recorder.writing(permit, ops)
        committed = await self._store.commit_async(permit, c.Change((*ops, *lines), key))
        if trace is None:
            self._uses.count(permit)
        self._recorder.ended(permit, trace, ok=True)
        return committed


def _put(entity: Entity | None) -> tuple[c.Op, ...]:
    return () if entity is None else (c.Put(entity),)
