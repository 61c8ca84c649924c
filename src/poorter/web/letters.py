# SPDX-License-Identifier: EUPL-1.2
"""Is this letter, message or officer really the city's? A page and an API for everyone; and the
page where offices get their codes."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import JSONResponse, Response

from poorter.city.errors import CityError, Invalid, TooLarge, TooMany
from poorter.city.text import Text
from poorter.identity.letters import SORTS, SUBJECTS
from poorter.identity.paper import spelled
from poorter.offices import letters
from poorter.offices.record import officer_of
from poorter.web.page import HEADERS, Visit

BODY_BYTES_MAX = 1024


async def check(visit: Visit) -> Response:
    """The form, and what the city says of a code. A link may fill it in; it checks nothing yet."""
    if visit.request.method == "GET":
        code = visit.request.query_params.get("code", "")[:40]
        return _page(visit, code, None)
    fields = await visit.form()
    visit.take_try(f"letter-code {visit.address}")
    code = fields.get("code", "")[:100]
    return _page(visit, code, await letters.check_code(visit.running, code))


def _page(visit: Visit, code: str, found: letters.Checked | None) -> Response:
    return visit.render("check.html", code=code, found=found, sorts=SORTS, subjects=SUBJECTS)


async def api(visit: Visit) -> Response:
    """The same for apps: {"code": ...} in, the verdict and the signed statement out."""
    try:
        visit.take_try(f"letter-code {visit.address}")
        found = await letters.check_code(visit.running, await _code(visit))
    except CityError as wrong:
        problem = {"title": wrong.title, "detail": wrong.detail, "status": wrong.status}
        more = {"retry-after": str(wrong.retry_after_s)} if isinstance(wrong, TooMany) else {}
        return JSONResponse(problem, wrong.status, {**HEADERS, **more}, "application/problem+json")
    told: dict[str, Any] = {"verdict": found.verdict}
    if found.sent is not None:
        told |= {
            "checked_before": found.checks,
            "statement": found.statement,
            "signatures": dict(zip(("ed25519", "mldsa65"), found.signatures, strict=True)),
        }
    return JSONResponse(told, headers=HEADERS)


async def _code(visit: Visit) -> str:
    body = bytearray()
    async for part in visit.request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise TooLarge(f"a body has at most {BODY_BYTES_MAX} bytes")
    try:
        code = msgspec.json.decode(bytes(body), type=dict[str, str]).get("code")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        code = None
    if code is None:
        raise Invalid('the body reads {"code": "..."}')
    return code


async def codes(visit: Visit) -> Response:
    """Codes of one's own office: get one, withdraw one."""
    if visit.request.method == "GET":
        return _codes(visit, visit.staff().officer, "")
    session, fields = await visit.staff_form()
    by, code = session.officer, ""
    if fields.get("act") == "withdraw":
        await letters.withdraw(visit.running, fields.get("id", ""), by)
        return visit.redirect("control/letters")
    if fields.get("act") != "give":
        raise Invalid(Text("maak een code of trek er een in", "make a code or withdraw one"))
    visit.pages.issuing.take(f"letters {by}", visit.speech.now_us)
    code = await letters.give_code(
        visit.running,
        fields.get("kind", ""),
        fields.get("subject", ""),
        by,
        fields.get("sender", ""),
    )
    return _codes(visit, by, code)


def _codes(visit: Visit, by: str, code: str) -> Response:
    office = officer_of(visit.running, by).office
    return visit.render(
        "letters.html",
        office=office,
        code=spelled(code),
        address=f"{visit.running.config.url}/{visit.language}/check",
        given=letters.given(visit.running, office),
        sorts=SORTS,
        subjects=SUBJECTS,
    )
