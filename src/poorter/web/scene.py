# SPDX-License-Identifier: EUPL-1.2
"""The city as a map shows it: quiet ground, and marks of what systems watch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poorter.city.query import Query
from poorter.web.drawing import Ground, Mark
from poorter.web.page import Visit

_TONES = {"quiet": "good", "normal": "low", "busy": "medium", "very-busy": "high"}


def grounds(visit: Visit) -> list[Ground]:
    """Quarters, parks, water and roads that this visitor may see."""
    found = []
    query = Query(types=("Neighbourhood", "Garden", "Water", "Road"), limit=400)
    for stored in visit.running.store.query(visit.permit(), query).entities:
        entity = visit.running.store.decode(stored)
        location, name = entity.geometry(), entity.value("name")
        if isinstance(location, Mapping):
            label = name if isinstance(name, str) else ""
            found.append(Ground(entity.type, dict(location), label))
    return found


def parking_marks(
    visit: Visit,
    places: list[dict[str, Any]],
    href: str,
    chosen: str = "",
    alarms: Mapping[str, str] = {},
) -> list[Mark]:
    """Parking places: a ring as full as the place is free. `alarms`: urn to severity."""
    marks = []
    for place in places:
        if not place["location"]:
            continue
        total, free = place["total"], place["free"]
        share = free / total if total and free is not None else None
        tone = place["freshness"] if place["freshness"] != "fresh" else _free_tone(share)
        number = visit.speech.number(free)
        title = visit.speech.say(
            f"{place['name']}: {number} vrij", f"{place['name']}: {number} free"
        )
        if place["freshness"] != "fresh":
            title += f", {visit.speech.word(place['freshness'])}"
        lon, lat = place["location"]
        link = href.format(thing=place["place"], place=f"{lon},{lat}")
        alarm = alarms.get(place["place"], "")
        chosen_one = place["place"] == chosen
        marks.append(Mark((lon, lat), title, link, tone, share, chosen_one, alarm=alarm))
    return marks


def _free_tone(share: float | None) -> str:
    if share is None:
        return "low"
    if share < 0.05:
        return "high"
    return "medium" if share < 0.2 else "good"


def crowd_marks(
    visit: Visit, places: list[dict[str, Any]], href: str, chosen: str = ""
) -> list[Mark]:
    """Counters: a small ring in the tone of how busy it is."""
    marks = []
    for place in places:
        if not place["location"]:
            continue
        tone = place["freshness"]
        if tone == "fresh":
            tone = _TONES.get(place["level"] or "", "low")
        word = visit.speech.word(place["level"] or place["freshness"])
        lon, lat = place["location"]
        link = href.format(thing=place["sensor"], place=f"{lon},{lat}")
        share = None if place["busyness"] is None else min(place["busyness"] / 2, 1.0)
        title = f"{place['name']}: {word}"
        marks.append(Mark((lon, lat), title, link, tone, share, place["sensor"] == chosen, True))
    return marks


def spot(text: str) -> tuple[float, float] | None:
    """The chosen spot, for the map; None for what is no position."""
    parts = text.split(",")
    try:
        longitude, latitude = (float(part) for part in parts)
    except ValueError:
        return None
    return (longitude, latitude) if abs(longitude) <= 180 and abs(latitude) <= 90 else None
