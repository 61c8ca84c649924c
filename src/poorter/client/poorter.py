# SPDX-License-Identifier: EUPL-1.2
"""The city handle on a remote Poorter: all that the one in process does, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied, NotFound, TooMany, Unavailable
from poorter.city.query import HistoryQuery, Query
from poorter.client.asking import entity_params
from poorter.client.broker import BrokerCity
from poorter.client.following import read_events
from poorter.client.reading import read_entity
from poorter.client.remote import Remote
from poorter.client.writing import write_attributes, write_entity
from poorter.decide.advice import Proposal
from poorter.systems.city import CAPABILITIES, Changed, Held, Mean, Own

API = "/api/city"
WAIT_S = 20
_AGAIN_S = 1.0
_AGAIN_MAX_S = 30.0


class PoorterCity(BrokerCity):
    """A Poorter elsewhere. NGSI-LD where that says it all, its own routes for the rest."""

    def __init__(
        self,
        remote: Remote,
        clock: Clock,
        own: Own | None = None,
        capabilities: frozenset[str] = CAPABILITIES,
    ) -> None:
        super().__init__(remote, clock, own)
        self.capabilities = capabilities

    async def entity(self, urn: str) -> Entity | None:
        """One entity with its version, None when absent or hidden."""
        if "," in urn:  # a list of ids can't hold it
            return await super().entity(urn)
        found = await self._entities({"id": urn})
        return found[0] if found else None

    async def entities(self, query: Query) -> list[Entity]:
        """Entities that match, one page, by ascending id."""
        params = entity_params(query) | {"limit": str(query.limit)}
        if query.after is not None:
            params["after"] = query.after
        return await self._entities(params)

    async def _entities(self, params: dict[str, str]) -> list[Entity]:
        answer = await self.remote.get(f"{API}/entities", params)
        try:
            pairs = zip(answer["entities"], answer["versions"], strict=True)
            return [read_entity(doc, version) for doc, version in pairs]
        except (KeyError, TypeError, ValueError):
            raise Unavailable("the city answers no entities") from None

    async def means(self, urn: str, name: str, from_us: int, width_us: int) -> list[Mean]:
        """Means of one attribute since `from_us`, in buckets of `width_us`; empty ones absent."""
        whole_us = -(-from_us // width_us) * width_us  # periods are counted from where one asks
        means = await self._means(HistoryQuery(urn, (name,), from_us=whole_us), width_us)
        if whole_us == from_us:
            return means
        first = HistoryQuery(urn, (name,), from_us=from_us, until_us=whole_us)
        part = await self._means(first, width_us)
        return [replace(mean, start_us=whole_us - width_us) for mean in part] + means

    async def _means(self, query: HistoryQuery, width_us: int) -> list[Mean]:
        means = await self.aggregated(query, width_us)
        if means is None:
            raise Unavailable("the city answers no means")
        return means

    async def set(
        self, urn: str, attributes: Sequence[Attribute], expect: int | None = None
    ) -> None:
        """Set attributes of an entity; Conflict when `expect` is not its version."""
        body = {"op": "set", "id": urn, "attributes": write_attributes(attributes)}
        await self._commit(body if expect is None else body | {"expect": expect})

    async def put(self, entity: Entity) -> None:
        """Write an entity as a whole, new or not."""
        await self._commit(*_put(entity))

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
        hold = {
            "op": "hold",
            "pool": pool,
            "id": hold_id,
            "capacity": capacity,
            "taken": taken,
            "until_us": until_us,
        }
        await self._commit(hold, *_put(entity), key=idempotency_key)

    async def extend_hold(
        self, pool: str, hold_id: str, until_us: int, entity: Entity | None = None
    ) -> None:
        """Move the end of a running hold; NotFound when it is over."""
        moved = {"op": "extend-hold", "pool": pool, "id": hold_id, "until_us": until_us}
        await self._commit(moved, *_put(entity))

    async def end_hold(self, pool: str, hold_id: str, entity: Entity | None = None) -> None:
        """Give a unit back; NotFound when it is over."""
        await self._commit({"op": "end-hold", "pool": pool, "id": hold_id}, *_put(entity))

    async def held(self, pool: str) -> Held:
        """The running holds of a pool."""
        answer = await self.remote.get(f"{API}/held", {"pool": pool})
        try:
            return msgspec.convert(answer, Held)
        except msgspec.ValidationError:
            raise Unavailable("the city does not say what is held") from None

    async def advise(self, proposal: Proposal) -> str:
        """Put advice before its mandate; the id of the advice. Sent again it is the same advice."""
        answer = await self.remote.send("POST", f"{API}/advise", msgspec.to_builtins(proposal))
        if not isinstance(answer, dict) or not isinstance(answer.get("advice"), str):
            raise Unavailable("the city does not say which advice this is")
        return str(answer["advice"])

    async def changes(self, types: Sequence[str]) -> AsyncIterator[Changed]:
        """Changes as they are committed; ends when the permit does. A city that does not answer for
        a while is asked again from the same number on, so nothing is lost by that. Raises Missed
        when the numbers say that something was."""
        (_, last), again_s = await self._events({}, 0), _AGAIN_S
        kinds = {"type": ",".join(types), "wait_s": str(WAIT_S)}
        while True:
            try:
                found, last = await self._events({**kinds, "after": str(last)}, last)
            except (Denied, NotFound):
                return
            except (Unavailable, TooMany):
                await asyncio.sleep(again_s)
                again_s = min(_AGAIN_MAX_S, again_s * 2)
                continue
            again_s = _AGAIN_S
            for changed in found:
                yield changed

    async def _events(self, params: dict[str, str], after: int) -> tuple[list[Changed], int]:
        waiting = WAIT_S if "wait_s" in params else 0
        return read_events(await self.remote.get(f"{API}/events", params, waiting), after)

    async def _commit(self, *ops: dict[str, Any], key: str | None = None) -> None:
        await self.remote.send("POST", f"{API}/commit", list(ops), key)


def _put(entity: Entity | None) -> tuple[dict[str, Any], ...]:
    return () if entity is None else ({"op": "put", "entity": write_entity(entity)},)
