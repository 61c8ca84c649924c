# SPDX-License-Identifier: EUPL-1.2
"""The learnt forecast in the running city: by setting, by child process, never standing alone."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.founded import founded, garage, observe, put

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid
from poorter.city.time import DAY_US, HOUR_US
from poorter.running import Running
from poorter.store.contract import Reading
from poorter.systems.catalogue import load_systems, settings_of
from poorter.systems.parking import learning, work
from poorter.systems.parking.model import FORECAST

(SYSTEM,) = load_systems(["parking"])


@asynccontextmanager
async def city_with(
    folder: Path, clock: ManualClock, kind: str, days: int
) -> AsyncIterator[Running]:
    """Two garages with `days` of counts each hour."""
    async with founded(folder, clock) as running:
        own = running.own[SYSTEM.processor]
        running.own[SYSTEM.processor] = replace(own, settings={"forecast": kind})
        await put(running, garage("a", 100), garage("b", 300))
        dice = np.random.default_rng(1)
        now_us = clock.now_us()
        readings = []
        for hour in range(-24 * days, 1):
            for key, size in (("a", 100), ("b", 300)):
                daily = 0.5 + 0.4 * math.sin(hour / 24 * 2 * math.pi) + dice.normal(0, 0.02)
                count = int(np.clip(round(size * daily), 0, size))
                urn = f"urn:ngsi-ld:OffStreetParking:{key}"
                readings.append(Reading(urn, "availableSpotNumber", now_us + hour * HOUR_US, count))
        await observe(running, "OffStreetParking", *readings)
        yield running


async def told(running: Running, key: str = "a") -> tuple[str, list[dict[str, Any]]]:
    city = running.city_of(SYSTEM)
    await work.make_forecasts(city)
    entity = await city.entity(f"urn:ngsi-ld:{FORECAST}:{key}")
    assert entity is not None
    return str(entity.value("algorithm")), entity.value("forecast")


def test_a_model_is_learnt_by_a_child_and_used(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city_with(tmp_path, clock, "numpy", 56) as running:
            city = running.city_of(SYSTEM)
            assert (await told(running))[0] == "parking.seasonal/1"  # none learnt yet
            await learning.learn_at_night(city)
            file = learning.model_file(city)
            assert file is not None
            assert file.parent == running.config.paths_data / "models"
            algorithm, points = await told(running, "b")
            assert algorithm == "parking.numpy/1"
            assert len(points) == 6
            for step, point in enumerate(points, 1):
                truth = 300 * (0.5 + 0.4 * math.sin(step / 24 * 2 * math.pi))
                assert abs(point["free"] - truth) < 25
                assert 0 <= point["low"] <= point["free"] <= point["high"] <= 300
                assert point["high"] - point["low"] > 2
            file.write_text("{}")
            assert (await told(running))[0] == "parking.seasonal/1"  # it stands in

    asyncio.run(run())


def test_learnt_anew_at_night_not_each_hour(tmp_path: Path) -> None:
    file = tmp_path / "parking.json"
    night_us = 20_000 * DAY_US + 3 * HOUR_US
    assert learning._due(file, night_us, "UTC")
    file.write_text("")
    learning._date(file, night_us)
    hours = [h for h in range(48) if learning._due(file, night_us + h * HOUR_US, "UTC")]
    assert hours == [24, *range(37, 48)]
    tokyo = [h for h in range(30) if learning._due(file, night_us + h * HOUR_US, "Asia/Tokyo")]
    assert tokyo == [15], "three at night is the city's own"


def test_a_young_city_or_a_seasonal_one_starts_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bytes:
        raise AssertionError("a child was started")

    async def run() -> None:
        monkeypatch.setattr(learning, "_child", never)
        for kind, days in (("boosted", 10), ("seasonal", 56)):
            async with city_with(tmp_path / kind, ManualClock(), kind, days) as running:
                await learning.learn_at_night(running.city_of(SYSTEM))
                assert (await told(running))[0] == "parking.seasonal/1"

    asyncio.run(run())


def test_settings_of_a_system_are_checked() -> None:
    assert settings_of(SYSTEM, {})["forecast"] == "seasonal"
    assert settings_of(SYSTEM, {"forecast": "boosted"})["forecast"] == "boosted"
    wrong = (
        ({"forcast": "boosted"}, "no setting systems.parking.forcast"),
        ({"forecast": 1}, "type str"),
        ({"forecast": "oracle"}, "one of seasonal, boosted, numpy"),
    )
    for given, words in wrong:
        with pytest.raises(Invalid, match=words):
            settings_of(SYSTEM, given)
