# SPDX-License-Identifier: EUPL-1.2
"""The store contract with walls: rows of persons sealed, opened and judged; all else untouched.

A permit without rules of persons costs one look at a flag. What has any is split: the open half
goes to the store below as it is, the other half under sealed names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from msgspec import structs

from poorter.city.entity import Entity, Observation
from poorter.city.errors import CityError, NotFound, TooLarge
from poorter.city.limits import HISTORY_PAGE_MAX, PAGE_MAX
from poorter.city.query import EvolutionQuery, HistoryQuery, Query
from poorter.gate.inside import both, inside, open_types, outside
from poorter.gate.permit import SEALED, Permit
from poorter.gate.pseudonyms import is_kept, without_kept
from poorter.store import contract as c
from poorter.store.body import decode_entity
from poorter.store.evolving import Evolution
from poorter.store.walls.buckets import buckets_of
from poorter.store.walls.rows import Rows
from poorter.store.walls.scanning import linker, page_of, scan, walled_types
from poorter.store.walls.subjects import SubjectOf
from poorter.store.walls.writing import Writing


class WalledStore:
    """Any store, with walls."""

    def __init__(self, inner: c.Store, rows: Rows, subject_of: SubjectOf) -> None:
        self.rows = rows
        self.subject_of = subject_of
        self.stand_over(inner)

    def stand_over(self, inner: c.Store) -> None:
        """Over this store from here on. It keeps the same city as the one before."""
        self.inner = inner
        self.clock = inner.clock
        # what is never about rows of persons goes straight on
        self.record = inner.record
        self.records = inner.records
        self.pool = inner.pool
        self.sequence = inner.sequence
        self.expires_next_us = inner.expires_next_us
        self.on_commit = inner.on_commit
        self.leaves = inner.leaves
        self.leaves_about = inner.leaves_about
        self.leaf_payload = inner.leaf_payload
        self.lines = inner.lines
        self.line_count = inner.line_count
        self.line_at = inner.line_at
        self.traced = inner.traced
        self.heads = inner.heads
        self.scrub = inner.scrub
        self.backup = inner.backup

    def __getattr__(self, name: str) -> Any:
        """What is not here is the store's below: under open names it knows no rows of persons."""
        return getattr(self.inner, name)

    # -- writing -----------------------------------------------------------------------------

    def commit(self, permit: Permit, change: c.Change) -> Future[c.Committed]:
        """Queue one transaction."""
        if not permit.walled:
            return self.inner.commit(permit, change)
        writing, ops = self._turned(permit, change)
        below = self.inner.commit(both(permit), structs.replace(change, ops=ops))
        above: Future[c.Committed] = Future()

        def done(future: Future[c.Committed]) -> None:
            try:
                above.set_result(_shown(change, ops, writing, future.result()))
            except CityError as wrong:
                above.set_exception(self._worded(permit, wrong))

        below.add_done_callback(done)
        return above

    def commit_async(self, permit: Permit, change: c.Change) -> Awaitable[c.Committed]:
        """The same for a coroutine."""
        if not permit.walled:
            return self.inner.commit_async(permit, change)
        return asyncio.ensure_future(self._commit(permit, change))

    async def _commit(self, permit: Permit, change: c.Change) -> c.Committed:
        writing, ops = self._turned(permit, change)
        try:
            done = await self.inner.commit_async(both(permit), structs.replace(change, ops=ops))
        except CityError as wrong:
            raise self._worded(permit, wrong) from None
        return _shown(change, ops, writing, done)

    def _turned(self, permit: Permit, change: c.Change) -> tuple[Writing, tuple[c.Op, ...]]:
        permit.check(permit.action, self.clock.now_us())
        writing = Writing(self.inner, self.rows, self.subject_of, permit, change.idempotency_key)
        return writing, writing.turned(change.ops)

    def _worded(self, permit: Permit, wrong: CityError) -> CityError:
        """The same error, without ids as they are kept."""
        words = without_kept(wrong.detail, lambda urn: self.rows.shown(permit, urn))
        return wrong if words == wrong.detail else type(wrong)(words)

    # -- reading -----------------------------------------------------------------------------

    def entity(self, permit: Permit, urn: str) -> c.StoredEntity:
        """One entity; NotFound when absent or hidden."""
        if not permit.walled:
            return self.inner.entity(permit, urn)
        _, sealed = self._sealed(permit, urn)
        opened = None if sealed is None else self.rows.open(permit, sealed)
        if opened is not None:
            return opened
        if sealed is not None or is_kept(urn):
            raise NotFound(f"{urn} is not there")
        return self.inner.entity(outside(permit), urn)

    def decode(self, stored: c.StoredEntity) -> Entity:
        """The entity as values."""
        return decode_entity(stored)

    def query(self, permit: Permit, query: Query) -> c.Page:
        """Entities that match: open ones by ascending id, then persons in a steady order."""
        if not permit.walled:
            return self.inner.query(permit, query)
        permit.check("read", self.clock.now_us())
        limit = min(query.limit, PAGE_MAX, permit.max_rows or PAGE_MAX)
        query = replace(query, limit=limit)
        query = self.rows.renewed(permit, query)
        behind = walled_types(permit, query.types)
        beyond = query.after is not None and self.rows.kept(permit, query.after) is not None
        opened = c.Page((), 0 if query.count else None)
        if not query.types or len(behind) < len(query.types):
            asked = replace(query, limit=0, after=None) if beyond else query
            opened = self.inner.query(outside(permit), asked)
        following = None if beyond else opened.after
        left = limit - len(opened.entities) if following is None else 0
        linked = linker(lambda urn: decode_entity(self.entity(permit, urn)))
        persons, more = page_of(self.inner, self.rows, permit, query, linked, left)
        after = persons.after or following
        if more and after is None and opened.entities:
            after = opened.entities[-1].urn
        if permit.max_rows is not None and limit >= permit.max_rows:
            after = None  # no more of it, page by page either
        count = (opened.count or 0) + (persons.count or 0) if query.count else None
        return c.Page((*opened.entities, *persons.entities), count, after)

    def types(self, permit: Permit) -> tuple[tuple[str, int], ...]:
        """Entity types present and how many of each."""
        if not permit.walled:
            return self.inner.types(permit)
        counted: dict[str, int] = {}
        for _, opened in self._all(permit):
            for name in opened.types:
                counted[name] = counted.get(name, 0) + 1
        return (*self.inner.types(outside(permit)), *sorted(counted.items()))

    def facets(self, permit: Permit) -> list[c.Facet]:
        """Types present with their attributes and kinds."""
        if not permit.walled:
            return self.inner.facets(permit)
        totals: dict[str, int] = {}
        found: dict[tuple[str, str, str], int] = {}
        for _, opened in self._all(permit):
            for name in opened.types:
                totals[name] = totals.get(name, 0) + 1
                for attribute in decode_entity(opened).attributes:
                    key = (name, attribute.name, attribute.kind)
                    found[key] = found.get(key, 0) + 1
        persons = [c.Facet(*key, number, totals[key[0]]) for key, number in sorted(found.items())]
        bare = set(totals) - {facet.type for facet in persons}
        persons += [c.Facet(name, "", "", 0, totals[name]) for name in sorted(bare)]
        return [*self.inner.facets(outside(permit)), *persons]

    def history(self, permit: Permit, query: HistoryQuery) -> list[Observation]:
        """Observations by attribute, then event time."""
        if not permit.walled:
            return self.inner.history(permit, query)
        kept, sealed = self._sealed(permit, query.urn)
        if kept is None:
            return self.inner.history(outside(permit), query)
        reach = None if sealed is None else self.rows.reach(permit, sealed)
        if reach is None:
            raise NotFound(f"{query.urn} is not there")
        found = self.inner.history(inside(permit), replace(query, urn=kept))
        opened = (self.rows.observation(permit, reach, kept, one) for one in found)
        return [one for one in opened if one is not None]

    def aggregate(
        self, permit: Permit, query: HistoryQuery, width_us: int
    ) -> dict[str, list[c.Bucket]]:
        """Buckets of `width_us` per attribute of one entity; empty buckets are absent."""
        if not permit.walled or self.rows.kept(permit, query.urn) is None:
            below = outside(permit) if permit.walled else permit
            return self.inner.aggregate(below, query, width_us)
        asked = replace(query, limit=HISTORY_PAGE_MAX, last=None, corrections=False)
        found = self.history(permit, asked)
        if len(found) >= HISTORY_PAGE_MAX:
            raise TooLarge(
                f"an aggregate is of at most {HISTORY_PAGE_MAX} observations of a person"
            )
        return buckets_of(found, width_us)

    def evolution(self, permit: Permit, query: EvolutionQuery) -> Evolution:
        """Instances of one entity; of a person, as far as each may be opened."""
        if not permit.walled:
            return self.inner.evolution(permit, query)
        kept, sealed = self._sealed(permit, query.urn)
        if kept is None:
            if is_kept(query.urn):
                raise NotFound(f"{query.urn} is not there")
            return self.inner.evolution(outside(permit), query)
        reach = None if sealed is None else self.rows.reach(permit, sealed)
        if sealed is None or reach is None:
            raise NotFound(f"{query.urn} is not there")
        found = self.inner.evolution(inside(permit), replace(query, urn=kept))
        opened = (self.rows.instance(permit, reach, kept, one) for one in found.instances)
        beyond = found.beyond
        changed = (a.modified_at_us for a in sealed.attributes if reach.covers(a.name))
        return replace(
            found,
            urn=self.rows.shown(permit, kept),
            types=open_types(found.types),
            modified_at_us=max(changed, default=sealed.created_at_us),
            instances=tuple(one for one in opened if one is not None),
            scopes=(),
            beyond=None if beyond is None else frozenset(filter(reach.covers, beyond)),
        )

    def evolving(self, permit: Permit, query: Query) -> tuple[str, ...]:
        """A page of ids of entities; those of persons as the permit's purpose sees them."""
        if not permit.walled:
            return self.inner.evolving(permit, query)
        bare = replace(query, condition=None, geo=None, scopes=None, attributes=(), count=False)
        return tuple(entity.urn for entity in self.query(permit, bare).entities)

    # -- events ------------------------------------------------------------------------------

    def events(self, permit: Permit, after: int, limit: int = PAGE_MAX) -> list[c.Event]:
        """Events after a sequence number, of what exists for the permit."""
        if not permit.walled:
            return self.inner.events(permit, after, limit)
        found = self.inner.events(both(permit), after, limit)
        told = (self._event(permit, event) for event in found)
        return [event for event in told if event is not None]

    def told(self, permit: Permit, event: c.Event) -> c.Event | None:
        """An event as it exists for a read permit."""
        if not permit.walled:
            return self.inner.told(permit, event)
        return self._event(permit, event)

    def _event(self, permit: Permit, event: c.Event) -> c.Event | None:
        if event.types[:1] == () or event.types[0][:1] != SEALED:
            return self.inner.told(outside(permit), event)
        try:
            sealed = self.inner.entity(inside(permit), event.urn)
        except NotFound:
            return None  # gone since: whom it was about can't be asked any more
        opened, reach = self.rows.open(permit, sealed), self.rows.reach(permit, sealed)
        if opened is None or reach is None:
            return None
        names = tuple(filter(reach.covers, event.names))
        if event.names and not names:
            return None  # only what does not exist for this permit has changed
        subject = opened.subject
        return structs.replace(
            event, urn=opened.urn, types=opened.types, names=names, subject=subject
        )

    def watch(self, listener: Callable[[Sequence[c.Changed]], None]) -> c.Watch:
        """Call `listener` after each group commit with what changed of the watched types."""

        def hand_on(changed: Sequence[c.Changed]) -> None:
            listener([self._changed(one) for one in changed])

        return _Watching(self.inner.watch(hand_on))

    def _changed(self, changed: c.Changed) -> c.Changed:
        if changed.types[:1] == () or changed.types[0][:1] != SEALED:
            return changed
        return _Opened(changed, self.rows)

    def close(self) -> None:
        """Finish what is queued, then stop."""
        self.inner.close()
        self.rows.vault.close()
        self.rows.wall_keys.close()

    # -- parts -------------------------------------------------------------------------------

    def _sealed(self, permit: Permit, urn: str) -> tuple[str | None, c.StoredEntity | None]:
        """(kept id behind `urn` if it has the form of one, the sealed row if it is there)."""
        permit.check("read", self.clock.now_us())
        kept = self.rows.kept(permit, urn)
        if kept is None:
            return None, None
        try:
            return kept, self.inner.entity(inside(permit), kept)
        except NotFound:
            raise NotFound(f"{urn} is not there") from None

    def _all(self, permit: Permit) -> Sequence[tuple[str, c.StoredEntity]]:
        permit.check("read", self.clock.now_us())
        return list(scan(self.inner, self.rows, permit, Query(), lambda _: None))


