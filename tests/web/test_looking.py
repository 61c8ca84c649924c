# SPDX-License-Identifier: EUPL-1.2
"""Who looked at my data: the resident reads it in words, others don't, staff leave a line."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.people import PURPOSE, SECRET, TYPE, WALL, person, with_people
from tests.web.test_entering import SOMEBODY, a_code, enter, visitor
from tests.web.test_offices import another
from tests.web.test_pages import browsing, check_html, log_in

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.query import Query
from poorter.city.text import Text
from poorter.identity.credentials import new_credential
from poorter.jobs import record_uses
from poorter.ledger.evidence import read_evidence, verify_evidence
from poorter.ledger.trust import parse_trust
from poorter.running import Running
from poorter.server import make_app
from poorter.store.contract import Change, Create, PutRecord
from poorter.store.recording import activity_version

URL = "/processing-activities"
JSON = {"content-type": "application/json"}


async def read_all(running: Running, purpose: str = PURPOSE.id) -> None:
    await running.city("app", purpose).entities(Query(types=(TYPE,)))


async def a_badge(running: Running) -> None:
    """A badge of whoever has the citizen number, beside those of two others."""
    await with_people(running, [1, 2])
    holder = Attribute("holder", SOMEBODY)
    entity = Entity(f"urn:ngsi-ld:{TYPE}:mine", (TYPE,), (holder,))
    write = running.gate.permit("app", PURPOSE.id, "write")
    await running.store.commit_async(write, Change((Create(entity),)))


@asynccontextmanager
async def resident(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with visitor(running) as client:
        entered = await enter(client, await a_code(running, "person"))
        assert entered.status_code == 303, entered.text
        yield client


@pytest.mark.parametrize("language", ["nl", "en"])
def test_a_resident_reads_who_looked_and_takes_the_proof_home(
    tmp_path: Path, language: str
) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (running, stranger):
            await a_badge(running)
            for purpose in (PURPOSE.id, PURPOSE.id, SECRET.id):
                await read_all(running, purpose)
            await running.insight.write_map()
            await record_uses(running)
            url = f"/{language}/my/uses"
            away = await stranger.get(url)
            assert away.headers["location"].startswith(f"/{language}/enter?")
            async with resident(running) as client:
                page = await client.get(url)
                assert page.status_code == 200
                check_html(url, page.text, language)
                title = PURPOSE.title.for_language(language)
                assert page.text.count(f"<h2>{title}</h2>") == 2
                assert "Poorterstad" in page.text and "Vergunningen" in page.text
                for secret in (SECRET.id, SECRET.title.nl, SECRET.title.en, SOMEBODY, person(1)):
                    assert secret not in page.text
                assert ("31 januari" if language == "nl" else "31 January") in page.text
                links = re.findall(r'href="(/ledger/receipt\?index=\d+)"', page.text)
                assert len(links) == 4, "two looks; the code from the desk, and coming in with it"
                await record_uses(running)
                assert (await client.get(links[0])).text.startswith("c2sp.org/tlog-proof@v1")
                about = re.search(rf'href="([^"]+/object\?about={PURPOSE.id})"', page.text)
                assert about and title in (await client.get(about[1])).text
                taken = await client.get(f"{url}/evidence")
                assert "attachment" in taken.headers["content-disposition"]
                found = read_evidence(taken.content)
                trust = parse_trust(found.trust)
                shown = verify_evidence(found, lambda note: trust.verify(note).checkpoint)
                assert shown.wrong == [] and len(shown.closed) == 1
                assert len(shown.opened) == 4
            clock.forward_s(31 * 86_400)
            async with resident(running) as client:
                page = await client.get(url)
                assert SECRET.title.for_language(language) in page.text, "its day has come"

    asyncio.run(run())


def test_the_words_of_a_purpose_are_those_of_its_day_and_may_spare_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _):
            await a_badge(running)
            await read_all(running)
            spare = Text("Een zaak in uw omgeving", "A matter near you")
            later = replace(PURPOSE, title=Text("Anders", "Otherwise"), disclose=spare)
            before = running.gate.policy.purposes[PURPOSE.id]
            await running.registry.put([later], "ada", "other words")
            await read_all(running)
            await record_uses(running)
            async with resident(running) as client:
                page = (await client.get("/en/my/uses")).text
                assert PURPOSE.title.en in page and spare.en in page
                assert "Otherwise" not in page
                for purpose in (before, running.gate.policy.purposes[PURPOSE.id]):
                    path = f"/ledger/activities/{PURPOSE.id}@{activity_version(purpose)}"
                    meant = (await client.get(path)).json()
                    assert meant["title"]["en"] == purpose.title.en
                gone = await client.get(f"/ledger/activities/{PURPOSE.id}@{'0' * 16}")
                assert gone.status_code == 404

    asyncio.run(run())


def test_staff_look_with_a_case_and_a_second_officer_and_it_is_a_line(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (running, ada):
            await a_badge(running)
            await read_all(running)
            await record_uses(running)
            csrf = await log_in(ada)
            url = "/en/control/inspections"
            check_html(url, (await ada.get(url)).text, "en")
            asked = {"act": "ask", "number": SOMEBODY, "case": "2026-117", "csrf": csrf}
            assert (await ada.post(url, data=asked)).status_code == 400, "a reason is missing"
            asked["reason"] = "Somebody complains that their badge was looked up."
            assert (await ada.post(url, data=asked)).status_code == 303
            drafted = re.search(r'name="id" value="([^"]+)"', (await ada.get(url)).text)
            assert drafted
            one = drafted[1]
            alone = {"act": "approve", "id": one, "csrf": csrf}
            assert (await ada.post(url, data=alone)).status_code == 403
            assert (await ada.get(f"{url}/{one}")).status_code == 404
            async with another(running, "bob") as (bob, token):
                both = await bob.post(url, data={**alone, "csrf": token})
                assert both.status_code == 303
                assert (await bob.get(f"{url}/{one}")).status_code == 404, "it is ada's case"
            seen = await ada.get(f"{url}/{one}")
            assert seen.status_code == 200 and PURPOSE.title.en in seen.text
            check_html(url, seen.text, "en")
            await record_uses(running)
            async with resident(running) as client:
                page = (await client.get("/en/my/uses")).text
                assert page.count("See who used data, for a case") == 1
                assert "2026-117" not in page, "the case is the office's to tell"
            clock.forward_s(3600)
            assert (await ada.get(f"{url}/{one}")).status_code == 404

    asyncio.run(run())


def test_the_read_api_gives_everybody_their_own_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, stranger):
            await a_badge(running)
            await read_all(running)
            await read_all(running)
            await record_uses(running)
            mine = running.insight.id_of(WALL, _subject(running, SOMEBODY))
            others = running.insight.id_of(WALL, _subject(running, person(1)))
            asked = {"dpl.core.data_subject_id": mine}
            assert (await stranger.post(URL, json=asked)).status_code == 401
            async with resident(running) as client:
                answer = await client.post(URL, json=asked)
                assert answer.status_code == 200 and answer.headers["api-version"] == "1.1.0"
                found = answer.json()["processingActivities"]
                assert len(found) == 2 and {one["status"] for one in found} == {"Ok"}
                assert set(found[0]) >= {"traceId", "spanId", "name", "startTime", "endTime"}
                assert found[0]["attributes"]["dpl.core.data_subject_id"] == mine
                first = await client.post(URL, json={**asked, "limit": 1})
                assert first.json()["processingActivities"] == found[:1]
                rest = {**asked, "limit": 1, "after": first.json()["after"]}
                assert (await client.post(URL, json=rest)).json()["processingActivities"] == found[
                    1:
                ]
                theirs = {"dpl.core.data_subject_id": others}
                assert (await client.post(URL, json=theirs)).status_code == 403
                for wrong in ({}, {"traceId": "x"}, {"traceId": 1}, {**asked, "limit": 0}, []):
                    assert (await client.post(URL, json=wrong)).status_code == 400
                form = await client.post(URL, data=asked)
                assert form.status_code == 400, "a form of another site can't ask"
                trace = {"traceId": found[0]["traceId"]}
                assert len((await client.post(URL, json=trace)).json()["processingActivities"]) == 1
            await _apps(running, trace)

    asyncio.run(run())


async def _apps(running: Running, trace: dict[str, str]) -> None:
    """An app sees the lines that it made itself, of a trace that it names."""
    transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
        for processor, expected in (("app", 3), ("public", 0)):
            purpose = PURPOSE.id if processor == "app" else "open-data"
            credential, key = new_credential(processor, purpose)
            own = running.gate.permit("internal:identity", "run", "administer")
            record = PutRecord("credential", credential.id, credential.to_doc())
            await running.store.commit_async(own, Change((record,)))
            running.load_credentials()
            headers = {"authorization": f"Bearer {key}"}
            answer = await client.post(URL, json=trace, headers=headers)
            assert len(answer.json()["processingActivities"]) == expected
            by_subject = {"dpl.core.data_subject_id": "x"}
            assert (await client.post(URL, json=by_subject, headers=headers)).status_code == 403


def _subject(running: Running, named: str) -> str:
    return running.subject_of(named, WALL)


def test_the_page_that_verifies_opens_no_connection(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, client):
            await record_uses(running)
            page = await client.get("/en/verify")
            policy = page.headers["content-security-policy"]
            assert "script-src 'self'" in policy and "connect-src 'none'" in policy
            assert "poorter verify FILE" in page.text, "it says how to do without JavaScript"
            assert parse_trust(running.trust_text()).logs
            assert page.text.count("<script") == 1
            script = await client.get("/static/verify.js")
            assert script.status_code == 200 and "fetch(" not in script.text

    asyncio.run(run())


def test_evidence_is_json_of_the_format(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _), resident(running) as client:
            await record_uses(running)
            taken = msgspec.json.decode((await client.get("/nl/my/uses/evidence")).content)
            assert taken["format"] == "poorter.evidence/1"
            assert {one["wall"] for one in taken["subjects"] if one["lines"]} == {"city-hall"}

    asyncio.run(run())
