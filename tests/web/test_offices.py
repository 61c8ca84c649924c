# SPDX-License-Identifier: EUPL-1.2
"""Officers govern a served city on its pages: keys, grants, each other; power takes two."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.founded import PASSWORD
from tests.web.test_pages import browsing, check_html, hidden, log_in

from poorter.city.clock import ManualClock
from poorter.city.time import DAY_US, MINUTE_US
from poorter.gate.genesis import RUN
from poorter.ledger.leaf import decode_leaf
from poorter.offices.drafts import DRAFT_DAYS
from poorter.running import Running
from poorter.server import make_app

PAGES = ("control/keys", "control/grants", "control/officers", "control/password")
GRANT = {
    "act": "draft",
    "processor": "app:walks",
    "purpose": "open-data",
    "dataset": "context",
    "may-read": "yes",
    "days": "30",
}


@asynccontextmanager
async def another(running: Running, name: str) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A second browser, of another officer, and its token."""
    transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
        yield client, await log_in(client, name)


def leaves(running: Running) -> list[tuple[str, str]]:
    permit = running.gate.permit("internal:ledger", RUN, "read")
    found = [decode_leaf(leaf) for _, leaf in running.store.leaves(permit, 0, 10_000)]
    return [(leaf.subject_of, leaf.outcome) for leaf in found]


def code(page: str) -> str:
    found = re.search(r'class="code">([^<]+)<', page)
    assert found, page
    return html.unescape(found[1])


