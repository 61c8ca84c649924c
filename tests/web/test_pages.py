# SPDX-License-Identifier: EUPL-1.2
"""Every page in both languages, and what officers and residents do on them, without script."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.decide.test_decisions import ready, records, sign
from tests.founded import PASSWORD, founded

from poorter.city.clock import ManualClock
from poorter.city.text import Text
from poorter.jobs import record_uses
from poorter.running import Running
from poorter.server import make_app
from poorter.web.app import TABLE

LANGUAGES = ("nl", "en")


@asynccontextmanager
async def browsing(
    tmp_path: Path, clock: ManualClock | None = None
) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    async with founded(tmp_path, clock or ManualClock()) as running:
        await ready(running)
        transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
            yield running, client


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"no field {name}"
    return found[1]


async def log_in(client: httpx.AsyncClient, name: str = "ada", password: str = PASSWORD) -> str:
    page = await client.get("/en/login")
    form = {"form": hidden(page.text, "form"), "name": name, "password": password}
    answer = await client.post("/en/login", data=form)
    assert answer.status_code == 303, answer.text
    return hidden((await client.get("/en/control")).text, "csrf")


#: pages with a script of our own, which only adds to what stands there without it
SCRIPTED = {"verify"}
OWN_SCRIPT = '<script src="/static/verify.js"></script>'


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_whole(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            await running.decisions.advise(sign("free"), "system:parking")
            (decision,) = records(running, "decision")
            await record_uses(running)
            for path, methods, _ in TABLE:
                if "GET" not in methods or path.startswith("control/"):
                    continue
                if "{provider}" in path or path == "login/wallet":
                    continue  # a city without one: tests/web/test_federated.py and others go there
                path = path.replace("{system}", "parking").replace("{operation}", "find")
                url = f"/{language}/{path.replace('{id}', str(decision['id']))}"
                page = await client.get(url)
                if page.headers.get("location", "").startswith(f"/{language}/enter"):
                    continue  # for residents who came in: tests/web say what they see
                assert page.status_code == 200, (url, page.text[:500])
                own = path in SCRIPTED
                check_html(url, page.text.replace(OWN_SCRIPT, "") if own else page.text, language)
                policy = page.headers["content-security-policy"]
                assert ("script-src 'self';" in f"{policy};") if own else "script" not in policy
                assert "unsafe" not in policy

    asyncio.run(run())


def check_html(url: str, page: str, language: str) -> None:
    assert f'<html lang="{language}">' in page, url
    assert page.count("<h1>") == 1, url
    assert "<script" not in page, url
    assert 'style="' not in page, url
    labelled = set(re.findall(r'<label for="([^"]+)"', page))
    for tag in re.findall(r"<(?:input|select|textarea)[^>]*>", page):
        if 'type="hidden"' not in tag:
            found = re.search(r'id="([^"]+)"', tag)
            assert found, (url, tag)
            assert found[1] in labelled, (url, tag)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)), url


def test_the_root_picks_the_language_and_strange_ones_get_ours(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            for header, place in (("en-GB,nl;q=0.5", "/en/"), ("fr,nl", "/nl/"), ("fr", "/nl/")):
                answer = await client.get("/", headers={"accept-language": header})
                assert (answer.status_code, answer.headers["location"]) == (303, place)
            assert (await client.get("/xx/goals")).status_code == 303
            assert (await client.get("/nl")).headers["location"] == "/nl/"
            assert (await client.get("/robots.txt")).status_code == 404
            style = await client.get("/static/poorter.css")
            assert style.headers["cache-control"] == "no-cache"
            same = {"if-none-match": style.headers["etag"]}
            assert (await client.get("/static/poorter.css", headers=same)).status_code == 304

    asyncio.run(run())


def test_find_reserve_and_cancel_without_script(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            page = await client.get("/nl/parking?destination=5.3,52.6&stay_minutes=60")
            assert "Garage a" in page.text
            form = {"place": hidden(page.text, "place"), "arrival": hidden(page.text, "arrival")}
            made = await client.post("/nl/parking/reserve", data=form)
            assert made.status_code == 200
            other = re.search(r'<a href="([^"]+)" hreflang="en"', made.text)
            assert other
            assert (await client.get(other[1])).status_code == 200, "no dead end after a form"
            token = hidden(made.text, "token")
            assert token in made.text
            shown = await client.post("/en/parking/mine", data={"token": token})
            assert "reserved" in shown.text
            late = {"token": token, "act": "extend", "minutes": "30"}
            assert (await client.post("/nl/parking/mine", data=late)).status_code == 200
            again = await client.post("/nl/parking/mine", data=late)
            assert (again.status_code, "langer dan dit" in again.text) == (409, True)
            gone = await client.post("/en/parking/mine", data={"token": token, "act": "cancel"})
            assert "cancelled" in gone.text
            wrong = await client.post("/en/parking/mine", data={"token": "nothing"})
            assert wrong.status_code == 400
            bad = await client.get("/nl/parking?destination=moon")
            assert bad.status_code == 200
            assert 'role="alert"' in bad.text

    asyncio.run(run())


def test_wrong_passwords_and_foreign_forms_get_nowhere(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (_, client):
            page = await client.get("/en/login")
            token = hidden(page.text, "form")
            wrong = {"form": token, "name": "bob", "password": "no-no-no-no-no"}
            refused = await client.post("/en/login", data=wrong)
            assert refused.status_code == 401
            assert 'role="alert"' in refused.text
            token = hidden(refused.text, "form")
            nobody = {"form": token, "name": "eve", "password": PASSWORD}
            refused = await client.post("/en/login", data=nobody)
            assert refused.status_code == 401
            token = hidden(refused.text, "form")
            foreign = {"form": "x", "name": "ada", "password": PASSWORD}
            assert (await client.post("/en/login", data=foreign)).status_code == 403
            answers = []
            for _ in range(12):
                form = wrong | {"form": token}
                answers.append(await client.post("/en/login", data=form))
                if answers[-1].status_code == 401:
                    token = hidden(answers[-1].text, "form")
            assert answers[-1].status_code == 429

    asyncio.run(run())


def test_officers_decide_stop_and_answer_with_their_token_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            url = "/en/control/mandates/parking-signs"
            stop = {"mode": "by-hand", "why": "trying"}
            assert (await client.post(url, data=stop)).headers["location"] == "/en/login"
            csrf = await log_in(client)
            assert (await client.post(url, data=stop)).status_code == 403
            assert (await client.post(url, data={**stop, "csrf": csrf})).status_code == 303
            advice = await running.decisions.advise(sign("few"), "system:parking")
            room = await client.get("/nl/control")
            assert "Neem over" in room.text
            url = f"/en/control/advice/{advice}"
            form = {"choice": "amend", "csrf": csrf, "value": "full", "reason": ""}
            assert (await client.post(url, data=form)).status_code == 400
            form["reason"] = "I stand next to it"
            assert (await client.post(url, data=form)).status_code == 303
            (decision,) = records(running, "decision")
            await client.post("/en/logout", data={"csrf": csrf})
            page = await client.get(f"/en/decisions/{decision['id']}")
            assert "I stand next to it" in page.text
            assert "ada" not in page.text

    asyncio.run(run())


def test_object_follow_answer_and_check_the_receipt(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            await running.decisions.advise(sign("free"), "system:parking")
            (decision,) = records(running, "decision")
            text = "It is <b>full</b>"
            form = {"kind": "objection", "about": str(decision["id"]), "text": text}
            filed = await client.post("/nl/object", data=form)
            code = re.search(r'class="code">([^<]+)<', filed.text)
            leaf = re.search(r"leaf=(\d+)", filed.text)
            assert code
            assert leaf
            csrf = await log_in(client)
            room = await client.get("/en/control")
            assert "It is &lt;b&gt;full&lt;/b&gt;" in room.text
            (one,) = running.objections.open()
            url = f"/en/control/objections/{one.id}"
            await client.post(url, data={"state": "in-review", "csrf": csrf})
            answer = {"state": "upheld", "answer": "You are right.", "csrf": csrf}
            assert (await client.post(url, data=answer)).status_code == 303
            shown = await client.post("/en/objection", data={"code": code[1]})
            assert "You are right." in shown.text
            await record_uses(running)
            page = await client.get(f"/en/receipt?leaf={leaf[1]}")
            receipt = re.search(r"<pre[^>]*>(.*?)</pre>", page.text, re.S)
            assert receipt
            checked = await client.post("/en/receipt", data={"receipt": receipt[1]})
            assert "Proven" in checked.text
            forged = receipt[1].replace("index ", "index 1", 1)
            checked = await client.post("/en/receipt", data={"receipt": forged})
            assert "Not proven" in checked.text

    asyncio.run(run())


def test_a_rescinded_goal_goes_dark_on_every_page(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            csrf = await log_in(client)
            url = "/en/control/goals/less-searching"
            page = await client.get(url)
            assert "This stops at once" in page.text
            form = {"csrf": csrf, "act": "rescind", "sure": "yes"}
            assert (await client.post(url, data=form)).status_code == 400
            form["sure"] = "less-searching"
            assert (await client.post(url, data=form)).status_code == 303
            assert "Parking guidance is off" in (await client.get("/en/parking")).text
            assert (await client.get("/api/parking/places")).status_code == 403
            assert "rescinded" in (await client.get("/en/goals")).text
            assert "all under it has stopped" in (await client.get("/en/control")).text
            again = {"csrf": csrf, "act": "adopt", "body": "Council", "date": "2026-11-01"}
            votes = {"votes_for": "3", "votes_against": "1"}
            assert (await client.post(url, data={**again, **votes})).status_code == 303
            assert (await client.get("/api/parking/places")).status_code == 200

    asyncio.run(run())


def test_each_thing_a_system_can_do_has_a_form_derived_from_its_fields(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            for system in running.systems:
                for operation in system.operations:
                    url = f"/nl/systems/{system.name}/{operation.name}"
                    page = await client.get(url)
                    assert page.status_code == 200, url
                    check_html(url, page.text, "nl")
                    for field in operation.fields:
                        assert f'name="{field.name}"' in page.text
            found = await client.get("/en/systems/parking/find?destination=5.3,52.6&badge=")
            assert "Garage a" in found.text
            wrong = await client.get("/en/systems/parking/find?destination=moon")
            assert wrong.status_code == 400
            assert 'role="alert"' in wrong.text
            url = "/en/systems/parking/reserve"
            made = await client.post(url, data={"place": "urn:ngsi-ld:OffStreetParking:a"})
            assert "token" in made.text
            assert (await client.get(f"{url}?place=x")).status_code == 400
            assert (await client.post("/en/systems/parking/places")).status_code == 400
            assert (await client.get("/en/systems/nothing")).status_code == 404

    asyncio.run(run())


def test_where_it_is_quiet_is_asked_near_a_street(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            page = await client.get("/en/crowds?near=5.3,52.6")
            assert page.status_code == 200
            check_html("crowds", page.text, "en")
            assert "Quietest first" in page.text
            wrong = await client.get("/en/crowds?near=moon")
            assert 'role="alert"' in wrong.text
            assert "Quietest first" not in wrong.text

    asyncio.run(run())


def test_where_there_is_no_page_that_is_told_in_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            lost = await client.get("/nl/nothing/here")
            assert lost.status_code == 404
            check_html("lost", lost.text, "nl")
            english = await client.get("/nothing/at/all", headers={"accept-language": "en"})
            assert english.status_code == 404
            assert '<html lang="en">' in english.text

    asyncio.run(run())


def test_forms_of_one_address_are_limited(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            answers = [
                await client.post("/nl/parking/mine", data={"token": "x"}) for _ in range(61)
            ]
            assert [a.status_code for a in answers] == [400] * 60 + [429]
            assert (await client.get("/nl/parking/mine")).status_code == 200

    asyncio.run(run())


def test_advice_reads_in_the_language_of_its_reader(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            told = replace(
                sign("few"), reasons=(Text("Bijna vol.", "Nearly full."), "Plain words.")
            )
            await running.decisions.advise(told, "system:parking")
            (decision,) = records(running, "decision")
            dutch = (await client.get(f"/nl/decisions/{decision['id']}")).text
            assert "<p>Bijna vol.</p>" in dutch
            assert '<p lang="en">Plain words.</p>' in dutch
            english = (await client.get(f"/en/decisions/{decision['id']}")).text
            assert "<p>Nearly full.</p>" in english

    asyncio.run(run())


def test_the_room_shows_where_it_asks_for_somebody_and_tells_the_line_in_a_table(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (_, client):
            urn = "urn:ngsi-ld:OffStreetParking:a"
            page = (await client.get(f"/en/control?thing={urn}")).text
            check_html("control", page, "en")
            assert "This line as a table" in page
            assert 'class="sign' not in page
            clock.forward_s(3 * 3600)
            page = (await client.get(f"/en/control?thing={urn}")).text
            assert 'class="sign medium"' in page
            assert 'class="mark silent"' in page

    asyncio.run(run())


def test_the_public_sees_the_room_without_buttons_or_what_people_wrote(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            await running.objections.file("privacy", "parking", "a private matter")
            page = (await client.get("/en/control")).text
            assert "1 open" in page
            assert "a private matter" not in page
            assert "Stop automation" not in page

    asyncio.run(run())
