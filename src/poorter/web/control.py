# SPDX-License-Identifier: EUPL-1.2
"""The control room: what asks for somebody, the city, the chosen thing and the goal it serves."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied, NotFound
from poorter.city.query import HistoryQuery, Query
from poorter.city.time import DAY_US, HOUR_US, SECOND_US
from poorter.decide.objection import SORTS
from poorter.decide.stamp import report
from poorter.store.contract import Record
from poorter.systems.shape import Feed, Incident
from poorter.web.charting import Ahead, Happening, draw_line, draw_timeline
from poorter.web.connecting import standings
from poorter.web.drawing import draw_map
from poorter.web.page import Visit
from poorter.web.resident import goal_views, name_of
from poorter.web.scene import crowd_marks, grounds, parking_marks
from poorter.web.speaking import moment_us

_SEVERITY = {"high": 0, "medium": 1, "low": 2}
TIMELINE_HOURS, TIMELINE_DECISIONS = 12, 60
_COUNTS = ("availableSpotNumber", "peopleCount", "kpiValue")


async def room(visit: Visit) -> Response:
    """One page; the public sees what operators see, minus their names and buttons."""
    chosen = visit.request.query_params.get("thing", "")
    parking = await visit.ask("parking", "places")
    crowds = await visit.ask("crowds", "now")
    places = parking["places"] if parking else []
    streets = crowds["places"] if crowds else []
    link = visit.href("control") + "?thing={thing}#thing"
    incidents = await _incidents(visit)
    alarms = {incident.urn: incident.severity for incident in reversed(incidents)}
    marks = [
        *crowd_marks(visit, streets, link, chosen),
        *parking_marks(visit, places, link, chosen, alarms),
    ]
    return visit.render(
        "control.html",
        incidents=incidents,
        timeline=_timeline(visit, incidents),
        waiting=visit.pages.published("advice", {"state": "waiting"}),
        objections=visit.running.objections.open() if visit.session else [],
        objection_count=len(visit.running.objections.open()),
        map=draw_map(
            grounds(visit), marks, visit.speech.say("Kaart van de stad", "Map of the city")
        ),
        places=places,
        streets=streets,
        feeds=_feeds(visit),
        connections=standings(visit),
        thing=_thing(visit, chosen) if chosen else None,
        mandates=[_mandate(visit, m) for m in visit.running.decisions.mandates.values()],
        goals=goal_views(visit),
        name_of=name_of(visit),
        chosen=chosen,
        sorts=SORTS,
        checkpoint=visit.running.sequencer.checkpoint.size,
    )


async def _incidents(visit: Visit) -> list[Incident]:
    found: list[Incident] = []
    for system in visit.running.systems:
        if system.incidents is None:
            continue
        try:
            found += await system.incidents(visit.running.city_of(system))
        except Denied:
            continue  # its goal is rescinded: it watches nothing any more
    return sorted(found, key=lambda i: (_SEVERITY[i.severity], i.deadline_us, i.key))


def _timeline(visit: Visit, incidents: list[Incident]) -> Any:
    """The last hours: since when what is open asks for somebody, and what was decided."""
    speech, name = visit.speech, name_of(visit)
    start_us = speech.now_us - TIMELINE_HOURS * HOUR_US
    link = visit.href("control") + "?thing="
    found = [
        Happening(
            incident.since_us,
            incident.severity,
            f"{speech.clock(incident.since_us)} {speech.text(incident.title)}",
            f"{link}{quote(incident.urn)}#thing",
        )
        for incident in incidents
        if incident.since_us >= start_us
    ]
    for record in visit.pages.published("decision", limit=TIMELINE_DECISIONS):
        doc = record.doc
        what = f"{name(doc['urn'])}: {speech.word(doc['attribute'])} {speech.word(doc['value'])}"
        href = visit.href(f"decisions/{record.id}")
        found.append(Happening(doc["at_us"], "done", f"{speech.clock(doc['at_us'])} {what}", href))
    return draw_timeline(
        found,
        start_us,
        speech.now_us,
        speech.say("Wat er gebeurde", "What happened"),
        (speech.clock(start_us), speech.say("nu", "now")),
    )


def _feeds(visit: Visit) -> list[dict[str, Any]]:
    """Each feed: how many things it fills, the newest reading, how many are old or silent."""
    found = []
    for system in visit.running.systems:
        for feed in system.feeds:
            found.append(_feed(visit, feed))
    return found


def _feed(visit: Visit, feed: Feed) -> dict[str, Any]:
    page = visit.running.store.query(visit.permit(), Query(types=(feed.entity_type,), limit=1000))
    newest, old, silent, total = None, 0, 0, 0
    for stored in page.entities:
        attribute = visit.running.store.decode(stored).get(feed.attribute)
        total += 1
        at_us = attribute.observed_at_us if attribute is not None else None
        age_s = None if at_us is None else (visit.speech.now_us - at_us) / SECOND_US
        if age_s is None or age_s > feed.silent_after_s:
            silent += 1
        elif age_s > feed.old_after_s:
            old += 1
        if at_us is not None and (newest is None or at_us > newest):
            newest = at_us
    state = "fresh" if newest is not None else "silent"
    if newest is not None:
        age_s = (visit.speech.now_us - newest) / SECOND_US
        if age_s > feed.old_after_s:
            state = "silent" if age_s > feed.silent_after_s else "old"
    return {
        "feed": feed,
        "newest": newest,
        "state": state,
        "old": old,
        "silent": silent,
        "total": total,
    }


def _thing(visit: Visit, urn: str) -> dict[str, Any] | None:
    """The chosen thing: value and age, past and forecast, and why one may see it."""
    permit = visit.permit()
    store = visit.running.store
    try:
        entity = store.decode(store.entity(permit, urn))
    except NotFound:
        return None
    count = next((a for n in _COUNTS if (a := entity.get(n)) is not None), None)
    past = _past(visit, entity, count) if count is not None else []
    ahead = _ahead(visit, entity)
    policy = visit.running.gate.policy
    purpose = policy.purposes[permit.purpose]
    dataset = next((d for d in policy.datasets.values() if entity.type in d.types), None)
    return {
        "entity": entity,
        "count": count,
        "chart": _chart(visit, past, ahead),
        "numbers": [
            *((at_us, mean, None, None) for at_us, mean in past),
            *((a.at_us, a.mean, a.low, a.high) for a in ahead),
        ],
        "purpose": purpose,
        "goal": policy.goals[purpose.goal],
        "dataset": dataset,
        "shown": [
            a
            for a in entity.attributes
            if not isinstance(a.value, dict | list) and a is not count and a.name != "name"
        ],
    }


def _past(visit: Visit, entity: Entity, count: Attribute) -> list[tuple[int, float]]:
    """The last day by hour, up to and with the newest reading."""
    permit, now_us = visit.permit(), visit.speech.now_us
    asked = HistoryQuery(entity.urn, (count.name,), from_us=now_us - DAY_US)
    buckets = visit.running.store.aggregate(permit, asked, HOUR_US).get(count.name, [])
    past = [(b.start_us + HOUR_US // 2, b.mean) for b in buckets if b.mean is not None]
    if count.observed_at_us is None or not isinstance(count.value, int | float):
        return past
    newest_us = count.observed_at_us
    return [*((at, mean) for at, mean in past if at < newest_us), (newest_us, count.value)]


def _chart(visit: Visit, past: list[tuple[int, float]], ahead: list[Ahead]) -> Any:
    return draw_line(
        past,
        ahead,
        visit.speech.now_us,
        visit.speech.say(
            "Het verloop van een dag, en de verwachting", "The past day, and what is expected"
        ),
        visit.speech.say("nu", "now"),
        visit.speech.clock,
    )


def _ahead(visit: Visit, entity: Entity) -> list[Ahead]:
    kind = {"OffStreetParking": "ParkingForecast", "CrowdFlowObserved": "CrowdForecast"}.get(
        entity.type
    )
    if kind is None:
        return []
    urn = f"urn:ngsi-ld:{kind}:{entity.urn.rpartition(':')[2]}"
    store = visit.running.store
    try:
        found = store.decode(store.entity(visit.permit(), urn)).value("forecast")
    except NotFound:
        return []
    ahead = []
    for point in found or []:
        at_us = moment_us(point["at"])
        if at_us is not None and at_us > visit.speech.now_us:
            mean = point.get("free", point.get("count"))
            ahead.append(Ahead(at_us, mean, point["low"], point["high"]))
    return ahead


def _mandate(visit: Visit, mandate: Any) -> dict[str, Any]:
    decided: list[Record] = visit.pages.published("decision", {"mandate": mandate.id})
    return {
        "mandate": mandate,
        "state": visit.running.decisions.state(mandate),
        "runs": visit.running.decisions.runs(mandate),
        "stamp": report(mandate.id, (record.doc for record in decided)),
    }
