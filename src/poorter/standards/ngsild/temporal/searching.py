# SPDX-License-Identifier: EUPL-1.2
"""Which evolutions a temporal query selects (CIM 009, 5.7.4.4): q, place and scope are judged on
the instances within the interval, not on what the entity is now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from poorter.city.entity import Entity
from poorter.city.errors import Invalid, NotFound, TooLarge
from poorter.city.limits import HISTORY_PAGE_MAX, PAGE_MAX
from poorter.city.matching import matches
from poorter.city.query import Query, Selector
from poorter.gate.permit import Permit
from poorter.standards.ngsild.consumption import OFFSET_NEAR
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.params import listed
from poorter.standards.ngsild.selecting import parse_selection
from poorter.standards.ngsild.temporal.asking import Asked, linked
from poorter.standards.ngsild.temporal.scopes import spans_within, within
from poorter.store.contract import (
    Store,
)
from poorter.store.evolving import Evolution
from poorter.store.geometry import related

SECONDS_MAX = 10.0
_SYSTEM = frozenset(("createdAt", "modifiedAt", "deletedAt", "observedAt"))


@dataclass(frozen=True, slots=True)
class Found:
    """A page; `following`: what a request for the next one says beside the same question."""

    evolutions: tuple[Evolution, ...]
    count: int | None
    following: dict[str, Any] | None


class Search:
    """One question, parsed."""

    def __init__(
        self,
        given: Mapping[str, str],
        context: Context,
        selectors: tuple[Selector, ...] = (),
        within: frozenset[str] | None = None,
    ) -> None:
        """`within`: no other entities than these. Raises Invalid, also for one too wide or that
        goes on in linked entities."""
        self._within = within
        rest = {name: value for name, value in given.items() if name != "orderBy"}
        if (
            set(listed(given.get("attrs") or None))
            and not set(listed(given.get("attrs"))) - _SYSTEM
        ):
            rest.pop("attrs")
        selection = parse_selection(rest, context, selectors)
        if linked(selection.query.condition):
            raise Invalid("q: a temporal query does not go on in linked entities")
        self._descending = _order(given)
        self._query = selection.query
        self._offset = selection.offset
        self.passed = selection.passed
        self.limit = selection.query.limit

    def page(self, store: Store, permit: Permit, asked: Asked, limit: int) -> Found:
        """The evolutions of one page, each with at most `limit` instances."""
        query = self._query
        most = query.limit if permit.max_rows is None else min(query.limit, permit.max_rows)
        found: list[Evolution] = []
        seen = 0
        for one in self._all(store, permit, asked, limit):
            seen += 1
            if seen <= self._offset:
                continue
            if len(found) < most:
                found.append(one)
            elif not query.count:
                break
        more = seen > self._offset + len(found) and most > 0
        if permit.max_rows is not None and most >= permit.max_rows:
            more = False  # no more of it, page by page either
        passed = self.passed + len(found)
        following: dict[str, Any] | None = {"offset": passed} if more else None
        if more and not self._descending and (not self._offset or passed > OFFSET_NEAR):
            following = {"after": found[-1].urn, "past": passed}
        return Found(tuple(found), seen if query.count else None, following)

    def ids(self, store: Store, permit: Permit, asked: Asked, most: int) -> list[str]:
        """Whose evolutions are selected, at most so many."""
        return [one.urn for one in islice(self._all(store, permit, asked, 1), most)]

    def _all(self, store: Store, permit: Permit, asked: Asked, limit: int) -> Iterator[Evolution]:
        deadline = time.monotonic() + SECONDS_MAX
        for urn in self._ids(store, permit):
            if time.monotonic() > deadline:
                raise TooLarge(f"this takes over {SECONDS_MAX:g} s: narrow it by type, id or time")
            try:
                one = self._judged(store, permit, urn, asked, limit)
            except NotFound:
                continue
            if one is not None:
                yield one

    def _ids(self, store: Store, permit: Permit) -> Iterator[str]:
        asked = replace(self._query, limit=PAGE_MAX, count=False)
        if self._descending:
            every = list(self._pages(store, permit, asked))
            yield from reversed(every)
        else:
            yield from self._pages(store, permit, asked)

    def _pages(self, store: Store, permit: Permit, asked: Query) -> Iterator[str]:
        while True:
            page = store.evolving(permit, asked)
            yield from (urn for urn in page if self._within is None or urn in self._within)
            if len(page) < asked.limit:
                return
            asked = replace(asked, after=page[-1])

    def _judged(
        self, store: Store, permit: Permit, urn: str, asked: Asked, limit: int
    ) -> Evolution | None:
        """The evolution as it will be shown, None when it is not selected."""
        query = self._query
        whole = asked.window.query(urn, HISTORY_PAGE_MAX)
        if query.condition is not None or query.geo is not None or query.scopes is not None:
            evolution = store.evolution(permit, whole)
            if evolution.beyond is not None and query.condition is not None:
                raise TooLarge(
                    f"{urn} has over {HISTORY_PAGE_MAX} instances to judge: ask for less time"
                )
            if not self._meets(evolution):
                return None
        shown = store.evolution(permit, asked.only(replace(whole, limit=limit)))
        if query.attributes:
            names = {one.attribute.name for one in shown.instances}
            if not names & set(query.attributes):
                return None
        if query.scopes is not None:
            shown = within(shown, spans_within(shown, query.scopes, asked.window))
        return shown if shown.instances else None

    def _meets(self, evolution: Evolution) -> bool:
        query = self._query
        alive = tuple(
            replace(one.attribute) for one in evolution.instances if one.deleted_at_us is None
        )
        entity = Entity(evolution.urn, evolution.types, alive)
        if query.condition is not None and not matches(entity, query.condition):
            return False
        geo = query.geo
        return geo is None or any(
            a.kind == "GeoProperty" and related(a.value, geo) for a in entity.named(geo.attribute)
        )


def _order(given: Mapping[str, str]) -> bool:
    """Whether by descending id: a temporal query is ordered by id only. Raises Invalid."""
    text = given.get("orderBy") or None
    if text is None:
        return False
    if text not in ("id", "id;asc", "id;desc"):
        raise Invalid("orderBy: temporal evolutions are ordered by id only")
    return text == "id;desc"
