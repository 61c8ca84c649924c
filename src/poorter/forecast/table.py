# SPDX-License-Identifier: EUPL-1.2
"""A table of counts by hour and place. What is missing is NaN.

Values that can't be are made missing by what was known before them only: below zero, or over twice
the known capacity, or over three times the most that was seen in all hours before. Where such a
value goes on for a week the place has grown, and it is believed from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

Hours = NDArray[np.int64]
Values = NDArray[np.float64]
#: so many hours must have been seen before "more than ever" means anything
SEEN_MIN = 24 * 7
#: so many hours in a row over what can be mean that the place has grown
GROWN_HOURS = 24 * 7
CARRY_HOURS = 24
SILENT_HOURS = 6


@dataclass(frozen=True, slots=True)
class Table:
    """`values[hour, place]`; `hours` is gapless, hours since 1970 UTC. `capacity` NaN: unknown."""

    hours: Hours
    places: tuple[str, ...]
    values: Values
    capacity: Values

    def last(self, hours: int) -> Table:
        """The last so many hours of it, all of it when it has fewer."""
        return Table(self.hours[-hours:], self.places, self.values[-hours:], self.capacity)


def carried(values: Values) -> Values:
    """A long table often tells changes only: a count stands until the next one, for a day at most,
    and not while the whole source has been silent for over six hours."""
    filled = values.copy()
    alive = -SILENT_HOURS - 1
    since = np.full(values.shape[1], CARRY_HOURS + 1)
    for at in range(len(values)):
        known = ~np.isnan(values[at])
        if known.any():
            alive = at
        since = np.where(known, 0, since + 1)
        stands = (since > 0) & (since <= CARRY_HOURS) & (at - alive <= SILENT_HOURS)
        if at:
            filled[at, stands] = filled[at - 1, stands]
    return filled


def clean(values: Values, capacity: Values) -> Values:
    """Make missing what can't be, going by what came before only."""
    cleaned = values.copy()
    cleaned[~np.isfinite(cleaned) | (cleaned < 0)] = np.nan
    for column in range(cleaned.shape[1]):
        top = 2 * capacity[column] if capacity[column] > 0 else np.inf
        _drop_leaps(cleaned[:, column], float(top))
    return cleaned


def _drop_leaps(series: Values, top: float) -> None:
    """Over `top`, or three times what was ever seen: a sentinel, unless it goes on. In place."""
    most, seen, over = 0.0, 0, 0
    for at, value in enumerate(series.tolist()):
        if isnan(value):
            continue
        if value > top or (seen >= SEEN_MIN and value > 3 * most + 10):
            over += 1
            if over <= GROWN_HOURS:
                series[at] = np.nan
                continue
            top = np.inf
        over = 0
        most = max(most, value)
        seen += 1
