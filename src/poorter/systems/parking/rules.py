# SPDX-License-Identifier: EUPL-1.2
"""Pure rules: what a place costs a traveller, how likely it is full, what a sign should say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from poorter.city.place import distance_m
from poorter.city.text import Text
from poorter.city.time import HOUR_US
from poorter.systems.parking.model import Place

#: straight line to street distance; 1.3 is usual in European towns (Boscoe e.a. 2012: 1.2-1.4)
DETOUR = 1.3
DRIVE_KM_H = 22.0
WALK_KM_H = 4.8
#: a minute on foot weighs as one and a half in the car (CPB/KiM, value of travel time)
WALK_WEIGHT = 1.5
EURO_AN_HOUR = 12.0
#: minutes lost when a place is full on arrival: on to the next
FULL_MINUTES = 14.0
FEW_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Expected:
    """Free units expected at a moment, with the 80 % interval."""

    free: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a place costs one traveller: each part, and all of it in minutes in the car."""

    drive_minutes: float | None
    walk_minutes: float
    price_eur: float | None
    risk_full: float
    cost_minutes: float


def at_moment(points: Sequence[tuple[int, Expected]], moment_us: int) -> Expected | None:
    """The forecast at a moment, between the hours it was made for; None outside them."""
    if not points or moment_us < points[0][0] or moment_us > points[-1][0]:
        return None
    for (start_us, before), (end_us, after) in pairwise(points):
        if start_us <= moment_us <= end_us:
            part = (moment_us - start_us) / max(1, end_us - start_us)
            return Expected(
                *(
                    a + (b - a) * part
                    for a, b in (
                        (before.free, after.free),
                        (before.low, after.low),
                        (before.high, after.high),
                    )
                )
            )
    return points[-1][1]


def risk_full(expected: Expected, claimed: float, crowd: float | None, total: int | None) -> float:
    """Chance that nothing is free on arrival.

    `claimed`: units spoken for that no sensor counts yet (held, or announced to be coming).
    `crowd`: how busy the streets nearby will be, 1 is usual; above that the forecast of free
    units is lowered by up to a twentieth of the place and made less certain.
    """
    middle = expected.free - claimed
    spread = max((expected.high - expected.low) / 2 / 1.2816, 0.75)
    if crowd is not None and crowd > 1:
        excess = min(crowd - 1, 1.0)
        middle -= 0.05 * (total or 0) * excess
        spread *= 1 + excess / 2
    return 0.5 * (1 + math.erf((0.5 - middle) / spread / math.sqrt(2)))


def cost(
    place: Place,
    destination: tuple[float, float],
    origin: tuple[float, float] | None,
    stay_minutes: float,
    risk: float,
) -> Cost:
    """All that counts, in minutes. Raises ValueError for a place without a position."""
    if place.position is None:
        raise ValueError("the place has no position")
    walk_minutes = distance_m(place.position, destination) * DETOUR / (WALK_KM_H * 1000 / 60)
    drive_minutes = None
    if origin is not None:
        drive_minutes = distance_m(origin, place.position) * DETOUR / (DRIVE_KM_H * 1000 / 60)
    price_eur = None
    if place.price_per_hour is not None:
        price_eur = place.price_per_hour * stay_minutes / 60
    total = (
        (drive_minutes or 0.0)
        + 2 * walk_minutes * WALK_WEIGHT  # there and back
        + (price_eur or 0.0) / EURO_AN_HOUR * 60
        + risk * FULL_MINUTES
    )
    return Cost(drive_minutes, walk_minutes, price_eur, risk, total)


def wanted_sign(place: Place, held: int, fresh: bool) -> str | None:
    """What the sign should say; None while it can't be known: an old count is no ground."""
    if place.closed:
        return "closed"
    if not fresh or place.free is None:
        return None
    left = place.free - held
    if left <= 0:
        return "full"
    if place.total and left < FEW_SHARE * place.total:
        return "few"
    return "free"


def is_stuck(values: Sequence[tuple[int, float]], usual_changes: float) -> bool:
    """A count that stands still for six hours while its place usually moves is a stuck sensor.

    `values`: hourly means, oldest first; `usual_changes`: mean change an hour in the past weeks.
    """
    recent = [value for _, value in values[-7:]]
    return len(recent) == 7 and max(recent) == min(recent) and usual_changes > 1


def reasons(place: Place, found: Cost, expected: Expected | None, way: int) -> list[Text]:
    """Why this advice, in sentences."""
    walk = round(found.walk_minutes)
    said = [
        Text(
            f"{walk} {'minuut' if walk == 1 else 'minuten'} lopen naar uw bestemming.",
            f"{walk} {'minute' if walk == 1 else 'minutes'} on foot from there.",
        )
    ]
    if expected is not None:
        free, low, high = (round(v) for v in (expected.free, expected.low, expected.high))
        said.append(
            Text(
                f"Bij aankomst verwachten wij {free} vrije plekken ({low} tot {high}).",
                f"We expect {free} free places when you arrive ({low} to {high}).",
            )
        )
    if way:
        said.append(
            Text(
                f"{way} {'ander is' if way == 1 else 'anderen zijn'} al onderweg hierheen.",
                f"{way} {'other is' if way == 1 else 'others are'} on the way here.",
            )
        )
    if found.price_eur is not None:
        said.append(
            Text(
                f"Dit kost u {found.price_eur:.2f} euro.".replace(".", ",", 1),
                f"This costs you {found.price_eur:.2f} euro.",
            )
        )
    if found.risk_full >= 0.05:
        share = round(100 * found.risk_full)
        said.append(
            Text(
                f"De kans dat het vol is: {share} procent.",
                f"Chance that it is full: {share} percent.",
            )
        )
    return said


def hour_of(at_us: int) -> int:
    """Hours since 1970."""
    return at_us // HOUR_US
