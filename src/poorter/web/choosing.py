# SPDX-License-Identifier: EUPL-1.2
"""A resident's consents and objections: one page, one form each way. Withdrawing is one press, as
giving is. Apps of the resident ask the same addresses for JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.identity.keys import read_ring
from poorter.identity.persons import BSN
from poorter.identity.services import CONSENTS
from poorter.offices.desk import DESK
from poorter.offices.record import check_role
from poorter.rights.consents import Person, Standing
from poorter.rights.record import read_receipt
from poorter.web.page import HEADERS, Visit


async def choices(visit: Visit) -> Response:
    """How one stands towards every use of data on persons; and a step, with its receipt."""
    if visit.request.method == "GET":
        return _shown(visit, visit.request.query_params.get("for", ""), None)
    visit.known(CONSENTS)
    _, fields = await visit.resident_form()
    chosen = fields.get("for", "")
    receipt = await _act(visit, _person(visit, chosen), fields)
    return _shown(visit, chosen, receipt)


async def _act(visit: Visit, person: Person, fields: dict[str, str]) -> str:
    consents, act = visit.running.people.consents, fields.get("act")
    purpose = fields.get("purpose", "")
    items = [name for name in fields.get("items", "").replace(",", " ").split() if name]
    items += [name.removeprefix("item-") for name in fields if name.startswith("item-")]
    if act == "give":
        until_us = _end_of(fields.get("until", ""))
        return await consents.give(person, purpose, items, until_us, visit.language)
    if act == "withdraw":
        return await consents.withdraw(person, purpose, visit.language)
    if act == "object":
        return await consents.object(person, purpose, items, visit.language)
    if act == "lift":
        return await consents.lift(person, purpose, visit.language)
    raise Invalid(
        Text("geef, trek in, maak bezwaar of neem het terug", "give, withdraw, object or lift")
    )


def _person(visit: Visit, chosen: str) -> Person:
    subject = visit.known(CONSENTS).subject
    if chosen:
        return visit.running.people.guardians.child(subject, chosen)
    return visit.running.people.guardians.person(subject)


def _shown(visit: Visit, chosen: str, receipt: str | None) -> Response:
    person = _person(visit, chosen)
    standings = visit.running.people.consents.standings(person)
    if "application/json" in visit.request.headers.get("accept", ""):
        body = {"choices": [_plain(one) for one in standings], "receipt": receipt}
        return JSONResponse(body, headers=HEADERS)
    return visit.render(
        "choices.html",
        standings=standings,
        person=person,
        chosen=chosen,
        children=visit.running.people.guardians.children(visit.known(CONSENTS).subject),
        receipt=receipt,
        policy=visit.running.gate.policy,
    )


def _plain(one: Standing) -> dict[str, Any]:
    choice = one.choice
    return {
        "purpose": one.purpose.id,
        "title": {"nl": one.purpose.title.nl, "en": one.purpose.title.en},
        "office": one.purpose.office,
        "legal_basis": one.purpose.legal_basis,
        "wall": one.wall,
        "asks": one.asks,
        "items": list(one.items),
        "said": None if choice is None else choice.said,
        "said_items": [] if choice is None else sorted(choice.items),
    }


def _end_of(text: str) -> int | None:
    """The end of a day in UTC; None where no day is given. Raises Invalid."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Invalid(
            Text("schrijf de dag als 2027-01-31", "write the day as 2027-01-31")
        ) from None
    return int(day.timestamp()) * 1_000_000 + DAY_US


async def erasure(visit: Visit) -> Response:
    """Ask to be erased behind a wall, and how that stands."""
    running = visit.running
    if visit.request.method == "POST":
        visit.known(CONSENTS)
        _, fields = await visit.resident_form()
        chosen = fields.get("for", "")
        person = _person(visit, chosen)
        await running.people.requests.ask(person, fields.get("wall", ""), fields.get("why", ""))
    else:
        chosen = visit.request.query_params.get("for", "")
        person = _person(visit, chosen)
    return visit.render(
        "erasure.html",
        places=running.people.requests.places(person, running.people.erasing.held()),
        chosen=chosen,
        children=running.people.guardians.children(visit.known(CONSENTS).subject),
    )


async def receipt(visit: Visit) -> Response:
    """Whether a receipt of a choice is really the city's."""
    found, wrong, text = None, "", ""
    if visit.request.method == "POST":
        text = (await visit.form()).get("receipt", "")
        ring = read_ring(visit.running.config.paths_keys)
        try:
            found = read_receipt(text, [e.public() for e in ring if e.use == "policy"])
        except ValueError as error:
            wrong = str(error)
    return visit.render("choice-receipt.html", found=found, wrong=wrong, text=text)


async def guardians(visit: Visit) -> Response:
    """The desk records who is guardian of a child, on a document."""
    if visit.request.method == "GET":
        check_role(visit.running, visit.staff().officer, DESK)
        return visit.render("guardians.html", recorded=None)
    session, fields = await visit.staff_form()
    check_role(visit.running, session.officer, DESK)
    if fields.get("act") == "end":
        await visit.running.people.guardians.end(fields.get("id", ""), session.officer)
        return visit.redirect("control/guardians")
    persons = visit.running.persons
    until_us = _end_of(fields.get("until", ""))
    if until_us is None:
        raise Invalid(Text("op welke dag wordt het kind 16", "on which day will the child be 16"))
    recorded = await visit.running.people.guardians.record(
        persons.root(BSN, fields.get("guardian", "")),
        persons.root(BSN, fields.get("child", "")),
        fields.get("name", ""),
        until_us,
        session.officer,
    )
    return visit.render("guardians.html", recorded=recorded)