class _Opened(c.Changed):
    """A change of a person's row: opens as the reader's permit and that person's rights allow."""

    __slots__ = ("_rows",)

    def __init__(self, sealed: c.Changed, rows: Rows) -> None:
        super().__init__(sealed.sequence, sealed.at_us, sealed.urn, sealed._before, sealed._after)
        self.types = open_types(sealed.types)
        self._rows = rows

    def before(self, permit: Permit) -> c.StoredEntity | None:
        """As it was."""
        return None if self._before is None else self._rows.open(permit, self._before)

    def after(self, permit: Permit) -> c.StoredEntity | None:
        """As it is."""
        return None if self._after is None else self._rows.open(permit, self._after)


class _Watching:
    """Watches sealed names beside the open ones."""

    def __init__(self, below: c.Watch) -> None:
        self._below = below

    @property
    def types(self) -> frozenset[str]:
        """The types of interest."""
        return unsealed(self._below.types)

    @types.setter
    def types(self, types: frozenset[str]) -> None:
        """Set them."""
        self._below.types = types | frozenset(SEALED + name for name in types)

    def stop(self) -> None:
        """Ask no longer."""
        self._below.stop()


def unsealed(types: frozenset[str]) -> frozenset[str]:
    """Open names of types."""
    return frozenset(name for name in types if name[:1] != SEALED)


def _shown(
    change: c.Change, ops: Sequence[c.Op], writing: Writing, done: c.Committed
) -> c.Committed:
    """Results as the ops that were asked for have them, with the ids that were given."""
    results = tuple(
        (result, True) if isinstance(asked, c.Put) and isinstance(op, c.Create) else result
        for asked, op, result in zip(change.ops, ops, done.results, strict=not done.replayed)
    )
    return structs.replace(done, results=results, minted=writing.minted)
