# SPDX-License-Identifier: EUPL-1.2
"""Columnar history: bytes an observation, a sensor-year by hour, a city by neighbourhood."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import httpx
from tests.permits import ANY_TYPE, FAR_US, TypeRule, permit
from tests.served import make_city

from bench.cities import City
from bench.lines import Line, Lines
from bench.load_generator import wrk
from poorter.city.clock import Clock, ManualClock, SystemClock
from poorter.city.entity import Attribute, Entity
from poorter.city.time import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from poorter.config import read_config
from poorter.gate.genesis import RUN
from poorter.jobs import compact
from poorter.load.mapping import read_map
from poorter.load.run import Load
from poorter.running import open_city
from poorter.store.contract import Change, Observe, Put, Reading, Store
from poorter.store.sqlite import open_store

T0 = 1_735_689_600_000_000  # 2025-01-01
SENSORS, EACH = 100_000, 24
COUNTERS, QUARTERS, DAYS = 1000, 50, 30
OTHER = "POORTER_BENCH_FILE"
_RULES = {ANY_TYPE: TypeRule(), "record:load": TypeRule(), "record:leaf": TypeRule()}
_READ, _WRITE = permit("read", _RULES), permit("write", _RULES)
_RETRIEVE = (
    '\nrequest = function()\n  return wrk.format("GET", "/ngsi-ld/v1/entities/{urn}")\nend\n'
)


def measure(scratch: Path) -> Lines:
    """All lines, as they come."""
    given = os.environ.get(OTHER)
    if given:
        yield _size(
            f"history, {Path(given).name}",
            scratch / "file",
            SystemClock(),
            lambda s: _load(s, given, scratch),
        )
    clock, what = ManualClock(T0), "history, 100,000 sensors, 24 readings each"
    yield _size(what, scratch / "sensors", clock, lambda s: _sensors(s, clock))
    yield from _asked(scratch / "city")


def _size(what: str, folder: Path, clock: Clock, fill: Callable[[Store], None]) -> Line:
    store = open_store(folder, clock)
    try:
        fill(store)
        before = store.history_size(_READ)
        began = time.perf_counter()
        store.compact(permit("administer"), FAR_US, all_of_it=True)
        seconds = time.perf_counter() - began
        size = store.history_size(_READ)
        each = size.bytes_each or 0.0
    finally:
        store.close()
    told = f"{each:.2f} of {size.compacted:,}, {before.bytes_each:.0f} as rows"
    told += f"; {size.compacted / seconds:,.0f} compacted/s"
    return Line(what, "6 bytes an observation", told, each < 6)


def _load(store: Store, file: str, folder: Path) -> None:
    load = Load(
        store,
        lambda action: permit(action, _RULES),
        store.clock,
        read_map("dresden_hourly"),
        Path(file),
        folder / "rejects.csv",
    )
    load.run()


def _sensors(store: Store, clock: ManualClock) -> None:
    """Each quarter of an hour, two seconds more or less, in milliseconds; a tenth of a degree;
    received by the thousand, within three seconds."""
    dice = random.Random(1)
    phases = [dice.randrange(900) * SECOND_US for _ in range(SENSORS)]
    order = sorted(range(SENSORS), key=phases.__getitem__)
    values = [dice.randrange(100, 250) for _ in range(SENSORS)]
    for n in range(EACH):
        for start in range(0, SENSORS, 1000):
            readings = []
            for number in order[start : start + 1000]:
                values[number] += dice.randrange(-3, 4)
                moment = T0 + n * 900 * SECOND_US + phases[number] + dice.randrange(2000) * 1000
                urn = f"urn:ngsi-ld:City:{number}"
                readings.append(Reading(urn, "n", moment, values[number] / 10))
            latest = max(reading.observed_at_us for reading in readings)
            clock.set_us(latest + dice.randrange(3 * SECOND_US))
            store.commit(_WRITE, Change((Observe("City", readings, True),))).result()


def _counts(numbers: Iterable[int], every_us: int, until_us: int) -> Iterator[list[Reading]]:
    dice = random.Random(2)
    values = dict.fromkeys(numbers, 200)
    batch: list[Reading] = []
    for moment in range(T0, until_us, every_us):
        for number, value in values.items():
            values[number] = max(0, value + dice.randrange(-5, 6))
            batch.append(Reading(_urn(number), "n", moment, values[number]))
        if len(batch) >= 5000:
            yield batch
            batch = []
    yield batch


def _urn(number: int) -> str:
    return f"urn:ngsi-ld:City:{number}"


async def _fill(folder: Path) -> None:
    """A sensor that counts each minute of a year; a thousand that do each quarter of a month."""
    running = await open_city(read_config(folder), SystemClock())
    try:

        def write(*ops: Observe | Put) -> None:
            allowed = running.gate.permit("internal:load", RUN, "write")
            running.store.commit(allowed, Change(ops)).result()

        for number in range(COUNTERS + 1):
            quarter = f"urn:ngsi-ld:Neighbourhood:{number % QUARTERS}"
            held = Attribute("in", quarter, "Relationship")
            write(Put(Entity(_urn(number), ("City",), (held,))))
        for batch in _counts([COUNTERS], MINUTE_US, T0 + 365 * DAY_US):
            write(Observe("City", batch, True))
        for batch in _counts(range(COUNTERS), HOUR_US // 4, T0 + DAYS * DAY_US):
            write(Observe("City", batch, True))
        await compact(running)
    finally:
        running.close()


def _asked(folder: Path) -> Lines:
    make_city(folder)
    asyncio.run(_fill(folder))
    city = City(folder)
    city.start()
    try:
        script = _RETRIEVE.format(urn=_urn(7))
        many = wrk(city.url, script, seconds=3).p50_ms
        alone = wrk(city.url, script, connections=1, seconds=2).p50_ms
        year = {
            "attrs": "n",
            "timerel": "between",
            "timeAt": "2025-01-01T00:00:00Z",
            "endTimeAt": "2026-01-01T00:00:00Z",
            "options": "aggregatedValues",
            "aggrMethods": "avg",
            "aggrPeriodDuration": "PT1H",
        }
        path = f"/ngsi-ld/v1/temporal/entities/{_urn(COUNTERS)}"
        first, took = _times(city.url + path, year, 8760)
        yield Line(
            "a sensor-year by hour (525,600 readings), over HTTP",
            "20 x p50 of retrieve",
            f"p50 {took:.1f} ms = {took / many:.0f} x {many:.2f} ms at 64 connections, "
            f"{took / alone:.0f} x {alone:.2f} ms alone; the first {first:.0f} ms",
            took < 20 * many,
        )
        month = {
            "type": "City",
            "attr": "n",
            "by": "in",
            "from": "2025-01-01T00:00:00Z",
            "until": "2025-01-31T00:00:00Z",
        }
        first, took = _times(f"{city.url}/api/city/groups", month, QUARTERS * DAYS * 24)
        yield Line(
            "1,000 sensors by 50 neighbourhoods by hour for a month",
            "1 s",
            f"p50 {took:.0f} ms over {COUNTERS * DAYS * 96:,} readings; the first {first:.0f} ms",
            took < 1000,
        )
    finally:
        city.stop()


def _times(url: str, params: dict[str, str], expected: int) -> tuple[float, float]:
    """Milliseconds of the first answer, and the middle of those after it."""
    taken = []
    with httpx.Client(timeout=60) as client:
        for _ in range(12):
            began = time.perf_counter()
            answer = client.get(url, params=params)
            taken.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text
            assert answer.text.count("2025-") >= expected, answer.text[:500]
    return taken[0], statistics.median(taken[1:])
