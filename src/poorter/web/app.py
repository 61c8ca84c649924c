# SPDX-License-Identifier: EUPL-1.2
"""All pages as one application. The table is data: a test walks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from poorter.running import Running
from poorter.standards.operations.app import Operations
from poorter.standards.proofs.app import Proofs
from poorter.web import (
    choosing,
    connecting,
    contest,
    control,
    entering,
    federated,
    governing,
    letters,
    looking,
    offices,
    operating,
    parking,
    resident,
    staff,
    wallet,
)
from poorter.web.page import Handler, Pages
from poorter.web.speaking import LANGUAGES, choose

STATIC = Path(__file__).parent / "static"

#: addresses that others were told, so without a language: path, methods, handler
FIXED: tuple[tuple[str, tuple[str, ...], Handler], ...] = (
    ("/check", ("POST",), letters.api),
    ("/openid4vp/response", ("POST",), wallet.respond),
    ("/openid4vp/back", ("GET",), wallet.back),
    ("/oidc/{provider}/back", ("GET",), federated.back),
    ("/oidc/{provider}/logout", ("POST",), federated.logout),
)

#: path under the language, methods, handler
TABLE: tuple[tuple[str, tuple[str, ...], Handler], ...] = (
    ("", ("GET",), resident.home),
    ("parking", ("GET",), parking.find),
    ("parking/reserve", ("POST",), parking.reserve),
    ("parking/mine", ("GET", "POST"), parking.mine),
    ("crowds", ("GET",), resident.crowds),
    ("decisions", ("GET",), resident.decisions),
    ("decisions/{id}", ("GET",), resident.decision),
    ("goals", ("GET",), resident.goals),
    ("registers", ("GET",), resident.registers),
    ("systems/{system}", ("GET",), operating.system),
    ("systems/{system}/{operation}", ("GET", "POST"), operating.operation),
    ("object", ("GET", "POST"), contest.file),
    ("objection", ("GET", "POST"), contest.follow),
    ("receipt", ("GET", "POST"), contest.receipt),
    ("my/uses", ("GET",), looking.uses),
    ("my/erasure", ("GET", "POST"), choosing.erasure),
    ("my/uses/evidence", ("GET",), looking.evidence),
    ("verify", ("GET",), looking.verify),
    ("control", ("GET",), control.room),
    ("control/inspections", ("GET", "POST"), looking.cases),
    ("control/inspections/{id}", ("GET",), looking.case),
    ("control/advice/{id}", ("POST",), governing.decide),
    ("control/mandates/{id}", ("POST",), governing.turn),
    ("control/objections/{id}", ("POST",), governing.answer),
    ("control/connections", ("GET", "POST"), connecting.page),
    ("control/keys", ("GET", "POST"), offices.keys),
    ("control/grants", ("GET", "POST"), offices.grants),
    ("control/persons", ("GET", "POST"), offices.persons),
    ("control/releases", ("GET", "POST"), offices.releases),
    ("figures", ("GET",), offices.figures),
    ("control/policy", ("GET", "POST"), offices.policy),
    ("control/officers", ("GET", "POST"), offices.officers),
    ("control/letters", ("GET", "POST"), letters.codes),
    ("control/desk", ("GET", "POST"), entering.codes),
    ("control/password", ("GET", "POST"), offices.password),
    ("control/goals/{id}", ("GET", "POST"), governing.goal),
    ("choices", ("GET", "POST"), choosing.choices),
    ("choices/receipt", ("GET", "POST"), choosing.receipt),
    ("control/guardians", ("GET", "POST"), choosing.guardians),
    ("welcome", ("GET", "POST"), offices.welcome),
    ("login/wallet", ("GET",), wallet.begin),
    ("login/wallet/done", ("POST",), wallet.across),
    ("login/{provider}", ("GET",), federated.begin),
    ("login", ("GET", "POST"), staff.login),
    ("check", ("GET", "POST"), letters.check),
    ("enter", ("GET", "POST"), entering.enter),
    ("leave", ("POST",), entering.leave),
    ("logout", ("POST",), staff.logout),
)


class _Static(StaticFiles):
    """Files that a browser asks after each time: an update of the city shows at once."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        response = super().file_response(*given, **named)
        response.headers["cache-control"] = "no-cache"
        return response


def make_pages(running: Running, acts: Operations, ledger: Proofs) -> Starlette:
    """Routes of all pages, of static files, and of /health and /ready."""
    pages = Pages(running, acts, ledger)

    async def health(request: Request) -> Response:
        failing = running.sequencer.failing
        state = {"status": "up", "policy": running.gate.policy.version, "ledger": "written"}
        if failing is not None:
            state |= {"status": "degraded", "ledger": f"can't be written: {failing}"}
        failures = running.job_failures.get("history", 0)
        state["history"] = "compacted" if not failures else f"compaction failed {failures} times"
        if failures:
            state["status"] = "degraded"
        if running.collecting is not None:
            refusals = running.collecting.refusals
            state["witnesses"] = "; ".join(f"{u}: {w}" for u, w in refusals.items()) or "cosign"
        return JSONResponse(state)

    async def readiness(request: Request) -> Response:
        """503 while this city should get no requests: it can't write what it must."""
        wrong = running.sequencer.failing
        jobs = sorted(name for name, failures in running.job_failures.items() if failures > 2)
        state = {"ready": wrong is None, "failing_jobs": jobs}
        return JSONResponse(state, 200 if wrong is None else 503)

    async def root(request: Request) -> Response:
        return RedirectResponse(f"/{choose(request.headers.get('accept-language'))}/", 303)

    routes: list[Route | Mount] = [
        Route("/", root),
        *(Route(f"/{language}", RedirectResponse(f"/{language}/", 308)) for language in LANGUAGES),
        Route("/health", health),
        Route("/ready", readiness),
        Mount("/static", _Static(directory=STATIC)),
    ]
    for path, methods, handler in FIXED:
        routes.append(Route(path, pages.endpoint(handler, anywhere=True), methods=list(methods)))
    for path, methods, handler in TABLE:
        routes.append(
            Route(f"/{{language}}/{path}", pages.endpoint(handler), methods=list(methods))
        )

    async def lost(request: Request, wrong: Exception) -> Response:
        return pages.lost(request)

    app = Starlette(routes=routes, exception_handlers={404: lost})
    app.router.redirect_slashes = False  # /robots.txt is no language
    return app
