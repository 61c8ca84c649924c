# SPDX-License-Identifier: EUPL-1.2
"""To an issuer and back: a link that begins a login, the one address that it comes back to, and
the door by which an issuer ends sessions."""

from __future__ import annotations

import logging

from starlette.responses import JSONResponse, Response

from poorter.city.errors import CityError, Invalid, NotFound, Unavailable
from poorter.city.text import Text
from poorter.identity.jose import BadToken
from poorter.identity.services import MY_DATA
from poorter.identity.sessions import COOKIE, SESSION_HOURS_MAX
from poorter.offices import federated
from poorter.standards.oidc.client import AWAY, RelyingParty
from poorter.web.entering import ONWARDS, enter_form, let_in
from poorter.web.page import Visit
from poorter.web.staff import login_form

log = logging.getLogger(__name__)
TRY_COOKIE = "poorter_try"


async def begin(visit: Visit) -> Response:
    """Off to the issuer."""
    party = _party(visit)
    visit.take_login()
    query = visit.request.query_params
    service = None
    if party.provider.audience == "residents":
        service = visit.running.services.get(query.get("for", ""), MY_DATA)
    to = query.get("to", "")
    onwards = to if ONWARDS.match(to) else ""
    try:
        address, cookie = await federated.begin_try(
            visit.running, party, visit.language, service, onwards
        )
    except BadToken as wrong:  # what it publishes of its keys is none
        log.warning("login at %s can't begin: %s", party.provider.name, wrong.reason)
        raise Unavailable(AWAY) from None
    page = visit.away(address)
    visit.set_cookie(page, TRY_COOKIE, cookie, federated.TRY_MINUTES * 60)
    return page


async def back(visit: Visit) -> Response:
    """Home again, with a session when all of it fits."""
    party = _party(visit)
    visit.take_login()
    answer = _answer(visit)
    cookie = visit.request.cookies.get(TRY_COOKIE, "")
    provider = party.provider
    try:
        begun = await federated.spend_try(
            visit.running, provider.name, answer.get("state", ""), cookie
        )
        visit = visit.in_language(begun.language)
        claims = await party.claims(begun.asked(), answer)
        if provider.audience == "staff":
            _, value = await federated.staff_in(visit.running, provider, claims)
            page = visit.redirect("control")
            visit.set_cookie(page, COOKIE, value, SESSION_HOURS_MAX * 3600)
        else:
            service = visit.running.services.get(begun.service, MY_DATA)
            inside, value = await federated.resident_in(visit.running, provider, service, claims)
            page = await let_in(visit, inside, value, begun.to)
    except BadToken as wrong:
        log.warning("login at %s failed: %s", provider.name, wrong.reason)
        staff = provider.audience == "staff"
        page = login_form(visit, "away") if staff else enter_form(visit, "", "away")
    page.delete_cookie(TRY_COOKIE, path="/")
    return page


async def logout(visit: Visit) -> Response:
    """The issuer ends what it began (OIDC Back-Channel Logout 1.0)."""
    party = _party(visit)
    visit.take_logout()
    headers = {"cache-control": "no-store"}
    try:
        text = (await visit.form()).get("logout_token", "")
        await federated.end_sessions(visit.running, party, text)
    except BadToken as wrong:
        log.warning("logout by %s failed: %s", party.provider.name, wrong.reason)
        return JSONResponse({"error": "invalid_request"}, 400, headers)
    except CityError as wrong:
        return JSONResponse({"error": "invalid_request"}, wrong.status, headers)
    return Response(status_code=200, headers=headers)


def _party(visit: Visit) -> RelyingParty:
    party = visit.running.parties.get(visit.request.path_params["provider"])
    if party is None:
        raise NotFound(Text("deze inlogdienst is er niet", "there is no such provider"))
    return party


def _answer(visit: Visit) -> dict[str, str]:
    """What the issuer sent along. Raises Invalid when anything stands there twice."""
    pairs = visit.request.query_params.multi_items()
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid(Text("dit adres klopt niet", "a field stands there twice"))
    return found
