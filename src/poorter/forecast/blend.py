# SPDX-License-Identifier: EUPL-1.2
"""How far to trust a model at each place: by how it did there lately, from known outcomes only.

Some places move less than a model of all places thinks, and some hardly at all. Of a few shares of
the move that the model forecasts, none of it and what is usual at this hour among them, each place
follows the one that was nearest to the truth so far; what is longer ago counts less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poorter.forecast.table import Values

#: shares of the model's move that a place may follow; the first stands until another is better
SHARES = (1.0, 0.85, 0.7, 0.5, 0.25, 0.0)
HALF_LIFE_HOURS = 24 * 45
#: another one must have been better by this much
MARGIN = 0.005


def follow(moves: Values, usual: Values, truth: Values, horizon: int) -> Values:
    """Moves to forecast [hour, place], each from outcomes known by then.

    `moves`: what the model says, `usual`: how this hour usually goes, `truth`: what then happened;
    the outcome of hour t is known at t + horizon.
    """
    told = np.where(np.isnan(usual), 0.0, usual)
    experts = np.stack([*(share * moves for share in SHARES), told, (moves + told) / 2])
    missed = np.abs(experts - truth)
    fade = 0.5 ** (1 / HALF_LIFE_HOURS)
    lost = np.zeros((len(experts), moves.shape[1]))
    bias = 1 - MARGIN * (np.arange(len(experts)) == 0)[:, None]
    chosen = np.empty_like(moves)
    columns = np.arange(moves.shape[1])
    for at in range(len(moves)):
        known = at - horizon
        if known >= 0:
            seen = ~np.isnan(missed[:, known]).any(axis=0)
            lost[:, seen] = lost[:, seen] * fade + missed[:, known][:, seen]
        chosen[at] = experts[np.argmin(lost * bias, axis=0), at, columns]
    return chosen


def counts_whole(past: Values) -> NDArray[np.bool_]:
    """By place: whether all that was counted there so far were whole numbers."""
    return np.asarray((np.isnan(past) | (past == np.round(past))).all(axis=0))


def whole(
    middle: Values, low: Values, high: Values, places: NDArray[np.bool_]
) -> tuple[Values, Values, Values]:
    """(middle, low, high) with the middle a whole number at `places` that count in those, since the
    count that is as likely exceeded as not is one of them; the interval reaches to it."""
    told = np.where(places, np.round(middle), middle)
    return told, np.minimum(low, told), np.maximum(high, told)


def possible(values: Values, capacity: Values, most: Values) -> Values:
    """Not below zero, and not over the capacity where one is known; but a place may count what it
    did lately (`most`), whatever its capacity is said to be."""
    top = np.where(capacity > 0, np.fmax(capacity, most), np.inf)
    return np.clip(values, 0.0, top)
