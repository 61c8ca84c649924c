# SPDX-License-Identifier: EUPL-1.2
"""The learnt forecast in the running city, where the setting `forecast` asks for one.

A child process learns each night and another tells what to expect, so that nothing heavy runs
beside requests. While there is no model, or a child fails, the seasonal forecast stands in: every
function here then gives nothing, and says so in the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

import poorter
from poorter.city.errors import Unavailable
from poorter.city.time import DAY_US, HOUR_US
from poorter.forecast.live import LEARN_HOURS_MIN, packed
from poorter.forecast.seasonal import Hours, Point, Values, hourly
from poorter.forecast.table import Table
from poorter.systems.city import City
from poorter.systems.parking.model import COUNT, Place
from poorter.systems.parking.rules import hour_of
from poorter.systems.parking.views import all_places

log = logging.getLogger(__name__)
SETTING = "forecast"
KINDS = ("seasonal", "boosted", "numpy")
LEARN_DAYS = 3 * 365
LEARN_S = 3600.0
EXPECT_S = 60.0
NIGHT_HOUR = 3
#: a count of the hour before stands for this one while this one has none yet
CARRY_HOURS = 1

Series = tuple[Hours, Values]


def model_file(city: City) -> Path | None:
    """Where the model lies; None where the seasonal forecast is wanted, or there is no folder."""
    if city.own.settings.get(SETTING, "seasonal") == "seasonal" or city.own.folder is None:
        return None
    return city.own.folder / "parking.json"


async def learn_at_night(city: City) -> None:
    """Learn anew in the night, or at once where there is no model yet or an old one."""
    file, now_us = model_file(city), city.clock.now_us()
    if file is None or not _due(file, now_us, city.own.time_zone):
        return
    places = await all_places(city)
    series = {place.urn: await counted(city, place, LEARN_DAYS) for place in places}
    table = _table(places, series, hour_of(now_us))
    if len(table.hours) < LEARN_HOURS_MIN:
        return  # a young city: the seasonal forecast needs less
    kind = str(city.own.settings[SETTING])
    words = ("learn", str(file), "--model", kind, "--zone", city.own.time_zone)
    try:
        await _child(words, await asyncio.to_thread(packed, table), LEARN_S)
    except Unavailable as failed:
        log.warning("no new forecast model: %s", failed)
        return
    _date(file, now_us)


async def expected(
    city: City, places: list[Place], series: Mapping[str, Series]
) -> tuple[str, dict[str, list[Point]]]:
    """(kind of model, what it expects by place); nothing by place without a model that works."""
    file = model_file(city)
    if file is None or not _exists(file):
        return "", {}
    table = _table(places, series, hour_of(city.clock.now_us()))
    try:
        said = await _child(("expect", str(file)), packed(table), EXPECT_S)
    except Unavailable as failed:
        log.warning("the seasonal forecast stands in: %s", failed)
        return "", {}
    found = json.loads(said)
    return found["kind"], {
        urn: [Point(*point) for point in points] for urn, points in found["places"].items()
    }


async def counted(city: City, place: Place, days: int) -> Series:
    """What was counted in the past days, by hour."""
    from_us = city.clock.now_us() - days * DAY_US
    means = await city.means(place.urn, COUNT, from_us, HOUR_US)
    await asyncio.sleep(0)  # one place at a time: requests come first
    return hourly([(hour_of(m.start_us), m.mean) for m in means if m.mean is not None])


def _table(places: list[Place], series: Mapping[str, Series], last: int) -> Table:
    """All series side by side up to the hour `last`."""
    firsts = [int(hours[0]) for hours, _ in series.values() if len(hours)]
    hours = np.arange(min(firsts, default=last + 1), last + 1, dtype=np.int64)
    values = np.full((len(hours), len(places)), np.nan)
    for column, place in enumerate(places):
        own_hours, own = series[place.urn]
        known = own_hours <= last
        if known.any():
            values[own_hours[known] - hours[0], column] = own[known]
            if np.isnan(values[-1, column]) and len(hours) > CARRY_HOURS:
                values[-1, column] = values[-1 - CARRY_HOURS, column]
    capacity = np.array([float(p.total) if p.total else np.nan for p in places])
    return Table(hours, tuple(p.urn for p in places), values, capacity)


def _due(file: Path, now_us: int, zone: str) -> bool:
    """A model of the day before waits for the night; an older one, or none, does not."""
    if not file.exists():
        return True
    age_us = now_us - file.stat().st_mtime_ns // 1000
    local = datetime.fromtimestamp(now_us / 1e6, UTC).astimezone(ZoneInfo(zone))
    return age_us > DAY_US * 3 // 2 or (local.hour == NIGHT_HOUR and age_us > DAY_US // 2)


def _exists(file: Path) -> bool:
    return file.exists()


def _date(file: Path, now_us: int) -> None:
    """The file carries the city's own time: the age of a model is told by one clock."""
    os.utime(file, ns=(now_us * 1000, now_us * 1000))


async def _child(words: tuple[str, ...], sent: bytes, seconds: float) -> bytes:
    """What a child of this very code answers. Raises: Unavailable when it fails or takes longer."""
    source = str(Path(poorter.__file__).parents[1])
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "poorter.forecast.live",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    )
    try:
        out, wrong = await asyncio.wait_for(child.communicate(sent), seconds)
    except TimeoutError:
        raise Unavailable(f"the forecast took over {seconds:.0f} s") from None
    finally:
        if child.returncode is None:  # too slow, or the city stops
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise Unavailable(wrong.decode("utf-8", "replace").strip()[-300:] or "the child failed")
    return out
