# SPDX-License-Identifier: EUPL-1.2
"""Residents come in here, and go out: by a code from the desk. Wrong, used and old codes look and
last alike. The desk itself is a page of the control room."""

from __future__ import annotations

import hmac
import re
import secrets

from starlette.responses import Response

from poorter.city.errors import Denied, Invalid, Unauthenticated
from poorter.city.text import Text
from poorter.identity.paper import spelled
from poorter.identity.residents import COOKIE, ResidentSession
from poorter.identity.services import MY_DATA, NEEDS, Service
from poorter.identity.sessions import Session
from poorter.offices import desk
from poorter.offices.record import check_role
from poorter.offices.wallet import offers
from poorter.web.page import Visit
from poorter.web.speaking import LANGUAGES, Speech

FORM_COOKIE = "poorter_enter"
#: pages to go on to: a path of this city's own, nothing with a host, a query or dots in it
ONWARDS = re.compile(r"[a-z0-9][a-z0-9-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*\Z")


async def enter(visit: Visit) -> Response:
    """The form, or what the login says; and a session for the right code."""
    if visit.request.method == "GET":
        return enter_form(visit, visit.request.query_params.get("to", ""), "")
    fields = await visit.form()
    check_form(visit, FORM_COOKIE, fields.get("form", ""))
    visit.take_try(f"desk-code {visit.address}")
    to = fields.get("to", "")
    try:
        session, cookie = await desk.enter_by_code(visit.running, fields.get("code", ""))
    except Unauthenticated:
        return enter_form(visit, to, "code")
    return await let_in(visit, session, cookie, to)


async def let_in(visit: Visit, session: ResidentSession, cookie: str, to: str) -> Response:
    """Go on as this resident; a session that the browser had before is over."""
    if visit.resident is not None:
        await desk.end_session(visit.running, visit.resident)
    page = visit.redirect(to if ONWARDS.match(to) else "enter")
    visit.set_cookie(page, COOKIE, cookie, visit.running.config.identity_resident_minutes * 60)
    page.delete_cookie(FORM_COOKIE, path="/")
    return page


def check_form(visit: Visit, cookie: str, given: str) -> None:
    """Raises Denied unless the form is one that this browser was given: nobody is logged in by a
    page of somebody else."""
    kept = visit.request.cookies.get(cookie, "")
    if not kept or not hmac.compare_digest(kept.encode(), given.encode()):
        raise Denied(
            Text(
                "het formulier is te oud of niet van ons: laad de pagina opnieuw",
                "the form is too old or not ours: load the page again",
            )
        )


def enter_form(visit: Visit, to: str, wrong: str) -> Response:
    """The ways in. `wrong`: what did not work, "code" or "away"; "" before anything was tried."""
    token = secrets.token_urlsafe(24)
    service = _service(visit)
    page = visit.render(
        "enter.html",
        401 if wrong else 200,
        form_token=token,
        wrong=wrong,
        to=to if ONWARDS.match(to) else "",
        service=service,
        needs=NEEDS,
        providers=visit.providers("residents"),
        by_wallet=offers(visit.running, service or MY_DATA),
    )
    visit.set_cookie(page, FORM_COOKIE, token, 3600)
    return page


def _service(visit: Visit) -> Service | None:
    """The service that the resident was on the way to, if any."""
    return visit.running.services.get(visit.request.query_params.get("for", ""))


async def leave(visit: Visit) -> Response:
    """End the session, here and in the store."""
    if visit.resident is None:
        return visit.redirect("enter")
    session, _ = await visit.resident_form()
    await desk.end_session(visit.running, session)
    page = visit.redirect("enter")
    page.delete_cookie(COOKIE, path="/")
    return page


def _at_desk(visit: Visit, session: Session) -> None:
    """Raises Denied unless the officer has that role now, and in this session."""
    check_role(visit.running, session.officer if desk.DESK in session.roles else "", desk.DESK)


async def codes(visit: Visit) -> Response:
    """The desk: make a code for somebody at the counter, or take a lost one back."""
    if visit.request.method == "GET":
        _at_desk(visit, visit.staff())
        return visit.render(
            "desk.html", codes=desk.codes(visit.running), documents=desk.DOCUMENTS, needs=NEEDS
        )
    session, fields = await visit.staff_form()
    _at_desk(visit, session)
    by = session.officer
    if fields.get("act") == "revoke":
        await desk.revoke_code(visit.running, fields.get("id", ""), by)
        return visit.redirect("control/desk")
    if fields.get("act") != "issue":
        raise Invalid(Text("maak een code of neem er een terug", "make a code or take one back"))
    visit.pages.issuing.take(by, visit.speech.now_us)
    issued = await desk.issue_code(
        visit.running,
        fields.get("number", ""),
        [need for need in NEEDS if fields.get(f"says-{need}")],
        fields.get("document", ""),
        by,
    )
    zone = visit.speech.zone
    return visit.render(
        "paper.html",
        issued=issued,
        spelled=spelled(issued.code),
        needs=NEEDS,
        address=visit.running.config.url,
        until={
            one: Speech(one, zone, visit.speech.now_us).clock(issued.until_us) for one in LANGUAGES
        },
    )
