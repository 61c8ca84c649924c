# SPDX-License-Identifier: EUPL-1.2
"""What the city knows of places, put together for guidance, pages and apps. No HTML here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.errors import Invalid, NotFound
from poorter.city.place import distance_m
from poorter.city.query import And, Compare, Path, Query
from poorter.city.text import Text
from poorter.city.time import DAY_US, HOUR_US, MINUTE_US, format_us, parse_us
from poorter.systems.city import City
from poorter.systems.parking.model import (
    BADGE_COUNT,
    COUNT,
    FORECAST,
    PLACE,
    RESERVATION,
    Place,
    Reservation,
    from_entity,
    pool_of,
    read_place,
)
from poorter.systems.parking.rules import Cost, Expected, at_moment, cost, reasons, risk_full

PLACES_MAX = 1000
RESERVATIONS_PAGE = 1000
ADVICE_MAX = 8
NEAR_M = 3000
ALGORITHM = "parking.guidance/1"
CROWD_FORECAST = "CrowdForecast"
CROWD_NEAR_M = 600
DEFAULT_ARRIVAL_US = 15 * MINUTE_US
#: how long one may look ahead: as far as there is a forecast
AHEAD_MAX_US = 24 * HOUR_US

STUCK = Text(
    "De teller staat stil; wij raden geen plek aan die wij niet kennen.",
    "Its counter stands still; we don't advise what we don't know.",
)

Forecasts = Mapping[str, list[tuple[int, Expected]]]


async def all_places(city: City) -> list[Place]:
    """Every parking place with a name or a count."""
    found: list[Place] = []
    after = None
    while len(found) < PLACES_MAX:
        page = await city.entities(Query(types=(PLACE,), limit=200, after=after))
        found += [read_place(entity) for entity in page]
        if len(page) < 200:
            break
        after = page[-1].urn
    return found


async def one_place(city: City, urn: str) -> Place:
    """One place. Raises NotFound."""
    entity = await city.entity(urn)
    if entity is None or PLACE not in entity.types:
        raise NotFound(Text(f"er is geen parkeerplaats {urn}", f"there is no parking place {urn}"))
    return read_place(entity)


async def forecasts(city: City) -> Forecasts:
    """The newest forecast of each place, by place."""
    found: dict[str, list[tuple[int, Expected]]] = {}
    for entity in await city.entities(Query(types=(FORECAST,), limit=1000)):
        place = entity.value("refParkingSite")
        points = entity.value("forecast")
        if isinstance(place, str) and isinstance(points, list):
            found[place] = [
                (parse_us(p["at"]), Expected(p["free"], p["low"], p["high"])) for p in points
            ]
    return found


async def stuck(city: City) -> set[str]:
    """Places whose counter stands still, as the last forecast found them."""
    found = await city.entities(Query(types=(FORECAST,), limit=1000))
    return {str(e.value("refParkingSite")) for e in found if e.value("stuck") is True}


async def reservations(city: City, *states: str, place: str | None = None) -> list[Reservation]:
    """Reservations in these states."""
    terms: list[Compare] = [Compare(Path("state"), "==", states)]
    if place is not None:
        terms.append(Compare(Path("refParkingSite"), "==", (place,)))
    found: list[Reservation] = []
    after = None
    while True:
        query = Query(
            types=(RESERVATION,), condition=And(tuple(terms)), limit=RESERVATIONS_PAGE, after=after
        )
        page = await city.entities(query)
        found += [from_entity(entity) for entity in page]
        if len(page) < RESERVATIONS_PAGE:
            return found
        after = page[-1].urn


async def on_the_way(city: City, arrival_us: int) -> dict[str, int]:
    """By pool: who is expected before `arrival_us`, or has just come, and no sensor counts yet."""
    now_us = city.clock.now_us()
    found: dict[str, int] = {}
    for one in await reservations(city, "reserved", "arrived"):
        if one.until_us > now_us and (one.state == "arrived" or one.arrival_us <= arrival_us):
            found[one.pool] = found.get(one.pool, 0) + 1
    return found


@dataclass(frozen=True, slots=True)
class Crowd:
    """How busy the street at a counter will be, 1 is usual, at each forecast hour."""

    position: tuple[float, float]
    busyness: tuple[tuple[int, float], ...]


async def crowds(city: City) -> list[Crowd]:
    """What another system expects of the streets, through the context; empty when there is none."""
    found = []
    for entity in await city.entities(Query(types=(CROWD_FORECAST,), limit=200)):
        location, points = entity.geometry(), entity.value("forecast")
        if isinstance(location, Mapping) and isinstance(points, list):
            busy = tuple(
                (parse_us(p["at"]), float(p["busyness"]))
                for p in points
                if isinstance(p.get("busyness"), int | float)
            )
            longitude, latitude = location["coordinates"][:2]
            found.append(Crowd((longitude, latitude), busy))
    return found


def crowd_at(found: list[Crowd], position: tuple[float, float], moment_us: int) -> float | None:
    """The busyness of the nearest counter within reach, at the hour nearest to the moment."""
    near = [(distance_m(c.position, position), c) for c in found if c.busyness]
    near = [pair for pair in near if pair[0] <= CROWD_NEAR_M]
    if not near:
        return None
    crowd = min(near, key=lambda pair: pair[0])[1]
    at_us, busyness = min(crowd.busyness, key=lambda point: abs(point[0] - moment_us))
    return busyness if abs(at_us - moment_us) <= HOUR_US else None


async def find(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Guidance: places by what they cost this traveller, and why; and what was left out, and why.

    Nothing about the traveller is kept.
    """
    now_us = city.clock.now_us()
    arrival_us = inputs["arrival"] or now_us + DEFAULT_ARRIVAL_US
    if not now_us - HOUR_US <= arrival_us <= now_us + AHEAD_MAX_US:
        raise Invalid(
            Text(
                "de aankomst ligt tussen nu en over een etmaal",
                "arrival lies between now and a day from now",
            )
        )
    arrival_us = max(arrival_us, now_us)
    destination, badge = inputs["destination"], bool(inputs["badge"])
    ahead, way = await forecasts(city), await on_the_way(city, arrival_us)
    streets, still = await crowds(city), await stuck(city)
    advice: list[tuple[float, dict[str, Any]]] = []
    left_out: list[dict[str, Any]] = []
    for place in await all_places(city):
        why = STUCK if place.urn in still else _unfit(place, destination, badge, now_us)
        if why is not None:
            left_out.append({"place": place.urn, "name": place.name, "reason": _words(why)})
            continue
        expected = _expected(place, ahead, arrival_us, badge, now_us)
        claimed = way.get(pool_of(place.urn, badge), 0)
        assert place.position is not None
        crowd = crowd_at(streets, place.position, arrival_us)
        total = counts_of(place, badge)[0]
        risk = 0.5 if expected is None else risk_full(expected, claimed, crowd, total)
        found = cost(place, destination, inputs["origin"], inputs["stay_minutes"], risk)
        free_now = place.badge_free if badge else place.free
        held = (await city.held(pool_of(place.urn, badge))).units
        advice.append(
            (found.cost_minutes, _advice(place, found, expected, claimed, free_now, held, now_us))
        )
    advice.sort(key=lambda pair: (pair[0], pair[1]["place"]))
    return {
        "arrival": format_us(arrival_us),
        "advice": [one for _, one in advice[:ADVICE_MAX]],
        "left_out": left_out,
        "algorithm": ALGORITHM,
    }


