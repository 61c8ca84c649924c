# SPDX-License-Identifier: EUPL-1.2
"""Intervals that keep their word: each place's width follows how often it was right lately.

Online conformal prediction (Gibbs and Candes 2021, by quantile tracking): after each outcome the
width grows when it fell outside and shrinks a little when inside, in such a measure that in the
long run 80 % fall inside, whatever the model is worth.
"""

from __future__ import annotations

import numpy as np

from poorter.forecast.table import Values

COVERAGE = 0.8
RATE = 0.03


def track(
    middle: Values, spread: Values, truth: Values, horizon: int, coverage: float = COVERAGE
) -> tuple[Values, Values]:
    """(low, high) for each hour and place, each from outcomes known by then.

    `spread`: the model's own idea of the error's size. The outcome of hour t is known at
    t + horizon, so the width at t has seen those up to t - horizon.
    """
    low, high = np.full_like(middle, np.nan), np.full_like(middle, np.nan)
    log_width = np.zeros(middle.shape[1])
    for at in range(len(middle)):
        known = at - horizon
        if known >= 0:
            inside = (truth[known] >= low[known]) & (truth[known] <= high[known])
            step = np.where(inside, -RATE * (1 - coverage), RATE * coverage)
            counts = ~(np.isnan(truth[known]) | np.isnan(low[known]))
            log_width = np.clip(log_width + np.where(counts, step, 0.0), -8.0, 8.0)
        half = np.exp(log_width) * spread[at]
        low[at], high[at] = middle[at] - half, middle[at] + half
    return low, high
