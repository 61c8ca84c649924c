# SPDX-License-Identifier: EUPL-1.2
"""Forecasts of crowds, the indicator, and what asks for somebody."""

from __future__ import annotations

import asyncio

import numpy as np

from poorter.city.entity import Attribute, Entity
from poorter.city.text import Text
from poorter.city.time import DAY_US, HOUR_US, format_us
from poorter.forecast.seasonal import HOURS_A_WEEK, forecast, hourly, usual
from poorter.systems.city import City
from poorter.systems.crowds.model import (
    COUNT,
    FORECAST,
    SILENT_AFTER_US,
    Counter,
    busyness,
)
from poorter.systems.crowds.policy import OFFICE
from poorter.systems.crowds.views import counters, expected
from poorter.systems.shape import Incident

PAST_DAYS = 56
AHEAD_HOURS = 7
#: below so many people an hour "twice as busy" says nothing
FLOOR = 20.0
BUSY = 1.3
CROWDED = 1.8
ALGORITHM = "crowds.seasonal/1"


async def make_forecasts(city: City) -> None:
    """The coming hours of each counter, and how busy that is against its usual week."""
    now_us = city.clock.now_us()
    for counter in await counters(city):
        means = await city.means(counter.urn, COUNT, now_us - PAST_DAYS * DAY_US, HOUR_US)
        series = hourly([(m.start_us // HOUR_US, m.mean) for m in means if m.mean is not None])
        if len(series[0]) and counter.freshness(now_us) != "silent":
            await city.put(_entity(counter, series, now_us))
        await asyncio.sleep(0)  # one counter at a time: requests come first


def _entity(
    counter: Counter,
    series: tuple[
        np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.float64]]
    ],
    now_us: int,
) -> Entity:
    profile = usual(*series)
    usual_now = _number(profile[now_us // HOUR_US % HOURS_A_WEEK])
    points = [
        {
            "at": format_us(point.hour * HOUR_US + HOUR_US // 2),
            "count": round(point.mean),
            "low": round(point.low),
            "high": round(point.high),
            "busyness": _rounded(
                busyness(point.mean, _number(profile[point.hour % HOURS_A_WEEK]), FLOOR)
            ),
        }
        for point in forecast(*series, range(1, AHEAD_HOURS))
    ]
    attributes = [
        Attribute("refSensor", counter.urn, "Relationship"),
        Attribute("forecast", points, "JsonProperty"),
        Attribute("algorithm", ALGORITHM),
        Attribute("madeAt", format_us(now_us)),
    ]
    if counter.position is not None:
        point = {"type": "Point", "coordinates": list(counter.position)}
        attributes.append(Attribute("location", point, "GeoProperty"))
    busy = _rounded(busyness(counter.count, usual_now, FLOOR))
    if usual_now is not None and busy is not None:
        attributes += [Attribute("usual", round(usual_now)), Attribute("busyness", busy)]
    urn = f"urn:ngsi-ld:{FORECAST}:{counter.urn.rpartition(':')[2]}"
    return Entity(urn, (FORECAST,), tuple(attributes))


async def busy_streets(city: City) -> float | None:
    """The indicator: share in percent of counting streets that are busier than usual."""
    ahead = await expected(city)
    now_us = city.clock.now_us()
    found = [
        ahead[counter.urn].value("busyness")
        for counter in await counters(city)
        if counter.urn in ahead and counter.freshness(now_us) == "fresh"
    ]
    known = [busy for busy in found if busy is not None]
    return 100 * sum(busy > BUSY for busy in known) / len(known) if known else None


async def incidents(city: City) -> list[Incident]:
    """Streets far busier than usual, and silent counters."""
    now_us = city.clock.now_us()
    ahead = await expected(city)
    found: list[Incident] = []
    for counter in await counters(city):
        if counter.freshness(now_us) == "silent":
            found.append(_silent(counter, now_us))
            continue
        entity = ahead.get(counter.urn)
        busy = entity.value("busyness") if entity is not None else None
        if busy is not None and busy >= CROWDED:
            found.append(_crowded(counter, busy, now_us))
    return found


def _silent(counter: Counter, now_us: int) -> Incident:
    since_us = now_us
    if counter.observed_at_us is not None:
        since_us = counter.observed_at_us + SILENT_AFTER_US
    return Incident(
        f"silent:{counter.urn}",
        counter.urn,
        "low",
        Text(f"Teller zwijgt: {counter.name}", f"Counter is silent: {counter.name}"),
        Text("Er komen geen tellingen meer.", "No counts come in any more."),
        OFFICE,
        Text("Bel de beheerder van de teller", "Call who keeps the counter"),
        since_us,
        since_us + DAY_US,
    )


def _crowded(counter: Counter, busy: float, now_us: int) -> Incident:
    return Incident(
        f"crowded:{counter.urn}",
        counter.urn,
        "medium",
        Text(f"Veel drukker dan anders: {counter.name}", f"Far busier than usual: {counter.name}"),
        Text(
            f"{counter.count} mensen per uur, {busy:.1f} keer zoveel als gewoonlijk.".replace(
                ".", ",", 1
            ),
            f"{counter.count} people an hour, {busy:.1f} times as many as usual.",
        ),
        OFFICE,
        Text(
            "Kijk ter plaatse; stuur zo nodig gastheren", "Look on the spot; send hosts if needed"
        ),
        now_us,
        now_us + HOUR_US,
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
