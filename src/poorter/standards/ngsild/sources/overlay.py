# SPDX-License-Identifier: EUPL-1.2
"""A store with what sources answered laid over it, for one request: whoever reads it can't tell
which part of an entity lies where. What a permit doesn't cover isn't there, wherever it is from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import Any

from poorter.city.entity import Entity
from poorter.city.errors import NotFound
from poorter.city.pattern import occurs
from poorter.city.query import Query, Selector
from poorter.gate.permit import Permit
from poorter.standards.ngsild.subscriptions.matching import meets
from poorter.store.contract import Page, Store, StoredEntity, visible

_IDS_AT_ONCE = 500


class Overlay:
    """`found`: entities that sources have a part in, merged with what is here."""

    def __init__(self, store: Store, found: dict[str, StoredEntity]) -> None:
        self._store = store
        self._found = found
        self._ids = sorted(found)

    def __getattr__(self, name: str) -> Any:
        """All that has nothing to do with sources is the store's own."""
        return getattr(self._store, name)

    def entity(self, permit: Permit, urn: str) -> StoredEntity:
        """One entity, merged. Raises NotFound."""
        if urn not in self._found:
            return self._store.entity(permit, urn)
        seen = visible(self._found[urn], permit)
        if seen is None:
            raise NotFound(f"{urn} is not there")
        return seen

    def query(self, permit: Permit, query: Query) -> Page:
        """A page by ascending id of what is here and what is elsewhere."""
        elsewhere = self._matching(permit, query)
        start = 0 if query.after is None else bisect_right(elsewhere, query.after)
        rest = elsewhere[start:]
        found: list[StoredEntity] = []
        after = query.after
        while True:
            page = self._store.query(permit, replace(query, after=after, count=False))
            here = [entity for entity in page.entities if entity.urn not in self._found]
            last = page.entities[-1].urn if page.after is not None else None
            ready = [urn for urn in rest if last is None or urn <= last]
            rest = rest[len(ready) :]
            found += sorted(
                [*here, *(self.entity(permit, urn) for urn in ready)], key=lambda one: one.urn
            )
            after = page.after
            if after is None or len(found) > query.limit:
                break
        count = self._count(permit, query, len(elsewhere)) if query.count else None
        shown = tuple(found[: query.limit])
        more = len(found) > query.limit or after is not None or bool(rest)
        return Page(shown, count, shown[-1].urn if more and shown else None)

    def _matching(self, permit: Permit, query: Query) -> list[str]:
        """The ids of entities with a part elsewhere that meet the query as a whole."""
        matching: list[str] = []
        for urn in self._ids:
            seen = visible(self._found[urn], permit)
            if seen is not None and self._meets(permit, query, self._store.decode(seen)):
                matching.append(urn)
        return matching

    def _meets(self, permit: Permit, query: Query, entity: Entity) -> bool:
        def linked(urn: str) -> Entity | None:
            try:
                return self._store.decode(self.entity(permit, urn))
            except NotFound:
                return None

        return meant(query, entity) and meets(query, entity, linked)

    def _count(self, permit: Permit, query: Query, elsewhere: int) -> int:
        """All that match: those wholly here, and those with a part elsewhere."""
        everything = self._store.query(permit, replace(query, after=None, limit=0, count=True))
        ids = [urn for urn in self._ids if not query.ids or urn in query.ids]
        both = 0
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = tuple(ids[start : start + _IDS_AT_ONCE])
            one = replace(query, ids=some, after=None, limit=0, count=True)
            both += self._store.query(permit, one).count or 0
        return (everything.count or 0) - both + elsewhere


def meant(query: Query, entity: Entity) -> bool:
    """Whether a query speaks of an entity: by id, type and having attributes."""
    types = set(entity.types)
    if query.types and not types.intersection(query.types):
        return False
    if query.type_sets and not any(types.issuperset(names) for names in query.type_sets):
        return False
    if query.ids and entity.urn not in query.ids:
        return False
    if query.id_pattern is not None and not occurs(query.id_pattern, entity.urn):
        return False
    if query.attributes and not any(a.name in query.attributes for a in entity.attributes):
        return False
    return not query.selectors or any(_selects(one, entity, types) for one in query.selectors)


def _selects(one: Selector, entity: Entity, types: set[str]) -> bool:
    return (
        (not one.type_sets or any(types.issuperset(names) for names in one.type_sets))
        and (not one.ids or entity.urn in one.ids)
        and (one.id_pattern is None or occurs(one.id_pattern, entity.urn))
    )
