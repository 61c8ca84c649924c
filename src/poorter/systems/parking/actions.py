# SPDX-License-Identifier: EUPL-1.2
"""What a traveller may do: reserve, extend, cancel, arrive, say that somebody stands there.

A reservation is an atomic hold in the store: of two who try for the last unit one gets it. The
hold ends by itself; nobody has to clean up for a unit to come free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poorter.city.errors import CityError, Conflict, Invalid, NotFound
from poorter.city.ids import mint
from poorter.city.place import distance_m
from poorter.city.text import Text
from poorter.city.time import MINUTE_US, format_us, parse_us
from poorter.systems.city import City
from poorter.systems.parking.model import (
    IN_DUTCH,
    Place,
    Reservation,
    from_entity,
    pool_of,
    reservation_id,
    to_entity,
)
from poorter.systems.parking.views import all_places, counts_of, one_place, stuck
from poorter.systems.shape import Runs

#: how far ahead one may reserve, how long it waits after arrival, how long a sensor takes to count
AHEAD_MAX_US = 2 * 60 * MINUTE_US
GRACE_US = 15 * MINUTE_US
SETTLE_US = 3 * MINUTE_US
EXTEND_MAX_US = 30 * MINUTE_US
MOVE_MAX_M = 1500


async def reserve(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Hold a unit until a quarter of an hour after arrival.

    Raises: NotFound, Invalid for an arrival too far away, Conflict when nothing is left or the
    count is too old to promise anything on.
    """
    now_us = city.clock.now_us()
    arrival_us = inputs["arrival"] or now_us + GRACE_US
    if not now_us - MINUTE_US <= arrival_us <= now_us + AHEAD_MAX_US:
        raise Invalid(
            Text(
                "de aankomst ligt tussen nu en over twee uur",
                "arrival lies between now and two hours from now",
            )
        )
    place = await one_place(city, inputs["place"])
    token = mint("", 20)
    reservation = Reservation(
        reservation_id(token),
        place.urn,
        bool(inputs["badge"]),
        arrival_us,
        arrival_us + GRACE_US,
        "reserved",
        now_us,
    )
    await _hold(city, place, reservation)
    return {"token": token, **_told(reservation, place)}


async def _hold(city: City, place: Place, reservation: Reservation) -> None:
    total, free, _ = counts_of(place, reservation.badge)
    if place.closed:
        raise Conflict(Text(f"{place.name} is dicht", f"{place.name} is closed"))
    counts = place.freshness(city.clock.now_us()) == "fresh" and place.urn not in await stuck(city)
    if total is None or free is None or not counts:
        raise Conflict(
            Text(
                f"{place.name} telt nu niet goed genoeg om een plek te beloven",
                f"{place.name} does not count well enough now to promise a place",
            )
        )
    await city.hold(
        reservation.pool,
        reservation.id,
        capacity=total,
        taken=max(total - free, 0),  # a counter may count more free than there are
        until_us=reservation.until_us,
        entity=to_entity(reservation),
    )


async def look_up(city: City, token: str) -> Reservation:
    """The reservation of a token. Raises NotFound for any other text."""
    entity = await city.entity(reservation_id(token.strip().lower()))
    if entity is None:
        raise NotFound(
            Text(
                "er is geen reservering (meer) met deze code",
                "there is no reservation with this code (any more)",
            )
        )
    return from_entity(entity)


