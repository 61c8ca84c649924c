# SPDX-License-Identifier: EUPL-1.2
"""Entities and evolutions as they once were, read as those of a store are: under the permit of the
moment, so what was frozen goes with the grant that let it out. Nothing is written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from poorter.city.entity import Entity
from poorter.city.errors import NotFound, Unsupported
from poorter.city.query import EvolutionQuery, Query
from poorter.gate.permit import Permit
from poorter.standards.ngsild.sources.evolutions import chosen
from poorter.standards.ngsild.sources.overlay import meant
from poorter.standards.ngsild.subscriptions.matching import meets
from poorter.store.contract import Facet, Page, Store, StoredEntity, visible
from poorter.store.evolving import Evolution
from poorter.store.transient import current


class Frozen:
    """What one snapshot holds. What has expired since is not there here either."""

    def __init__(
        self,
        store: Store,
        entities: Mapping[str, StoredEntity],
        evolutions: Mapping[str, Evolution],
    ) -> None:
        self._store = store
        self._entities = entities
        self._evolutions = evolutions
        self._ids = sorted(entities)
        self.clock = store.clock
        self.decode = store.decode

    def __getattr__(self, name: str) -> Any:
        raise Unsupported("a snapshot holds what was there: it is read, and no more")

    def entity(self, permit: Permit, urn: str) -> StoredEntity:
        """One entity. Raises NotFound."""
        permit.check("read", self.clock.now_us())
        seen = self._seen(permit, urn)
        if seen is None:
            raise NotFound(f"{urn} is not there")
        return seen

    def query(self, permit: Permit, query: Query) -> Page:
        """A page by ascending id."""
        permit.check("read", self.clock.now_us())
        found = list(self._matching(permit, query))
        start = 0 if query.after is None else bisect_right([one.urn for one in found], query.after)
        page = tuple(found[start : start + query.limit])
        more = start + len(page) < len(found) and bool(page)
        return Page(page, len(found) if query.count else None, page[-1].urn if more else None)

    def types(self, permit: Permit) -> tuple[tuple[str, int], ...]:
        """Entity types and how many of each."""
        permit.check("read", self.clock.now_us())
        counted: dict[str, int] = {}
        for one in self._all(permit):
            for name in one.types:
                counted[name] = counted.get(name, 0) + 1
        return tuple(sorted(counted.items()))

    def facets(self, permit: Permit) -> list[Facet]:
        """Types with their attributes and kinds."""
        numbers = dict(self.types(permit))
        found: dict[tuple[str, str, str], int] = {}
        for one in self._all(permit):
            for name in one.types:
                for attribute in self.decode(one).attributes:
                    key = (name, attribute.name, attribute.kind)
                    found[key] = found.get(key, 0) + 1
        facets = [Facet(*key, number, numbers[key[0]]) for key, number in sorted(found.items())]
        bare = set(numbers) - {facet.type for facet in facets}
        return facets + [Facet(name, "", "", 0, numbers[name]) for name in sorted(bare)]

    def evolution(self, permit: Permit, query: EvolutionQuery) -> Evolution:
        """The evolution of one entity. Raises NotFound."""
        now_us = self.clock.now_us()
        permit.check("read", now_us)
        kept = self._evolutions.get(query.urn)
        rule = None if kept is None else permit.rule_of(kept.types)
        if kept is None or rule is None or _over(kept, now_us):
            raise NotFound(f"{query.urn} is not there")
        return chosen(kept, rule, query, now_us)

    def evolving(self, permit: Permit, query: Query) -> tuple[str, ...]:
        """A page of ids of what has an evolution here."""
        now_us = self.clock.now_us()
        permit.check("read", now_us)
        bare = replace(query, attributes=())
        ids = (
            urn
            for urn, kept in sorted(self._evolutions.items())
            if (query.after is None or urn > query.after)
            and permit.rule_of(kept.types) is not None
            and not _over(kept, now_us)
            and meant(bare, Entity(urn, kept.types, ()))
        )
        return tuple(islice(ids, query.limit))

    def _seen(self, permit: Permit, urn: str) -> StoredEntity | None:
        kept = self._entities.get(urn)
        left = None if kept is None else current(kept, self.clock.now_us())
        return None if left is None else visible(left, permit)

    def _all(self, permit: Permit) -> Iterator[StoredEntity]:
        for urn in self._ids:
            seen = self._seen(permit, urn)
            if seen is not None:
                yield seen

    def _matching(self, permit: Permit, query: Query) -> Iterator[StoredEntity]:
        def linked(urn: str) -> Entity | None:
            seen = self._seen(permit, urn)
            return None if seen is None else self.decode(seen)

        bare = replace(query, after=None)
        for seen in self._all(permit):
            entity = self.decode(seen)
            if meant(bare, entity) and meets(bare, entity, linked):
                yield seen


def _over(kept: Evolution, now_us: int) -> bool:
    return kept.expires_at_us is not None and kept.expires_at_us <= now_us
