# SPDX-License-Identifier: EUPL-1.2
"""One page: language, session, template, and headers that let nothing foreign in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from poorter.city.errors import CityError, Denied, Invalid, NotFound, TooLarge, Unauthenticated
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.identity.rates import Rates
from poorter.identity.residents import COOKIE as RESIDENT_COOKIE
from poorter.identity.residents import EnterFirst, Known, ResidentSession
from poorter.identity.services import Service
from poorter.identity.sessions import COOKIE, Session, session_id
from poorter.offices.desk import session_of
from poorter.running import Running
from poorter.standards.http.address import address_of
from poorter.standards.oidc.provider import Provider
from poorter.standards.operations.app import Operations
from poorter.standards.proofs.app import Proofs
from poorter.store.contract import Record
from poorter.web.qr import qr
from poorter.web.speaking import LANGUAGES, Speech, choose, plain

FORM_BYTES_MAX = 64 * 1024
#: records that one page looks at; each older one keeps its own page
PUBLISHED = 500
#: of one address without a session: enough to live with, too slow to flood an office
FORMS_PER_SECOND, FORMS_BURST = 0.5, 60
#: of passwords and codes under one name, wherever they come from
TRIES_PER_SECOND, TRIES_BURST = 1 / 6, 10
#: logins elsewhere, begun or ended: of one address, and of all together
LOGINS_PER_SECOND, LOGINS_BURST = 0.5, 60
ALL_LOGINS_PER_SECOND, ALL_LOGINS_BURST = 50, 1000
#: login codes that one officer makes: a desk is busy, a thief is busier
ISSUED_PER_SECOND, ISSUED_BURST = 1 / 60, 30
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
OFFICE_PAGES = (
    *("keys", "grants", "officers", "desk", "letters", "guardians", "policy", "persons"),
    "releases",
)
#: forms whose address shows nothing by itself, and where to look instead
AFTER_FORMS = (
    ("control/goals/", "goals"),
    *((f"control/{page}", f"control/{page}") for page in OFFICE_PAGES),
    ("control/", "control"),
    ("parking/reserve", "parking/mine"),
)
#: systems with pages made for them; others get pages derived from what they declare
OWN_PAGES = ("parking", "crowds")
ENGLISH = Markup(' lang="en"')
Handler = Callable[["Visit"], Awaitable[Response]]


class Pages:
    """What all pages share."""

    def __init__(self, running: Running, acts: Operations, ledger: Proofs) -> None:
        self.running = running
        self.acts = acts
        self.ledger = ledger
        config = running.config
        self._visits = Rates(config.server_public_rate_per_second, config.server_public_rate_burst)
        self._forms = Rates(FORMS_PER_SECOND, FORMS_BURST)
        self.tries = Rates(TRIES_PER_SECOND, TRIES_BURST)
        self.logins = Rates(LOGINS_PER_SECOND, LOGINS_BURST)
        self.all_logins = Rates(ALL_LOGINS_PER_SECOND, ALL_LOGINS_BURST)
        self.issuing = Rates(ISSUED_PER_SECOND, ISSUED_BURST)
        self.templates = Environment(
            loader=PackageLoader("poorter.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters["plain"] = plain
        self.templates.filters["word_of"] = lambda value, speech: speech.word(value)

    def endpoint(
        self, handler: Handler, anywhere: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        """The handler as Starlette calls it: errors of the city become a page in words.

        `anywhere`: its address names no language.
        """

        async def call(request: Request) -> Response:
            language = request.path_params.get("language", "")
            if language not in LANGUAGES:
                language = choose(request.headers.get("accept-language"))
                if not anywhere:
                    return RedirectResponse(f"/{language}/", 303)
            visit = Visit(self, request, language)
            try:
                self._take(visit)
                return await handler(visit)
            except EnterFirst as wanted:
                return visit.to_enter(wanted.service)
            except Unauthenticated:
                return RedirectResponse(f"/{language}/login", 303)
            except CityError as wrong:
                return visit.error(wrong)

        return call

    def lost(self, request: Request) -> Response:
        """What is shown where there is no page, in the language of the address if it has one."""
        language = request.url.path[1:3]
        if language not in LANGUAGES:
            language = choose(request.headers.get("accept-language"))
        return Visit(self, request, language).error(
            NotFound(Text("deze pagina is er niet", "there is no such page"))
        )

    def _take(self, visit: Visit) -> None:
        """Rate limits: all visitors together, and forms of one address. Raises TooMany."""
        now_us = visit.speech.now_us
        self._visits.take("public", now_us)
        if visit.request.method == "POST" and visit.session is None:
            self._forms.take(visit.address, now_us)

    def permit(self, processor: str, purpose: str) -> Permit:
        """A read permit for a page, counted as a use."""
        permit = self.running.gate.permit(processor, purpose, "read")
        self.running.uses.count(permit)
        return permit

    def published(
        self, kind: str, where: Mapping[str, str] | None = None, limit: int = PUBLISHED
    ) -> list[Record]:
        """The newest records that the city publishes: what was advised, decided, and came of it."""
        permit = self.permit("internal:publish", RUN)
        return self.running.store.records(permit, kind, where, limit, newest=True)

    def published_one(self, kind: str, record_id: str) -> Record:
        """One of them. Raises NotFound."""
        return self.running.store.record(self.permit("internal:publish", RUN), kind, record_id)


class Visit:
    """One request to one page."""

    def __init__(self, pages: Pages, request: Request, language: str) -> None:
        self.pages = pages
        self.running = pages.running
        self.request = request
        config = pages.running.config
        zone = ZoneInfo(config.city_time_zone)
        self.speech = Speech(language, zone, pages.running.clock.now_us())
        self.language = language
        self.address = address_of(request.scope, config.server_proxies)
        self.session = self._session()
        cookie = request.cookies.get(RESIDENT_COOKIE, "")
        self.resident = session_of(pages.running, cookie) if cookie else None

    # -- who -----------------------------------------------------------------------------------

    def _session(self) -> Session | None:
        cookie = self.request.cookies.get(COOKIE)
        if not cookie:
            return None
        permit = self.running.gate.permit("internal:identity", RUN, "read")
        try:
            record = self.running.store.record(permit, "session", session_id(cookie))
        except NotFound:
            return None
        session = Session.from_doc(record.id, record.doc)
        return session if session.until_us > self.speech.now_us else None

    def staff(self) -> Session:
        """The session of an officer. Raises Unauthenticated without one."""
        if self.session is None:
            raise Unauthenticated(Text("log eerst in", "log in first"))
        return self.session

    def known(self, service: Service) -> Known:
        """What the service may know of the resident who is logged in. Raises EnterFirst when
        nobody is, or the login doesn't say enough: the way there is shown."""
        if self.resident is None:
            raise EnterFirst(service)
        return Known(service, self.resident.said, self.running.persons)

    async def resident_form(self) -> tuple[ResidentSession, dict[str, str]]:
        """Resident and fields of a form that acts: its token must be that of their session."""
        if self.resident is None:
            raise Unauthenticated(Text("log eerst in", "log in first"))
        fields = await self.form()
        self.resident.check_csrf(fields.get("csrf", ""))
        return self.resident, fields

    def to_enter(self, service: Service) -> Response:
        """To the login, and from there on to this page again."""
        to = self.request.url.path.removeprefix(f"/{self.language}/")
        return self.redirect(f"enter?{urlencode({'for': service.id, 'to': to})}")

    def set_cookie(self, page: Response, name: str, value: str, seconds: int) -> None:
        """A cookie that scripts and other sites' forms don't get."""
        page.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            httponly=True,
            samesite="lax",
            secure=self.running.config.has_secure_cookies,
        )

    async def form(self, limit: int = FORM_BYTES_MAX) -> dict[str, str]:
        """Fields of a posted form of at most `limit` bytes. Raises Invalid, TooLarge."""
        body = bytearray()
        async for part in self.request.stream():
            body += part
            if len(body) > limit:
                raise TooLarge(
                    Text(
                        f"een formulier heeft hoogstens {limit} bytes",
                        f"a form has at most {limit} bytes",
                    )
                )
        try:
            pairs = parse_qsl(
                bytes(body).decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=50,
            )
        except ValueError:
            raise Invalid(
                Text("dit formulier is niet te lezen", "the form is not percent-encoded UTF-8")
            ) from None
        return dict(pairs)

    async def staff_form(self) -> tuple[Session, dict[str, str]]:
        """Session and fields of a form that acts: its token must be that of the session."""
        session = self.staff()
        fields = await self.form()
        session.check_csrf(fields.get("csrf", ""))
        return session, fields

    def take_try(self, name: str) -> None:
        """Let one more password or code be tried under a name. Raises TooMany."""
        self.pages.tries.take(name.casefold()[:100], self.speech.now_us)

    def take_login(self) -> None:
        """Let one more login elsewhere begin or end. Raises TooMany."""
        self.pages.logins.take(self.address, self.speech.now_us)
        self.pages.all_logins.take("all", self.speech.now_us)

    def take_logout(self) -> None:
        """Let one more message of an issuer in: it speaks for many from one address."""
        self.pages.all_logins.take("all", self.speech.now_us)

    def providers(self, audience: str) -> list[Provider]:
        """The issuers where staff, or residents, log in."""
        parties = self.running.parties.values()
        return [p.provider for p in parties if p.provider.audience == audience]

    def in_language(self, language: str) -> Visit:
        """The same visit in another language."""
        return Visit(self.pages, self.request, language)

    def permit(self) -> Permit:
        """To read the city by: staff for the control room, else the public for open data."""
        if self.session is not None:
            return self.pages.permit("staff", "control-room")
        return self.pages.permit("public", "open-data")

    # -- what ----------------------------------------------------------------------------------

    async def ask(self, system: str, operation: str, **inputs: Any) -> dict[str, Any] | None:
        """The answer of a system's operation; None where it doesn't run here (now)."""
        try:
            found = self.pages.acts.find(system, operation)
            return await self.pages.acts.run(*found, inputs)
        except (NotFound, Denied):
            return None

    async def act(self, system: str, operation: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Let a system's operation act."""
        found = self.pages.acts.find(system, operation)
        return await self.pages.acts.run(*found, inputs, address=self.address)

    def href(self, path: str) -> str:
        """A path in this language."""
        return f"/{self.language}/{path}"

    def menu(self) -> list[tuple[str, str]]:
        """Path and word of each system: a page of its own, else the one derived from it."""
        return [
            (y.name if y.name in OWN_PAGES else f"systems/{y.name}", self.speech.text(y.title))
            for y in self.running.systems
        ]

    def other(self) -> str:
        """This same page in the other language; after a form, where one sees what it did."""
        other = "en" if self.language == "nl" else "nl"
        path = self.request.url.path.removeprefix("/").partition("/")[2]
        if self.request.method != "GET":
            after = next((to for start, to in AFTER_FORMS if path.startswith(start)), path)
            return f"/{other}/{after}"
        query = f"?{self.request.url.query}" if self.request.url.query else ""
        return f"/{other}/{path}{query}"

    def render(self, template: str, status: int = 200, **found: Any) -> Response:
        """The page."""
        speech = self.speech
        text = self.pages.templates.get_template(template).render(
            v=self,
            s=speech,
            t=speech.say,
            qr=qr,
            config=self.running.config,
            city=speech.say(self.running.config.city_name_nl, self.running.config.city_name_en),
            session=self.session,
            resident=self.resident,
            path=self.request.url.path,
            in_english=self._in_english,
            **found,
        )
        return HTMLResponse(text, status, HEADERS)

    def _in_english(self, said: object) -> Markup:
        """The attribute for what exists in English only, so that it is read aloud as English."""
        return ENGLISH if isinstance(said, str) and self.language != "en" else Markup()

    def error(self, wrong: CityError) -> Response:
        """What went wrong, in words, with the status that apps see."""
        return self.render("error.html", wrong.status, wrong=wrong)

    def away(self, address: str) -> Response:
        """To an issuer; nobody else is ever sent to."""
        return RedirectResponse(address, 303, HEADERS)

    def redirect(self, path: str) -> Response:
        """Go on to another page, after a form."""
        return RedirectResponse(self.href(path), 303, HEADERS)