async def reservation(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """How a reservation stands."""
    found = await look_up(city, inputs["token"])
    return _told(found, await one_place(city, found.place))


async def cancel(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Give it back."""
    found = await look_up(city, inputs["token"])
    ended = found.to("cancelled", city.clock.now_us())
    await city.end_hold(found.pool, found.id, to_entity(ended))
    return _told(ended, await one_place(city, found.place))


async def extend(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """I am late: wait longer, at most half an hour more than was agreed, however often asked."""
    found = await look_up(city, inputs["token"])
    if found.state != "reserved":
        raise Conflict(
            Text(
                f"een reservering die {IN_DUTCH[found.state]} is, kan niet langer",
                f"a reservation that is {found.state} can't be extended",
            )
        )
    until_us = inputs["until"]
    limit_us = found.arrival_us + GRACE_US + EXTEND_MAX_US
    if found.until_us >= limit_us:
        raise Conflict(Text("langer dan dit kan niet", "this is as long as a reservation can wait"))
    if not found.until_us < until_us <= limit_us:
        raise Invalid(
            Text(
                "een plek wacht hoogstens een half uur langer dan afgesproken",
                f"until lies after {format_us(found.until_us)}, not after {format_us(limit_us)}",
            )
        )
    longer = Reservation(
        found.id, found.place, found.badge, found.arrival_us, until_us, found.state, found.made_us
    )
    await city.extend_hold(found.pool, found.id, until_us, to_entity(longer))
    return _told(longer, await one_place(city, found.place))


async def arrive(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """I am there: the unit stays held until the sensor must have counted the car."""
    found = await look_up(city, inputs["token"])
    until_us = city.clock.now_us() + SETTLE_US
    arrived = found.to("arrived", until_us)
    await city.extend_hold(found.pool, found.id, until_us, to_entity(arrived))
    return _told(arrived, await one_place(city, found.place))


async def occupied(city: City, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Somebody stands in my place: another one nearby at once, and this one is let go.

    The new unit is held before the old one is given back, so that one never stands without.
    """
    found = await look_up(city, inputs["token"])
    if found.state not in ("reserved", "arrived"):
        raise Conflict(
            Text(
                f"deze reservering is {IN_DUTCH[found.state]}", f"this reservation is {found.state}"
            )
        )
    old = await one_place(city, found.place)
    now_us = city.clock.now_us()
    token = mint("", 20)
    for place in await _others(city, old, found.badge):
        moved = Reservation(
            reservation_id(token),
            place.urn,
            found.badge,
            now_us,
            now_us + GRACE_US,
            "reserved",
            now_us,
        )
        try:
            await _hold(city, place, moved)
        except CityError:
            continue  # full, closed or not counting: the next one
        await _displace(city, found)
        return {"token": token, **_told(moved, place), "instead_of": old.name}
    await _displace(city, found)
    raise Conflict(
        Text(
            "dichtbij is niets anders vrij; de meldkamer weet het",
            "nothing else is free nearby; the control room has been told",
        )
    )


async def _displace(city: City, found: Reservation) -> None:
    displaced = found.to("displaced", city.clock.now_us())
    try:
        await city.end_hold(found.pool, found.id, to_entity(displaced))
    except NotFound:
        await city.put(to_entity(displaced))  # its hold had run out: the record still must tell


async def _others(city: City, old: Place, badge: bool) -> list[Place]:
    if old.position is None:
        return []
    near: list[tuple[float, Place]] = []
    for place in await all_places(city):
        if place.urn != old.urn and place.position is not None and not place.closed:
            metres = distance_m(old.position, place.position)
            if metres <= MOVE_MAX_M and (not badge or place.badge_total):
                near.append((metres, place))
    return [place for _, place in sorted(near, key=lambda pair: pair[0])]


def runs(inputs: Mapping[str, Any], result: Mapping[str, Any]) -> Runs:
    """The reservation that an act leaves, until when it holds a unit; after a move, in place of
    the one before."""
    before = inputs.get("token")
    until_us = parse_us(result["until"]) if result["state"] in ("reserved", "arrived") else 0
    ended = None if before is None else _key(before)
    return Runs(_key(result.get("token") or before), until_us, ended)


def _key(token: Any) -> str:
    return reservation_id(str(token).strip().lower())


def _told(reservation: Reservation, place: Place) -> dict[str, Any]:
    return {
        "place": place.urn,
        "name": place.name,
        "state": reservation.state,
        "arrival": format_us(reservation.arrival_us),
        "until": format_us(reservation.until_us),
        "badge": reservation.badge,
        "pool": pool_of(place.urn, reservation.badge),
    }
