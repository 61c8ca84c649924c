# SPDX-License-Identifier: EUPL-1.2
"""The city handle on any NGSI-LD broker: it reads, and writes entities where it may. What a broker
can't do is off: no holds, no advice, no compare-and-set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity, Observation
from poorter.city.errors import CityError, Denied, Invalid, NotFound, TooLarge, Unsupported
from poorter.city.limits import HISTORY_PAGE_MAX
from poorter.city.query import HistoryQuery, Query
from poorter.city.time import SECOND_US
from poorter.client.asking import entity_params, history_params
from poorter.client.following import differences
from poorter.client.reading import (
    following,
    means_of,
    newest,
    read_entities,
    read_entity,
    read_history,
    read_means,
)
from poorter.client.remote import Remote, error_of
from poorter.client.writing import write_attributes, write_entity
from poorter.decide.advice import Proposal
from poorter.systems.city import Changed, Held, Mean, Own

V1 = "/ngsi-ld/v1"
#: pages of a broker have no order of ids, so all that matches is read and sorted; up to so many
MATCHES_MAX = 10_000
_PAGE = 100
#: how often state is compared where a broker sends no events by number
POLL_S = 5.0


class BrokerCity:
    """A city behind NGSI-LD alone."""

    capabilities: frozenset[str] = frozenset()

    def __init__(self, remote: Remote, clock: Clock, own: Own | None = None) -> None:
        self.remote = remote
        self.clock = clock
        self.own = own or Own()

    async def close(self) -> None:
        """End the connections."""
        await self.remote.close()

    async def entity(self, urn: str) -> Entity | None:
        """One entity, None when absent or hidden."""
        try:
            doc = await self.remote.get(_path(urn), {"options": "sysAttrs"})
        except NotFound:
            return None
        return read_entity(doc)

    async def entities(self, query: Query) -> list[Entity]:
        """Entities that match, one page, by ascending id. Raises TooLarge for too many of them."""
        params = {**entity_params(query), "options": "sysAttrs", "limit": str(_PAGE)}
        found: dict[str, Entity] = {}
        offset = 0
        while True:
            docs = await self.remote.get(f"{V1}/entities", {**params, "offset": str(offset)})
            page = read_entities(docs)
            found |= {entity.urn: entity for entity in page}
            offset += len(page)
            if len(page) < _PAGE:
                break
            if offset >= MATCHES_MAX:
                raise TooLarge(f"over {MATCHES_MAX} entities match: narrow it by type or place")
        after = query.after or ""
        return [found[urn] for urn in sorted(found) if urn > after][: query.limit]

    async def history(self, query: HistoryQuery) -> list[Observation]:
        """Observations by attribute, then event time; a long one comes in stretches of time.

        Raises: TooLarge where several attributes have more than can be put in order here.
        """
        path = f"{V1}/temporal/entities/{quote(query.urn, safe='')}"
        found: dict[tuple[str, str | None, int, int], Observation] = {}
        asked: HistoryQuery | None = query
        while asked is not None and not (len(query.names) == 1 and len(found) >= query.limit):
            if len(found) > HISTORY_PAGE_MAX:
                raise TooLarge(f"over {HISTORY_PAGE_MAX} observations: ask for less time")
            try:
                doc, covered = await self.remote.part(
                    path, {**history_params(asked), "options": "sysAttrs"}
                )
            except NotFound:
                break
            for one in read_history(query.urn, doc):
                if _within(one, query):
                    key = (one.name, one.dataset_id, one.observed_at_us, one.sequence)
                    found[key] = one
            asked = None if covered is None else following(asked, covered)
        ordered = sorted(found.values(), key=lambda o: (o.name, o.observed_at_us, o.sequence))
        return newest(ordered, query.last)[: query.limit]

    async def means(self, urn: str, name: str, from_us: int, width_us: int) -> list[Mean]:
        """Means of one attribute since `from_us`, in buckets of `width_us`; empty ones absent.

        A broker counts its buckets from where one asks, so all of the first bucket is asked for;
        one that does not aggregate is read whole.
        """
        first_us = from_us // width_us * width_us
        query = HistoryQuery(urn, (name,), from_us=first_us)
        try:
            means = await self.aggregated(query, width_us)
        except (Unsupported, Invalid):
            means = None
        if means is not None:
            return means
        history = await self.history(replace(query, limit=HISTORY_PAGE_MAX))
        return means_of(history, width_us)

    async def aggregated(self, query: HistoryQuery, width_us: int) -> list[Mean] | None:
        """Means as the city itself makes them; None when its answer holds none."""
        if width_us % SECOND_US:
            return None
        params = {
            **history_params(query),
            "options": "aggregatedValues",
            "aggrMethods": "avg,totalCount",
            "aggrPeriodDuration": f"PT{width_us // SECOND_US}S",
        }
        path = f"{V1}/temporal/entities/{quote(query.urn, safe='')}"
        try:
            doc = await self.remote.get(path, params)
        except NotFound:
            return []
        return read_means(query.names[0], doc)

    async def put(self, entity: Entity) -> None:
        """Write an entity as a whole, new or not."""
        answer = await self.remote.send(
            "POST", f"{V1}/entityOperations/upsert", [write_entity(entity)]
        )
        faults = answer.get("errors") if isinstance(answer, dict) else None
        if faults:
            raise _fault(faults[0])

    async def set(
        self, urn: str, attributes: Sequence[Attribute], expect: int | None = None
    ) -> None:
        """Set attributes of an entity. Raises Unsupported with `expect`."""
        if expect is not None:
            raise Unsupported("this city compares no versions")
        await self.remote.send("POST", f"{_path(urn)}/attrs", write_attributes(attributes))

    async def remove(self, urn: str) -> None:
        """Take an entity out of the state; nothing happens when it is gone already."""
        try:
            await self.remote.send("DELETE", _path(urn))
        except NotFound:
            return

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
        """Raises Unsupported: a broker holds nothing."""
        raise _no_holds()

    async def extend_hold(
        self, pool: str, hold_id: str, until_us: int, entity: Entity | None = None
    ) -> None:
        """Raises Unsupported."""
        raise _no_holds()

    async def end_hold(self, pool: str, hold_id: str, entity: Entity | None = None) -> None:
        """Raises Unsupported."""
        raise _no_holds()

    async def held(self, pool: str) -> Held:
        """Nothing: where no holds are, none run."""
        return Held(0, ())

    async def advise(self, proposal: Proposal) -> str:
        """Raises Unsupported: there is nobody to advise."""
        raise Unsupported("this city takes no advice")

    async def changes(self, types: Sequence[str]) -> AsyncIterator[Changed]:
        """Changes as seen by looking again; of several in between the last is seen. Numbers are
        this handle's own. Ends when it may not look any more."""
        query = Query(types=tuple(types), limit=MATCHES_MAX)
        known = {entity.urn: entity for entity in await self.entities(query)}
        sequence = 0
        while True:
            await asyncio.sleep(POLL_S)
            try:
                now = {entity.urn: entity for entity in await self.entities(query)}
            except Denied:
                return
            for urn, kinds, names in differences(known, now):
                sequence += 1
                yield Changed(sequence, urn, kinds, names)
            known = now


def _path(urn: str) -> str:
    return f"{V1}/entities/{quote(urn, safe='')}"


def _no_holds() -> Unsupported:
    return Unsupported("this city can't hold anything")


def _fault(fault: Any) -> CityError:
    """The error of one entity in a batch (CIM 009, 5.2.17)."""
    error = fault.get("error") if isinstance(fault, dict) else None
    if not isinstance(error, dict):
        return Invalid("the city did not take the entity")
    status = error.get("status")
    return error_of(status if isinstance(status, int) else 400, str(error.get("detail") or ""))


def _within(one: Observation, query: HistoryQuery) -> bool:
    return (query.from_us is None or one.observed_at_us >= query.from_us) and (
        query.until_us is None or one.observed_at_us < query.until_us
    )
