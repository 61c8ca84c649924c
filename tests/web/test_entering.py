# SPDX-License-Identifier: EUPL-1.2
"""Residents come in by a code from the desk: once, on time, apart from staff, without script."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.founded import founded
from tests.web.test_offices import another, code, leaves
from tests.web.test_pages import browsing, check_html, hidden, log_in

from poorter.city.clock import ManualClock
from poorter.city.errors import Denied, Unauthenticated
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.identity.persons import CITY_HALL
from poorter.identity.residents import COOKIE, EnterFirst, Known
from poorter.identity.services import MY_DATA, Service
from poorter.identity.sessions import COOKIE as STAFF_COOKIE
from poorter.jobs import forget_logins
from poorter.offices.desk import enter_by_code, issue_code, session_of
from poorter.running import Running
from poorter.server import make_app
from poorter.store.contract import Change, PutRecord

SOMEBODY = "999990019"
SAYS = {"act": "issue", "says-person": "yes", "number": SOMEBODY, "document": "passport"}


@asynccontextmanager
async def visitor(running: Running, address: str = "192.0.2.1") -> AsyncIterator[httpx.AsyncClient]:
    """A browser of somebody at home."""
    transport = httpx.ASGITransport(app=make_app(running), client=(address, 1))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
        yield client


async def enter(client: httpx.AsyncClient, typed: str, **more: str) -> httpx.Response:
    page = await client.get("/nl/enter")
    form = {"form": hidden(page.text, "form"), "code": typed, **more}
    return await client.post("/nl/enter", data=form)


async def a_code(running: Running, *says: str) -> str:
    number = SOMEBODY if "person" in says else ""
    return (await issue_code(running, number, says, "passport", "ada")).code


@pytest.mark.parametrize("language", ["nl", "en"])
def test_from_the_desk_to_a_session_and_out(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, staff), visitor(running) as client:
            csrf = await log_in(staff)
            url = f"/{language}/control/desk"
            check_html(url, (await staff.get(url)).text, language)
            paper = await staff.post(url, data={**SAYS, "csrf": csrf})
            assert paper.status_code == 200, paper.text
            check_html(url, paper.text, language)
            assert SOMEBODY not in paper.text
            assert f"{running.config.url}/nl/enter" in paper.text
            typed = code(paper.text)
            assert typed not in (await staff.get(url)).text
            page = await client.get(f"/{language}/enter")
            check_html("enter", page.text, language)
            form = {"form": hidden(page.text, "form"), "code": f" {typed.lower()} "}
            entered = await client.post(f"/{language}/enter", data=form)
            assert (entered.status_code, entered.headers["location"]) == (
                303,
                f"/{language}/enter",
            )
            kept = entered.headers["set-cookie"]
            assert "HttpOnly" in kept
            assert "SameSite=lax" in kept
            inside = await client.get(f"/{language}/enter")
            check_html("inside", inside.text, language)
            token = hidden(inside.text, "csrf")
            foreign = await client.post(f"/{language}/leave", data={"csrf": "x"})
            assert foreign.status_code == 403
            assert 'name="csrf"' in (await client.get(f"/{language}/enter")).text
            cookie = client.cookies[COOKIE]
            out = await client.post(f"/{language}/leave", data={"csrf": token})
            assert out.status_code == 303
            assert session_of(running, cookie) is None
            assert ("login code", "handed over") in leaves(running)
            assert ("login", "resident came in") in leaves(running)

    asyncio.run(run())


def test_a_code_opens_once_also_when_many_try_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _):
            typed = await a_code(running, "person")
            tries = [enter_by_code(running, typed) for _ in range(50)]
            found = await asyncio.gather(*tries, return_exceptions=True)
            assert sum(isinstance(one, tuple) for one in found) == 1
            assert sum(isinstance(one, Unauthenticated) for one in found) == 49
            permit = running.gate.permit("internal:identity", RUN, "read")
            assert len(running.store.records(permit, "resident-session")) == 1

    asyncio.run(run())


def test_wrong_used_old_and_lost_codes_look_alike(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (running, staff):
            used = await a_code(running, "person")
            await enter_by_code(running, used)
            old = await a_code(running, "resident")
            clock.forward_s(73 * 3600)
            lost = await a_code(running, "resident")
            csrf = await log_in(staff)
            kept = hidden((await staff.get("/en/control/desk")).text, "id")
            gone = await staff.post(
                "/en/control/desk", data={"csrf": csrf, "act": "revoke", "id": kept}
            )
            assert gone.status_code == 303
            again = await staff.post(
                "/en/control/desk", data={"csrf": csrf, "act": "revoke", "id": kept}
            )
            assert again.status_code == 404
            pages = set()
            for typed in (used, old, lost, "0" * 12, "nonsense", "", "é" * 30):
                async with visitor(running) as client:
                    answer = await enter(client, typed)
                    assert answer.status_code == 401
                    pages.add(re.sub(r'name="form" value="[^"]+"', "", answer.text))
            assert len(pages) == 1

    asyncio.run(run())


def test_guessing_is_slow_from_one_address_and_leaves_others_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _):
            right = await a_code(running, "person")
            transport = httpx.ASGITransport(app=make_app(running), client=("192.0.2.9", 1))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                spoofed = {"x-forwarded-for": "203.0.113.7"}
                answers = []
                for _ in range(14):
                    page = await client.get("/nl/enter")
                    form = {"form": hidden(page.text, "form"), "code": "0" * 12}
                    answers.append(await client.post("/nl/enter", data=form, headers=spoofed))
                assert [a.status_code for a in answers].count(429) == 4
                assert (await enter(client, right)).status_code == 429
            async with visitor(running, "192.0.2.10") as other:
                assert (await enter(other, right)).status_code == 303

    asyncio.run(run())


def test_no_page_of_somebody_else_logs_anybody_in_and_nobody_is_sent_elsewhere(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _):
            typed = await a_code(running, "person")
            async with visitor(running) as client:
                bare = await client.post("/nl/enter", data={"code": typed})
                assert bare.status_code == 403
                client.cookies.set("poorter_enter", "mine", domain="city.local")
                forged = await client.post("/nl/enter", data={"code": typed, "form": "other"})
                assert forged.status_code == 403
            for to in (
                "//evil.example",
                "https://evil.example",
                "\\evil.example",
                "/evil",
                "..//evil.example",
                "%2f%2fevil.example",
                "goals?x=//evil",
                "goals\r\nset-cookie: a=b",
                "javascript:alert(1)",
            ):
                typed = await a_code(running, "person")
                async with visitor(running) as client:
                    answer = await enter(client, typed, to=to)
                    assert answer.headers["location"] == "/nl/enter", to
                    shown = await client.get("/nl/enter", params={"to": to})
                    assert hidden(shown.text, "to") == ""
            async with visitor(running) as client:
                answer = await enter(client, await a_code(running, "person"), to="goals")
                assert answer.headers["location"] == "/nl/goals"

    asyncio.run(run())


def test_a_session_is_new_at_each_login_ends_and_is_no_staff_session(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (running, staff), visitor(running) as client:
            await enter(client, await a_code(running, "person"))
            first = client.cookies[COOKIE]
            await enter(client, await a_code(running, "person"))
            second = client.cookies[COOKIE]
            assert first != second
            assert session_of(running, first) is None, "the session before is over"
            client.cookies.set(COOKIE, "chosen-by-a-thief", domain="city.local", path="/")
            await enter(client, await a_code(running, "person"))
            third = client.cookies[COOKIE]
            assert third not in ("chosen-by-a-thief", second)
            for name, value in ((STAFF_COOKIE, third), (COOKIE, "x" * 43)):
                async with visitor(running) as other:
                    other.cookies.set(name, value, domain="city.local")
                    answer = await other.get("/nl/control/desk")
                    assert answer.headers["location"] == "/nl/login"
                    assert "leave" not in (await other.get("/nl/enter")).text
            await log_in(staff)
            async with visitor(running) as other:
                other.cookies.set(COOKIE, staff.cookies[STAFF_COOKIE], domain="city.local")
                assert "leave" not in (await other.get("/nl/enter")).text
            clock.forward_s(61 * 60)
            assert session_of(running, third) is None
            await forget_logins(running)
            permit = running.gate.permit("internal:identity", RUN, "read")
            assert running.store.records(permit, "resident-session") == []

    asyncio.run(run())


def test_cookies_go_over_https_only_where_the_city_is_found_there(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        found = {"server.public_url": "https://city.example"}
        async with founded(tmp_path, clock, more=found) as running, visitor(running) as client:
            for path in ("/nl/enter", "/nl/login"):
                assert "Secure" in (await client.get(path)).headers["set-cookie"]

    asyncio.run(run())


def test_the_desk_is_for_the_desk(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, staff), another(running, "bob") as (bob, csrf):
            permit = running.gate.permit("internal:identity", RUN, "read")
            officer = running.store.record(permit, "officer", "bob")
            doc = officer.doc | {"roles": ["officer"]}
            writing = running.gate.permit("internal:identity", RUN, "administer")
            await running.store.commit_async(writing, Change((PutRecord("officer", "bob", doc),)))
            assert (await bob.get("/en/control/desk")).status_code == 403
            refused = await bob.post("/en/control/desk", data={**SAYS, "csrf": csrf})
            assert refused.status_code == 403, "whatever the session still says"
            token = await log_in(staff)
            form = {**SAYS, "csrf": token}
            for wrong in (
                {"number": "123456789"},
                {"number": ""},
                {"says-person": ""},
                {"document": "library-card"},
                {"act": ""},
            ):
                refused = await staff.post("/en/control/desk", data={**form, **wrong})
                assert refused.status_code == 400, wrong
                assert "123456789" not in refused.text
            answers = [
                (await staff.post("/en/control/desk", data=form)).status_code for _ in range(30)
            ]
            assert set(answers) == {200, 429}, "nobody makes codes by the thousand"

    asyncio.run(run())


def test_a_service_knows_what_it_declared_and_no_more(tmp_path: Path) -> None:
    async def run() -> None:
        say = Service("say", Text("x", "x"), "law", frozenset(("resident", "age_over_16")))
        care = Service("care", Text("x", "x"), "law", frozenset(("person",)), walls=("care",))
        sure = Service("sure", Text("x", "x"), "law", frozenset(("person",)), "substantial")
        async with browsing(tmp_path) as (running, _):
            persons = running.persons
            everything = ("person", "resident", "age_over_16", "age_over_18")
            whole, _ = await enter_by_code(running, await a_code(running, *everything))
            known = Known(say, whole.said, persons)
            assert known.attributes == {"resident": True, "age_over_16": True}
            with pytest.raises(Denied):
                known.subject("care")
            with pytest.raises(AttributeError):
                known.said = whole.said  # type: ignore[attr-defined]
            who = Known(care, whole.said, persons)
            assert who.attributes == {}
            assert who.subject("care") == persons.subject(persons.root("bsn", SOMEBODY), "care")
            with pytest.raises(Denied):
                who.subject("safety")
            assert Known(MY_DATA, whole.said, persons).subject(CITY_HALL)
            with pytest.raises(EnterFirst):
                Known(sure, whole.said, persons)
            little, _ = await enter_by_code(running, await a_code(running, "resident"))
            assert little.said.root is None
            for service in (say, care, MY_DATA):
                with pytest.raises(EnterFirst):
                    Known(service, little.said, persons)

    asyncio.run(run())


def test_nothing_kept_says_who_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _), visitor(running) as client:
            root = running.persons.root("bsn", SOMEBODY)
            open_code = await a_code(running, "person")
            await enter(client, await a_code(running, "person"))
            cookie = client.cookies[COOKIE]
            running.store.close()
            data = running.config.paths_data
            kept = b"".join(f.read_bytes() for f in data.rglob("*") if f.is_file())
            for secret in (SOMEBODY, open_code, cookie, root.hex()):
                assert secret.encode() not in kept
            assert root not in kept
            assert running.persons.subject(root, CITY_HALL).encode() in kept, "only this is"
            assert "pepper" not in repr(running)

    asyncio.run(run())
