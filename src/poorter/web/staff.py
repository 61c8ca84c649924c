# SPDX-License-Identifier: EUPL-1.2
"""Log in and out. A wrong name and a wrong password look and last alike; tries are limited."""

from __future__ import annotations

import asyncio
import hmac
import secrets

from starlette.responses import Response

from poorter.city.errors import Denied, NotFound, Unauthenticated
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.identity.sessions import COOKIE, SESSION_HOURS_MAX, Officer, Session, log_in
from poorter.ledger.leaf import make_line
from poorter.store.contract import AppendLeaf, Change, DeleteRecord, Op, PutRecord
from poorter.web.page import Visit

FORM_COOKIE = "poorter_form"


async def login(visit: Visit) -> Response:
    """The form, and a session."""
    if visit.request.method == "GET":
        return login_form(visit, "")
    fields = await visit.form()
    kept = visit.request.cookies.get(FORM_COOKIE, "")
    if not kept or not hmac.compare_digest(kept.encode(), fields.get("form", "").encode()):
        raise Denied(
            Text(
                "het formulier is te oud of niet van ons: laad de pagina opnieuw",
                "the form is too old or not ours: load the page again",
            )
        )
    name = fields.get("name", "").strip()
    visit.take_try(name)
    permit = visit.running.gate.permit("internal:identity", RUN, "read")
    try:
        officer = Officer.from_doc(name, visit.running.store.record(permit, "officer", name).doc)
    except NotFound:
        officer = None
    password = fields.get("password", "")
    try:
        session, cookie = await asyncio.to_thread(log_in, officer, password, visit.speech.now_us)
    except Unauthenticated:
        return login_form(visit, "password")
    await _write(visit, PutRecord("session", session.id, session.to_doc(), 0), session, "begun")
    page = visit.redirect("control")
    visit.set_cookie(page, COOKIE, cookie, SESSION_HOURS_MAX * 3600)
    page.delete_cookie(FORM_COOKIE, path="/")
    return page


def login_form(visit: Visit, wrong: str) -> Response:
    """The ways in. `wrong`: what did not work, "password" or "away"; "" before anything."""
    token = secrets.token_urlsafe(24)
    page = visit.render(
        "login.html",
        401 if wrong else 200,
        form_token=token,
        wrong=wrong,
        providers=visit.providers("staff"),
    )
    visit.set_cookie(page, FORM_COOKIE, token, SESSION_HOURS_MAX * 3600)
    return page


async def logout(visit: Visit) -> Response:
    """End the session, here and in the store."""
    session, _ = await visit.staff_form()
    await _write(visit, DeleteRecord("session", session.id), session, "ended")
    page = visit.redirect("")
    page.delete_cookie(COOKIE, path="/")
    return page


async def _write(visit: Visit, op: Op, session: Session, outcome: str) -> None:
    line = make_line(
        "session",
        visit.speech.now_us,
        policy_version=visit.running.gate.policy.version,
        processor="internal:identity",
        purpose=RUN,
        about="session",
        action="administer",
        outcome=outcome,
        payload=session.officer.encode(),
    )
    permit = visit.running.gate.permit("internal:identity", RUN, "administer")
    change = Change((op, AppendLeaf(line.leaf, line.payload)))
    await visit.running.store.commit_async(permit, change)
