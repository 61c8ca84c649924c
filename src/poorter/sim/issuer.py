# SPDX-License-Identifier: EUPL-1.2
"""An OpenID issuer to try logins with: for the example city and tests, on this machine only.

Whoever opens it is whoever they say: it asks for no password. So it listens on loopback, and its
people are invented.

python -m poorter.sim.issuer --port 8001 --city http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import html
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from granian.constants import Interfaces
from granian.server.embed import Server
from joserfc import jwk, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from poorter.sim.people import RESIDENTS
from poorter.standards.oidc.client import challenge
from poorter.standards.oidc.provider import KNOWN_LEVELS, Provider, read_providers

CODE_S, TOKEN_S = 60, 300
PENDING_MAX = 1000
_LEVELS = {level: acr for acr, level in KNOWN_LEVELS.items() if acr.startswith("http")}


@dataclass(frozen=True, slots=True)
class Client:
    """A relying party: exact addresses to go back to, and its secret if it has one."""

    redirect_uris: tuple[str, ...]
    secret: str | None = None
    #: who logs in here: "staff" or "residents"
    audience: str = "residents"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody invented, with all that this issuer could say of them."""

    sub: str
    name: str
    audience: str
    claims: Mapping[str, Any]
    acr: str = _LEVELS["substantial"]


