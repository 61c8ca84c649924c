# SPDX-License-Identifier: EUPL-1.2
"""Places and reservations: what they are, and which state of a reservation may follow which.

A reservation knows a place, a time and the hash of a token. No plate, no account, no name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict
from poorter.city.place import centre
from poorter.city.text import Text
from poorter.city.time import MINUTE_US, format_us, parse_us

PLACE = "OffStreetParking"
RESERVATION = "ParkingReservation"
FORECAST = "ParkingForecast"
COUNT = "availableSpotNumber"
BADGE_COUNT = "availableDisabledSpotNumber"
OLD_AFTER_US = 30 * MINUTE_US
SILENT_AFTER_US = 120 * MINUTE_US

Freshness = Literal["fresh", "old", "silent"]
State = Literal["reserved", "arrived", "cancelled", "no-show", "displaced", "ended"]

#: which state may follow which; what isn't here can't happen
STEPS: Mapping[State, frozenset[State]] = {
    "reserved": frozenset({"arrived", "cancelled", "no-show", "displaced"}),
    "arrived": frozenset({"ended", "displaced"}),
    "cancelled": frozenset(),
    "no-show": frozenset(),
    "displaced": frozenset(),
    "ended": frozenset(),
}
#: the states as people say them
IN_DUTCH: Mapping[State, str] = {
    "reserved": "gereserveerd",
    "arrived": "aangekomen",
    "cancelled": "afgezegd",
    "no-show": "niet gebruikt",
    "displaced": "verplaatst",
    "ended": "voorbij",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A parking place as guidance sees it. None: not known, never zero."""

    urn: str
    name: str
    position: tuple[float, float] | None
    total: int | None
    free: int | None
    observed_at_us: int | None
    closed: bool
    badge_total: int | None
    badge_free: int | None
    price_per_hour: float | None
    sign: str | None
    version: int

    def freshness(self, now_us: int) -> Freshness:
        """Whether the count is fresh, old, or the sensor silent."""
        if self.observed_at_us is None or now_us - self.observed_at_us > SILENT_AFTER_US:
            return "silent"
        return "old" if now_us - self.observed_at_us > OLD_AFTER_US else "fresh"


def read_place(entity: Entity) -> Place:
    """An OffStreetParking entity (Smart Data Models) as a place."""
    count = entity.get(COUNT)
    location = entity.geometry()
    name = entity.value("name")
    rate = _number(entity.value("priceRatePerMinute"))
    return Place(
        entity.urn,
        name if isinstance(name, str) else entity.urn.rpartition(":")[2],
        centre(location) if isinstance(location, Mapping) else None,
        _whole(entity.value("totalSpotNumber")),
        _whole(count.value) if count is not None else None,
        count.observed_at_us if count is not None else None,
        entity.value("status") == "closed",
        _whole(entity.value("disabledSpotNumber")),
        _whole(entity.value(BADGE_COUNT)),
        None if rate is None else rate * 60,
        entity.value("signText"),
        entity.version,
    )


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or not isfinite(number) or number < 0 else int(number)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A unit of a place, held from now until `until_us`; somebody is expected at `arrival_us`."""

    id: str
    place: str
    badge: bool
    arrival_us: int
    until_us: int
    state: State
    made_us: int

    @property
    def pool(self) -> str:
        """The pool of units that it is taken from: blue-badge units are their own."""
        return pool_of(self.place, self.badge)

    def to(self, state: State, until_us: int | None = None) -> Reservation:
        """The next state. Raises Conflict for a step that can't happen."""
        if state not in STEPS[self.state]:
            raise Conflict(
                Text(
                    f"wat {IN_DUTCH[self.state]} is, kan niet meer {IN_DUTCH[state]} worden",
                    f"a reservation that is {self.state} can't become {state}",
                )
            )
        return replace(self, state=state, until_us=self.until_us if until_us is None else until_us)


def pool_of(place: str, badge: bool) -> str:
    """The name of a pool of units."""
    return f"{place}#badge" if badge else place


def reservation_id(token: str) -> str:
    """What a token is kept under: nobody can get from the record to the token."""
    hashed = hashlib.sha256(b"poorter parking " + token.encode("utf-8", "surrogateescape"))
    return f"urn:ngsi-ld:{RESERVATION}:{hashed.hexdigest()[:40]}"


def to_entity(reservation: Reservation) -> Entity:
    """As kept."""
    return Entity(
        reservation.id,
        (RESERVATION,),
        (
            Attribute("refParkingSite", reservation.place, "Relationship"),
            Attribute("badge", reservation.badge),
            Attribute("arrivalAt", format_us(reservation.arrival_us)),
            Attribute("heldUntil", format_us(reservation.until_us)),
            Attribute("state", reservation.state),
            Attribute("madeAt", format_us(reservation.made_us)),
        ),
    )


def from_entity(entity: Entity) -> Reservation:
    """From what is kept."""
    return Reservation(
        entity.urn,
        entity.value("refParkingSite"),
        entity.value("badge"),
        parse_us(entity.value("arrivalAt")),
        parse_us(entity.value("heldUntil")),
        entity.value("state"),
        parse_us(entity.value("madeAt")),
    )
