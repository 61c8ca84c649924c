# SPDX-License-Identifier: EUPL-1.2
"""Requests by face and status, and how long they took: a list and a dict, which cost little."""

from __future__ import annotations

from bisect import bisect_left

#: upper bounds of the histogram, seconds
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Tally:
    """Of one face of the city."""

    __slots__ = ("buckets", "statuses", "total_s")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def took(self, seconds: float, status: int) -> None:
        """A request more, this long, with this answer."""
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds
        self.statuses[status] = self.statuses.get(status, 0) + 1
