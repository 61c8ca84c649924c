# SPDX-License-Identifier: EUPL-1.2
"""Erased is erased: key, rows, history, answers, choices, backups; retention at reading; holds."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.walls.city import V1, City, city
from tests.walls.test_consents import FENNA, LOTTE, person, subject_in
from tests.walls.test_rows import kept

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid, NotFound
from poorter.city.query import Query
from poorter.city.time import format_us
from poorter.gate.genesis import RUN
from poorter.running import open_city

NAME = "Zanzibarina Quickenborne"


async def beat(c: City, urn: str, value: int) -> None:
    care = c.apps["home-care"]
    now = format_us(c.running.clock.now_us())
    done = await care.post(
        f"{V1}/entities/{urn}/attrs", {"pulse": {"value": value, "observedAt": now}}
    )
    assert done.status_code == 204, done.text


def test_erasure_takes_everything_and_leaves_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, planning = c.apps["home-care"], c.apps["care-planning"]
            urn = await care.make("Client", resident=FENNA, name=NAME)
            other = await care.make("Client", resident=LOTTE, name="Lotte")
            visit = await care.make("Visit", resident={"type": "Relationship", "object": urn})
            await beat(c, urn, 61)
            await c.running.people.consents.give(person(c), "care-planning")
            subject = subject_in(c)("care")
            vault = c.running.store.rows.vault
            assert vault.key(subject) is not None
            done = await c.running.people.erasing.erase(subject, "care", "ada", "asked by her")
            assert (done.rows, done.waits) == (2, False)
            assert vault.key(subject) is None
            for gone in (urn, visit):
                assert (await care.get(f"{V1}/entities/{gone}")).status_code == 404
                assert (await care.get(f"{V1}/temporal/entities/{gone}")).status_code == 404
            assert await care.ids("Client") == [other]
            assert await planning.ids("Client") == []
            standing = {s.purpose.id: s for s in c.running.people.consents.standings(person(c))}
            assert standing["care-planning"].choice is None
            own = c.running.gate.permit("internal:rights", RUN, "read")
            assert c.running.store.records(own, "consent", {"subject": subject}) == []
            with pytest.raises(Invalid):
                await c.running.people.erasing.erase(subject, "care", "ada", " ")
            fresh = await care.make("Client", resident=FENNA, name=NAME)
            assert (await care.get(f"{V1}/entities/{fresh}")).status_code == 200

    asyncio.run(run())


def test_a_restored_backup_stays_erased(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path / "city", clock) as c:
            care = c.apps["home-care"]
            urn = await care.make("Client", resident=FENNA, name=NAME)
            await care.make("Client", resident=LOTTE, name="Lotte")
            await beat(c, urn, 61)
            await c.running.people.consents.give(person(c), "care-planning")
            backup = c.running.gate.permit("internal:backup", RUN, "read")
            c.running.store.backup(backup, str(tmp_path / "copy"))
            clock.forward_s(60)
            subject = subject_in(c)("care")
            await c.running.people.erasing.erase(subject, "care", "ada", "asked")
            config = c.running.config
        assert kept(tmp_path, NAME) == [], "neither in the city nor in the copy"
        shutil.copy(tmp_path / "copy" / "city.db", config.paths_data / "city.db")
        for rest in ("city.db-wal", "city.db-shm"):
            (config.paths_data / rest).unlink(missing_ok=True)
        shutil.rmtree(config.paths_data / "ledger")
        again = await open_city(config, clock)
        try:
            names = [
                one.value("name")
                for one in await again.city("app:home-care", "home-care").entities(
                    Query(types=("Client",))
                )
            ]
            assert names == ["Lotte"]
            own = again.gate.permit("internal:rights", RUN, "read")
            assert again.store.records(own, "consent", {"subject": subject}) == []
            assert list(again.people.erasing.rows_of(subject)) == []
        finally:
            again.close()

    asyncio.run(run())


def test_what_is_past_its_retention_is_absent_before_any_job_and_then_gone(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            care = c.apps["home-care"]
            urn = await care.make("Client", resident=FENNA, name=NAME)
            await beat(c, urn, 61)
            clock.forward_s(60 * 86_400)
            await beat(c, urn, 62)
            clock.forward_s(41 * 86_400)
            got = (await care.get(f"{V1}/entities/{urn}?options=keyValues")).json()
            assert got == {"id": urn, "type": "Client", "pulse": 62}
            history = await care.get(f"{V1}/temporal/entities/{urn}?options=temporalValues")
            assert [value for value, _ in history.json()["pulse"]["values"]] == [62]
            assert await c.running.people.erasing.expire() == 0
            subject = subject_in(c)("care")
            (row,) = c.running.people.erasing.rows_of(subject)
            assert [a.name for a in row.attributes if a.name[0] != "~"] == ["pulse"]
            clock.forward_s(60 * 86_400)
            assert (await care.get(f"{V1}/entities/{urn}")).status_code == 404
            assert await care.ids("Client") == []
            assert await c.running.people.erasing.expire() == 1
            assert list(c.running.people.erasing.rows_of(subject)) == []

    asyncio.run(run())


def test_a_legal_hold_keeps_and_hides_until_it_is_over(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            care, erasing = c.apps["home-care"], c.running.people.erasing
            urn = await care.make("Client", resident=FENNA, name=NAME)
            subject = subject_in(c)("care")
            await erasing.hold(subject, "ada", "a case before the court")
            assert (await care.get(f"{V1}/entities/{urn}")).status_code == 200
            done = await erasing.erase(subject, "care", "ada", "asked")
            assert (done.rows, done.waits) == (0, True)
            assert (await care.get(f"{V1}/entities/{urn}")).status_code == 404
            clock.forward_s(200 * 86_400)
            assert await erasing.expire() == 0
            assert len(list(erasing.rows_of(subject))) == 1
            done = await erasing.release(subject, "ada")
            assert done.rows == 1
            assert list(erasing.rows_of(subject)) == []
            with pytest.raises(NotFound):
                await erasing.release(subject, "ada")

    asyncio.run(run())