def _unfit(place: Place, destination: tuple[float, float], badge: bool, now_us: int) -> Text | None:
    if place.position is None:
        return Text("Wij weten niet waar het ligt.", "We don't know where it is.")
    if place.closed:
        return Text("Het is dicht.", "It is closed.")
    if distance_m(place.position, destination) > NEAR_M:
        return Text("Het is te ver lopen.", "It is too far to walk.")
    if badge and not place.badge_total:
        return Text("Er zijn geen gehandicaptenplekken.", "There are no blue-badge places.")
    if place.freshness(now_us) == "silent":
        return Text(
            "De teller zwijgt; wij raden geen plek aan die wij niet kennen.",
            "Its counter is silent; we don't advise what we don't know.",
        )
    return None


def _expected(
    place: Place, ahead: Forecasts, arrival_us: int, badge: bool, now_us: int
) -> Expected | None:
    """The forecast at arrival; for blue-badge units, which have none, the present count."""
    if badge:
        if place.badge_free is None:
            return None
        return Expected(place.badge_free, max(place.badge_free - 1, 0), place.badge_free + 1)
    points = list(ahead.get(place.urn, ()))
    if place.free is not None and place.observed_at_us is not None:
        points = [(now_us, Expected(place.free, place.free, place.free)), *points]
        points = [points[0], *(p for p in points[1:] if p[0] > now_us)]
    found = at_moment(points, arrival_us)
    if found is None and place.free is not None:
        spread = 0.15 * (place.total or place.free)
        return Expected(place.free, max(place.free - spread, 0), place.free + spread)
    return found


