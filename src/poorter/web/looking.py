# SPDX-License-Identifier: EUPL-1.2
"""Who looked at my data: for the resident, for staff with a case and a second officer, and the page
on which anybody verifies it in their own browser."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.identity.services import MY_DATA
from poorter.offices.drafts import drafts, drop_draft
from poorter.offices.inspecting import (
    INSPECTION,
    approve_inspection,
    ask_inspection,
    inspect,
    inspections,
)
from poorter.offices.looked import Looked, looked, subjects_of
from poorter.offices.record import check_officer
from poorter.rights.consents import Standing
from poorter.web.page import HEADERS, Visit

PAGE = 50
#: scripts of our own and no connection at all: what is verified can't leave the browser
VERIFY_POLICY = HEADERS["content-security-policy"] + "; script-src 'self'; connect-src 'none'"


async def uses(visit: Visit) -> Response:
    """The lines about whoever is logged in, in plain words."""
    subjects = subjects_of(visit.running, visit.known(MY_DATA).subject)
    found = await asyncio.to_thread(looked, visit.running, subjects)
    return _uses(visit, found, None)


def _uses(visit: Visit, found: Looked, case: object) -> Response:
    text = visit.request.query_params.get("page", "1")
    pages = max(1, -(-len(found.looks) // PAGE))
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 1
    page = min(max(number, 1), pages)
    looks = found.looks[(page - 1) * PAGE : page * PAGE]
    return visit.render(
        "uses.html",
        found=found,
        looks=looks,
        page=page,
        pages=pages,
        case=case,
        stands={} if case is not None else _stands(visit),
    )


def _stands(visit: Visit) -> dict[str, Standing]:
    """What whoever is logged in can say of each purpose, and said."""
    person = visit.running.people.guardians.person(visit.known(MY_DATA).subject)
    standings = visit.running.people.consents.standings(person)
    return {one.purpose.id: one for one in standings}


async def evidence(visit: Visit) -> Response:
    """All of it with its proofs, as a file to take home."""
    known = visit.known(MY_DATA)
    assert visit.resident is not None
    visit.take_try(f"evidence {visit.resident.id}")
    subjects = subjects_of(visit.running, known.subject)
    trust = visit.running.trust_text()
    found = await asyncio.to_thread(visit.running.insight.evidence, subjects, trust)
    headers = {
        **HEADERS,
        "content-disposition": 'attachment; filename="who-looked-at-my-data.json"',
    }
    return Response(msgspec.json.encode(found), 200, headers, "application/json")


async def verify(visit: Visit) -> Response:
    """Verify in the browser; without JavaScript it says how else."""
    page = visit.render("verify.html", trust=visit.running.trust_text())
    page.headers["content-security-policy"] = VERIFY_POLICY
    return page


async def cases(visit: Visit) -> Response:
    """Ask to look for a case, approve another's."""
    if visit.request.method == "GET":
        by = visit.staff().officer
        check_officer(visit.running, by)
        return visit.render(
            "inspections.html",
            drafts=drafts(visit.running, INSPECTION),
            mine=inspections(visit.running, by),
        )
    session, fields = await visit.staff_form()
    act, by = fields.get("act"), session.officer
    if act == "ask":
        visit.take_try(f"inspection {by}")
        number, case = fields.get("number", ""), fields.get("case", "")
        await ask_inspection(visit.running, number, case, fields.get("reason", ""), by)
    elif act == "approve":
        await approve_inspection(visit.running, fields.get("id", ""), by)
    elif act == "drop":
        await drop_draft(visit.running, fields.get("id", ""), (INSPECTION,), by)
    else:
        raise Invalid(Text("vraag, keur goed of laat vallen", "ask, approve or drop"))
    return visit.redirect("control/inspections")


async def case(visit: Visit) -> Response:
    """Look, for an hour: each look is a line."""
    by = visit.staff().officer
    inspection_id = visit.request.path_params["id"]
    leave, found = await inspect(visit.running, inspection_id, by)
    return _uses(visit, found, leave)
