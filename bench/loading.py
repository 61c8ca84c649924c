# SPDX-License-Identifier: EUPL-1.2
"""A file by `poorter load`, beside a bare script that writes the same rows of it."""

from __future__ import annotations

import asyncio
import os
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.served import make_city

from bench import bare
from bench.lines import Line, Lines
from bench.load_generator import ratio
from poorter.city.clock import SystemClock
from poorter.config import read_config
from poorter.gate.genesis import RUN
from poorter.load.mapping import read_map
from poorter.load.run import Load
from poorter.running import open_city

WIDE, LONG = "dresden_hourly", "dresden_changes"
SENSORS, HOURS = 40, 8000
ROUNDS = 5
#: another wide file of whole numbers, column hour_utc first, if one is at hand
OTHER = "POORTER_BENCH_FILE"


def measure(scratch: Path) -> Lines:
    """One line a file."""
    wide, long = scratch / "hours.csv", scratch / "readings.csv"
    _generate(wide, long)
    yield _line("file load, wide, 320,000 readings", wide, scratch)
    yield _line("file load, long, 320,000 readings", long, scratch, long=True)
    given = os.environ.get(OTHER)
    if given:
        yield _line(f"file load, {Path(given).name}", Path(given), scratch)


def _line(what: str, file: Path, scratch: Path, long: bool = False) -> Line:
    ours: list[float] = []
    scripts: list[float] = []
    for number in range(ROUNDS):
        seconds, readings = _load(scratch / f"{file.stem}{number}", file, LONG if long else WIDE)
        ours.append(readings / seconds)
        scripts.append(readings / bare.load(scratch / f"bare {file.stem}{number}", file, long))
    times = ratio(ours, scripts)
    text = f"{max(ours):,.0f} readings/s = {times} x the script"
    return Line(what, "0.5 x a bare script", text, times.best >= 0.5)


def _generate(wide: Path, long: Path) -> None:
    """The same readings twice: a column a place, and a row a reading."""
    dice = random.Random(1)
    names = [f"place-{number}" for number in range(SENSORS)]
    at = datetime(2025, 1, 1, tzinfo=UTC)
    values = [dice.randrange(50, 500) for _ in names]
    with wide.open("w", encoding="utf-8") as out, long.open("w", encoding="utf-8") as rows:
        out.write(",".join(["hour_utc", *names]) + "\n")
        rows.write("place_id,timestamp,free\n")
        for hour in range(HOURS):
            values = [max(0, value + dice.randrange(-9, 10)) for value in values]
            moment = (at + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%MZ")
            out.write(",".join([moment, *map(str, values)]) + "\n")
            for name, value in zip(names, values, strict=True):
                rows.write(f"{name},{moment},{value}\n")


def _load(folder: Path, file: Path, map_name: str) -> tuple[float, int]:
    """Seconds from the file to the last commit, and how many readings."""
    make_city(folder)

    async def run() -> tuple[float, int]:
        running = await open_city(read_config(folder), SystemClock())
        work = Load(
            running.store,
            lambda action: running.gate.permit("internal:load", RUN, action),
            running.clock,
            read_map(map_name),
            file,
            folder / "rejects.csv",
        )
        began = time.perf_counter()
        totals = await asyncio.to_thread(work.run)
        seconds = time.perf_counter() - began
        running.close()
        return seconds, totals.new

    return asyncio.run(run())