def _advice(
    place: Place,
    found: Cost,
    expected: Expected | None,
    claimed: int,
    free_now: int | None,
    held: int,
    now_us: int,
) -> dict[str, Any]:
    return {
        "place": place.urn,
        "name": place.name,
        "location": list(place.position or ()),
        "free_now": free_now,
        "observed_at": None if place.observed_at_us is None else format_us(place.observed_at_us),
        "forecast": None if expected is None else _interval(expected),
        "on_the_way": claimed,
        "risk_full": round(found.risk_full, 3),
        "drive_minutes": _rounded(found.drive_minutes),
        "walk_minutes": _rounded(found.walk_minutes),
        "price_eur": None if found.price_eur is None else round(found.price_eur, 2),
        "cost_minutes": _rounded(found.cost_minutes),
        "reasons": [_words(text) for text in reasons(place, found, expected, claimed)],
        "reservable": free_now is not None
        and free_now - held > 0
        and place.freshness(now_us) == "fresh",
    }


async def places(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Every place as it stands, for the map and its table."""
    ahead = await forecasts(city)
    return {"places": [await _view(city, place, ahead) for place in await all_places(city)]}


async def place(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """One place with the past day."""
    found = await one_place(city, inputs["place"])
    view = await _view(city, found, await forecasts(city))
    means = await city.means(found.urn, COUNT, city.clock.now_us() - DAY_US, HOUR_US)
    view["history"] = [{"at": format_us(m.start_us), "mean": m.mean} for m in means]
    return view


async def _view(city: City, place: Place, ahead: Forecasts) -> dict[str, Any]:
    now_us = city.clock.now_us()
    return {
        "place": place.urn,
        "name": place.name,
        "location": None if place.position is None else list(place.position),
        "total": place.total,
        "free": place.free,
        "badge_total": place.badge_total,
        "badge_free": place.badge_free,
        "observed_at": None if place.observed_at_us is None else format_us(place.observed_at_us),
        "freshness": place.freshness(now_us),
        "closed": place.closed,
        "sign": place.sign,
        "held": (await city.held(place.urn)).units,
        "forecast": [
            {"at": format_us(at_us), **_interval(expected)}
            for at_us, expected in ahead.get(place.urn, [])
        ],
    }


def counts_of(place: Place, badge: bool) -> tuple[int | None, int | None, str]:
    """(total, free, attribute) of the units asked for."""
    if badge:
        return place.badge_total, place.badge_free, BADGE_COUNT
    return place.total, place.free, COUNT


def _interval(expected: Expected) -> dict[str, float]:
    return {
        "free": round(expected.free, 1),
        "low": round(expected.low, 1),
        "high": round(expected.high, 1),
    }


def _words(text: Text) -> dict[str, str]:
    return {"nl": text.nl, "en": text.en}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
