# SPDX-License-Identifier: EUPL-1.2
"""One request to one source: by which name we go, what we carry, how long we wait (CIM 009,
4.3.6.4 to 4.3.6.6, 6.3.18). No credential of a caller goes along; a registration brings its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from poorter.city.errors import Invalid, Unavailable
from poorter.standards.http.asgi import Request
from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild.context import CORE, Context
from poorter.standards.ngsild.sources.hops import Hops, hops_of
from poorter.standards.ngsild.sources.known import Known
from poorter.standards.ngsild.sources.model import Registration
from poorter.standards.ngsild.sources.showing import FROM_REQUEST

ASKED_MAX = 32  # sources for one request
TOTAL_S = 12.0  # for all sources together
#: what a caller proves itself with stays here, whatever a registration asks for
_CREDENTIALS = frozenset(("authorization", "cookie", "proxy-authorization", "x-api-key"))
API = "/ngsi-ld/v1"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a source gave nothing. `code` is that of NGSILD-Warning (6.3.17), `status` what an
    operation answers that only this source could do."""

    code: int
    text: str
    status: int


class Way:
    """How one incoming request goes on to sources; None where this city asks by itself."""

    def __init__(
        self,
        known: Known,
        request: Request | None,
        context: Context,
        hops: Hops | None = None,
    ) -> None:
        self.known = known
        self.context = context
        self.hops = hops or (hops_of(request) if request is not None else Hops())
        self._request = request

    @property
    def looped(self) -> bool:
        """Whether the request was here before."""
        return self.known.alias in self.hops.aliases

    def closed(self, registration: Registration) -> Fault | None:
        """Why a source is not to be asked at all."""
        if self.looped or registration.alias in self.hops.aliases or self.hops.too_many:
            return Fault(199, "the request would go in a circle", 508)
        if self.known.registry.rests(registration):
            return Fault(199, "the source failed several times and is left alone for now", 504)
        return None

    async def spoken(self, registration: Registration) -> Context:
        """The @context that names are said in to a source: one that it can have whole."""
        url = registration.speaking.get("jsonldContext")
        if url is not None:
            return await self.known.contexts.of(url)
        return self.context if self.context.url else CORE

    async def ask(
        self,
        registration: Registration,
        method: str,
        path: str,
        params: Mapping[str, str],
        context: Context,
        body: Any = None,
        media: str = "application/json",
    ) -> Reply | Fault:
        """Ask, and note how it went. `path` begins below /ngsi-ld/v1."""
        url = registration.endpoint + API + path
        if params:
            url += "?" + urlencode(params, safe=":,/", quote_via=quote)
        headers = self._headers(registration, context, media if body is not None else None)
        raw = b"" if body is None else msgspec.json.encode(body)
        registry = self.known.registry
        try:
            reply = await self.known.outgoing.send(
                method, url, headers, raw, timeout_s=registration.timeout_s
            )
        except (Invalid, Unavailable) as wrong:
            registry.note(registration, well=False)
            if " sends over " in wrong.detail:
                return Fault(111, "its answer is too large", 502)
            # without the URL: it may hold what was asked about whom
            late = " took over " in wrong.detail
            return Fault(199, "took too long" if late else "can't be reached", 504)
        registry.note(registration, well=reply.status < 500)
        return reply

    def _headers(
        self, registration: Registration, context: Context, media: str | None
    ) -> dict[str, str]:
        given: dict[str, str] = {}
        for name, value in registration.headers:
            if value != FROM_REQUEST:
                given[name] = value
            elif name.lower() not in _CREDENTIALS and self._request is not None:
                found = self._request.header(name.lower().encode("latin-1"))
                if found is not None:
                    given[name] = found
        own = {"Accept": registration.speaking.get("accept", "application/json")}
        named = registration.speaking.get("jsonldContext")  # said, it goes along in any case
        if media != "application/ld+json" and (named or context is not CORE):
            kind = 'rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
            own["Link"] = f"<{named or context.url}>; {kind}"
        if media is not None:
            own["Content-Type"] = media
        if registration.tenant is not None:
            own["NGSILD-Tenant"] = registration.tenant
        if "ngsildConformance" in registration.speaking:
            own["Prefer"] = f"ngsi-ld={registration.speaking['ngsildConformance']}"
        via = f"1.1 {self.known.alias}"
        own["Via"] = f"{self.hops.header}, {via}" if self.hops.header else via
        mine = {name.lower() for name in own}
        return {n: v for n, v in given.items() if n.lower() not in mine} | own


async def all_within(tasks: list[Any]) -> list[Any]:
    """The results of coroutines, in order, within the time there is for all; a Fault for each
    that is not done by then."""
    running = [asyncio.ensure_future(task) for task in tasks]
    if running:
        _, late = await asyncio.wait(running, timeout=TOTAL_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    return [
        Fault(199, f"no answer within {TOTAL_S:g} s", 504) if task.cancelled() else task.result()
        for task in running
    ]


def warning(registration: Registration, fault: Fault) -> tuple[bytes, bytes]:
    """The NGSILD-Warning header for a source that gave nothing (6.3.17)."""
    host = urlsplit(registration.endpoint).netloc
    text = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else " " for c in fault.text
    )
    return b"ngsild-warning", f'{fault.code} {host} "{text[:200]}"'.encode("latin-1", "replace")
