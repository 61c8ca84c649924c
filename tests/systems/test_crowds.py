# SPDX-License-Identifier: EUPL-1.2
"""Crowds: busy against what is usual; unknown stays unknown."""

import asyncio
from pathlib import Path
from typing import Any

from tests.founded import founded, garage, observe, put

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.time import HOUR_US, format_us
from poorter.running import Running
from poorter.store.contract import Reading
from poorter.systems.catalogue import load_systems
from poorter.systems.crowds import work

CROWDS, PARKING = load_systems(["crowds", "parking"])


def counter(key: str, east: float = 0.0) -> Entity:
    point = {"type": "Point", "coordinates": [5.3 + east, 52.6]}
    urn = f"urn:ngsi-ld:CrowdFlowObserved:{key}"
    return Entity(urn, ("CrowdFlowObserved",), (Attribute("location", point, "GeoProperty"),))


async def do(running: Running, name: str, **inputs: Any) -> dict[str, Any]:
    operation = next(o for o in CROWDS.operations if o.name == name)
    return await operation.run(running.city_of(CROWDS), inputs)


async def weeks(running: Running, key: str, usual: int, now: int) -> None:
    urn = f"urn:ngsi-ld:CrowdFlowObserved:{key}"
    now_us = running.clock.now_us() // HOUR_US * HOUR_US
    readings = [
        Reading(urn, "peopleCount", now_us + h * HOUR_US, usual if h else now)
        for h in range(-24 * 28, 1)
    ]
    await observe(running, "CrowdFlowObserved", *readings)


def test_busy_and_quiet_against_the_usual_week(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await put(running, counter("x"), counter("y", 0.001), counter("z", 0.002))
            await weeks(running, "x", 100, 250)
            await weeks(running, "y", 100, 40)
            await work.make_forecasts(running.city_of(CROWDS))
            views = (await do(running, "now"))["places"]
            assert [(v["sensor"][-1], v["level"]) for v in views] == [
                ("x", "very-busy"),
                ("y", "quiet"),
                ("z", None),
            ]
            quiet = (await do(running, "quiet", near=(5.3, 52.6)))["places"]
            assert [v["sensor"][-1] for v in quiet] == ["y", "x"]
            assert await work.busy_streets(running.city_of(CROWDS)) == 50.0
            keys = {i.key.split(":")[0] for i in await work.incidents(running.city_of(CROWDS))}
            assert keys == {"crowded", "silent"}

    asyncio.run(run())


def test_parking_takes_the_crowd_into_account_through_the_context(tmp_path: Path) -> None:
    async def risk(folder: Path, busyness: float) -> float:
        async with founded(folder, ManualClock()) as running:
            await put(running, garage("a", 100), counter("x"))
            now_us = running.clock.now_us()
            urn = "urn:ngsi-ld:OffStreetParking:a"
            past = [
                Reading(urn, "availableSpotNumber", now_us + h * HOUR_US, 12 + h % 5)
                for h in range(-24 * 28, 1)
            ]
            await observe(running, "OffStreetParking", *past)
            point = {"at": format_us(now_us + 2 * HOUR_US), "count": 1, "busyness": busyness}
            parts = (
                Attribute("forecast", [point], "JsonProperty"),
                Attribute("location", counter("x").value("location"), "GeoProperty"),
            )
            expected = Entity("urn:ngsi-ld:CrowdForecast:x", ("CrowdForecast",), parts)
            await running.city_of(CROWDS).put(expected)
            find = next(o for o in PARKING.operations if o.name == "find")
            inputs = {
                "destination": (5.3, 52.6),
                "origin": None,
                "arrival": now_us + 2 * HOUR_US,
                "stay_minutes": 60,
                "badge": False,
            }
            result = await find.run(running.city_of(PARKING), inputs)
            found: float = result["advice"][0]["risk_full"]
            return found

    async def run() -> None:
        assert await risk(tmp_path / "calm", 1.0) < await risk(tmp_path / "feast", 2.0)

    asyncio.run(run())