@pytest.mark.parametrize("language", ["nl", "en"])
def test_the_pages_are_whole_and_for_officers_only(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            for path in PAGES:
                url = f"/{language}/{path}"
                answer = await client.get(url)
                assert answer.headers["location"] == f"/{language}/login"
                assert (await client.post(url, data={"act": "draft"})).status_code == 303
            await log_in(client)
            for path in PAGES:
                page = await client.get(f"/{language}/{path}")
                assert page.status_code == 200, page.text
                check_html(path, page.text, language)
                no_token = await client.post(f"/{language}/{path}", data=GRANT)
                assert no_token.status_code == 403
            assert not any("draft" in subject for subject, _ in leaves(running))

    asyncio.run(run())


def test_a_key_is_shown_once_works_and_is_revoked_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            csrf = await log_in(client)
            url = "/en/control/keys"
            form = {"csrf": csrf, "processor": "system:parking", "purpose": "parking-guidance"}
            made = await client.post(url, data={**form, "days": "10"})
            assert made.status_code == 200
            check_html(url, made.text, "en")
            key = {"authorization": f"Bearer {code(made.text)}"}
            assert code(made.text) not in (await client.get(url)).text
            about = await client.get("/api/city", headers=key)
            assert about.json()["processor"] == "system:parking"
            for wrong in (
                {"processor": "internal:backup", "purpose": "run"},
                {"processor": "staff", "purpose": "control-room"},
                {"processor": "app:nobody"},
                {"purpose": "nothing"},
                {"days": "0"},
                {"days": "x"},
            ):
                refused = await client.post(url, data={**form, "days": "10", **wrong})
                assert refused.status_code in (400, 404), wrong
            kept = hidden((await client.get(url)).text, "id")
            gone = await client.post(url, data={"csrf": csrf, "act": "revoke", "id": kept})
            assert gone.status_code == 303
            assert (await client.get("/api/city", headers=key)).status_code == 401
            told = leaves(running)
            assert (f"key {kept}", "made") in told
            assert (f"key {kept}", "revoked") in told
            again = await client.post(url, data={"csrf": csrf, "act": "revoke", "id": kept})
            assert again.status_code == 404

    asyncio.run(run())


def test_a_grant_takes_two_officers_and_one_ends_it(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with (
            browsing(tmp_path, clock) as (running, client),
            another(running, "bob") as (bob, his),
        ):
            csrf = await log_in(client)
            url = "/en/control/grants"
            drafted = await client.post(url, data={**GRANT, "csrf": csrf})
            assert drafted.status_code == 303
            page = await client.get(url)
            check_html(url, page.text, "en")
            draft = re.search(r'value="(draft-[a-z0-9]+)"', page.text)
            assert draft
            assert "Approve<" not in page.text
            approve = {"act": "approve", "id": draft[1]}
            assert (await client.post(url, data={**approve, "csrf": csrf})).status_code == 403
            assert not running.gate.allows("app:walks", "open-data", "read")
            assert "Keur goed" in (await bob.get("/nl/control/grants")).text
            done = await bob.post(url, data={**approve, "csrf": his})
            assert done.status_code == 303, done.text
            assert running.gate.allows("app:walks", "open-data", "read")
            assert not running.gate.allows("app:walks", "open-data", "write")
            (grant,) = [
                g for g in running.gate.policy.grants.values() if g.processor == "app:walks"
            ]
            assert grant.approvals == ("ada", "bob")
            assert (await bob.post(url, data={**approve, "csrf": his})).status_code == 404
            told = leaves(running)
            assert {("grant " + draft[1], "drafted"), ("grant " + draft[1], "approved")} <= set(
                told
            )
            assert any(grant.id in subject for subject, _ in told)
            clock.forward_s(1)
            end = {"csrf": csrf, "act": "end", "id": grant.id}
            assert (await client.post(url, data=end)).status_code == 303
            assert not running.gate.allows("app:walks", "open-data", "read")
            internal = {"csrf": csrf, "act": "end", "id": "identity-identity"}
            assert (await client.post(url, data=internal)).status_code == 400

    asyncio.run(run())


def test_drafts_that_no_policy_could_hold_and_old_ones_go_nowhere(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (running, client):
            csrf = await log_in(client)
            url = "/en/control/grants"
            for wrong in (
                {"processor": "internal:mine"},
                {"processor": "app walks"},
                {"processor": "System:Parking"},
                {"purpose": "nothing"},
                {"dataset": "nothing"},
                {"dataset": "identity"},
                {"dataset": "everything"},
                {"may-read": ""},
                {"days": "9999"},
                {"act": "x"},
            ):
                answer = await client.post(url, data={**GRANT, "csrf": csrf, **wrong})
                assert answer.status_code == 400, wrong
            await client.post(url, data={**GRANT, "csrf": csrf})
            page = (await client.get(url)).text
            draft = re.search(r'value="(draft-[a-z0-9]+)"', page)
            assert draft
            for _ in range(DRAFT_DAYS + 1):
                clock.forward_s(DAY_US // 1_000_000)
            async with another(running, "bob") as (bob, his):
                form = {"csrf": his, "act": "approve", "id": draft[1]}
                assert (await bob.post(url, data=form)).status_code == 404
                assert draft[1] not in (await bob.get(url)).text

    asyncio.run(run())


def test_who_is_appointed_needs_both_halves_and_neither_officer_has_them(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with (
            browsing(tmp_path, clock) as (running, client),
            another(running, "bob") as (bob, his),
        ):
            csrf = await log_in(client)
            url = "/en/control/officers"
            form = {"csrf": csrf, "act": "draft", "name": "cleo", "office": "Griffie"}
            drafted = await client.post(url, data={**form, "role-officer": "yes"})
            check_html(url, drafted.text, "en")
            first = code(drafted.text)
            draft = re.search(r'value="(draft-[a-z0-9]+)"', drafted.text)
            assert draft
            approve = {"act": "approve", "id": draft[1]}
            assert (await client.post(url, data={**approve, "csrf": csrf})).status_code == 403
            approved = await bob.post(url, data={**approve, "csrf": his})
            second = code(approved.text)
            assert first != second
            chosen = {"name": "cleo", "password": "twelve characters", "again": "twelve characters"}
            for halves in ((first, first), (second, first), (second, second), (first, "")):
                pair = {"first": halves[0], "second": halves[1]}
                answer = await client.post("/en/welcome", data={**chosen, **pair})
                assert answer.status_code == 401
                assert 'role="alert"' in answer.text
            pair = {"first": first.upper(), "second": f" {second} "}
            short = {"password": "short", "again": "short"}
            assert (await client.post("/en/welcome", data=chosen | pair | short)).status_code == 400
            other = {"again": "something else!"}
            assert (await client.post("/en/welcome", data=chosen | pair | other)).status_code == 400
            assert (await client.post("/en/welcome", data=chosen | pair)).status_code == 303
            clock.forward_s(MINUTE_US // 1_000_000)
            assert (await client.post("/en/welcome", data=chosen | pair)).status_code == 401
            transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as cleo:
                await log_in(cleo, "cleo", "twelve characters")
                assert (await cleo.get("/en/control/grants")).status_code == 200

    asyncio.run(run())


def test_two_officers_stay_and_who_leaves_is_out_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client), another(running, "bob") as (bob, his):
            csrf = await log_in(client)
            url = "/en/control/officers"
            leave = {"csrf": csrf, "act": "dismiss", "name": "bob"}
            assert (await client.post(url, data=leave)).status_code == 400
            await appoint(client, csrf, bob, his, "cleo")
            await appoint(client, csrf, bob, his, "dora")
            async with another(running, "cleo") as (cleo, hers):
                assert (await client.post(url, data=leave)).status_code == 303
                draft = re.search(r'value="(draft-[a-z0-9]+)"', (await cleo.get(url)).text)
                assert draft
                form = {"csrf": hers, "act": "approve-dismissal", "id": draft[1]}
                assert (await cleo.post(url, data=form)).status_code == 303
            out = await bob.get(url)
            assert out.headers["location"] == "/en/login"
            names = [name for name in ("bob", "cleo") if name in (await client.get(url)).text]
            assert names == ["cleo"]

    asyncio.run(run())


def test_roles_hold_from_the_next_session_and_a_clerk_governs_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client), another(running, "bob") as (bob, his):
            csrf = await log_in(client)
            url = "/en/control/officers"
            for name in ("cleo", "dora"):
                await appoint(client, csrf, bob, his, name)
            async with another(running, "cleo") as (cleo, _):
                form = {"csrf": csrf, "act": "draft", "name": "cleo", "office": "Griffie"}
                await client.post(url, data={**form, "role-clerk": "yes"})
                draft = re.search(r'value="(draft-[a-z0-9]+)"', (await bob.get(url)).text)
                assert draft
                await bob.post(url, data={"csrf": his, "act": "approve", "id": draft[1]})
                assert (await cleo.get(url)).status_code == 303
                token = await log_in(cleo, "cleo", PASSWORD)
                assert (await cleo.get(url)).status_code == 403
                answer = await cleo.post("/en/control/grants", data={**GRANT, "csrf": token})
                assert answer.status_code == 403

    asyncio.run(run())


def test_ones_own_password_ends_ones_sessions(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client), another(running, "ada") as (other, _):
            csrf = await log_in(client)
            url = "/en/control/password"
            new = {"password": "another password", "again": "another password", "csrf": csrf}
            assert (await client.post(url, data={**new, "old": "wrong"})).status_code == 400
            assert (await client.post(url, data={**new, "old": PASSWORD})).status_code == 303
            for one in (client, other):
                assert (await one.get(url)).headers["location"] == "/en/login"
            await log_in(client, "ada", "another password")

    asyncio.run(run())


async def appoint(
    client: httpx.AsyncClient, csrf: str, second: httpx.AsyncClient, token: str, name: str
) -> None:
    """Two officers appoint somebody, who chooses the password of the tests."""
    url = "/en/control/officers"
    form = {"csrf": csrf, "act": "draft", "name": name, "office": "Griffie", "role-officer": "yes"}
    first = await client.post(url, data=form)
    draft = re.search(r'value="(draft-[a-z0-9]+)"', first.text)
    assert draft
    other = await second.post(url, data={"csrf": token, "act": "approve", "id": draft[1]})
    chosen = {"name": name, "password": PASSWORD, "again": PASSWORD}
    halves = {"first": code(first.text), "second": code(other.text)}
    assert (await client.post("/en/welcome", data=chosen | halves)).status_code == 303
