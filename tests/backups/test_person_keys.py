# SPDX-License-Identifier: EUPL-1.2
"""A backup of before the keys of persons were changed: nobody is lost unsaid, nor comes back."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.backups.test_restore import back
from tests.walls.city import City, city
from tests.walls.test_consents import FENNA, LOTTE, subject_in
from tests.walls.test_rotating import secrets_of

from poorter.backups.taking import take_backup
from poorter.city.clock import ManualClock
from poorter.city.errors import Conflict, Invalid
from poorter.city.query import Query
from poorter.config import Config
from poorter.rights.rotating import SETTLE_US
from poorter.running import Running, open_city


async def changed(c: City) -> None:
    c.running.store.rows.vault.begin_rotation()
    while await c.running.people.rotating.step(settle_us=0):
        pass


async def names(running: Running) -> list[object]:
    found = await running.city("app:home-care", "home-care").entities(Query(types=("Client",)))
    return sorted(str(one.value("name")) for one in found)


async def then(config: Config, clock: ManualClock) -> list[object]:
    again = await open_city(config, clock)
    try:
        return await names(again)
    finally:
        again.close()


def test_it_is_refused_in_words_and_opens_with_a_copy(tmp_path: Path) -> None:
    async def run() -> None:
        clock, copy = ManualClock(), tmp_path / "persons.db"
        async with city(tmp_path / "city", clock) as c:
            care = c.apps["home-care"]
            for number, name in ((FENNA, "Fenna"), (LOTTE, "Lotte")):
                await care.make("Client", resident=number, name=name, pulse=60)
            taken = await take_backup(c.running, tmp_path / "backups")
            shutil.copy(tmp_path / "city" / "keys" / "persons.db", copy)
            old = secrets_of(tmp_path / "city")
            clock.forward_s(60)
            await changed(c)
            await care.make("Client", resident=FENNA, name="later")
            config = c.running.config
        with pytest.raises(Conflict, match=r"2 of 2 persons.*--person-keys"):
            await back(config, taken, clock)
        assert await then(config, clock) == ["Fenna", "Lotte", "later"], "nothing was changed"
        wrong = tmp_path / "wrong.db"
        wrong.write_bytes(b"no database at all")
        with pytest.raises(Invalid, match="holds no keys of persons"):
            await back(config, taken, clock, person_keys=wrong)
        done = await back(config, taken, clock, person_keys=copy)
        assert any("2 persons open with keys of the copy" in line for line in done.said)
        again = await open_city(config, clock)
        try:
            assert await names(again) == ["Fenna", "Lotte"]
            clock.forward_s(SETTLE_US / 1e6 + 1)
            while await again.people.rotating.step():
                clock.forward_s(SETTLE_US / 1e6 + 1)
            assert again.store.rows.vault.left() == 0
            assert await names(again) == ["Fenna", "Lotte"]
        finally:
            again.close()
        assert set(secrets_of(config.folder).values()).isdisjoint(old.values())

    asyncio.run(run())


def test_who_was_erased_since_is_not_brought_back_by_old_keys(tmp_path: Path) -> None:
    async def run() -> None:
        clock, copy = ManualClock(), tmp_path / "persons.db"
        async with city(tmp_path / "city", clock) as c:
            care = c.apps["home-care"]
            for number, name in ((FENNA, "Fenna"), (LOTTE, "Lotte")):
                await care.make("Client", resident=number, name=name)
            taken = await take_backup(c.running, tmp_path / "backups")
            shutil.copy(tmp_path / "city" / "keys" / "persons.db", copy)
            fenna = subject_in(c)("care")
            old = secrets_of(tmp_path / "city")[fenna]
            clock.forward_s(60)
            await c.running.people.erasing.erase(fenna, "care", "ada", "asked")
            await changed(c)
            config = c.running.config
        with pytest.raises(Conflict, match="1 of 1 persons"):
            await back(config, taken, clock)
        await back(config, taken, clock, person_keys=copy)
        assert await then(config, clock) == ["Lotte"]
        assert old not in (config.paths_keys / "persons.db").read_bytes()

    asyncio.run(run())


def test_without_a_copy_all_the_rest_comes_back(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path / "city", clock) as c:
            await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna")
            taken = await take_backup(c.running, tmp_path / "backups")
            clock.forward_s(60)
            await changed(c)
            await c.apps["home-care"].make("Client", resident=LOTTE, name="Lotte")
            config = c.running.config
        done = await back(config, taken, clock, go_on=True)
        assert any("nobody can read" in line for line in done.said)
        assert not {"Fenna", "Lotte"} & set(await then(config, clock))

    asyncio.run(run())
