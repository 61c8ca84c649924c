# SPDX-License-Identifier: EUPL-1.2
"""Anyone checks whether a letter, message or officer is the city's; nobody makes a code up."""

import asyncio
import base64
import hashlib
import html
import json
import re
from pathlib import Path

import httpx
import pytest
from tests.walls.city import V1, App, T, city
from tests.web.test_entering import visitor
from tests.web.test_offices import leaves
from tests.web.test_pages import browsing, check_html, hidden, log_in

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid
from poorter.gate.genesis import RUN
from poorter.gate.policy import Purpose
from poorter.identity.keys import read_ring
from poorter.identity.letters import SORTS
from poorter.identity.sessions import Officer
from poorter.offices.grants import approve_grant, draft_grant
from poorter.offices.keys import make_key
from poorter.offices.letters import check_code, give_code
from poorter.running import Running
from poorter.store.contract import Change, PutRecord

FORM = {"act": "give", "kind": "letter", "subject": "tax"}


async def checked(client: httpx.AsyncClient, code: str, language: str = "nl") -> str:
    answer = await client.post(f"/{language}/check", data={"code": code})
    assert answer.status_code == 200, answer.text
    return html.unescape(answer.text)


@pytest.mark.parametrize("language", ["nl", "en"])
def test_from_office_to_doormat(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, staff), visitor(running) as client:
            assert (await staff.get(f"/{language}/control/letters")).status_code == 303
            csrf = await log_in(staff)
            url = f"/{language}/control/letters"
            check_html(url, (await staff.get(url)).text, language)
            assert (await staff.post(url, data=FORM)).status_code == 403
            made = await staff.post(url, data={**FORM, "csrf": csrf})
            check_html(url, made.text, language)
            found = re.search(r'class="code">([A-Z0-9-]{19})<', made.text)
            assert found
            code = found[1]
            assert code not in (await staff.get(url)).text
            page = await checked(client, code, language)
            check_html("check", page, language)
            assert "Informatievoorziening" in page
            assert ("belasting" if language == "nl" else "tax or a bill") in page
            assert 'role="status"' in page
            linked = await client.get(f"/{language}/check?code={code}")
            assert code in linked.text
            assert 'role="status"' not in linked.text, "a link checks nothing by itself"
            for unknown in ("0" * 16, code[:-1], "x", "<script>alert(1)</script>", "é" * 16):
                refused = await checked(client, unknown, language)
                assert 'role="alert"' in refused
            kept = hidden((await staff.get(url)).text, "id")
            gone = await staff.post(url, data={"csrf": csrf, "act": "withdraw", "id": kept})
            assert gone.status_code == 303
            assert 'role="alert"' in await checked(client, code, language)
            assert ("code of a letter", "given out") in leaves(running)
            for wrong in ({"kind": "parcel"}, {"subject": "love"}, {"act": ""}, {"sender": "Jan"}):
                refused = await staff.post(url, data={**FORM, "csrf": csrf, **wrong})
                assert refused.status_code == 400, wrong

    asyncio.run(run())


async def api(client: httpx.AsyncClient, code: str) -> dict[str, object]:
    answer = await client.post("/check", json={"code": code})
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_what_the_city_says_is_signed_for_this_code_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _), visitor(running) as client:
            code = await give_code(running, "officer", "inspection", "ada", "Jan de Boer")
            told = await api(client, code)
            assert told["verdict"] == "known"
            said = str(told["statement"])
            assert json.loads(said)["sender"] == "Jan de Boer"
            assert json.loads(said)["code_sha256"] == hashlib.sha256(code.encode()).hexdigest()
            signatures = told["signatures"]
            assert isinstance(signatures, dict)
            (ring,) = [e for e in read_ring(running.config.paths_keys) if e.use == "letters"]
            both = (
                base64.b64decode(signatures["ed25519"]),
                base64.b64decode(signatures["mldsa65"]),
            )
            assert ring.public().verify(both, said.encode())
            assert not ring.public().verify(both, said.replace("Boer", "Bouw").encode())
            assert await api(client, "0" * 16) == {"verdict": "unknown"}
            for body in (b"", b"{}", b"[]", b'{"code": 5}', b"\xff", b"{" * 600):
                answer = await client.post("/check", content=body)
                assert answer.status_code == 400, body
            assert (await client.post("/check", content=b"x" * 5000)).status_code == 413
            assert (await client.get("/check")).status_code in (404, 405)

    asyncio.run(run())


