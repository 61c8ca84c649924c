# SPDX-License-Identifier: EUPL-1.2
"""Logins at an issuer that really runs: the way there and back, and what thieves try on it."""

import asyncio
import hashlib
import hmac
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwk
from starlette.responses import JSONResponse
from tests.founded import founded
from tests.identity.test_jose import b64
from tests.served import SRC, free_port
from tests.serving import serving
from tests.web.test_pages import hidden

from poorter.city.clock import ManualClock, SystemClock
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.identity.residents import COOKIE as RESIDENT_COOKIE
from poorter.identity.residents import Known
from poorter.identity.services import MY_DATA, Service
from poorter.identity.sessions import COOKIE as STAFF_COOKIE
from poorter.identity.sessions import Officer
from poorter.offices.desk import session_of
from poorter.running import Running
from poorter.server import make_app
from poorter.sim.issuer import Issuer, example
from poorter.store.contract import Change, PutRecord
from poorter.web.federated import TRY_COOKIE

CITY = "http://city.test"
OVER_16 = Service("say", Text("x", "x"), "law", frozenset(("age_over_16",)), "substantial")
ROLES = {"control-room": "operator", "front-desk": "desk"}
CLAIMS = {"resident": "resident", "age_over_16": "over16", "age_over_18": "over18"}


def providers(url: str) -> dict[str, Any]:
    return {
        "staff": {
            "for": "staff",
            "issuer": url,
            "client_id": "poorter-staff",
            "roles_claim": "groups",
            "roles": ROLES,
        },
        "residents": {
            "for": "residents",
            "issuer": url,
            "client_id": "poorter-residents",
            "person_claim": "bsn",
            "person_scheme": "bsn",
            "claims": CLAIMS,
        },
    }


@asynccontextmanager
async def city(
    folder: Path, url: str, more: dict[str, Any] | None = None
) -> AsyncIterator[Running]:
    tables = providers(url)
    for name, changed in (more or {}).items():
        tables[name] = tables.get(name, {}) | changed
    settings = {
        "network.allowed_hosts": ["127.0.0.1"],
        "server.public_url": CITY,
        "identity.providers": tables,
    }
    clock: Any = SystemClock()  # tokens are of now
    async with founded(folder, clock, more=settings) as running:
        running.services[OVER_16.id] = OVER_16
        await appoint(running, "roos", ("operator", "desk"))
        try:
            yield running
        finally:
            await running.outgoing.close()


async def appoint(running: Running, login: str, roles: tuple[str, ...]) -> None:
    officer = Officer(login.title(), "Loket", roles, "-", "staff", login)
    permit = running.gate.permit("internal:identity", RUN, "administer")
    record = PutRecord("officer", officer.name, officer.to_doc())
    await running.store.commit_async(permit, Change((record,)))


@asynccontextmanager
async def real_issuer() -> AsyncIterator[tuple[Issuer, str]]:
    """It answers over HTTP on loopback; tests hold its key."""
    found: list[Issuer] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": (await receive())["type"] + ".complete"})
        else:
            await found[0].app()(scope, receive, send)

    async with serving(app) as url:
        found.append(example(url, CITY))
        yield found[0], url


@asynccontextmanager
async def browser(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=make_app(running), client=("192.0.2.1", 1))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=CITY) as client:
        yield client


async def choose(address: str, who: str) -> str:
    """At the issuer: say who one is; the address that it sends the browser back to."""
    async with httpx.AsyncClient() as there:
        assert (await there.get(address)).status_code == 200
        answer = await there.post(address, data={"sub": who})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]


