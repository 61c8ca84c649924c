# SPDX-License-Identifier: EUPL-1.2
"""A resident asks to be erased, and objects right where they read who looked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.walls.city import V1, City, city
from tests.walls.test_consents import FENNA, LOTTE, person, subject_in
from tests.web.test_entering import enter, visitor
from tests.web.test_offices import another
from tests.web.test_pages import check_html, hidden

from poorter.city.clock import ManualClock
from poorter.city.errors import Conflict, NotFound
from poorter.city.time import DAY_US
from poorter.jobs import record_uses
from poorter.offices.desk import issue_code
from poorter.rights.requests import TERM_DAYS


@asynccontextmanager
async def at_home(c: City, number: str = FENNA) -> AsyncIterator[httpx.AsyncClient]:
    async with visitor(c.running) as client:
        issued = await issue_code(c.running, number, ["person"], "passport", "ada")
        assert (await enter(client, issued.code)).status_code == 303
        yield client


@pytest.mark.parametrize("language", ["nl", "en"])
def test_asked_held_erased_and_told(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            urn = await care.make("Client", resident=FENNA, name="Fenna")
            other = await care.make("Client", resident=LOTTE, name="Lotte")
            mine, staff = f"/{language}/my/erasure", f"/{language}/control/persons"
            async with (
                at_home(c) as fenna,
                another(c.running, "ada") as (ada, hers),
                another(c.running, "bob") as (bob, his),
            ):
                page = (await fenna.get(mine)).text
                check_html(mine, page, language)
                form = {"csrf": hidden(page, "csrf"), "for": "", "wall": "care", "why": "I moved"}
                assert (await fenna.post(mine, data={**form, "csrf": "x"})).status_code == 403
                asked = await fenna.post(mine, data=form)
                check_html(mine, asked.text, language)
                assert "Zorg" in asked.text
                assert (await fenna.post(mine, data=form)).status_code == 409, "once at a time"
                assert (await fenna.post(mine, data={**form, "wall": "x"})).status_code == 404
                assert (await care.get(f"{V1}/entities/{urn}")).status_code == 200

                shown = (await ada.get(staff)).text
                check_html(staff, shown, language)
                assert "I moved" in shown
                assert FENNA not in shown
                (request,) = c.running.people.requests.open()
                assert request.answer_by_us - request.asked_us == TERM_DAYS * DAY_US
                await c.running.people.erasing.hold(request.subject, "ada, bob", "a court")
                told = (await fenna.get(mine)).text
                assert ("geschil" if language == "nl" else "dispute") in told
                assert "court" not in told

                take = {"csrf": hers, "act": "take", "id": request.id}
                assert (await ada.post(staff, data=take)).status_code == 303
                draft = hidden((await bob.get(staff)).text.split("h-drafts")[2], "id")
                approve = {"act": "approve", "id": draft}
                own = await ada.post(staff, data={**approve, "csrf": hers})
                assert own.status_code == 403
                assert (await bob.post(staff, data={**approve, "csrf": his})).status_code == 200
                assert (await care.get(f"{V1}/entities/{urn}")).status_code == 404
                assert c.running.people.requests.one(request.id).state == "held"
                hides = "verborgen" if language == "nl" else "hidden from everybody"
                assert hides in (await fenna.get(mine)).text
                again = await ada.post(staff, data={**take, "csrf": hers})
                assert again.status_code == 400

                await c.running.people.erasing.release(request.subject, "ada")
                done = c.running.people.requests.one(request.id)
                assert (done.state, done.why) == ("erased", "")
                assert c.running.people.requests.open() == []
                gone = "Gewist op" if language == "nl" else "Erased on"
                assert gone in (await fenna.get(mine)).text
                assert list(c.running.people.erasing.rows_of(subject_in(c)("care"))) == []
                assert (await care.get(f"{V1}/entities/{other}")).status_code == 200

    asyncio.run(run())


def test_a_refusal_gives_reasons_and_others_see_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            urn = await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna")
            requests = c.running.people.requests
            request = await requests.ask(person(c), "care")
            with pytest.raises(Conflict):
                await requests.ask(person(c), "care")
            with pytest.raises(NotFound):
                await requests.ask(person(c), "open")
            staff = "/en/control/persons"
            async with at_home(c, LOTTE) as lotte:
                assert "Asked on" not in (await lotte.get("/en/my/erasure")).text
            clock.forward_s(TERM_DAYS * 86_400)
            async with another(c.running, "ada") as (ada, hers), at_home(c) as fenna:
                assert "overdue" in (await ada.get(staff)).text
                form = {"csrf": hers, "act": "refuse", "id": request.id}
                assert (await ada.post(staff, data={**form, "answer": ""})).status_code == 400
                said = {**form, "answer": "Wmo 5.3.4 keeps it for 15 years"}
                assert (await ada.post(staff, data=said)).status_code == 303
                assert (await ada.post(staff, data=said)).status_code == 409
                assert "15 years" in (await fenna.get("/en/my/erasure")).text
            assert (await c.apps["home-care"].get(f"{V1}/entities/{urn}")).status_code == 200
            await requests.ask(person(c), "care")

    asyncio.run(run())


def test_objecting_from_the_page_of_who_looked(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna")
            research = c.apps["care-research"]
            assert len(await research.ids("Client")) == 1
            await record_uses(c.running)
            async with at_home(c) as fenna:
                page = (await fenna.get("/en/my/uses")).text
                check_html("/en/my/uses", page, "en")
                assert 'value="object"' in page
                form = {"csrf": hidden(page, "csrf"), "for": "", "act": "object"}
                done = await fenna.post("/en/choices", data={**form, "purpose": "care-research"})
                assert done.status_code == 200
                assert await research.ids("Client") == []
                after = (await fenna.get("/en/my/uses")).text
                check_html("/en/my/uses", after, "en")
                assert "You objected to this" in after

    asyncio.run(run())
