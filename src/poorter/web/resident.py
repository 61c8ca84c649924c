# SPDX-License-Identifier: EUPL-1.2
"""Pages for residents: what is going on, what was decided, why, and by whom."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from poorter.city.errors import CityError, NotFound
from poorter.city.query import HistoryQuery
from poorter.gate.genesis import RUN, RUN_GOAL
from poorter.gate.policy import Goal, Target
from poorter.jobs import indicator_urn
from poorter.store.contract import Record
from poorter.systems.shape import Indicator
from poorter.web.charting import draw_spark
from poorter.web.drawing import draw_map
from poorter.web.page import PUBLISHED, Visit
from poorter.web.scene import crowd_marks, grounds, spot

SHOWN = 100


async def home(visit: Visit) -> Response:
    """Sentences before numbers."""
    found = await visit.ask("parking", "places")
    counting = [p for p in found["places"] if p["freshness"] == "fresh"] if found else []
    crowds_now = await visit.ask("crowds", "now")
    streets = crowds_now["places"] if crowds_now else []
    return visit.render(
        "home.html",
        parking=found,
        free=sum(p["free"] or 0 for p in counting),
        counting=len(counting),
        busy=[p for p in streets if p["level"] in ("busy", "very-busy")],
        quiet=[p for p in streets if p["level"] == "quiet"],
        crowds=crowds_now,
        decisions=visit.pages.published("decision", limit=3),
        goals=goal_views(visit),
        name_of=name_of(visit),
    )


async def crowds(visit: Visit) -> Response:
    """How busy, and where it is quiet: in all of the city, or near a street."""
    found = await visit.ask("crowds", "now")
    streets = found["places"] if found else []
    near = visit.request.query_params.get("near", "")
    quiet, wrong = None, None
    if near:
        try:
            quiet = await visit.ask("crowds", "quiet", near=near)
        except CityError as error:
            wrong = error
    link = visit.href("crowds") + "?near={place}"
    title = visit.speech.say("Kaart: kies een straat", "Map: choose a street")
    return visit.render(
        "crowds.html",
        found=found,
        streets=streets,
        near=near,
        quiet=quiet,
        wrong=wrong,
        map=draw_map(
            grounds(visit),
            crowd_marks(visit, streets, link),
            title,
            link,
            spot(near),
        ),
    )


async def decisions(visit: Visit) -> Response:
    """The newest decisions."""
    found = visit.pages.published("decision", limit=SHOWN)
    return visit.render("decisions.html", decisions=found, shown=SHOWN, name_of=name_of(visit))


async def decision(visit: Visit) -> Response:
    """One decision with all that led to it and came of it."""
    record = visit.pages.published_one("decision", visit.request.path_params["id"])
    advice = visit.pages.published_one("advice", record.doc["advice"])
    mandate = visit.running.decisions.mandates.get(record.doc["mandate"])
    permit = visit.pages.permit("internal:publish", RUN)
    purpose = visit.running.gate.policy.purposes.get(mandate.purpose) if mandate else None
    return visit.render(
        "decision.html",
        d=record,
        advice=advice,
        mandate=mandate,
        purpose=purpose,
        goal=visit.running.gate.policy.goals.get(purpose.goal) if purpose else None,
        leaves=visit.running.store.leaves_about(permit, record.id),
        name_of=name_of(visit),
    )


async def goals(visit: Visit) -> Response:
    """What the council adopted, how it goes, and which decisions moved it."""
    return visit.render("goals.html", goals=goal_views(visit), name_of=name_of(visit))


async def registers(visit: Visit) -> Response:
    """Who may do what with which data, why, and on what ground."""
    policy = visit.running.gate.policy
    return visit.render(
        "registers.html",
        policy=policy,
        systems=visit.running.systems,
        mandates=visit.running.decisions.mandates.values(),
        state=visit.running.decisions.state,
    )


def goal_views(visit: Visit) -> list[dict[str, Any]]:
    """Each goal of the council with its vote, its live indicators and its newest decisions."""
    views = []
    policy = visit.running.gate.policy
    for goal in policy.goals.values():
        if goal.id == RUN_GOAL:
            continue
        purposes = {p.id for p in policy.purposes.values() if p.goal == goal.id}
        mandates = [
            m.id for m in visit.running.decisions.mandates.values() if m.purpose in purposes
        ]
        decided = [r for m in mandates for r in visit.pages.published("decision", {"mandate": m})]
        views.append(
            {
                "goal": goal,
                "targets": [_target(visit, goal, target) for target in goal.targets],
                "purposes": [policy.purposes[p] for p in sorted(purposes)],
                "decisions": _newest(decided)[:5],
                "decided": visit.speech.counted(len(decided), PUBLISHED),
            }
        )
    return views


def _target(visit: Visit, goal: Goal, target: Target) -> dict[str, Any]:
    indicator = _indicator(visit, goal.id, target.name)
    value, at_us, points = None, None, []
    if indicator is not None:
        permit = visit.permit()
        urn = indicator_urn(indicator)
        try:
            entity = visit.running.store.decode(visit.running.store.entity(permit, urn))
            kept = entity.get("kpiValue")
            if kept is not None:
                value, at_us = kept.value, kept.observed_at_us
            history = visit.running.store.history(
                permit, HistoryQuery(urn, ("kpiValue",), last=200)
            )
            points = [(o.observed_at_us, float(o.value)) for o in history]
        except NotFound:
            value = None
    share = None
    if value is not None and target.baseline != target.target:
        share = (target.baseline - value) / (target.baseline - target.target)
    title = visit.speech.text(target.title)
    return {
        "target": target,
        "value": value,
        "at_us": at_us,
        "share": None if share is None else min(max(share, 0.0), 1.0),
        "spark": draw_spark(points, title, visit.speech.clock),
    }


def _indicator(visit: Visit, goal: str, name: str) -> Indicator | None:
    for system in visit.running.systems:
        for indicator in system.indicators:
            if (indicator.goal, indicator.name) == (goal, name):
                return indicator
    return None


def _newest(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: -record.doc["at_us"])


def name_of(visit: Visit) -> Any:
    """What people call a thing: its name where it has one, else the end of its id."""
    permit = visit.permit()

    def name(urn: str) -> str:
        try:
            entity = visit.running.store.decode(visit.running.store.entity(permit, urn))
        except NotFound:
            return urn.rpartition(":")[2]
        found = entity.value("name")
        return found if isinstance(found, str) else urn.rpartition(":")[2]

    return name
