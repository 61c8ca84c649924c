# SPDX-License-Identifier: EUPL-1.2
"""Consent and objection: per person, purpose, item and period; hidden is exactly as absent."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.walls.city import V1, App, City, T, city
from tests.web.test_entering import enter
from tests.web.test_pages import check_html, hidden

from poorter.city.clock import ManualClock
from poorter.city.errors import Denied, Invalid, NotFound
from poorter.city.time import DAY_US
from poorter.gate.genesis import RUN
from poorter.gate.policy import Purpose
from poorter.identity.keys import read_ring
from poorter.identity.persons import BSN
from poorter.offices.desk import issue_code
from poorter.rights.consents import Person
from poorter.rights.record import read_receipt

FENNA, LOTTE = "999990019", "999990032"


def subject_in(c: City, number: str = FENNA) -> Callable[[str], str]:
    return lambda wall: c.running.subject_of(number, wall)


def person(c: City, number: str = FENNA) -> Person:
    return c.running.people.guardians.person(subject_in(c, number))


async def all_of(app: App, urn: str) -> list[object]:
    """Every way in which an app could meet a row: status and what is told."""
    one = await app.get(f"{V1}/entities/{urn}")
    listed = await app.get(f"{V1}/entities?type=Client&count=true")
    where = await app.get(f'{V1}/entities?type=Client&q=name=="Fenna"&count=true')
    history = await app.get(f"{V1}/temporal/entities/{urn}")
    types = await app.get(f"{V1}/types")
    named = await app.get(f"{V1}/attributes")
    batch = await app.post(f"{V1}/entityOperations/delete", [urn])
    patched = await app.client.patch(
        f"{V1}/entities/{urn}/attrs", json={"x": {"value": 1}}, headers=app.headers
    )
    return [
        one.status_code,
        one.text.replace(urn, "ID"),
        listed.json(),
        listed.headers["ngsild-results-count"],
        where.json(),
        where.headers["ngsild-results-count"],
        history.status_code,
        history.text.replace(urn, "ID"),
        sorted(types.json().get("typeList", [])),
        named.json().get("attributeList"),
        batch.status_code,
        patched.status_code,
        patched.text.replace(urn, "ID"),
    ]


def test_a_row_without_consent_is_exactly_as_absent(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            planning, care = c.apps["care-planning"], c.apps["home-care"]
            await care.make("Client", resident=FENNA, name="Fenna", age=71)
            assert await planning.ids("Client") == []
            await c.running.people.consents.give(person(c), "care-planning")
            (urn,) = await planning.ids("Client")
            assert (await planning.get(f"{V1}/entities/{urn}")).json()["name"]["value"] == "Fenna"
            await c.running.people.consents.withdraw(person(c), "care-planning")
            hidden_from = await all_of(planning, urn)
            assert len(await care.ids("Client")) == 1
            await c.running.people.consents.give(person(c), "care-planning")
            gone = await planning.client.delete(f"{V1}/entities/{urn}", headers=planning.headers)
            assert gone.status_code == 204
            assert await all_of(planning, urn) == hidden_from
            assert await care.ids("Client") == []

    asyncio.run(run())


def test_consent_is_per_item_and_period(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            planning, care = c.apps["care-planning"], c.apps["home-care"]
            await care.make("Client", resident=FENNA, name="Fenna", age=71)
            until_us = c.running.clock.now_us() + DAY_US
            await c.running.people.consents.give(person(c), "care-planning", ["age"], until_us)
            (urn,) = await planning.ids("Client")
            assert set((await planning.get(f"{V1}/entities/{urn}")).json()) == {"id", "type", "age"}
            none = await planning.get(f'{V1}/entities?type=Client&q=name=="Fenna"')
            assert none.json() == []
            clock.forward_s(86_401)
            assert await planning.ids("Client") == []
            with pytest.raises(Invalid):
                await c.running.people.consents.give(person(c), "care-planning", [], until_us)

    asyncio.run(run())


def test_an_objection_hides_and_can_be_lifted(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            research, care = c.apps["care-research"], c.apps["home-care"]
            await care.make("Client", resident=FENNA, name="Fenna", age=71)
            await care.make("Client", resident=LOTTE, name="Lotte")
            assert len(await research.ids("Client")) == 2
            await c.running.people.consents.object(person(c), "care-research", ["age"])
            seen = (await research.get(f"{V1}/entities?type=Client&options=keyValues")).json()
            assert all("age" not in one for one in seen)
            await c.running.people.consents.object(person(c), "care-research")
            assert len(await research.ids("Client")) == 1
            await c.running.people.consents.lift(person(c), "care-research")
            assert len(await research.ids("Client")) == 2
            assert len(await care.ids("Client")) == 2

    asyncio.run(run())


def test_where_consent_is_no_basis_it_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            consents = c.running.people.consents
            for purpose in ("home-care", "debt-help", "care-research"):
                with pytest.raises(Invalid, match="no basis"):
                    await consents.give(person(c), purpose)
            for nothing in ("open-data", "run", "Care-planning", "care-planning ", ""):
                with pytest.raises(NotFound):
                    await consents.give(person(c), nothing)
            with pytest.raises(NotFound):
                await consents.withdraw(person(c), "care-planning")
            unfree = Purpose("x", "people", T, "w", "o", art6="a", consent_invalid=True)
            with pytest.raises(Invalid, match="can't rest on consent"):
                await c.running.registry.put([unfree], "ada", "a test")

    asyncio.run(run())


def test_withdrawing_reaches_streams_subscriptions_and_events(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            planning, care = c.apps["care-planning"], c.apps["home-care"]
            urn = await care.make("Client", resident=FENNA, name="Fenna")
            await c.running.people.consents.give(person(c), "care-planning")
            handle = c.running.city("app:care-planning", "care-planning")
            stream = handle.changes(["Client"])
            seen: list[str] = []

            async def follow() -> None:
                async for changed in stream:
                    seen.append(changed.urn)

            task = asyncio.create_task(follow())
            await asyncio.sleep(0.05)
            body = {"name": {"value": "Fenna B"}}
            await care.client.patch(f"{V1}/entities/{urn}/attrs", json=body, headers=care.headers)
            await asyncio.sleep(0.1)
            (shown,) = await planning.ids("Client")
            assert seen == [shown]
            assert shown != urn
            events = (await planning.get("/api/city/events?after=0")).json()
            assert {e["urn"] for e in events["events"] if "Client" in e["types"]} == {shown}
            subject = subject_in(c)("care")
            _, kept = c.running.recorder.keys.name("care", subject)
            ledger = c.running.gate.permit("internal:ledger", RUN, "read")
            lines = len(c.running.store.lines(ledger, kept))
            await planning.get("/api/city/events?after=0")
            assert len(c.running.store.lines(ledger, kept)) == lines + 1, (
                "who is told leaves a line"
            )
            await c.running.people.consents.withdraw(person(c), "care-planning")
            await care.client.patch(f"{V1}/entities/{urn}/attrs", json=body, headers=care.headers)
            await asyncio.sleep(0.1)
            assert seen == [shown]
            events = (await planning.get("/api/city/events?after=0")).json()
            assert [e for e in events["events"] if "Client" in e["types"]] == []
            task.cancel()

    asyncio.run(run())


def test_choices_stand_after_a_restart(tmp_path: Path) -> None:
    from poorter.running import open_city

    async def run() -> None:
        async with city(tmp_path) as c:
            await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna")
            await c.apps["home-care"].make("Client", resident=LOTTE, name="Lotte")
            await c.running.people.consents.give(person(c), "care-planning")
            await c.running.people.consents.object(person(c, LOTTE), "home-care")
            config = c.running.config
        again = await open_city(config, ManualClock())
        try:
            for purpose in ("care-planning", "home-care"):
                from poorter.city.query import Query

                found = await again.city(f"app:{purpose}", purpose).entities(
                    Query(types=("Client",))
                )
                assert [one.value("name") for one in found] == ["Fenna"], purpose
        finally:
            again.close()

    asyncio.run(run())


def test_a_receipt_is_signed_twice_and_names_no_kept_subject(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            text = await c.running.people.consents.give(person(c), "care-planning", ["age"])
            keys = [e.public() for e in read_ring(c.running.config.paths_keys) if e.use == "policy"]
            doc = read_receipt(text, keys)
            content = doc["receipt_content"]
            assert content["state"] == "given"
            assert content["pii_processing"]["pii_information"] == [{"pii_attribute_id": "age"}]
            assert content["events"][0]["event_type"] == "consent"
            assert subject_in(c)("care") not in text
            assert FENNA not in text
            signed = json.loads(text)
            forged = [
                {**signed, "receipt": signed["receipt"].replace("given", "gIven")},
                {**signed, "ed25519": signed["ml-dsa-65"]},
                {**signed, "ml-dsa-65": "AAAA"},
                {k: v for k, v in signed.items() if k != "ed25519"},
            ]
            for one in forged:
                with pytest.raises(ValueError, match=r"signed|receipt"):
                    read_receipt(json.dumps(one), keys)
            with pytest.raises(ValueError, match="both ways"):
                read_receipt(text, [e.public() for e in read_ring(c.running.config.paths_keys)][:1])

    asyncio.run(run())


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it looks at the files
def test_a_guardian_chooses_for_a_child_and_the_child_can_withdraw(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            persons, guardians = c.running.persons, c.running.people.guardians
            parent, child = persons.root(BSN, FENNA), persons.root(BSN, LOTTE)
            until_us = c.running.clock.now_us() + 10 * DAY_US
            kept = await guardians.record(parent, child, "Lotte", until_us, "ada")
            assert LOTTE.encode() not in (tmp_path / "data" / "city.db-wal").read_bytes()
            alone = person(c, LOTTE)
            assert alone.minor
            with pytest.raises(Invalid, match="16"):
                await c.running.people.consents.give(alone, "care-planning")
            (known,) = guardians.children(subject_in(c))
            assert known.name == "Lotte"
            for_child = guardians.child(subject_in(c), kept)
            await c.running.people.consents.give(for_child, "care-planning")
            await c.apps["home-care"].make("Client", resident=LOTTE, name="Lotte")
            planning = c.apps["care-planning"]
            assert len(await planning.ids("Client")) == 1
            await c.running.people.consents.withdraw(alone, "care-planning")
            assert await planning.ids("Client") == []
            await c.running.people.consents.give(for_child, "care-planning")
            for other in (LOTTE, "999990020"):
                with pytest.raises(Denied):
                    guardians.child(subject_in(c, other), kept)
            clock.forward_s(11 * 86_400)
            assert await planning.ids("Client") == [], "what a guardian gave ends at sixteen"
            assert guardians.children(subject_in(c)) == []
            assert not person(c, LOTTE).minor

    asyncio.run(run())


@pytest.mark.parametrize("language", ["nl", "en"])
def test_a_resident_chooses_on_a_page_without_script(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna")
            from poorter.server import make_app

            transport = httpx.ASGITransport(app=make_app(c.running))  # type: ignore[arg-type]
            url = f"/{language}/choices"
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                first = await client.get(url)
                assert first.status_code == 303
                assert "enter" in first.headers["location"]
                issued = await issue_code(c.running, FENNA, ["person"], "passport", "ada")
                assert (await enter(client, issued.code)).status_code == 303
                page = await client.get(url)
                assert page.status_code == 200, page.text
                check_html(url, page.text, language)
                assert "no-store" in page.headers["cache-control"]
                form = {"csrf": hidden(page.text, "csrf"), "purpose": "care-planning", "for": ""}
                assert (await client.post(url, data={**form, "csrf": "x"})).status_code == 403
                given = await client.post(url, data={**form, "act": "give"})
                assert given.status_code == 200, given.text
                check_html(url, given.text, language)
                planning = c.apps["care-planning"]
                assert len(await planning.ids("Client")) == 1
                receipt = json.loads(
                    (
                        await client.post(
                            url,
                            data={**form, "act": "withdraw"},
                            headers={"accept": "application/json"},
                        )
                    ).text
                )["receipt"]
                assert await planning.ids("Client") == []
                checked = await client.post(f"{url}/receipt", data={"receipt": receipt})
                check_html("receipt", checked.text, language)
                assert ("beide" if language == "nl" else "both") in checked.text
                wrong = await client.post(f"{url}/receipt", data={"receipt": receipt[:-3]})
                assert wrong.status_code == 200
                assert 'role="alert"' in wrong.text

    asyncio.run(run())
