# SPDX-License-Identifier: EUPL-1.2
"""How good the forecast is, never looking ahead: python -m poorter.forecast.backtest.

Each quarter of the test year is forecast by a model trained on what came before it; of a record
of a few months the last third is judged, and the model is made anew more often. A point counts
where the count now, the same hour last week, and the outcome are known; the first two are known
before the forecast. The baseline of a place is the better of persistence and same hour last week
on the very same points. Nothing here was chosen on the test year: parameters come from the year
before it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poorter.city.errors import CityError, Invalid
from poorter.forecast.blend import counts_whole, follow, possible, whole
from poorter.forecast.boosted import ROWS_MIN, Kind, available, fit
from poorter.forecast.features import (
    SCALE_HOURS,
    STILL_MAX,
    WEEK,
    Rows,
    make_rows,
    scales,
    shifted,
    still,
)
from poorter.forecast.interval import track
from poorter.forecast.reading import Hints, read_table
from poorter.forecast.table import Table, Values

HOURS_A_MONTH = 730
TRAIN_HOURS = 24 * 365 * 3
WARM_HOURS = 24 * 60
#: with this behind them all months asked for can be judged; without it a third of what there is
KNOWN_HOURS = WARM_HOURS + WEEK * 8
LEAST_HOURS = WEEK * 6
REFIT_HOURS = 3 * HOURS_A_MONTH
POINTS_MIN = 1
#: hours times places that are looked at: keeps memory under about 4 GB
CELLS_MAX = 8_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """One place at one horizon. Errors in units counted; `live`: it moved in the year before."""

    place: str
    points: int
    error: float
    persistence: float
    last_week: float
    covered: float
    width: float
    live: bool

    @property
    def ratio(self) -> float:
        """Against the better baseline; a place that never moves has none to be better than."""
        best = min(self.persistence, self.last_week)
        if best == 0:
            return 1.0 if self.error < 1e-9 else np.inf
        return self.error / best


def forecast_year(
    table: Table, horizon: int, months: int, kind: Kind, zone: str
) -> tuple[Values, Values, Values, int]:
    """(middle, low, high)[hour, place] from `start` on, and that start. Row t is made at hour t."""
    total = len(table.hours)
    if total < LEAST_HOURS:
        raise Invalid(
            f"{total} hours are too few to judge by: {LEAST_HOURS // WEEK} weeks at least"
        )
    start = max(total - months * HOURS_A_MONTH, min(KNOWN_HOURS, total * 2 // 3))
    begin = start - min(WARM_HOURS, start // 3)
    rows, names = make_rows(table, horizon, zone)
    scale, stands = scales(table.values), still(table.values) >= STILL_MAX
    change = (_ahead(table.values, horizon) - table.values) / scale
    moves, spread = (np.full((total - begin, len(table.places)), np.nan) for _ in range(2))
    for first, last in _quarters(begin, start, total):
        known = slice(max(0, first - TRAIN_HOURS), first - horizon)  # outcomes known at `first`
        usable = ~np.isnan(change[known])
        block = slice(first, last)
        moved, size = _forecast(kind, rows, change, known, usable, block, names)
        moves[first - begin : last - begin] = np.where(stands[block], 0.0, moved)
        spread[first - begin : last - begin] = size
    usual = np.asarray(rows[begin:, :, names.index("week_course")], float)
    usual[stands[begin:]] = 0.0
    now, scale = table.values[begin:], scale[begin:]
    followed = follow(moves, usual, change[begin:], horizon)
    middle = possible(now + followed * scale, table.capacity, scale)
    truth = _ahead(table.values, horizon)[begin:]
    low, high = track(middle, spread * scale, truth, horizon)
    middle, low, high = whole(middle, low, high, counts_whole(table.values[:begin]))
    skip = start - begin
    return middle[skip:], np.maximum(low[skip:], 0.0), high[skip:], start


def _forecast(
    kind: Kind,
    rows: Rows,
    change: Values,
    known: slice,
    usable: NDArray[np.bool_],
    block: slice,
    names: list[str],
) -> tuple[Values, Values]:
    """(moves, sizes of the error) of a block by a model of what was `usable` before; what is usual
    where there was too little to learn from."""
    shape = rows[block].shape[:2]
    if usable.sum() < ROWS_MIN:
        usual = np.asarray(rows[block][:, :, names.index("week_course")], float)
        return np.where(np.isnan(usual), 0.0, usual), np.full(shape, 0.05)
    model = fit(kind, rows[known][usable], change[known][usable], names)
    moved, size = model.predict(rows[block].reshape(-1, len(names)))
    return moved.reshape(shape), size.reshape(shape)


def _quarters(begin: int, start: int, total: int) -> Iterator[tuple[int, int]]:
    """Spans that one model forecasts: the warm-up of the intervals, then quarters, or until what is
    known has grown by a quarter when that comes first."""
    yield begin, start
    while start < total:
        last = min(start + min(REFIT_HOURS, start // 4), total)
        yield start, last
        start = last


def _ahead(values: Values, horizon: int) -> Values:
    """values[t + horizon]: outcomes, for training on the past and for judging only."""
    moved = np.full_like(values, np.nan)
    moved[:-horizon] = values[horizon:]
    return moved


def evaluate(table: Table, horizon: int, months: int, kind: Kind, zone: str) -> list[Result]:
    """Every place, losses included."""
    table = needed(table, months)
    middle, low, high, start = forecast_year(table, horizon, months, kind, zone)
    truth = _ahead(table.values, horizon)[start:]
    now = table.values[start:]
    last_week = shifted(table.values, WEEK - horizon)[start:]
    counts = ~(np.isnan(truth) | np.isnan(now) | np.isnan(last_week))
    live = live_places(table.values[max(0, start - 24 * 365) : start])
    results = []
    for column, place in enumerate(table.places):
        chosen = counts[:, column]
        if chosen.sum() < POINTS_MIN:
            continue
        actual = truth[chosen, column]
        inside = (actual >= low[chosen, column]) & (actual <= high[chosen, column])
        results.append(
            Result(
                place,
                int(chosen.sum()),
                _mean_error(middle[chosen, column], actual),
                _mean_error(now[chosen, column], actual),
                _mean_error(last_week[chosen, column], actual),
                float(inside.mean()),
                float(np.mean(high[chosen, column] - low[chosen, column])),
                bool(live[column]),
            )
        )
    return results


def needed(table: Table, months: int) -> Table:
    """As much of the table as the months to judge, and what is learnt from, take."""
    hours = months * HOURS_A_MONTH + WARM_HOURS + TRAIN_HOURS + SCALE_HOURS
    return table.last(min(hours, CELLS_MAX // len(table.places)))


def live_places(past: Values) -> NDArray[np.bool_]:
    """Places whose count moved in at least a tenth of the known hours of the year before."""
    moves = np.diff(past, axis=0)
    known = np.maximum((~np.isnan(moves)).sum(axis=0), 1)
    return np.asarray((np.nan_to_num(moves) != 0).sum(axis=0) / known >= 0.1)


def _mean_error(guess: Values, actual: Values) -> float:
    return float(np.mean(np.abs(guess - actual)))


def lines(results: list[Result], horizon: int, places: Sequence[str] = ()) -> Iterator[str]:
    """The table, and what it comes to; `places` without a result are named too."""
    yield f"{horizon} h ahead"
    yield "place".ljust(44) + " points    error  persist     week  ratio  cover"
    for r in sorted(results, key=lambda r: r.ratio):
        mark = "" if r.live else "  (not live)"
        yield (
            f"{r.place:44.44} {r.points:6d} {r.error:8.2f} {r.persistence:8.2f} "
            f"{r.last_week:8.2f} {r.ratio:6.3f} {r.covered:6.1%}{mark}"
        )
    judged = {r.place for r in results}
    for place in places:
        if place not in judged:
            yield f"{place:44.44}      0  no count now, a week before, and an outcome at one hour"
    if not results:
        yield "no place has a count now, a week before, and an outcome at the same hours"
        return
    ratios = [r.ratio for r in results]
    living = [r.ratio for r in results if r.live]
    points = sum(r.points for r in results)
    pooled = sum(r.covered * r.points for r in results) / points
    good = sum(0.75 <= r.covered <= 0.85 for r in results) / len(results)
    worse = sum(ratio > 1 for ratio in ratios)
    yield (
        f"median ratio over all {len(ratios)} places {np.median(ratios):.3f}, over {len(living)} "
        f"live ones {np.median(living) if living else np.nan:.3f}; {worse} lose"
    )
    yield f"80 % intervals: {pooled:.1%} pooled, {good:.0%} of places between 75 and 85 %"


def main(argv: list[str] | None = None) -> int:
    """Print the table for each horizon."""
    chosen = _parser().parse_args(argv)
    started = time.perf_counter()
    try:
        return _run(chosen, sys.stdout.write, started)
    except (CityError, OSError) as wrong:
        sys.stderr.write(f"backtest: {wrong}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m poorter.forecast.backtest",
        description="How good the forecast is at each place, never looking ahead.",
    )
    add = parser.add_argument
    add("--hourly", type=Path, required=True, help="wide or long table of counts")
    add("--places", type=Path, help="table with place_id and num_all (capacity)")
    add("--months", type=int, default=12, help="how many of the last months (12)")
    add("--horizon", type=int, action="append", help="hours ahead, repeatable (1 and 3)")
    add("--zone", default="UTC", help="the city's time zone (UTC)")
    add("--local", action="store_true", help="times without a zone are in --zone, not UTC")
    add("--time", default="", help="name of the column of times, when it isn't plain")
    add("--time-format", default="", help="as strptime has it, when it isn't plain")
    add("--place", default="", help="name of the column of places, when it isn't plain")
    add("--count", default="", help="name of the column of counts, when it isn't plain")
    add("--model", choices=["boosted", "numpy"], default=available(), help="the best installed")
    return parser


def _run(chosen: argparse.Namespace, out: Callable[[str], int], started: float) -> int:
    if chosen.months < 1 or any(h < 1 or h > WEEK // 2 for h in chosen.horizon or ()):
        raise Invalid(f"months are 1 or more, horizons 1 to {WEEK // 2} hours")
    hints = Hints(chosen.time, chosen.place, chosen.count, chosen.time_format, chosen.local)
    table = read_table(chosen.hourly, chosen.places, chosen.zone, hints)
    first, last = (datetime.fromtimestamp(int(table.hours[at]) * 3600, UTC) for at in (0, -1))
    out(
        f"{len(table.places)} places, {len(table.hours)} hours from {first:%Y-%m-%d} to "
        f"{last:%Y-%m-%d}; model: {chosen.model}\n"
    )
    horizons = list(dict.fromkeys(chosen.horizon or [1, 3]))
    work = [(table, h, chosen.months, chosen.model, chosen.zone) for h in horizons]
    side_by_side = min(len(work), os.cpu_count() or 1)
    if side_by_side == 1:
        results = [evaluate(*one) for one in work]
    else:
        with ProcessPoolExecutor(side_by_side, get_context("spawn")) as processes:
            results = list(processes.map(evaluate, *zip(*work, strict=True)))
    for horizon, found in zip(horizons, results, strict=True):
        out("\n".join(["", *lines(found, horizon, table.places), ""]))
    out(f"{time.perf_counter() - started:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
