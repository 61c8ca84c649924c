# SPDX-License-Identifier: EUPL-1.2
"""The quick forecast: the usual course of a week, and how today departs from it.

What is usual at an hour of the week is a median over the past weeks. Today's departure from it
fades with the horizon by a factor fitted on the same past (a regression through the origin), and
the interval is what remained unexplained there. Missing hours stay missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hours = NDArray[np.int64]
Values = NDArray[np.float64]

HOURS_A_WEEK = 168
SAMPLES_MIN = 3
PAIRS_MIN = 24
#: 80 %: a tenth on each side
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Point:
    """What is expected at an hour: the middle and an 80 % interval."""

    hour: int
    mean: float
    low: float
    high: float


def hourly(points: list[tuple[int, float]]) -> tuple[Hours, Values]:
    """(hour since 1970, value) pairs to a gapless series; hours without a value are NaN."""
    if not points:
        return np.empty(0, np.int64), np.empty(0)
    first, last = points[0][0], points[-1][0]
    hours = np.arange(first, last + 1, dtype=np.int64)
    values = np.full(len(hours), np.nan)
    for hour, value in points:
        values[hour - first] = value
    return hours, values


def usual(hours: Hours, values: Values) -> Values:
    """Medians by hour of the week (168 values); where there are too few, by hour of the day."""
    by_week = np.full(HOURS_A_WEEK, np.nan)
    week_hours = hours % HOURS_A_WEEK
    known = ~np.isnan(values)
    for slot in range(HOURS_A_WEEK):
        found = values[known & (week_hours == slot)]
        if len(found) < SAMPLES_MIN:
            found = values[known & (week_hours % 24 == slot % 24)]
        if len(found):
            by_week[slot] = float(np.median(found))
    return by_week


def forecast(
    hours: Hours,
    values: Values,
    ahead: range,
    lowest: float = 0.0,
    highest: float | None = None,
) -> list[Point]:
    """Points for `ahead` hours after the last of the series. Empty when there is nothing to go by.

    `lowest` and `highest` bound what can be (no fewer than none free, no more than there are).
    """
    if len(hours) == 0 or np.isnan(values).all():
        return []
    profile = usual(hours, values)
    departure = values - profile[hours % HOURS_A_WEEK]
    now = _latest(departure)
    points = []
    for step in ahead:
        hour = int(hours[-1]) + step
        base = profile[hour % HOURS_A_WEEK]
        if np.isnan(base):
            continue
        factor, low, high = _fade(departure, step)
        middle = base + factor * now
        bounds = [middle + low, middle, middle + high]
        low, middle, high = (_clip(value, lowest, highest) for value in bounds)
        points.append(Point(hour, middle, low, high))
    return points


def _latest(departure: Values) -> float:
    """Today's departure: the mean of the last three known hours' weights 4, 2, 1."""
    total = weights = 0.0
    for back, weight in ((1, 4.0), (2, 2.0), (3, 1.0)):
        if len(departure) >= back and not np.isnan(departure[-back]):
            total += weight * float(departure[-back])
            weights += weight
    return total / weights if weights else 0.0


def _fade(departure: Values, step: int) -> tuple[float, float, float]:
    """How much of a departure is left after `step` hours, and the 80 % interval around that."""
    if len(departure) <= step:
        return 0.0, 0.0, 0.0
    then, later = departure[:-step], departure[step:]
    known = ~(np.isnan(then) | np.isnan(later))
    then, later = then[known], later[known]
    if len(then) < PAIRS_MIN:
        spread = float(np.nanstd(departure)) if not np.isnan(departure).all() else 0.0
        return 0.5**step, -1.28 * spread, 1.28 * spread
    power = float(then @ then)
    factor = float(then @ later) / power if power > 0 else 0.0
    factor = min(max(factor, 0.0), 1.0)
    rest = later - factor * then
    low, high = np.quantile(rest, (LOW, HIGH)) * _unseen(len(departure))
    return factor, float(low), float(high)


def _unseen(hours: int) -> float:
    """How much wider an hour not yet seen spreads than those that the medians were taken from.

    A median of n has 1.57/n of the variance of one value (normal errors): a value that took part
    in it lies closer by that much, a new one farther.
    """
    share = min(1.57 / max(hours / HOURS_A_WEEK, 2.0), 0.7)
    return float(np.sqrt((1 + share) / (1 - share)))


def _clip(value: float, lowest: float, highest: float | None) -> float:
    value = max(float(value), lowest)
    return value if highest is None else min(value, highest)
