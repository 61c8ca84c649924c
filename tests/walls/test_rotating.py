# SPDX-License-Identifier: EUPL-1.2
"""Other keys for persons while the city goes on: nothing is lost, nothing opens under the old key,
whenever it is broken off."""

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.walls.city import V1, App, City, city
from tests.walls.test_consents import FENNA, LOTTE, subject_in

from poorter.cli import main
from poorter.gate.genesis import RUN
from poorter.rights.rotating import SETTLE_US
from poorter.running import open_city
from poorter.store.walls.vault import Vault

PAST = "timerel=after&timeAt=2020-01-01T00:00:00Z"


async def filled(c: City) -> list[str]:
    care = c.apps["home-care"]
    urns = []
    for number, name in ((FENNA, "Fenna"), (LOTTE, "Lotte")):
        urn = await care.make("Client", resident=number, name=name, age=71)
        urns.append(urn)
        for n in range(4):
            body = {"pulse": {"value": 60 + n, "observedAt": f"2026-01-01T0{n}:00:00Z"}}
            done = await care.post(f"{V1}/entities/{urn}/attrs", body)
            assert done.status_code == 204, done.text
        changed = await care.client.patch(
            f"{V1}/entities/{urn}/attrs",
            json={"name": {"value": f"{name} W"}},
            headers=care.headers,
        )
        assert changed.status_code == 204
        await care.client.delete(f"{V1}/entities/{urn}/attrs/age", headers=care.headers)
    return urns


async def told(app: App, urns: list[str]) -> list[Any]:
    found = []
    for urn in urns:
        found.append((await app.get(f"{V1}/entities/{urn}?options=sysAttrs")).json())
        found.append((await app.get(f"{V1}/temporal/entities/{urn}?{PAST}")).json())
        found.append((await app.get(f"{V1}/temporal/entities/{urn}?options=sysAttrs")).json())
    found.append((await app.get(f'{V1}/entities?type=Client&q=name=="Fenna W"')).json())
    return found


def secrets_of(folder: Path) -> dict[str, bytes]:
    rows = apsw.Connection(str(folder / "keys" / "persons.db")).execute("SELECT * FROM key")
    return {str(subject): bytes(secret) for subject, secret in rows}


