# SPDX-License-Identifier: EUPL-1.2
"""Counters and how busy is busy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from poorter.city.entity import Entity
from poorter.city.place import centre
from poorter.city.time import HOUR_US

COUNTER = "CrowdFlowObserved"
FORECAST = "CrowdForecast"
COUNT = "peopleCount"
OLD_AFTER_US = 2 * HOUR_US
SILENT_AFTER_US = 6 * HOUR_US

Level = Literal["quiet", "normal", "busy", "very-busy"]
Freshness = Literal["fresh", "old", "silent"]


@dataclass(frozen=True, slots=True)
class Counter:
    """A place where people are counted. None: not known, never zero."""

    urn: str
    name: str
    position: tuple[float, float] | None
    count: int | None
    observed_at_us: int | None

    def freshness(self, now_us: int) -> Freshness:
        """Whether the count is fresh, old, or the counter silent."""
        if self.observed_at_us is None or now_us - self.observed_at_us > SILENT_AFTER_US:
            return "silent"
        return "old" if now_us - self.observed_at_us > OLD_AFTER_US else "fresh"


def read_counter(entity: Entity) -> Counter:
    """A CrowdFlowObserved entity (Smart Data Models) as a counter."""
    count = entity.get(COUNT)
    location, name = entity.geometry(), entity.value("name")
    value = count.value if count is not None else None
    return Counter(
        entity.urn,
        name if isinstance(name, str) else entity.urn.rpartition(":")[2],
        centre(location) if isinstance(location, Mapping) else None,
        int(value) if isinstance(value, int | float) and value >= 0 else None,
        count.observed_at_us if count is not None else None,
    )


def level_of(busyness: float | None) -> Level | None:
    """In words, against what is usual at this hour of the week (1)."""
    if busyness is None:
        return None
    if busyness < 0.7:
        return "quiet"
    if busyness < 1.3:
        return "normal"
    return "busy" if busyness < 1.8 else "very-busy"


def busyness(count: float | None, usual: float | None, floor: float) -> float | None:
    """Count against usual. `floor`: below so many people a difference says nothing."""
    if count is None or usual is None:
        return None
    return max(count, floor) / max(usual, floor)
