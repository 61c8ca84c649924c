# SPDX-License-Identifier: EUPL-1.2
"""How good the forecast is, never looking ahead: python -m poorter.forecast.backtest.

Each quarter of the test year is forecast by a model trained on what came before it. A point
counts where the count now, the same hour last week, and the outcome are known; the first two are
known before the forecast. The baseline of a place is the better of persistence and same hour last
week on the very same points. Nothing here was chosen on the test year: parameters come from the
year before it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poorter.city.errors import CityError, Invalid
from poorter.forecast.boosted import Kind, available, fit
from poorter.forecast.features import STILL_MAX, WEEK, make_rows, scales, shifted, still
from poorter.forecast.interval import track
from poorter.forecast.table import Table, Values, read_table

HOURS_A_MONTH = 730
TRAIN_HOURS = 24 * 365 * 3
WARM_HOURS = 24 * 60
REFIT_MONTHS = 3
POINTS_MIN = 1


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
    rows, names = make_rows(table, horizon, zone)
    scale = scales(table.values)
    total = len(table.hours)
    start = max(total - months * HOURS_A_MONTH, WARM_HOURS + WEEK * 8)
    if start >= total:
        weeks = -(-(WARM_HOURS + WEEK * 8) // WEEK)
        raise Invalid(f"{total} hours are too few to judge by: {weeks} weeks at least, and some")
    begin = start - WARM_HOURS
    change = (_ahead(table.values, horizon) - table.values) / scale
    middle = np.full((total - begin, len(table.places)), np.nan)
    spread = np.full_like(middle, np.nan)
    for first, last in _quarters(begin, start, total):
        known = slice(max(0, first - TRAIN_HOURS), first - horizon)  # outcomes known at `first`
        usable = ~(np.isnan(change[known]) | np.isnan(table.values[known]))
        model = fit(kind, rows[known][usable], change[known][usable], names)
        block = slice(first, last)
        flat = rows[block].reshape(-1, len(names))
        moved, size = model.predict(flat)
        shape = table.values[block].shape
        moves = np.where(still(table.values)[block] >= STILL_MAX, 0.0, moved.reshape(shape))
        middle[first - begin : last - begin] = table.values[block] + moves * scale[block]
        spread[first - begin : last - begin] = size.reshape(shape) * scale[block]
    middle = _possible(middle, table.capacity)
    truth = _ahead(table.values, horizon)[begin:]
    low, high = track(middle, spread, truth, horizon)
    skip = start - begin
    return middle[skip:], np.maximum(low[skip:], 0.0), high[skip:], start


def _quarters(begin: int, start: int, total: int) -> Iterator[tuple[int, int]]:
    """Spans that one model forecasts: the warm-up of the intervals, then quarters."""
    yield begin, start
    for first in range(start, total, REFIT_MONTHS * HOURS_A_MONTH):
        yield first, min(first + REFIT_MONTHS * HOURS_A_MONTH, total)


def _ahead(values: Values, horizon: int) -> Values:
    """values[t + horizon]: outcomes, for training on the past and for judging only."""
    moved = np.full_like(values, np.nan)
    moved[:-horizon] = values[horizon:]
    return moved


def _possible(middle: Values, capacity: Values) -> Values:
    top = np.where(capacity > 0, capacity * 1.5, np.inf)
    return np.clip(middle, 0.0, top)


def evaluate(table: Table, horizon: int, months: int, kind: Kind, zone: str) -> list[Result]:
    """Every place, losses included."""
    middle, low, high, start = forecast_year(table, horizon, months, kind, zone)
    truth = _ahead(table.values, horizon)[start:]
    now = table.values[start:]
    last_week = shifted(table.values, WEEK - horizon)[start:]
    counts = ~(np.isnan(truth) | np.isnan(now) | np.isnan(last_week))
    live = _live(table.values[max(0, start - 24 * 365) : start])
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


def _live(past: Values) -> NDArray[np.bool_]:
    """Places whose count moved in at least a tenth of the known hours of the year before."""
    moves = np.diff(past, axis=0)
    known = np.maximum((~np.isnan(moves)).sum(axis=0), 1)
    return np.asarray((np.nan_to_num(moves) != 0).sum(axis=0) / known >= 0.1)


def _mean_error(guess: Values, actual: Values) -> float:
    return float(np.mean(np.abs(guess - actual)))


def lines(results: list[Result], horizon: int) -> Iterator[str]:
    """The table, and what it comes to."""
    yield f"{horizon} h ahead"
    yield "place".ljust(44) + " points    error  persist     week  ratio  cover"
    for r in sorted(results, key=lambda r: r.ratio):
        mark = "" if r.live else "  (not live)"
        yield (
            f"{r.place:44.44} {r.points:6d} {r.error:8.2f} {r.persistence:8.2f} "
            f"{r.last_week:8.2f} {r.ratio:6.3f} {r.covered:6.1%}{mark}"
        )
    if not results:
        yield "no place has a count now, a week before, and an outcome at the same hours"
        return
    ratios = [r.ratio for r in results]
    living = [r.ratio for r in results if r.live]
    points = sum(r.points for r in results)
    pooled = sum(r.covered * r.points for r in results) / points
    good = sum(0.75 <= r.covered <= 0.85 for r in results) / len(results)
    worse = sum(ratio >= 1 for ratio in ratios)
    yield (
        f"median ratio over all {len(ratios)} places {np.median(ratios):.3f}, over {len(living)} "
        f"live ones {np.median(living) if living else np.nan:.3f}; {worse} lose"
    )
    yield f"80 % intervals: {pooled:.1%} pooled, {good:.0%} of places between 75 and 85 %"


def main(argv: list[str] | None = None) -> int:
    """Print the table for each horizon."""
    parser = argparse.ArgumentParser(
        prog="python -m poorter.forecast.backtest", description=__doc__
    )
    parser.add_argument("--hourly", type=Path, required=True, help="wide or long CSV of counts")
    parser.add_argument("--places", type=Path, help="CSV with place_id and num_all (capacity)")
    parser.add_argument("--months", type=int, default=12, help="how many of the last months")
    parser.add_argument("--horizon", type=int, action="append", help="hours ahead (1 and 3)")
    parser.add_argument("--zone", default="UTC", help="the city's time zone")
    parser.add_argument("--model", choices=["boosted", "numpy"], default=available())
    chosen = parser.parse_args(argv)
    started = time.perf_counter()
    try:
        return _run(chosen, sys.stdout.write, started)
    except (CityError, OSError, UnicodeDecodeError) as wrong:
        sys.stderr.write(f"backtest: {wrong}\n")
        return 1


def _run(chosen: argparse.Namespace, out: Callable[[str], int], started: float) -> int:
    table = read_table(chosen.hourly, chosen.places)
    out(f"{len(table.places)} places, {len(table.hours)} hours; model: {chosen.model}\n")
    for horizon in chosen.horizon or [1, 3]:
        found = evaluate(table, horizon, chosen.months, chosen.model, chosen.zone)
        out("\n".join(["", *lines(found, horizon), ""]))
    out(f"{time.perf_counter() - started:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