def test_all_is_sealed_anew_and_reads_as_before(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, people = c.apps["home-care"], c.running.people
            urns = await filled(c)
            before, old = await told(care, urns), secrets_of(tmp_path)
            vault = c.running.store.rows.vault
            assert await people.rotating.step() == 0, "nothing is due"
            assert vault.begin_rotation() == 2
            assert await told(care, urns) == before
            assert await people.rotating.step() == 2
            assert await told(care, urns) == before
            assert set(secrets_of(tmp_path).values()).isdisjoint(old.values())
            c.clock.forward_s(SETTLE_US / 1e6 + 1)
            assert await people.rotating.step() == 0
            assert vault.left() == 0
            assert await told(care, urns) == before
            body = {"pulse": {"value": 60, "observedAt": "2026-01-01T00:00:00Z"}}
            leaves = c.running.store.sequence()
            await care.post(f"{V1}/entities/{urns[0]}/attrs", body)
            assert len((await told(care, urns))[1]["pulse"]) == 4, "the same again counts once"
            assert c.running.store.sequence() >= leaves
            urn = await care.make("Client", resident=FENNA, name="Fenna again")
            assert (await care.get(f"{V1}/entities/{urn}")).status_code == 200
            # a thief with the file of now and the keys of then reads nothing
            for key in old.values():
                for row in people.erasing.rows_of(subject_in(c)("care")):
                    permit = c.running.gate.permit("app:home-care", "home-care", "read")
                    reach = c.running.store.rows.reach(permit, row)
                    assert reach is not None
                    assert reach.keys != (key,)
            vault._former = {}
            vault._known = dict(old)
            seen = (await care.get(f"{V1}/entities?type=Client&options=keyValues")).json()
            assert all(set(one) == {"id", "type"} for one in seen)

    asyncio.run(run())


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it looks at the files
def test_broken_off_anywhere_it_goes_on(tmp_path: Path) -> None:
    """Copies of the folder at each point are what a crash there would have left."""

    async def run() -> None:
        copies = []
        folder = tmp_path / "city"

        def copy() -> None:
            copies.append(tmp_path / f"copy{len(copies)}")
            shutil.copytree(folder, copies[-1])

        async with city(folder) as c:
            urns = await filled(c)
            before = await told(c.apps["home-care"], urns)
            headers = c.apps["home-care"].headers
            vault, rotating = c.running.store.rows.vault, c.running.people.rotating
            vault.begin_rotation()
            copy()
            for subject in vault.due(10):
                vault.change(subject, c.clock.now_us())
                copy()
                await rotating._reseal(subject)
                copy()
            clock = c.clock
            known = dict(c.running.credentials._by_digest)
        for one in copies:
            from poorter.config import read_config
            from poorter.server import make_app

            running = await open_city(read_config(one), clock)
            try:
                import httpx

                running.credentials._by_digest |= known
                transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
                async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                    app = App(client, headers)
                    assert await told(app, urns) == before
                    while await running.people.rotating.step(settle_us=0):
                        pass
                    assert running.store.rows.vault.left() == 0
                    assert await told(app, urns) == before
            finally:
                running.close()

    asyncio.run(run())


def test_what_is_written_meanwhile_is_there_afterwards(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, vault = c.apps["home-care"], c.running.store.rows.vault
            urns = await filled(c)
            dice = random.Random(1)
            written: dict[str, int] = {}

            async def write(n: int) -> None:
                urn = dice.choice(urns)
                body = {f"a{n}": {"value": n}}
                done = await care.post(f"{V1}/entities/{urn}/attrs", body)
                assert done.status_code == 204, done.text
                written[f"{urn} a{n}"] = n
                await asyncio.sleep(0)

            for turn in range(3):
                vault.begin_rotation()
                writing = [asyncio.create_task(write(turn * 100 + n)) for n in range(40)]
                while await c.running.people.rotating.step(settle_us=0):
                    await asyncio.sleep(0)
                await asyncio.gather(*writing)
            while await c.running.people.rotating.step(settle_us=0):
                pass
            for place, value in written.items():
                urn, name = place.split()
                got = (await care.get(f"{V1}/entities/{urn}?options=keyValues")).json()
                assert got.get(name) == value, place

    asyncio.run(run())


def test_erasing_takes_both_keys_and_begun_twice_loses_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, vault = c.apps["home-care"], c.running.store.rows.vault
            urns = await filled(c)
            before = (await told(care, urns[1:]))[:3]
            vault.begin_rotation()
            for subject in vault.due(10):
                vault.change(subject, c.clock.now_us())
            vault.begin_rotation()
            assert vault.due(10) == [], "who has two keys waits"
            fenna = subject_in(c)("care")
            await c.running.people.erasing.erase(fenna, "care", "ada", "asked")
            assert vault.keys(fenna) == ()
            assert (await told(care, urns[1:]))[:3] == before
            while await c.running.people.rotating.step(settle_us=0):
                pass
            assert (await told(care, urns[1:]))[:3] == before

    asyncio.run(run())


def test_the_verb_does_it_and_a_served_city_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await filled(c)
            verb = ["rotate", "persons", "--city", str(tmp_path)]
            assert await asyncio.to_thread(main, verb) == 0
            assert "does the work from now on" in capsys.readouterr().out
            assert c.running.store.rows.vault.left() == 2
            permit = c.running.gate.permit("internal:ledger", RUN, "read")
            number = len(c.running.store.leaves(permit, 0, 1000))
            while await c.running.people.rotating.step(settle_us=0):
                pass
            assert len(c.running.store.leaves(permit, 0, 1000)) == number + 2

    asyncio.run(run())
    old = secrets_of(tmp_path)
    assert main(["rotate", "persons", "--city", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "2 keys of persons" in said
    assert "done" in said
    assert set(secrets_of(tmp_path).values()).isdisjoint(old.values())
    vault = Vault(tmp_path / "keys")
    assert vault.left() == 0
    vault.close()
