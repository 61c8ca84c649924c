# SPDX-License-Identifier: EUPL-1.2
"""Out of one city and into another place: equal, sealed stays sealed, as two officers say."""

import asyncio
import csv
import shutil
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.founded import OFFICERS, garage, observe, put
from tests.permits import READ, WRITE
from tests.served import Served, make_city
from tests.walls.city import city
from tests.walls.test_consents import FENNA, person

from poorter.backups.taking import take_backup
from poorter.city.clock import ManualClock
from poorter.city.errors import Conflict, Invalid, NotFound
from poorter.city.query import HistoryQuery, Query
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.cli import main
from poorter.config import Config, read_config
from poorter.gate.genesis import RUN
from poorter.gate.lawful import LEAVER
from poorter.gate.policy import Grant, Processor
from poorter.leaving.exporting import Manifest, export
from poorter.leaving.importing import import_city
from poorter.running import TENANTS_FOLDER, Running, open_city
from poorter.store.contract import Change, Put, Reading
from poorter.store.sqlite import open_store

NAME = "Zanzibarina Quickenborne"
URN = "urn:ngsi-ld:OffStreetParking:a"


async def let_leave(running: Running, dataset: str = "everything") -> None:
    """Two officers grant it, for a day."""
    until_us = running.clock.now_us() + DAY_US
    words = Text("Vertrek", "Leaving")
    grant = Grant(f"leave-{dataset}", LEAVER, RUN, dataset, ("read",), OFFICERS, until_us=until_us)
    await running.registry.put([Processor(LEAVER, words, "city"), grant], "ada", "we leave")


async def filled(running: Running, apps: dict[str, object]) -> str:
    """Open and walled data, history of a year, choices, a reservation's hold. The walled id."""
    await put(running, garage("a", 10), garage("b", 20, east=0.01))
    now_us = running.clock.now_us()
    year = [Reading(URN, "availableSpotNumber", now_us - n * DAY_US, n % 10) for n in range(365)]
    await observe(running, "OffStreetParking", *year)
    care = apps["home-care"]
    urn = await care.make("Client", resident=FENNA, name=NAME)  # type: ignore[attr-defined]
    return str(urn)


def answers(running: Running) -> object:
    permit = running.gate.permit("internal:load", RUN, "read")
    page = running.store.query(permit, Query(limit=500, count=True))
    history = running.store.history(permit, HistoryQuery(URN, limit=5000))
    entities = [(e.urn, e.version, e.modified_at_us, len(e.attributes)) for e in page.entities]
    return entities, page.count, history


def keys_to(config: Config, folder: Path) -> Path:
    """The keys go by another way."""
    shutil.copytree(config.paths_keys, folder / "keys")
    return folder / "keys"


async def clients(running: Running) -> list[object]:
    found = await running.city("app:home-care", "home-care").entities(Query(types=("Client",)))
    return [one.value("name") for one in found]


def test_a_city_leaves_and_comes_back_equal(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path / "city", clock) as c:
            await filled(c.running, dict(c.apps))
            await c.running.people.consents.give(person(c), "care-planning")
            await let_leave(c.running)
            manifest = await export(c.running, tmp_path / "export")
            config, before = c.running.config, answers(c.running)
            standing = [s.choice for s in c.running.people.consents.standings(person(c))]
        assert manifest.whole
        rows = manifest.stores[""]
        assert rows["observations"][0] >= 365, "older than the term of a backup too"
        keys = keys_to(config, tmp_path / "new")
        clock.forward_s(3600)
        found = await import_city(tmp_path / "export", tmp_path / "new", keys, clock)
        assert {kind for _, kind, _ in found.compared} == set(rows)
        again = await open_city(read_config(tmp_path / "new"), clock)
        try:
            assert answers(again) == before
            assert await clients(again) == [NAME], "opened by the keys that went another way"
            standings = again.people.consents.standings(person(c))
            assert [s.choice for s in standings] == standing
        finally:
            again.close()

    asyncio.run(run())


def test_what_lies_behind_walls_leaves_sealed(tmp_path: Path) -> None:
    async def run() -> Manifest:
        async with city(tmp_path / "city") as c:
            await filled(c.running, dict(c.apps))
            await let_leave(c.running)
            return await export(c.running, tmp_path / "export")

    manifest = asyncio.run(run())
    assert "sealed/entities.ndjson" in manifest.files
    for file in (tmp_path / "export").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert NAME.encode() not in content and FENNA.encode() not in content, file
    sealed = (tmp_path / "export" / "sealed" / "entities.ndjson").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["type"] for line in sealed] == ["~Client"]


def test_without_a_grant_of_two_officers_nothing_leaves(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path / "city", clock) as c:
            with pytest.raises(Invalid, match="grant of two officers"):
                await export(c.running, tmp_path / "export")
            assert not (tmp_path / "export").exists()
            await let_leave(c.running)
            clock.forward_s(2 * 86_400)
            with pytest.raises(Invalid, match="grant of two officers"):
                await export(c.running, tmp_path / "export")

    asyncio.run(run())


def test_a_grant_for_less_exports_less_and_is_no_city(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path / "city", clock) as c:
            await filled(c.running, dict(c.apps))
            await let_leave(c.running, "context")
            manifest = await export(c.running, tmp_path / "export")
            config = c.running.config
        assert not manifest.whole
        rows = {kind: number for kind, (number, _) in manifest.stores[""].items()}
        assert rows["entities"] >= 2 and rows["observations"] >= 365
        assert rows["records"] == rows["leaves"] == rows["lines"] == 0
        assert not (tmp_path / "export" / "sealed").exists()
        keys = keys_to(config, tmp_path / "new")
        with pytest.raises(Invalid, match="not a whole city"):
            await import_city(tmp_path / "export", tmp_path / "new", keys, clock)

    asyncio.run(run())