def test_a_copied_code_gives_itself_away_and_every_check_counts(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _):
            code = await give_code(running, "letter", "tax", "ada")
            usual = SORTS["letter"].checks_usual
            told = [await check_code(running, code) for _ in range(usual)]
            assert {one.verdict for one in told} == {"known"}
            assert (await check_code(running, code)).verdict == "often"
            await asyncio.gather(*(check_code(running, code) for _ in range(4)))
            assert (await check_code(running, code)).checks == usual + 5

    asyncio.run(run())


def test_an_old_code_is_as_unknown_as_one_that_never_was(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with browsing(tmp_path, clock) as (running, _), visitor(running) as client:
            code = await give_code(running, "message", "appointment", "ada")
            clock.forward_s(121 * 86400)
            assert await api(client, code) == {"verdict": "unknown"}

    asyncio.run(run())


def test_guessing_is_slow_and_nothing_kept_opens_a_code(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, _), visitor(running, "192.0.2.7") as client:
            code = await give_code(running, "letter", "tax", "ada")
            answers = [
                (await client.post("/check", json={"code": "0" * 16})).status_code
                for _ in range(12)
            ]
            assert answers.count(429) == 2
            assert (await client.post("/nl/check", data={"code": code})).status_code == 429
            permit = running.gate.permit("internal:identity", RUN, "read")
            (record,) = running.store.records(permit, "letter")
            assert code not in json.dumps(record.doc)
            assert record.id != hashlib.sha256(code.encode()).hexdigest(), "a keyed hash"
            running.store.close()
            kept = b"".join(
                f.read_bytes() for f in running.config.paths_data.rglob("*") if f.is_file()
            )
            assert code.encode() not in kept

    asyncio.run(run())


def test_an_office_withdraws_its_own_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (running, staff):
            await _other_office(running)
            await give_code(running, "letter", "tax", "cor")
            permit = running.gate.permit("internal:identity", RUN, "read")
            (record,) = running.store.records(permit, "letter")
            csrf = await log_in(staff)
            form = {"csrf": csrf, "act": "withdraw", "id": record.id}
            assert (await staff.post("/en/control/letters", data=form)).status_code == 404
            assert record.id not in (await staff.get("/en/control/letters")).text

    asyncio.run(run())


async def _other_office(running: Running) -> None:
    permit = running.gate.permit("internal:identity", RUN, "administer")
    cor = PutRecord("officer", "cor", Officer("cor", "Belastingen", ("clerk",), "").to_doc())
    await running.store.commit_async(permit, Change((cor,)))


def test_an_app_that_sends_letters_gets_a_code_for_each_and_reads_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c, visitor(c.running) as client:
            debts = c.apps["debt-help"]
            path, body = "/api/city/letters", {"kind": "letter", "subject": "care"}
            assert (await debts.post(path, body)).status_code == 403
            for actions in (["read"], ["read", "write"]):
                with pytest.raises(Invalid, match="only be made"):
                    given = ("app:post", "post", "letters", actions, 5, "ada")
                    await draft_grant(c.running, *given)
            with pytest.raises(Invalid, match="through a release"):
                given = ("app:debt-help", "debt-help", "letters", ["write"], 5, "ada")
                await draft_grant(c.running, *given)
            why = Purpose("post", "people", T, "Awb 3:40", "Postkamer", art6="e")
            await c.running.registry.put([why], "ada", "post")
            draft = await draft_grant(c.running, "app:post", "post", "letters", ["write"], 5, "ada")
            await approve_grant(c.running, draft.id, "bob")
            _, key = await make_key(c.running, "app:post", "post", 5, "ada")
            post = App(c.client, {"authorization": f"Bearer {key}"})
            made = await post.post(path, body)
            assert made.status_code == 201, made.text
            other = await post.post(path, {**body, "kind": "message"})
            assert other.json()["code"] != made.json()["code"]
            page = await checked(client, made.json()["code"], "en")
            assert "Postkamer" in page
            for wrong in ({"kind": "officer"}, {"subject": "Fenna"}, {"kind": 3}, {"kind": ""}):
                assert (await post.post(path, {**body, **wrong})).status_code == 400, wrong
            assert (await post.get(f"{V1}/entities?type=letter")).status_code == 403

    asyncio.run(run())
