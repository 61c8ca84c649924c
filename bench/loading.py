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

MAP = "dresden_hourly"
SENSORS, HOURS = 40, 8000
ROUNDS = 5
#: another wide file of whole numbers, column hour_utc first, if one is at hand
OTHER = "POORTER_BENCH_FILE"


def measure(scratch: Path) -> Lines:
    """One line a file."""
    made = scratch / "hours.csv"
    _generate(made)
    yield _line("file load, 320,000 readings", made, scratch)
    given = os.environ.get(OTHER)
    if given:
        yield _line(f"file load, {Path(given).name}", Path(given), scratch)


def _line(what: str, file: Path, scratch: Path) -> Line:
    ours: list[float] = []
    scripts: list[float] = []
    for number in range(ROUNDS):
        seconds, readings = _load(scratch / f"{file.stem}{number}", file)
        ours.append(readings / seconds)
        scripts.append(readings / bare.load(scratch / f"bare {file.stem}{number}", file))
    times = ratio(ours, scripts)
    text = f"{max(ours):,.0f} readings/s = {times} x the script"
    return Line(what, "0.5 x a bare script", text, times.best >= 0.5)


def _generate(file: Path) -> None:
    dice = random.Random(1)
    names = [f"place-{number}" for number in range(SENSORS)]
    at = datetime(2025, 1, 1, tzinfo=UTC)
    values = [dice.randrange(50, 500) for _ in names]
    with file.open("w", encoding="utf-8") as out:
        out.write(",".join(["hour_utc", *names]) + "\n")
        for hour in range(HOURS):
            values = [max(0, value + dice.randrange(-9, 10)) for value in values]
            moment = (at + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%MZ")
            out.write(",".join([moment, *map(str, values)]) + "\n")


def _load(folder: Path, file: Path) -> tuple[float, int]:
    """Seconds from the file to the last commit, and how many readings."""
    make_city(folder)

    async def run() -> tuple[float, int]:
        running = await open_city(read_config(folder), SystemClock())
        work = Load(
            running.store,
            lambda action: running.gate.permit("internal:load", RUN, action),
            running.clock,
            read_map(MAP),
            file,
            folder / "rejects.csv",
        )
        began = time.perf_counter()
        totals = await asyncio.to_thread(work.run)
        seconds = time.perf_counter() - began
        running.close()
        return seconds, totals.new

    return asyncio.run(run())