def test_what_was_changed_on_the_way_is_no_city(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path / "city", clock) as c:
            await filled(c.running, dict(c.apps))
            await let_leave(c.running)
            await export(c.running, tmp_path / "export")
            with pytest.raises(Conflict, match="already"):
                await export(c.running, tmp_path / "export")
            config = c.running.config
        keys = keys_to(config, tmp_path / "new")
        with pytest.raises(Conflict, match="not empty"):
            await import_city(tmp_path / "export", config.folder, config.paths_keys, clock)
        file = tmp_path / "export" / "entities.ndjson"
        file.write_bytes(file.read_bytes().replace(b"Garage a", b"Garage z"))
        with pytest.raises(Invalid, match=r"entities\.ndjson is damaged"):
            await import_city(tmp_path / "export", tmp_path / "new", keys, clock)
        assert not (tmp_path / "new" / "data").exists()
        with pytest.raises(NotFound):
            await import_city(tmp_path / "nothing", tmp_path / "new", keys, clock)

    asyncio.run(run())


def test_it_holds_registers_policy_and_a_catalogue(tmp_path: Path) -> None:
    async def run() -> Running:
        async with city(tmp_path / "city") as c:
            await filled(c.running, dict(c.apps))
            await let_leave(c.running)
            await export(c.running, tmp_path / "export")
            return c.running

    running = asyncio.run(run())
    folder = tmp_path / "export"
    policy = running.gate.policy
    newest = f"v{policy.version:08d}"
    assert (folder / "policy" / f"{newest}.cedar").read_text("utf-8").count("permit") > 5
    assert msgspec.json.decode((folder / "policy" / f"{newest}.sig").read_bytes())["mldsa65"]
    with (folder / "registers" / "processing.csv").open(newline="") as opened:
        rows = {row["grant"]: row for row in csv.DictReader(opened)}
    assert rows.keys() == policy.grants.keys()
    assert rows["home-care-g"]["legal_basis"] == "Wmo 2015"
    catalogue = msgspec.json.decode((folder / "catalogue.jsonld").read_bytes())
    assert catalogue["@type"] == "dcat:Catalog"
    by_id = {one["dct:identifier"]: one for one in catalogue["dcat:dataset"]}
    assert by_id.keys() == policy.datasets.keys()
    assert by_id["clients"]["dct:accessRights"]["@id"].endswith("NON_PUBLIC")
    held = [one["@id"] for one in by_id["context"]["dcat:distribution"]]
    assert "./entities.ndjson" in held and "./history/00001.parquet" in held
    walled = [one["@id"] for one in by_id["clients"]["dcat:distribution"]]
    assert walled and all(one.startswith("./sealed/") for one in walled)


def test_a_served_city_leaves_by_its_verbs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, new = tmp_path / "city", tmp_path / "new"
    make_city(folder)
    grant = ["grant", LEAVER, RUN, "everything", "read", "--days", "1"]
    approved = ["--approved-by", "ada", "--approved-by", "bob"]
    assert main([*grant, *approved, "--city", str(folder)]) == 0
    served = Served(folder)
    try:
        served.start()
        for key in range(30):
            entity = {"id": f"urn:ngsi-ld:City:{key}", "type": "City", "n": {"value": key}}
            made = httpx.post(f"{served.url}/ngsi-ld/v1/entities", json=entity)
            assert made.status_code == 201
        assert main(["export", str(tmp_path / "export"), "--city", str(folder)]) == 0
        assert "all of it" in capsys.readouterr().out
    finally:
        served.stop()
    shutil.copytree(folder / "keys", new / "keys")
    arguments = ["import", str(tmp_path / "export"), "--city", str(new)]
    assert main([*arguments, "--keys", str(new / "keys")]) == 0
    said = capsys.readouterr().out
    assert "nothing differs" in said and "observations" in said
    assert main(["ledger", "verify", "--city", str(new)]) == 0
    again = Served(new)
    try:
        again.start()
        found = httpx.get(f"{again.url}/ngsi-ld/v1/entities/urn:ngsi-ld:City:7").json()
        assert found["n"]["value"] == 7
    finally:
        again.stop()


def test_tenants_are_backed_up_and_leave_too(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path / "city", clock) as c:
            await put(c.running, garage("a", 10))
            tenant = open_store(c.running.config.paths_data / TENANTS_FOLDER / "one", clock)
            tenant.commit(WRITE, Change((Put(garage("t", 3)),))).result(10)
            tenant.close()
            taken = await take_backup(c.running, tmp_path / "backups")
            assert "store/tenants/one/city.db" in taken.manifest.files
            await let_leave(c.running)
            manifest = await export(c.running, tmp_path / "export")
            config = c.running.config
        assert manifest.stores["one"]["entities"][0] == 1
        assert (tmp_path / "export" / "tenants" / "one" / "entities.ndjson").exists()
        keys = keys_to(config, tmp_path / "new")
        found = await import_city(tmp_path / "export", tmp_path / "new", keys, clock)
        assert ("one", "entities", 1) in found.compared
        again = open_store(tmp_path / "new" / "data" / TENANTS_FOLDER / "one", clock)
        try:
            entity = again.decode(again.entity(READ, "urn:ngsi-ld:OffStreetParking:t"))
            assert entity.value("totalSpotNumber") == 3
        finally:
            again.close()

    asyncio.run(run())
