# SPDX-License-Identifier: EUPL-1.2
"""How good the forecast is as a running city makes it: python -m poorter.forecast.asrun.

In some windows of the last months it learns once from what came before, as a city does each night,
and then says what to expect every few hours, from the very functions that the city runs
(`live.learn` and `live.expect`). The table is that of the backtest, over fewer hours.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from poorter.city.errors import CityError, Invalid
from poorter.forecast.backtest import HOURS_A_MONTH, Result, lines, live_places
from poorter.forecast.boosted import Kind, available
from poorter.forecast.features import WEEK
from poorter.forecast.live import LEARN_HOURS_MIN, expect, learn
from poorter.forecast.reading import read_table
from poorter.forecast.seasonal import Point
from poorter.forecast.table import Table

LEARN_HOURS = 24 * 365 * 3
SEEN_HOURS = 24 * 72
#: a prime: forecasts are made at all hours of the day
EVERY_HOURS = 5


@dataclass(slots=True)
class _Missed:
    """What was missed at one place and horizon: by the forecast, persistence, and last week."""

    error: list[float] = field(default_factory=list)
    stay: list[float] = field(default_factory=list)
    week: list[float] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    width: list[float] = field(default_factory=list)


def judge(
    table: Table, horizons: list[int], windows: int, days: int, months: int, kind: Kind, zone: str
) -> dict[int, list[Result]]:
    """Every place by horizon. Raises: Invalid for too little history."""
    total = len(table.hours)
    starts = np.linspace(total - months * HOURS_A_MONTH, total - days * 24, windows).astype(int)
    if starts[0] < LEARN_HOURS_MIN:
        raise Invalid(f"{total} hours are too few: {LEARN_HOURS_MIN} before the first window")
    missed: dict[tuple[int, str], _Missed] = {}
    for start in starts.tolist():
        learnt = learn(_until(table, start, LEARN_HOURS), horizons, kind, zone)
        for now in range(start, min(start + days * 24, total - max(horizons)), EVERY_HOURS):
            for place, points in expect(learnt, _until(table, now, SEEN_HOURS)).items():
                _judge_one(table, now, place, points, missed)
    live = live_places(table.values[max(0, starts[0] - 24 * 365) : starts[0]])
    at = {place: column for column, place in enumerate(table.places)}
    return {
        horizon: [
            Result(
                place,
                len(own.error),
                float(np.mean(own.error)),
                float(np.mean(own.stay)),
                float(np.mean(own.week)),
                float(np.mean(own.inside)),
                float(np.mean(own.width)),
                bool(live[at[place]]),
            )
            for (h, place), own in missed.items()
            if h == horizon
        ]
        for horizon in horizons
    }


def _until(table: Table, end: int, hours: int) -> Table:
    """The hours before `end`, at most so many."""
    first = max(0, end - hours)
    values = table.values[first:end]
    return Table(table.hours[first:end], table.places, values, table.capacity)


def _judge_one(
    table: Table,
    now: int,
    place: str,
    points: list[Point],
    missed: dict[tuple[int, str], _Missed],
) -> None:
    column = table.places.index(place)
    present = table.values[now - 1, column]
    for point in points:
        row = point.hour - int(table.hours[0])
        truth, week = table.values[row, column], table.values[row - WEEK, column]
        if np.isnan([truth, week, present]).any():
            continue
        own = missed.setdefault((row - now + 1, place), _Missed())
        own.error.append(abs(point.mean - truth))
        own.stay.append(abs(present - truth))
        own.week.append(abs(week - truth))
        own.inside.append(bool(point.low <= truth <= point.high))
        own.width.append(point.high - point.low)


def main(argv: list[str] | None = None) -> int:
    """Print the table for each horizon."""
    parser = argparse.ArgumentParser(
        prog="python -m poorter.forecast.asrun",
        description="How good the forecast is as a running city makes it.",
    )
    add = parser.add_argument
    add("--hourly", type=Path, required=True, help="wide or long table of counts")
    add("--places", type=Path, help="table with place_id and num_all (capacity)")
    add("--zone", default="UTC", help="the city's time zone (UTC)")
    add("--months", type=int, default=12, help="over how many of the last months (12)")
    add("--windows", type=int, default=6, help="how often it learns anew (6)")
    add("--days", type=int, default=14, help="how many days it then forecasts (14)")
    add("--horizon", type=int, action="append", help="hours ahead, repeatable (1 and 3)")
    add("--model", choices=["boosted", "numpy"], default=available(), help="the best installed")
    chosen = parser.parse_args(argv)
    started = time.perf_counter()
    try:
        table = read_table(chosen.hourly, chosen.places, chosen.zone)
        found = judge(
            table,
            chosen.horizon or [1, 3],
            chosen.windows,
            chosen.days,
            chosen.months,
            chosen.model,
            chosen.zone,
        )
    except (CityError, OSError) as wrong:
        sys.stderr.write(f"asrun: {wrong}\n")
        return 1
    for line in _told(found, table):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{time.perf_counter() - started:.0f} s\n")
    return 0


def _told(found: dict[int, list[Result]], table: Table) -> Iterator[str]:
    for horizon, results in found.items():
        yield ""
        yield from lines(results, horizon, table.places)


if __name__ == "__main__":
    sys.exit(main())
