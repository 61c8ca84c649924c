# SPDX-License-Identifier: EUPL-1.2
"""Back to a backup: verified, erased stays erased, and the log goes on rather than forks."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.database import Database
from tests.founded import founded, garage, put
from tests.served import make_city
from tests.walls.city import city
from tests.walls.test_consents import FENNA, LOTTE, person, subject_in

from poorter.backups.manifest import FILE, STEM, read_manifest
from poorter.backups.restoring import Known, Restored, check_backup, choose, restore
from poorter.backups.signed import write_signed
from poorter.backups.taking import Taken, take_backup
from poorter.city.clock import ManualClock, SystemClock
from poorter.city.errors import Conflict, Invalid, NotFound, Unavailable
from poorter.city.query import Query
from poorter.city.text import Text
from poorter.cli import main
from poorter.config import Config, read_config
from poorter.gate.genesis import RUN
from poorter.gate.policy import Processor, Vote
from poorter.gate.registry import rebuilding_permit
from poorter.identity.keys import load_key, read_ring
from poorter.ledger.checkpoint import parse_checkpoint
from poorter.ledger.verify import verify_ledger
from poorter.running import LEDGER_FOLDER, Running, open_city
from poorter.store import sqlite


def ledger(config: Config) -> Path:
    return config.paths_data / LEDGER_FOLDER


def verified(config: Config, *known: bytes) -> int:
    """How many leaves there are, after verifying each of them."""
    keys = [e.public() for e in read_ring(config.paths_keys) if e.use == "ledger"]
    report = verify_ledger(ledger(config), keys, config.ledger_origin, known=known)
    assert report.intact, report.findings
    return report.leaves


async def back(config: Config, taken: Taken, clock: ManualClock, **known: object) -> Restored:
    clock.forward_s(1)
    return await restore(
        taken.folder,
        taken.manifest,
        config.folder,
        config.paths_keys,
        Known(**known),  # type: ignore[arg-type]
        clock,
    )


def garages(running: Running) -> set[str]:
    permit = running.gate.permit("internal:load", RUN, "read")
    page = running.store.query(permit, Query(types=("OffStreetParking",), limit=100))
    return {entity.urn[-1] for entity in page.entities}


async def written(folder: Path, clock: ManualClock) -> tuple[Config, Taken, bytes]:
    """A city with garage a in its backup, and garage b and more leaves after it."""
    async with founded(folder / "city", clock) as running:
        await put(running, garage("a", 10))
        taken = await take_backup(running, folder / "backups")
        clock.forward_s(60)
        await put(running, garage("b", 10))
        text = Text("x", "x")
        await running.registry.put([Processor("app:x", text, "x")], "ada", "later")
        running.sequencer.step()
        note = running.sequencer.note()
        config = running.config
    shutil.rmtree(folder / "mirror", ignore_errors=True)
    shutil.copytree(ledger(config), folder / "mirror")
    (config.paths_keys / "policy.version").unlink()  # as the words of a refusal say
    return config, taken, note


def test_state_goes_back_and_the_log_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        config, taken, note = await written(tmp_path, clock)
        before = verified(config)
        done = await back(config, taken, clock, notes=[note])
        assert verified(config, note) > before
        assert done.again >= 2
        assert any("taken in again" in line for line in done.said)
        again = await open_city(config, clock)
        try:
            assert garages(again) == {"a"}
            assert "app:x" not in again.gate.policy.processors
            ours = again.gate.permit("internal:ledger", RUN, "read")
            said = b"".join(leaf for _, leaf in again.store.leaves(ours, 0, 1000))
            assert b"restore" in said and b"app:x" in said
        finally:
            again.close()
        assert done.kept_at is not None
        assert (done.kept_at / "city.db").exists()

    asyncio.run(run())


def test_a_mirror_gives_back_what_is_gone_here(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        config, taken, note = await written(tmp_path, clock)
        shutil.rmtree(config.paths_data)
        with pytest.raises(Conflict, match=r"once had \d+ leaves"):
            await back(config, taken, clock, notes=[note])
        assert not (config.paths_data / "city.db").exists(), "nothing was changed"
        await back(config, taken, clock, notes=[note], mirrors=[tmp_path / "mirror"])
        size = parse_checkpoint(note)[0].size
        assert verified(config, note) > size

    asyncio.run(run())


def test_another_name_begins_another_log(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        config, taken, note = await written(tmp_path, clock)
        shutil.rmtree(config.paths_data)
        file = config.folder / "city.toml"
        text = file.read_text("utf-8")
        file.write_text(text.replace('origin = ""', 'origin = "city.example/second"'))
        done = await back(config, taken, clock, notes=[note])
        assert any("begins" in line for line in done.said)
        again = read_config(config.folder)
        assert again.ledger_origin == "city.example/second"
        assert verified(again) > taken.manifest.tree_size
        running = await open_city(again, clock)
        try:
            assert garages(running) == {"a"}
        finally:
            running.close()

    asyncio.run(run())


def test_who_was_erased_after_the_backup_stays_erased(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path / "city", clock) as c:
            care = c.apps["home-care"]
            await care.make("Client", resident=FENNA, name="Fenna de Vries")
            await care.make("Client", resident=LOTTE, name="Lotte")
            await c.running.people.consents.give(person(c), "care-planning")
            taken = await take_backup(c.running, tmp_path / "backups")
            clock.forward_s(60)
            subject = subject_in(c)("care")
            await c.running.people.erasing.erase(subject, "care", "ada", "asked")
            config = c.running.config
        done = await back(config, taken, clock)
        assert verified(config) >= done.leaves + done.again
        again = await open_city(config, clock)
        try:
            found = await again.city("app:home-care", "home-care").entities(
                Query(types=("Client",))
            )
            assert [one.value("name") for one in found] == ["Lotte"]
            assert list(again.people.erasing.rows_of(subject)) == []
            own = again.gate.permit("internal:rights", RUN, "read")
            assert again.store.records(own, "consent", {"subject": subject}) == []
        finally:
            again.close()
        for file in taken.folder.rglob("*"):
            assert not file.is_file() or b"Fenna de Vries" not in file.read_bytes()

    asyncio.run(run())


def test_a_policy_that_is_older_is_refused_in_words(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path / "city", clock) as running:
            taken = await take_backup(running, tmp_path / "backups")
            await running.registry.adopt("run-the-platform", Vote("C", "2026-01-02", 2, 1), "ada")
            config = running.config
        with pytest.raises(Conflict, match=r"policy version \d+ was in force.*policy.version"):
            await back(config, taken, clock)

    asyncio.run(run())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Config, Taken]]:
    folder = tmp_path_factory.mktemp("made")

    async def run() -> tuple[Config, Taken]:
        async with founded(folder / "city", ManualClock()) as running:
            await put(running, garage("a", 10))
            return running.config, await take_backup(running, folder / "backups")

    yield asyncio.run(run())


def test_a_backup_holds_no_keys(made: tuple[Config, Taken]) -> None:
    config, taken = made
    secrets = [
        file.read_bytes()
        for file in config.paths_keys.iterdir()
        if file.suffix in (".key", ".secret") or file.name == "pepper"
    ]
    assert len(secrets) >= 4
    for file in taken.folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(secret in content for secret in secrets), file
    assert not list(taken.folder.rglob("*.key"))


@pytest.mark.parametrize("what", ["store/city.db", "ledger/checkpoint", "gone", "more", FILE])
def test_what_was_damaged_is_found(made: tuple[Config, Taken], tmp_path: Path, what: str) -> None:
    config, taken = made
    copy = tmp_path / "copy"
    shutil.copytree(taken.folder, copy)
    file = copy / what
    if what == "gone":
        (copy / "store" / "city.db").unlink()
    elif what == "more":
        file.write_bytes(b"x")
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(Invalid):
        _, manifest = choose(copy, config.paths_keys, None)
        check_backup(copy, manifest, config.paths_keys, ())


def test_one_of_another_city_or_a_newer_poorter_is_refused(
    made: tuple[Config, Taken], tmp_path: Path
) -> None:
    config, taken = made

    async def other() -> Config:
        async with founded(tmp_path / "other", ManualClock()) as running:
            return running.config

    with pytest.raises(Invalid, match="not signed by the keys of this city"):
        choose(taken.folder, asyncio.run(other()).paths_keys, None)
    newer = msgspec.structs.replace(taken.manifest, schema=taken.manifest.schema + 1)
    (tmp_path / "newer").mkdir()
    key = load_key(config.paths_keys, "ledger")
    write_signed(tmp_path / "newer", STEM, newer, key)
    with pytest.raises(Unavailable, match="newer Poorter"):
        read_manifest(tmp_path / "newer", [key.public()])
    assert (taken.folder / "backup.sig").exists()


def test_the_moment_that_is_asked_for_and_the_days_they_are_kept(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        target = tmp_path / "backups"
        async with founded(tmp_path / "city", clock, more={"backup.keep_days": 3}) as running:
            made = []
            for day in range(5):
                await put(running, garage(str(day), 10))
                made.append(await take_backup(running, target))
                clock.forward_s(86_400)
            keys = running.config.paths_keys
            assert choose(target, keys, None)[0] == made[4].folder
            between = made[3].manifest.at_us + 5
            assert choose(target, keys, between)[0] == made[3].folder
            with pytest.raises(NotFound):
                choose(target, keys, made[0].manifest.at_us)
            assert len(list(target.iterdir())) == 4
            check_backup(*choose(target, keys, None), keys, ())
            with pytest.raises(Invalid, match="lost with it"):
                await take_backup(running, running.config.paths_data / "backups")

    asyncio.run(run())


def test_a_city_in_a_database_goes_back_there(
    tmp_path: Path, server: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SystemClock()
    url = server.new_city()
    store = {"store.url": url, "store.owner_url": server.owner_url}
    folder = tmp_path / "city"
    make_city(folder, store=store)

    async def write(key: str, backup: bool) -> None:
        running = await open_city(read_config(folder), clock)
        await put(running, garage(key, 10))
        if backup:
            await take_backup(running, tmp_path / "backups")
        running.close()

    async def there() -> set[str]:
        running = await open_city(read_config(folder), clock)
        found = garages(running)
        running.close()
        return found

    asyncio.run(write("a", True))
    asyncio.run(write("b", False))
    where = ["--city", str(folder)]
    assert main(["restore", str(tmp_path / "backups"), *where]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "taken in again" in said and "leaf" in said
    assert read_config(folder).store_url == url
    assert asyncio.run(there()) == {"a"}
    assert main(["ledger", "verify", *where]) == 0
    (kept,) = folder.glob("data.before-*")
    assert (kept / "city.db").exists(), "what was in the database is kept beside"
    config = read_config(folder)
    with closing(sqlite.open_store(kept, clock)) as before:
        reading = rebuilding_permit(clock.now_us() + 10**9, "read")
        assert {e.urn[-1] for e in before.query(reading, Query()).entities} >= {"a", "b"}
    assert not (config.paths_data / "city.db").exists()


def test_a_refused_restore_leaves_a_database_as_it_was(tmp_path: Path, server: Database) -> None:
    store = {"store.url": server.new_city(), "store.owner_url": server.owner_url}
    folder = tmp_path / "city"
    make_city(folder, store=store)

    async def run() -> None:
        running = await open_city(read_config(folder), SystemClock())
        taken = await take_backup(running, tmp_path / "backups")
        running.close()
        config = running.config
        with pytest.raises(Invalid, match="no mirror"):
            empty = tmp_path / "mirror"
            empty.mkdir()
            keys, known = config.paths_keys, Known(mirrors=[empty])
            await restore(taken.folder, taken.manifest, folder, keys, known, SystemClock())
        assert read_config(folder).store_url == store["store.url"]
        assert not (config.paths_data / "city.db").exists()
        again = await open_city(read_config(folder), SystemClock())
        again.close()

    asyncio.run(run())
