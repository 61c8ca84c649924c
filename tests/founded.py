# SPDX-License-Identifier: EUPL-1.2
"""A founded city for tests, in process, with a clock that stands still until told otherwise."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.founding import found_city
from poorter.gate.genesis import RUN
from poorter.gate.policy import Vote
from poorter.running import Running, open_city
from poorter.store.contract import Change, Observe, Put, Reading

#: settings of where the store of a city lies that is founded next; `tests.conftest.engine` sets it
where: Callable[[], dict[str, object]] = dict
OFFICERS = ("ada", "bob")
PASSWORD = "a-password-for-tests"


@asynccontextmanager
async def founded(
    folder: Path,
    clock: ManualClock,
    systems: tuple[str, ...] = ("parking", "crowds"),
    more: dict[str, object] | None = None,
) -> AsyncIterator[Running]:
    """A running city whose goals are all adopted; `more`: settings of its own."""
    settings = {"systems.enabled": list(systems), **where(), **(more or {})}
    passwords = (PASSWORD, PASSWORD)
    made = await found_city(folder, settings, OFFICERS, "Council", clock, passwords)
    running = await open_city(made.config, clock)
    try:
        for goal in list(running.gate.policy.goals.values()):
            if goal.vote is None:
                await running.registry.adopt(goal.id, Vote("Council", "2026-01-01", 2, 1), "ada")
        yield running
    finally:
        await running.outgoing.close()
        running.close()


async def put(running: Running, *entities: Entity) -> None:
    permit = running.gate.permit("internal:load", RUN, "write")
    await running.store.commit_async(permit, Change(tuple(Put(e, replace=False) for e in entities)))


async def observe(running: Running, kind: str, *readings: Reading) -> None:
    permit = running.gate.permit("internal:load", RUN, "write")
    await running.store.commit_async(permit, Change((Observe(kind, readings),)))


def garage(key: str, total: int, east: float = 0.0, **more: object) -> Entity:
    point = {"type": "Point", "coordinates": [5.3 + east, 52.6]}
    attributes = [
        Attribute("name", f"Garage {key}"),
        Attribute("totalSpotNumber", total),
        Attribute("location", point, "GeoProperty"),
        Attribute("status", "open"),
    ]
    attributes += [Attribute(name, value) for name, value in more.items()]
    return Entity(f"urn:ngsi-ld:OffStreetParking:{key}", ("OffStreetParking",), tuple(attributes))


def free(running: Running, key: str, count: int) -> Reading:
    urn = f"urn:ngsi-ld:OffStreetParking:{key}"
    return Reading(urn, "availableSpotNumber", running.clock.now_us(), count)
