# SPDX-License-Identifier: EUPL-1.2
"""Log in by wallet: the page with the link, the door for wallets, and the way back."""

from __future__ import annotations

import logging
import secrets

from starlette.responses import JSONResponse, Response

from poorter.city.errors import CityError, NotFound
from poorter.city.text import Text
from poorter.identity.jose import BadToken
from poorter.identity.services import MY_DATA, NEEDS
from poorter.offices import wallet
from poorter.offices.federated import TRY_MINUTES
from poorter.web.entering import ONWARDS, enter_form, let_in
from poorter.web.page import HEADERS, Visit

log = logging.getLogger(__name__)
COOKIE = "poorter_wallet"
ANSWER_BYTES_MAX = 300 * 1024


async def begin(visit: Visit) -> Response:
    """The link that opens the wallet on this device, and what it is asked."""
    query = visit.request.query_params
    service = visit.running.services.get(query.get("for", ""), MY_DATA)
    if not wallet.offers(visit.running, service):
        raise NotFound(
            Text("hiervoor is er geen bewijs in een wallet", "no wallet can prove this here")
        )
    visit.take_login()
    to = query.get("to", "")
    to = to if ONWARDS.match(to) else ""
    cookie = secrets.token_urlsafe(32)
    here, there = [
        await wallet.ask(visit.running, service, visit.language, to, cookie, across)
        for across in (False, True)
    ]
    page = visit.render(
        "wallet.html",
        link=here.link,
        other=there.link,
        state=there.state,
        waits=False,
        service=service,
        needs=NEEDS,
    )
    visit.set_cookie(page, COOKIE, cookie, TRY_MINUTES * 60)
    return page


async def respond(visit: Visit) -> Response:
    """A wallet posts here (direct_post)."""
    visit.take_login()
    try:
        fields = await visit.form(ANSWER_BYTES_MAX)
        place = await wallet.answer(visit.running, fields)
    except BadToken as wrong:
        log.warning("an answer of a wallet was refused: %s", wrong.reason)
        return JSONResponse({"error": "invalid_request"}, 400, HEADERS)
    except CityError as wrong:
        return JSONResponse({"error": "invalid_request"}, wrong.status, HEADERS)
    return JSONResponse({"redirect_uri": place} if place else {}, 200, HEADERS)


async def across(visit: Visit) -> Response:
    """The wallet is on another device: has it answered? Only this browser gets in by it."""
    visit.take_login()
    fields = await visit.form()
    state, cookie = fields.get("state", ""), visit.request.cookies.get(COOKIE, "")
    try:
        if not wallet.is_answered(visit.running, state):
            return visit.render("wallet.html", waits=True, state=state)
        session, value, asked = await wallet.finish(visit.running, state, f"across {state}", cookie)
    except BadToken as wrong:
        log.warning("a login by wallet failed: %s", wrong.reason)
        page = enter_form(visit, "", "away")
    else:
        page = await let_in(visit.in_language(asked.language), session, value, asked.to)
    page.delete_cookie(COOKIE, path="/")
    return page


async def back(visit: Visit) -> Response:
    """The wallet brought the browser back."""
    visit.take_login()
    query = visit.request.query_params
    cookie = visit.request.cookies.get(COOKIE, "")
    try:
        session, value, asked = await wallet.finish(
            visit.running, query.get("state", ""), query.get("response_code", ""), cookie
        )
    except BadToken as wrong:
        log.warning("a login by wallet failed: %s", wrong.reason)
        page = enter_form(visit, "", "away")
    else:
        page = await let_in(visit.in_language(asked.language), session, value, asked.to)
    page.delete_cookie(COOKIE, path="/")
    return page
