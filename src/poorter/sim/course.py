# SPDX-License-Identifier: EUPL-1.2
"""The course of the days in Poorterstad: seeded, so the same seed gives the same readings."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from poorter.city.time import HOUR_US, MINUTE_US, SECOND_US
from poorter.sim.plan import GARAGES, STREETS, Garage, Rhythm, Street
from poorter.store.contract import Reading

ZONE = ZoneInfo("Europe/Amsterdam")
COUNT_STEP_US = 15 * MINUTE_US
PEOPLE_STEP_US = HOUR_US

#: share taken by hour of the day, working day and weekend
_SHARES: dict[Rhythm, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "shops": (
        (8, 6, 5, 5, 5, 6, 9, 16, 30, 45, 60, 70, 74, 78, 80, 76, 70, 60, 48, 40, 32, 24, 16, 10),
        (8, 6, 5, 5, 5, 5, 6, 9, 18, 38, 62, 82, 92, 97, 98, 94, 84, 64, 44, 34, 28, 22, 16, 10),
    ),
    "offices": (
        (
            10,
            9,
            9,
            9,
            9,
            10,
            16,
            38,
            72,
            90,
            94,
            94,
            88,
            90,
            92,
            88,
            74,
            48,
            28,
            20,
            16,
            14,
            12,
            10,
        ),
        (8, 8, 8, 8, 8, 8, 8, 10, 14, 20, 26, 30, 30, 30, 28, 24, 20, 18, 16, 14, 12, 10, 9, 8),
    ),
    "evening": (
        (12, 9, 8, 7, 7, 7, 9, 14, 20, 24, 28, 32, 36, 36, 34, 34, 38, 46, 66, 84, 86, 74, 44, 22),
        (18, 12, 9, 8, 8, 8, 8, 10, 14, 20, 28, 40, 50, 56, 56, 54, 56, 66, 82, 96, 97, 88, 60, 32),
    ),
    "station": (
        (
            14,
            13,
            13,
            13,
            14,
            20,
            42,
            74,
            90,
            94,
            95,
            95,
            94,
            93,
            91,
            86,
            74,
            52,
            34,
            27,
            22,
            19,
            17,
            15,
        ),
        (
            14,
            14,
            13,
            13,
            13,
            14,
            16,
            20,
            28,
            36,
            44,
            50,
            52,
            52,
            50,
            46,
            40,
            34,
            28,
            24,
            20,
            18,
            16,
            15,
        ),
    ),
    "overflow": ((2,) * 24, (2,) * 8 + (6, 12, 20, 28, 34, 36, 34, 28, 20, 12, 8, 6, 4, 3, 2, 2)),
}


@lru_cache(maxsize=4096)
def _mood(seed: int, key: str, day: int) -> tuple[float, float]:
    """How full a day is against the usual one, and how much later it runs, in hours."""
    town = random.Random(f"{seed}:town:{day}").gauss(0, 0.05)
    own = random.Random(f"{seed}:{key}:{day}")
    return 1 + town + own.gauss(0, 0.05), own.gauss(0, 0.35)


def share_taken(seed: int, key: str, rhythm: Rhythm, at_us: int) -> float:
    """Share of a place that is taken, 0 to 1."""
    local = datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(ZONE)
    strength, late = _mood(seed, key, local.toordinal())
    shares = _SHARES[rhythm][1 if local.weekday() >= 5 else 0]
    hour = local.hour + local.minute / 60 - late
    before, part = math.floor(hour), hour - math.floor(hour)
    level = shares[before % 24] * (1 - part) + shares[(before + 1) % 24] * part
    ripple = random.Random(f"{seed}:{key}:{at_us // COUNT_STEP_US}").gauss(0, 0.012)
    return min(max(level / 100 * strength + ripple, 0.0), 1.0)


def free_places(seed: int, garage: Garage, at_us: int) -> int:
    """Free units of a garage at a moment."""
    taken = share_taken(seed, garage.key, garage.rhythm, at_us)
    return round(garage.total * (1 - taken))


def badge_free(seed: int, garage: Garage, at_us: int) -> int:
    """Free blue-badge units: emptier than the rest."""
    taken = share_taken(seed, f"{garage.key}/badge", garage.rhythm, at_us) * 0.8
    return round(garage.badge * (1 - taken))


def people(seed: int, street: Street, at_us: int) -> int:
    """People an hour in a street."""
    return round(street.busy * share_taken(seed, street.key, street.rhythm, at_us))


def garage_urn(garage: Garage) -> str:
    """Id of a garage."""
    return f"urn:ngsi-ld:OffStreetParking:{garage.key}"


def street_urn(street: Street) -> str:
    """Id of a counter."""
    return f"urn:ngsi-ld:CrowdFlowObserved:{street.key}"


def counts(seed: int, from_us: int, until_us: int, faults_us: int) -> Iterator[Reading]:
    """Readings of the garages in [from, until). At `faults_us` the faulty ones begin to fail."""
    start_us = from_us // COUNT_STEP_US * COUNT_STEP_US
    for garage in GARAGES:
        urn = garage_urn(garage)
        for at_us in range(start_us, until_us, COUNT_STEP_US):
            if garage.fault == "silent" and at_us > faults_us + 5 * HOUR_US:
                break
            seen_us = faults_us if garage.fault == "stuck" and at_us > faults_us else at_us
            free = free_places(seed, garage, seen_us)
            yield Reading(urn, "availableSpotNumber", at_us, free)
            if garage.badge:
                free = badge_free(seed, garage, seen_us)
                yield Reading(urn, "availableDisabledSpotNumber", at_us, free)


def footfall(seed: int, from_us: int, until_us: int) -> Iterator[Reading]:
    """Readings of the counters in [from, until), by the hour."""
    start_us = from_us // PEOPLE_STEP_US * PEOPLE_STEP_US
    for street in STREETS:
        for at_us in range(start_us, until_us, PEOPLE_STEP_US):
            yield Reading(street_urn(street), "peopleCount", at_us, people(seed, street, at_us))