async def begin(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_staff_come_in_with_the_roles_that_both_sides_give(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_issuer() as (_, url), city(tmp_path, url) as running:
            async with browser(running) as client:
                page = await client.get("/nl/login")
                assert "/nl/login/staff" in page.text
                address = await begin(client, "/nl/login/staff")
                asked = parse_qs(urlsplit(address).query)
                assert asked["redirect_uri"] == [f"{CITY}/oidc/staff/back"]
                assert asked["code_challenge_method"] == ["S256"]
                assert "claims" not in asked
                answer = await client.get(await choose(address, "roos"))
                assert (answer.status_code, answer.headers["location"]) == (303, "/nl/control")
                permit = running.gate.permit("internal:identity", RUN, "read")
                (session,) = running.store.records(permit, "session")
                assert session.doc["roles"] == ["operator"], "desk is not among the groups"
                assert (await client.get("/nl/control/desk")).status_code == 403
            async with browser(running) as client:  # known there, appointed nowhere
                back = await choose(await begin(client, "/en/login/staff"), "bram")
                refused = await client.get(back)
                assert refused.status_code == 401
                assert 'role="alert"' in refused.text
                assert 'lang="en"' in refused.text
            await appoint(running, "bram", ("officer",))
            async with browser(running) as client:  # appointed, but without that group
                back = await choose(await begin(client, "/en/login/staff"), "bram")
                assert (await client.get(back)).status_code == 401
                page = await client.get("/en/login")
                form = {"form": hidden(page.text, "form"), "name": "Roos", "password": "-"}
                by_password = await client.post("/en/login", data=form)
                assert by_password.status_code == 401

    asyncio.run(run())


def test_residents_come_in_and_only_what_is_needed_is_asked_and_taken(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_issuer() as (issuer, url), city(tmp_path, url) as running:
            async with browser(running) as client:
                address = await begin(client, "/nl/login/residents?for=say&to=goals")
                asked = parse_qs(urlsplit(address).query)
                assert asked["claims"] == ['{"id_token":{"over16":{"essential":true}}}']
                assert "LoA/low" not in asked["acr_values"][0]
                everything = issuer.claims
                issuer.claims = lambda p, a: everything(p, a) | dict(p.claims)  # type: ignore[method-assign]
                answer = await client.get(await choose(address, "r1"))
                assert answer.headers["location"] == "/nl/goals"
                session = session_of(running, client.cookies[RESIDENT_COOKIE])
                assert session is not None
                assert session.said.root is None, "the number came along, and was not taken"
                assert session.said.attributes == {"age_over_16": True}
                assert session.said.assurance == "substantial"
                assert Known(OVER_16, session.said, running.persons).attributes
                # another service needs more: a new login asks for that and gives a new session
                address = await begin(client, "/nl/login/residents?for=my-data")
                asked = parse_qs(urlsplit(address).query)
                assert asked["claims"] == ['{"id_token":{"bsn":{"essential":true}}}']
                first = client.cookies[RESIDENT_COOKIE]
                await client.get(await choose(address, "r1"))
                assert session_of(running, first) is None
                whole = session_of(running, client.cookies[RESIDENT_COOKIE])
                assert whole is not None
                root = running.persons.root("bsn", "999990020")
                mine = Known(MY_DATA, whole.said, running.persons)
                assert mine.subject("care") == running.persons.subject(root, "care")
                assert whole.said.attributes == {}
            async with browser(running) as client:  # fifteen years old
                await client.get(
                    await choose(await begin(client, "/nl/login/residents?for=say"), "r2")
                )
                young = session_of(running, client.cookies[RESIDENT_COOKIE])
                assert young is not None
                assert young.said.attributes == {}

    asyncio.run(run())


Change_ = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize("attack", ["claims", "key", "none", "confused", "type"])
def test_forged_tokens_let_nobody_in(
    tmp_path: Path, attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with real_issuer() as (issuer, url), city(tmp_path, url) as running:
            honest = issuer.claims
            sign = issuer.sign
            changes: list[Change_] = [lambda c: c]
            if attack == "claims":
                changes = [
                    lambda c: c | {"iss": "http://evil.example"},
                    lambda c: c | {"aud": "poorter-staff"},
                    lambda c: c | {"aud": [c["aud"], "x"]},
                    lambda c: c | {"nonce": "other"},
                    lambda c: {k: v for k, v in c.items() if k != "nonce"},
                    lambda c: c | {"exp": c["iat"] - 3600, "iat": c["iat"] - 7200},
                    lambda c: c | {"acr": "unknown"},
                    lambda c: c | {"bsn": 999990020},
                    lambda c: c | {"bsn": ""},
                    lambda c: {k: v for k, v in c.items() if k != "bsn"},
                ]
            elif attack == "key":
                thief = jwk.generate_key("EC", "P-256", {"kid": "k1"})
                issuer.sign = lambda c, kind="JWT": Issuer(url, {}, (), thief).sign(c)  # type: ignore[method-assign]
            elif attack == "none":
                issuer.sign = lambda c, kind="JWT": _none(c)  # type: ignore[method-assign]
            elif attack == "confused":
                issuer.sign = lambda c, kind="JWT": _hmac(c, issuer.key)  # type: ignore[method-assign]
            else:
                issuer.sign = lambda c, kind="JWT": sign(c, "logout+jwt")  # type: ignore[method-assign]
            for change in changes:
                issuer.claims = lambda p, a, change=change: change(honest(p, a))  # type: ignore[method-assign,misc]
                async with browser(running) as client:
                    begun = await begin(client, "/nl/login/residents?for=my-data")
                    answer = await client.get(await choose(begun, "r1"))
                    assert answer.status_code in (400, 401), answer.headers
                    assert RESIDENT_COOKIE not in client.cookies
            permit = running.gate.permit("internal:identity", RUN, "read")
            assert running.store.records(permit, "resident-session") == []
            for record in caplog.records:
                assert "eyJ" not in record.getMessage(), "no token in a log"
                assert "999990020" not in record.getMessage()

    with caplog.at_level(logging.INFO):
        asyncio.run(run())


def _none(claims: dict[str, Any]) -> str:
    import json

    from tests.identity.test_jose import b64

    return f"{b64(json.dumps({'alg': 'none'}).encode())}.{b64(json.dumps(claims).encode())}."


def _hmac(claims: dict[str, Any], key: Any) -> str:
    head = b64(json.dumps({"alg": "HS256", "kid": "k1"}).encode())
    message = f"{head}.{b64(json.dumps(claims).encode())}"
    mac = hmac.new(key.as_pem(private=False), message.encode(), hashlib.sha256).digest()
    return f"{message}.{b64(mac)}"


def test_answers_are_spent_once_in_the_browser_they_began_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_issuer() as (_, url), city(tmp_path, url) as running:
            async with browser(running) as client, browser(running) as thief:
                back = await choose(await begin(client, "/nl/login/residents"), "r1")
                stolen = await thief.get(back)
                assert stolen.status_code == 401, "another browser"
                await begin(thief, "/nl/login/residents")
                assert (await thief.get(back)).status_code == 401, "with a cookie of its own"
                kept = {"cookie": f"{TRY_COOKIE}={client.cookies[TRY_COOKIE]}"}
                tries = await asyncio.gather(*(thief.get(back, headers=kept) for _ in range(8)))
                assert sorted(t.status_code for t in tries) == [303, *[401] * 7]
                assert (await thief.get(back, headers=kept)).status_code == 401
                # login forced on somebody: the thief's own answer in the victim's browser
                mine = await choose(await begin(thief, "/nl/login/residents"), "r0")
                await begin(client, "/nl/login/residents")
                assert (await client.get(mine)).status_code == 401
            async with browser(running) as client:
                address = await begin(client, "/nl/login/residents")
                back = await choose(address, "r1")
                parts = dict(parse_qsl(urlsplit(back).query))
                place = f"{CITY}/oidc/residents/back?"
                for wrong in (
                    {"iss": "http://evil.example"},
                    {"iss": url + "/"},
                    {"state": ""},
                    {"state": parts["state"][:-1]},
                ):
                    refused = await client.get(place + urlencode(parts | wrong))
                    assert refused.status_code == 401, wrong
                    address = await begin(client, "/nl/login/residents")
                    parts = dict(parse_qsl(urlsplit(await choose(address, "r1")).query))
                assert (await client.get(f"{place}{urlencode(parts)}&state=x")).status_code == 400
                mixed = f"{CITY}/oidc/staff/back?{urlencode(parts)}"
                assert (await client.get(mixed)).status_code == 401, "mixed-up providers"
                assert (await client.get(f"{CITY}/oidc/nobody/back")).status_code == 404
                for to in ("//evil.example", "https://evil.example", "\\\\evil"):
                    where = f"/nl/login/residents?{urlencode({'to': to})}"
                    answer = await client.get(await choose(await begin(client, where), "r1"))
                    assert answer.headers["location"] == "/nl/enter"
                spoofed = {"host": "evil.example", "x-forwarded-host": "evil.example"}
                there = await client.get("/nl/login/residents", headers=spoofed)
                assert "evil" not in there.headers["location"]

    asyncio.run(run())


def test_a_code_is_no_use_without_its_verifier_and_old_tries_lapse(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            real_issuer() as (issuer, url),
            city(tmp_path, url) as running,
            browser(running) as client,
        ):
            back = await choose(await begin(client, "/nl/login/residents"), "r1")
            code = dict(parse_qsl(urlsplit(back).query))["code"]
            issuer.codes[code]["asked"]["code_challenge"] = "x" * 43
            assert (await client.get(back)).status_code == 401
            back = await choose(await begin(client, "/nl/login/residents"), "r1")
            later = ManualClock(running.clock.now_us() + 11 * 60 * 1_000_000)
            running.clock, kept = later, running.clock
            assert (await client.get(back)).status_code == 401
            running.clock = kept

    asyncio.run(run())


def test_the_issuer_ends_sessions_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_issuer() as (issuer, url), city(tmp_path, url) as running:
            said: list[dict[str, Any]] = []
            honest = issuer.claims

            def remember(person: Any, asked: Any) -> dict[str, Any]:
                said.append(honest(person, asked))
                return said[-1]

            issuer.claims = remember  # type: ignore[method-assign]
            async with browser(running) as client:
                await client.get(await choose(await begin(client, "/nl/login/staff"), "roos"))
                assert STAFF_COOKIE in client.cookies
                claims = {k: said[0][k] for k in ("iss", "aud", "iat", "exp", "sid")}
                event = {"http://schemas.openid.net/event/backchannel-logout": {}}
                token = issuer.sign(claims | {"jti": "1", "events": event}, "logout+jwt")
                door = "/oidc/staff/logout"
                for wrong in ("", "x.y.z", issuer.sign(said[0]), token[:-4] + "AAAA"):
                    refused = await client.post(door, data={"logout_token": wrong})
                    assert refused.status_code == 400
                other = await client.post("/oidc/residents/logout", data={"logout_token": token})
                assert other.status_code == 400, "made for another client"
                page = await client.get("/nl/control")
                assert 'name="csrf"' in page.text
                assert (await client.post(door, data={"logout_token": token})).status_code == 200
                assert 'name="csrf"' not in (await client.get("/nl/control")).text
                again = await client.post(door, data={"logout_token": token})
                assert again.status_code == 400, "replayed"

    asyncio.run(run())


@pytest.mark.parametrize("broken", ["name", "endpoint", "host", "down", "html"])
def test_an_issuer_that_is_not_itself_is_not_used(tmp_path: Path, broken: str) -> None:
    async def run() -> None:
        async with real_issuer() as (issuer, url):
            if broken == "name":
                issuer.url = "http://127.0.0.1:1"
            elif broken == "endpoint":
                issuer.url = url
                issuer._discovery = _lying(url)  # type: ignore[method-assign]
            elif broken == "html":
                issuer._keys = _lying(url)  # type: ignore[method-assign]
            configured = "http://127.0.0.1:9" if broken == "down" else url
            if broken == "host":
                configured = url.replace("127.0.0.1", "localhost")
                with pytest.raises(Exception, match="allowed_hosts"):
                    async with city(tmp_path, configured):
                        pass
                return
            async with city(tmp_path, configured) as running, browser(running) as client:
                answer = await client.get("/nl/login/residents")
                assert answer.status_code == 503
                assert "code_challenge" not in answer.headers.get("location", "")
                assert (await client.get("/nl/enter")).status_code == 200, "the desk still works"

    asyncio.run(run())


def _lying(url: str) -> Any:
    async def answer(request: Any) -> Any:
        places = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        return JSONResponse({"issuer": url, **dict.fromkeys(places, "http://evil.example/x")})

    return answer


def test_it_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        arguments = ["-m", "poorter.sim.issuer", "--port", str(port), "--city", CITY]
        environment = os.environ | {"PYTHONPATH": str(SRC)}
        process = subprocess.Popen([sys.executable, *arguments], env=environment)
        try:
            for _ in range(200):
                try:
                    async with httpx.AsyncClient() as asking:
                        await asking.get(f"{url}/keys")
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.05)
            async with city(tmp_path, url) as running, browser(running) as client:
                await client.get(await choose(await begin(client, "/en/login/staff"), "roos"))
                page = await client.get("/en/control")
                assert re.search(r"Roos", page.text)
        finally:
            process.terminate()
            process.wait(10)

    asyncio.run(run())
