# SPDX-License-Identifier: EUPL-1.2
"""What officers do in the control room. Every one of these forms carries its session's token."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from poorter.city.errors import Denied, Invalid, NotFound
from poorter.city.text import Text
from poorter.gate.policy import Vote
from poorter.web.page import Visit


async def decide(visit: Visit) -> Response:
    """Accept, amend or refuse advice."""
    session, fields = await visit.staff_form()
    choice: Any = fields.get("choice", "")
    if choice not in ("accept", "amend", "refuse"):
        raise Invalid(Text("neem over, wijk af of wijs af", "accept, amend or refuse"))
    seen = fields.get("seen", "")
    await visit.running.decisions.decide(
        visit.request.path_params["id"],
        session.officer,
        session.roles,
        choice,
        fields.get("reason", ""),
        fields.get("value") or None,
        int(seen) if seen.isdecimal() and len(seen) < 20 else None,
    )
    return visit.redirect("control")


async def turn(visit: Visit) -> Response:
    """The stop button of a mandate, and the way back."""
    session, fields = await visit.staff_form()
    mode: Any = fields.get("mode", "")
    if mode not in ("automatic", "by-hand"):
        raise Invalid(Text("automatisch of met de hand", "automatic or by-hand"))
    mandate = visit.running.decisions.mandate(visit.request.path_params["id"])
    if mandate.role not in session.roles:
        raise Denied(
            Text("dit mandaat hoort bij een andere rol", "this mandate belongs to another role")
        )
    by = f"officer:{session.officer}"
    await visit.running.decisions.turn(mandate.id, mode, by, fields.get("why", ""))
    return visit.redirect("control")


async def answer(visit: Visit) -> Response:
    """Take up or answer an objection."""
    session, fields = await visit.staff_form()
    if "clerk" not in session.roles:
        raise Denied(Text("bezwaren behandelt de griffie", "objections are answered by clerks"))
    state: Any = fields.get("state", "")
    if state not in ("in-review", "upheld", "rejected"):
        raise Invalid(Text("in behandeling, gelijk of afgewezen", "in-review, upheld or rejected"))
    await visit.running.objections.step(
        visit.request.path_params["id"], state, session.officer, fields.get("answer", "")
    )
    return visit.redirect("control")


async def goal(visit: Visit) -> Response:
    """What adopting or rescinding does, and then doing it."""
    policy = visit.running.gate.policy
    found = policy.goals.get(visit.request.path_params["id"])
    if found is None:
        raise NotFound(Text("dat doel is er niet", "there is no such goal"))
    if visit.request.method == "GET":
        visit.staff()
        purposes = [p for p in policy.purposes.values() if p.goal == found.id]
        grants = [g for g in policy.grants.values() if g.purpose in {p.id for p in purposes}]
        return visit.render("goal.html", goal=found, purposes=purposes, grants=grants)
    session, fields = await visit.staff_form()
    if "officer" not in session.roles:
        raise Denied(
            Text(
                "alleen bevoegden leggen vast wat de raad besloot",
                "only officers record what the council decided",
            )
        )
    if fields.get("act") == "rescind":
        if fields.get("sure") != found.id:
            raise Invalid(
                Text(
                    "typ ter bevestiging de naam van het doel", "type the id of the goal to be sure"
                )
            )
        await visit.running.registry.rescind(found.id, session.officer)
    elif fields.get("act") == "adopt":
        await visit.running.registry.adopt(found.id, _vote(fields), session.officer)
    else:
        raise Invalid(Text("neem aan of trek in", "adopt or rescind"))
    return visit.redirect("goals")


def _vote(fields: dict[str, str]) -> Vote:
    counts = [fields.get(name, "") for name in ("votes_for", "votes_against")]
    if not all(count.isdecimal() and len(count) < 6 for count in counts):
        raise Invalid(Text("stemmen zijn hele getallen", "votes are whole numbers"))
    body, date = fields.get("body", "").strip(), fields.get("date", "").strip()
    if not body or not date:
        raise Invalid(Text("wie stemde, en wanneer", "who voted, and when"))
    return Vote(body[:200], date[:10], int(counts[0]), int(counts[1]))
