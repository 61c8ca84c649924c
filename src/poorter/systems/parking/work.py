# SPDX-License-Identifier: EUPL-1.2
"""What parking does by itself: forecasts, signs, the overflow ground, no-shows, its indicator."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict
from poorter.city.text import Text
from poorter.city.time import DAY_US, HOUR_US, MINUTE_US, format_us
from poorter.decide.advice import Proposal
from poorter.forecast.seasonal import forecast
from poorter.systems.city import City
from poorter.systems.parking.learning import counted, expected, model_file
from poorter.systems.parking.model import (
    COUNT,
    FORECAST,
    SILENT_AFTER_US,
    Place,
    to_entity,
)
from poorter.systems.parking.policy import GATE_MANDATE, OFFICE, SIGN_MANDATE
from poorter.systems.parking.rules import (
    Expected,
    at_moment,
    is_stuck,
    risk_full,
    wanted_sign,
)
from poorter.systems.parking.views import (
    all_places,
    crowd_at,
    crowds,
    forecasts,
    on_the_way,
    reservations,
)
from poorter.systems.shape import Incident

PAST_DAYS = 56
#: what a learnt forecast looks back on: eight weeks, and two that it goes through again
LEARNT_PAST_DAYS = 72
AHEAD_HOURS = 7
FORECAST_ALGORITHM = "parking.seasonal/1"
SIGN_ALGORITHM = "parking.signs/1"
OVERFLOW_ALGORITHM = "parking.overflow/1"
#: the overflow ground is advised when this share of what counts is taken
OVERFLOW_SHARE = 0.9
INDICATOR_AHEAD_US = 30 * MINUTE_US


async def make_forecasts(city: City) -> None:
    """The coming hours of each place: as learnt where that is so, else from its past weeks."""
    now_us = city.clock.now_us()
    places = await all_places(city)
    days = PAST_DAYS if model_file(city) is None else LEARNT_PAST_DAYS
    series = {place.urn: await counted(city, place, days) for place in places}
    kind, learnt = await expected(city, places, series)
    for place in places:
        silent = place.freshness(now_us) == "silent"
        top = None if place.total is None else float(place.total)
        points = [] if silent else learnt.get(place.urn, [])
        algorithm = f"parking.{kind}/1" if points else FORECAST_ALGORITHM
        if not points and not silent:
            points = forecast(*series[place.urn], range(1, AHEAD_HOURS), highest=top)
        body = [
            {
                "at": format_us(point.hour * HOUR_US + HOUR_US // 2),
                "free": round(point.mean, 1),
                "low": round(point.low, 1),
                "high": round(point.high, 1),
            }
            for point in points
        ]
        await city.put(
            Entity(
                f"urn:ngsi-ld:{FORECAST}:{place.urn.rpartition(':')[2]}",
                (FORECAST,),
                (
                    Attribute("refParkingSite", place.urn, "Relationship"),
                    Attribute("forecast", body, "JsonProperty"),
                    Attribute("stuck", await _stuck_since(city, place, now_us) is not None),
                    Attribute("algorithm", algorithm),
                    Attribute("madeAt", format_us(now_us)),
                ),
            )
        )
        await asyncio.sleep(0)  # one place at a time: requests come first


async def advise_signs(city: City) -> None:
    """Where a sign says something else than it should, advise the right text."""
    now_us = city.clock.now_us()
    ahead = await forecasts(city)
    for place in await all_places(city):
        held = (await city.held(place.urn)).units
        sign = wanted_sign(place, held, place.freshness(now_us) == "fresh")
        if sign is None or sign == place.sign:
            continue
        soon = at_moment(ahead.get(place.urn, []), now_us + HOUR_US)
        proposal = Proposal(
            SIGN_MANDATE.id,
            place.urn,
            SIGN_MANDATE.attribute,
            sign,
            (_sign_reason(place, held, sign),),
            {
                "free": place.free,
                "held": held,
                "total": place.total,
                "observed_at_us": place.observed_at_us,
            },
            SIGN_ALGORITHM,
            confidence=0.95,
            dissent=_sign_dissent(sign, soon),
        )
        await _advise(city, proposal)


def _sign_reason(place: Place, held: int, sign: str) -> Text:
    if sign == "closed":
        return Text("De plaats is dicht.", "The place is closed.")
    return Text(
        f"{place.free} vrij geteld, {held} daarvan gereserveerd voor wie onderweg is.",
        f"{place.free} counted free, {held} of them held for somebody on the way.",
    )


def _sign_dissent(sign: str, soon: Expected | None) -> tuple[tuple[str, Text], ...]:
    """What the forecast holds against it, kept whichever way the decision goes."""
    if soon is None:
        return ()
    free = round(soon.free)
    if sign == "free" and soon.low < 1:
        why = Text(
            f"Binnen een uur kan het vol zijn: {free} vrij verwacht.",
            f"Within the hour it may be full: {free} expected free.",
        )
        return (("forecast", why),)
    if sign == "full" and soon.low > 10:
        why = Text(
            f"Binnen een uur {free} vrij verwacht.", f"{free} expected free within the hour."
        )
        return (("forecast", why),)
    return ()


_MORE_CARS = Text(
    "Meer auto's langs de huizen bij de ingang.", "More cars past the houses at its entrance."
)


async def advise_overflow(city: City) -> None:
    """Advise to open the overflow ground when nearly all is taken, and to close it after."""
    now_us = city.clock.now_us()
    found = await all_places(city)
    counting = [p for p in found if p.freshness(now_us) == "fresh" and p.total and not p.closed]
    total = sum(p.total or 0 for p in counting)
    if not total:
        return
    taken = 1 - sum(p.free or 0 for p in counting) / total
    for entity in [await city.entity(place.urn) for place in found]:
        if entity is None or entity.value("category") != "overflow":
            continue
        wanted = "open" if taken >= OVERFLOW_SHARE else "closed"
        if entity.value(GATE_MANDATE.attribute) == wanted:
            continue
        proposal = Proposal(
            GATE_MANDATE.id,
            entity.urn,
            GATE_MANDATE.attribute,
            wanted,
            (
                Text(
                    f"{round(100 * taken)} % van {total} getelde plekken is bezet.",
                    f"{taken:.0%} of {total} counted places are taken.",
                ),
            ),
            {"taken_share": round(taken, 3), "places": len(counting)},
            OVERFLOW_ALGORITHM,
            confidence=None,
            dissent=(("neighbourhood", _MORE_CARS),) if wanted == "open" else (),
        )
        await _advise(city, proposal)


async def _advise(city: City, proposal: Proposal) -> None:
    try:
        await city.advise(proposal)
    except Conflict:
        return  # it waits for somebody already


async def end_reservations(city: City) -> None:
    """No-shows and arrivals whose hold ran out; after an hour nothing is left of either."""
    now_us = city.clock.now_us()
    for one in await reservations(city, "reserved", "arrived"):
        if one.until_us <= now_us:
            state: Any = "no-show" if one.state == "reserved" else "ended"
            await city.put(to_entity(one.to(state)))
    for one in await reservations(city, "no-show", "ended", "cancelled", "displaced"):
        if one.until_us + HOUR_US <= now_us:
            await city.remove(one.id)


async def full_on_arrival(city: City) -> float | None:
    """The indicator: chance in percent that the place nearest to a street is full in half an hour,
    over all places, each weighing as many units as it has. None while nothing can be known."""
    now_us = city.clock.now_us()
    moment_us = now_us + INDICATOR_AHEAD_US
    ahead, way, streets = (
        await forecasts(city),
        await on_the_way(city, moment_us),
        await crowds(city),
    )
    total = weight = 0.0
    for place in await all_places(city):
        points = list(ahead.get(place.urn, []))
        if place.free is not None and place.freshness(now_us) == "fresh":
            points = [(now_us, Expected(place.free, place.free, place.free)), *points]
        expected = at_moment(points, moment_us)
        if expected is None or not place.total or place.closed:
            continue
        crowd = None if place.position is None else crowd_at(streets, place.position, moment_us)
        risk = risk_full(expected, way.get(place.urn, 0), crowd, place.total)
        total += risk * place.total
        weight += place.total
    return 100 * total / weight if weight else None


async def incidents(city: City) -> list[Incident]:
    """Silent and stuck sensors, and travellers who found their place taken."""
    now_us = city.clock.now_us()
    found: list[Incident] = []
    for place in await all_places(city):
        if place.freshness(now_us) == "silent":
            found.append(_silent(place, now_us))
            continue
        since_us = await _stuck_since(city, place, now_us)
        if since_us is not None:
            found.append(_stuck_incident(place, since_us))
    found += [
        Incident(
            f"displaced:{one.id[-8:]}",
            one.place,
            "high",
            Text("Gereserveerde plek was bezet", "Reserved place was taken"),
            Text(
                "Iemand vond een auto op de gereserveerde plek.",
                "Somebody found a car in the place that was reserved.",
            ),
            "Parkeertoezicht",
            Text("Stuur een toezichthouder langs", "Send a warden"),
            one.until_us,
            one.until_us + 30 * MINUTE_US,
        )
        for one in await reservations(city, "displaced")
    ]
    return found


def _silent(place: Place, now_us: int) -> Incident:
    since_us = now_us if place.observed_at_us is None else place.observed_at_us + SILENT_AFTER_US
    return Incident(
        f"silent:{place.urn}",
        place.urn,
        "medium",
        Text(f"Teller zwijgt: {place.name}", f"Counter is silent: {place.name}"),
        Text(
            "Er komen geen tellingen meer. De laatste stand is geen stand van nu.",
            "No counts come in. The last one is not the present.",
        ),
        OFFICE,
        Text("Bel de beheerder van de teller", "Call who keeps the counter"),
        since_us,
        since_us + 4 * HOUR_US,
    )


def _stuck_incident(place: Place, since_us: int) -> Incident:
    return Incident(
        f"stuck:{place.urn}",
        place.urn,
        "medium",
        Text(f"Teller staat stil: {place.name}", f"Counter stands still: {place.name}"),
        Text(
            f"Al uren dezelfde stand ({place.free}), terwijl het hier altijd wisselt.",
            f"The same count ({place.free}) for hours, where it always moves.",
        ),
        OFFICE,
        Text("Tel ter plaatse en herstart de teller", "Count on the spot and restart the counter"),
        since_us,
        since_us + 10 * HOUR_US,  # six to notice, four to mend
    )


async def _stuck_since(city: City, place: Place, now_us: int) -> int | None:
    """Since when the count stands still, where a place like this one would have moved."""
    means = await city.means(place.urn, COUNT, now_us - 8 * DAY_US, HOUR_US)
    values = [(m.start_us, m.mean) for m in means if m.mean is not None]
    changes = [abs(b - a) for (_, a), (_, b) in pairwise(values[:-7])]
    usual = sum(changes) / len(changes) if changes else 0.0
    hours = [start_us for start_us, _ in values[-7:]]
    unbroken = len(hours) == 7 and hours[-1] - hours[0] == 6 * HOUR_US
    if not unbroken or not is_stuck(values, usual):
        return None
    since_us, last = values[-1]
    for start_us, value in reversed(values):
        if value != last:
            break
        since_us = start_us
    return since_us