@dataclass
class Issuer:
    """Its name is its address."""

    url: str
    clients: Mapping[str, Client]
    people: tuple[Person, ...]
    key: Any = field(default_factory=lambda: jwk.generate_key("EC", "P-256", {"kid": "k1"}))
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def app(self) -> Starlette:
        """Discovery, keys, the page to choose who one is, and the token endpoint."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize, methods=["GET", "POST"]),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    def sign(self, claims: Mapping[str, Any], kind: str = "JWT") -> str:
        """A token of this issuer."""
        header = {"alg": "ES256", "kid": self.key.kid, "typ": kind}
        return jwt.encode(header, dict(claims), self.key)

    async def _discovery(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "claims_parameter_supported": True,
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        client = self.clients.get(asked.get("client_id", ""))
        if client is None or asked.get("redirect_uri") not in client.redirect_uris:
            return HTMLResponse("unknown client or address", 400)
        wrong = asked.get("response_type") != "code" or asked.get("code_challenge_method") != "S256"
        if wrong or "openid" not in asked.get("scope", "").split():
            return HTMLResponse("this asks for what is not offered", 400)
        if request.method == "GET":
            return HTMLResponse(self._page(client))
        form = await _form(request)
        person = next((p for p in self.people if p.sub == form.get("sub")), None)
        if person is None or len(self.codes) >= PENDING_MAX:
            return HTMLResponse("nobody", 400)
        code = secrets.token_urlsafe(24)
        until_s = time.time() + CODE_S
        self.codes[code] = {"person": person, "asked": asked, "until_s": until_s}
        back = {"code": code, "state": asked.get("state", ""), "iss": self.url}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 303)

    def _page(self, client: Client) -> str:
        buttons = "".join(
            f'<p><button name="sub" value="{html.escape(p.sub)}">{html.escape(p.name)}</button></p>'
            for p in self.people
            if p.audience == client.audience
        )
        return (
            '<!doctype html><html lang="nl"><head><meta charset="utf-8"><title>Wie bent u?</title>'
            "</head><body><h1>Wie bent u?</h1><p>Dit is een voorbeeld: u mag kiezen.</p>"
            f'<form method="post">{buttons}</form></body></html>'
        )

    async def _token(self, request: Request) -> Response:
        form = await _form(request)
        found = self.codes.pop(form.get("code", ""), None)  # a code works once
        client = self.clients.get(form.get("client_id", ""))
        if found is None or client is None or time.time() >= found["until_s"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        asked = found["asked"]
        right = (
            asked["client_id"] == form["client_id"]
            and asked["redirect_uri"] == form.get("redirect_uri")
            and form.get("grant_type") == "authorization_code"
            and hmac.compare_digest(
                asked.get("code_challenge", ""), challenge(form.get("code_verifier", ""))
            )
        )
        if client.secret is not None:
            given = request.headers.get("authorization", "")
            pair = _basic(form["client_id"], client.secret)
            right = right and hmac.compare_digest(given.encode(), pair.encode())
        if not right:
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = self.sign(self.claims(found["person"], asked))
        return JSONResponse({"id_token": token, "access_token": "none", "token_type": "Bearer"})

    def claims(self, person: Person, asked: Mapping[str, str]) -> dict[str, Any]:
        """What is said of somebody: what was asked for, and of staff their groups."""
        now_s = int(time.time())
        wanted = msgspec.json.decode(asked.get("claims") or "{}").get("id_token", {})
        listed = set(wanted) if person.audience == "residents" else set(person.claims)
        return {
            "iss": self.url,
            "sub": person.sub,
            "aud": asked["client_id"],
            "iat": now_s,
            "exp": now_s + TOKEN_S,
            "nonce": asked.get("nonce", ""),
            "acr": person.acr,
            "sid": secrets.token_urlsafe(16),
            **{name: value for name, value in person.claims.items() if name in listed},
        }


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


def _basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def example(url: str, city: str) -> Issuer:
    """The issuer of the example city: the invented residents, and two of its staff."""
    residents = (
        Person(
            f"r{number}",
            one.name,
            "residents",
            {
                "bsn": one.number,
                "resident": True,
                "over16": one.age >= 16,
                "over18": one.age >= 18,
            },
        )
        for number, one in enumerate(RESIDENTS)
    )
    staff = (
        Person("roos", "Roos, meldkamer", "staff", {"groups": ["control-room"]}),
        Person("bram", "Bram, loket", "staff", {"groups": ["front-desk"]}),
    )
    clients = {
        "poorter-staff": Client((f"{city}/oidc/staff/back",), audience="staff"),
        "poorter-residents": Client((f"{city}/oidc/residents/back",)),
    }
    return Issuer(url, clients, (*residents, *staff))


def trusting(url: str) -> tuple[Provider, ...]:
    """How the example city trusts it."""
    tables = {
        "staff": {
            "for": "staff",
            "issuer": url,
            "client_id": "poorter-staff",
            "title_nl": "de dienst van de gemeente (voorbeeld)",
            "title_en": "the city's own service (example)",
            "roles_claim": "groups",
            "roles": {"control-room": "operator", "front-desk": "desk"},
        },
        "residents": {
            "for": "residents",
            "issuer": url,
            "client_id": "poorter-residents",
            "title_nl": "de landelijke login (voorbeeld)",
            "title_en": "the national login (example)",
            "person_claim": "bsn",
            "person_scheme": "bsn",
            "claims": {"resident": "resident", "age_over_16": "over16", "age_over_18": "over18"},
        },
    }
    return read_providers(tables, "the example city")


@contextmanager
def running_beside(city: str) -> Iterator[str]:
    """A process of its own beside the example city, ended with it; its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    arguments = ["-m", "poorter.sim.issuer", "--port", str(port), "--city", city, "--beside"]
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, *arguments], stdin=subprocess.PIPE
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


def main() -> None:
    """Run it until stopped."""
    parser = argparse.ArgumentParser(description="An OpenID issuer with invented people.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--city", required=True, help="address of the city that logs in here")
    parser.add_argument("--beside", action="store_true", help="end when standard input does")
    arguments = parser.parse_args()
    if arguments.beside:
        threading.Thread(target=_end_with_input, daemon=True).start()
    issuer = example(f"http://127.0.0.1:{arguments.port}", arguments.city)
    server = Server(
        issuer.app(),
        address="127.0.0.1",
        port=arguments.port,
        interface=Interfaces.ASGI,
        log_enabled=False,
    )
    asyncio.run(server.serve())


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
