# SPDX-License-Identifier: EUPL-1.2
"""How busy, and where it is quiet, for pages and apps. No HTML here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poorter.city.entity import Entity
from poorter.city.place import distance_m
from poorter.city.query import Query
from poorter.city.time import format_us
from poorter.systems.city import City
from poorter.systems.crowds.model import COUNTER, FORECAST, Counter, level_of, read_counter

COUNTERS_MAX = 1000
NEAR_M = 2000


async def counters(city: City) -> list[Counter]:
    """Every counter."""
    query = Query(types=(COUNTER,), limit=COUNTERS_MAX)
    return [read_counter(entity) for entity in await city.entities(query)]


async def expected(city: City) -> dict[str, Entity]:
    """The forecast entity of each counter."""
    found = await city.entities(Query(types=(FORECAST,), limit=COUNTERS_MAX))
    return {str(entity.value("refSensor")): entity for entity in found}


async def now(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """All counters, the busiest first; what is not known comes last."""
    views = await _views(city)
    views.sort(key=lambda view: (view["busyness"] is None, -(view["busyness"] or 0)))
    return {"places": views}


async def quiet(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The quietest first; `near` keeps those within two kilometres. Only what counts now."""
    near = inputs["near"]
    views = [view for view in await _views(city) if view["busyness"] is not None]
    if near is not None:
        views = [
            {**view, "metres": round(distance_m(near, tuple(view["location"])))}
            for view in views
            if view["location"] and distance_m(near, tuple(view["location"])) <= NEAR_M
        ]
    views.sort(key=lambda view: (view["busyness"], view["count"]))
    return {"places": views}


async def _views(city: City) -> list[dict[str, Any]]:
    now_us = city.clock.now_us()
    ahead = await expected(city)
    found = []
    for counter in await counters(city):
        entity = ahead.get(counter.urn)
        fresh = counter.freshness(now_us)
        busy = entity.value("busyness") if entity is not None and fresh == "fresh" else None
        found.append(
            {
                "sensor": counter.urn,
                "name": counter.name,
                "location": None if counter.position is None else list(counter.position),
                "count": counter.count,
                "usual": None if entity is None else entity.value("usual"),
                "busyness": busy,
                "level": level_of(busy),
                "observed_at": None
                if counter.observed_at_us is None
                else format_us(counter.observed_at_us),
                "freshness": fresh,
                "forecast": [] if entity is None else entity.value("forecast") or [],
            }
        )
    return found
