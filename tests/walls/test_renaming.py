# SPDX-License-Identifier: EUPL-1.2
"""Another key by which a wall names its rows: apps can follow, nobody else can, whenever it is
broken off."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.ngsild.test_subscriptions import Receiver
from tests.walls.city import V1, App, City, city
from tests.walls.test_consents import FENNA, LOTTE, person, subject_in
from tests.walls.test_rotating import filled
from tests.walls.test_subscriptions import renamed, subscribe, told

from poorter.city.errors import Conflict, NotFound
from poorter.cli import main
from poorter.config import read_config
from poorter.gate.genesis import RUN
from poorter.identity.keys import look_over, read_secret
from poorter.rights.opening import Two
from poorter.running import Running, open_city
from poorter.server import make_app
from poorter.store.walls.naming import KEPT_US

DAY_S = 86_400
TWO = Two("ada", "bob", "a report")
PAST = "timerel=after&timeAt=2020-01-01T00:00:00Z"


async def change(c: City, days: int = 7) -> None:
    c.running.people.renaming.keys.order("care", days, c.clock.now_us())
    await c.running.people.renaming.step()


async def status(app: App, urn: str) -> int:
    return (await app.get(f"{V1}/entities/{urn}")).status_code


async def bodies(app: App) -> list[dict[str, Any]]:
    found = (await app.get(f"{V1}/entities?type=Client&options=keyValues")).json()
    return sorted(({**one, "id": ""} for one in found), key=str)


def test_every_purpose_sees_other_ids_and_what_is_kept_stays(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            debts = c.apps["debt-help"]
            fenna, lotte = await filled(c)
            visit = await care.make(
                "Visit", resident=FENNA, to={"type": "Relationship", "object": fenna}
            )
            owing = await debts.make("Debtor", resident=FENNA, sum=10)
            seen, before = await research.ids("Client"), await bodies(care)
            past = (await care.get(f"{V1}/temporal/entities/{fenna}?{PAST}")).json()
            await change(c)
            mine, theirs = await care.ids("Client"), await research.ids("Client")
            everything = [fenna, lotte, *seen, *mine, *theirs]
            assert len(set(everything)) == len(everything)
            assert await bodies(care) == before
            # an id of before leads to its row, under whose new id the answer comes
            got = (await care.get(f"{V1}/entities/{fenna}?options=keyValues")).json()
            assert got["name"] == "Fenna W" and got["id"] in mine
            new = got["id"]
            again = (await care.get(f"{V1}/temporal/entities/{fenna}?{PAST}")).json()
            assert again == {**past, "id": new}
            to = (await care.get(f"{V1}/entities/{visit}?options=keyValues")).json()["to"]
            assert to == new
            for asked in (f"id={fenna}", f"id={fenna},{lotte}"):
                found = (await care.get(f"{V1}/entities?type=Client&{asked}")).json()
                assert len(found) == asked.count("urn:") and new in [one["id"] for one in found]
            query = {"type": "Query", "entities": [{"type": "Client", "id": fenna}]}
            posted = await care.post(f"{V1}/entityOperations/query", query)
            assert [one["id"] for one in posted.json()] == [new]
            await renamed(care, fenna, "Fenna X")
            assert (await care.get(f"{V1}/entities/{new}?options=keyValues")).json()[
                "name"
            ] == "Fenna X"
            # what another purpose saw, then or now, leads nowhere; other walls are as they were
            for other in (*seen, *theirs):
                assert await status(care, other) == 404
            assert await debts.ids("Debtor") == [owing]
            c.clock.forward_s(8 * DAY_S)
            assert [await status(care, urn) for urn in (fenna, lotte, new)] == [404, 404, 200]
            posted = await care.post(f"{V1}/entityOperations/query", query)
            assert posted.json() == []

    asyncio.run(run())


def test_consents_translation_and_erasure_follow(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, planning = c.apps["home-care"], c.apps["care-planning"]
            fenna, _ = await filled(c)
            await c.running.people.consents.give(person(c), "care-planning")
            (shown,) = await planning.ids("Client")
            await change(c)
            (now,) = await planning.ids("Client")
            assert now != shown
            openings = c.running.people.openings
            assert await openings.translate(fenna, "home-care", "care-planning", TWO) == now
            await c.running.people.consents.withdraw(person(c), "care-planning")
            assert [await status(planning, urn) for urn in (shown, now)] == [404, 404]
            c.clock.forward_s(8 * DAY_S)
            with pytest.raises(NotFound):
                await openings.translate(fenna, "home-care", "care-planning", TWO)
            await c.running.people.erasing.erase(subject_in(c)("care"), "care", "ada", "asked")
            assert len(await care.ids("Client")) == 1

    asyncio.run(run())


def test_a_subscription_that_names_a_row_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        more = {"network.allowed_hosts": ["127.0.0.1"]}
        async with city(tmp_path, more=more) as c, Receiver() as receiver:
            engine = c.running.engine
            assert engine is not None
            await engine.start()
            c.running.people.renaming.follow(engine.renew)
            care = c.apps["home-care"]
            fenna, _ = await filled(c)
            await subscribe(c, care, receiver.url, id=fenna)
            await told(receiver)
            for days in (0, 7):  # at once, too
                await change(c, days)
                c.clock.forward_s(KEPT_US / 1e6)
                (kept,) = engine.of("app:home-care", "home-care")
                assert kept.doc["entities"][0]["id"] in await care.ids("Client")
                ids = await care.ids("Client")
                for urn in ids:
                    await renamed(care, urn, f"Name {days}")
                (one,) = await told(receiver, 20)
                assert one["id"] == kept.doc["entities"][0]["id"]
            permit = c.running.gate.permit("internal:ngsi-ld", RUN, "read")
            (record,) = c.running.store.records(permit, "subscription")
            assert record.doc["doc"]["entities"] == kept.doc["entities"]

    asyncio.run(run())


def test_the_key_before_goes_and_what_was_copied_leads_nowhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, keys = c.apps["home-care"], c.running.people.renaming.keys
            fenna, _ = await filled(c)
            first = read_secret(tmp_path / "keys" / "pseudonyms-care.secret")
            assert c.running.engine is not None
            c.running.people.renaming.follow(c.running.engine.renew)
            await change(c, 7)
            assert not (tmp_path / "keys" / "pseudonyms-care.secret").exists()
            assert look_over(tmp_path / "keys") == []
            with pytest.raises(Conflict, match="again from"):
                keys.order("care", 7, c.clock.now_us())
            c.clock.forward_s(8 * DAY_S)
            await c.running.people.renaming.step()
            assert keys.kept() == []
            assert keys.naming("care").former is None
            assert first not in (tmp_path / "keys" / "walls.db").read_bytes()
            assert await status(care, fenna) == 404
            permit = c.running.gate.permit("internal:ledger", RUN, "read")
            leaves = b"".join(leaf for _, leaf in c.running.store.leaves(permit, 0, 1000))
            assert b"names are made with another key" in leaves
            assert b"the key before was destroyed" in leaves
        (tmp_path / "keys" / "walls.db").unlink()
        async with opened_again(tmp_path, c) as (_, app):  # not named by another key instead
            assert (await app.get(f"{V1}/entities?type=Client")).status_code == 503

    asyncio.run(run())


@asynccontextmanager
async def opened_again(folder: Path, c: City) -> AsyncIterator[tuple[Running, App]]:
    """The same city opened anew, and its home-care app."""
    known = dict(c.running.credentials._by_digest)
    running = await open_city(read_config(folder), c.clock)
    try:
        running.credentials._by_digest |= known
        transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
            yield running, App(client, c.apps["home-care"].headers)
    finally:
        running.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it looks at the files
def test_broken_off_anywhere_it_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        copies = []
        folder = tmp_path / "city"

        def copy() -> None:
            copies.append(tmp_path / f"copy{len(copies)}")
            shutil.copytree(folder, copies[-1])

        async with city(folder) as c:
            urns = await filled(c)
            before = await bodies(c.apps["home-care"])
            renaming = c.running.people.renaming
            renaming.keys.order("care", 7, c.clock.now_us())
            copy()
            secret = folder / "keys" / "pseudonyms-care.secret"
            kept = secret.read_bytes()
            renaming.keys.change("care", 7, c.clock.now_us())
            copy()
            secret.write_bytes(kept)  # as if the file had not gone yet
            secret.chmod(0o600)
            copy()
            secret.unlink()
            c.running.store.rows.pseudonyms.look_again()
            await renaming._tell("care", "names are made with another key")
            copy()
        for one in copies:
            async with opened_again(one, c) as (running, app):
                assert await bodies(app) == before
                assert [await status(app, urn) for urn in urns] == [200, 200]
                await running.people.renaming.step()
                assert await bodies(app) == before
                assert [await status(app, urn) for urn in urns] == [200, 200]
                assert not set(await app.ids("Client")) & set(urns)

    asyncio.run(run())


def test_a_repeated_creation_finds_its_row(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            from poorter.city.entity import Attribute, Entity
            from poorter.store.contract import Change, Create

            permit = c.running.gate.permit("app:home-care", "home-care", "write")
            entity = Entity("urn:ngsi-ld:Client:x", ("Client",), (Attribute("resident", LOTTE),))
            lines, _ = c.running.recorder.writing(permit, (Create(entity),))
            made = Change((Create(entity), *lines), "the-key")
            first = (await c.running.store.commit_async(permit, made)).minted[entity.urn]
            await change(c)
            permit = c.running.gate.permit("app:home-care", "home-care", "write")
            second = (await c.running.store.commit_async(permit, made)).minted[entity.urn]
            assert first != second and await c.apps["home-care"].ids("Client") == [second]

    asyncio.run(run())


def test_the_verb_does_it_and_a_served_city_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ["rotate", "pseudonyms", "--city", str(tmp_path)]

    async def run() -> None:
        async with city(tmp_path) as c:
            await filled(c)
            before = await c.apps["home-care"].ids("Client")
            assert await asyncio.to_thread(main, [*verb, "--wall", "care"]) == 0
            said = capsys.readouterr().out
            assert "does the work from now on" in said and "30 days longer" in said
            assert await c.apps["home-care"].ids("Client") == before
            await c.running.people.renaming.step()
            assert not set(await c.apps["home-care"].ids("Client")) & set(before)

    asyncio.run(run())
    assert main([*verb, "--wall", "care", "--days", "0"]) == 0
    said = capsys.readouterr().out
    assert "lead to nothing from then on" in said and "done" in said
    assert main(["keys", "--city", str(tmp_path)]) == 0
    assert "pseudonyms of care" in capsys.readouterr().out
    for wrong in ([], ["--wall", "tax"], ["--wall", "care", "--days", "400"]):
        assert main([*verb, *wrong]) != 0
    assert main([*verb, "--wall", "debt", "--days", "0"]) != 0, "nothing was ever named there"
