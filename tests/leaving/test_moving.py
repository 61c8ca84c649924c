# SPDX-License-Identifier: EUPL-1.2
"""A city moves into PostgreSQL while it is served and written to: nothing that was acknowledged is
missing or there twice, nothing that was deleted is there, and whatever breaks, it is whole."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from tests.database import Database
from tests.served import SRC, Served, make_city

from poorter.city.clock import SystemClock
from poorter.city.query import HistoryQuery
from poorter.city.time import format_us
from poorter.cli import main
from poorter.config import read_config
from poorter.gate.genesis import RUN
from poorter.running import open_city
from poorter.store.postgres.schema import bring_forward, role_of

ENTITIES, TEMPORAL = "/ngsi-ld/v1/entities", "/ngsi-ld/v1/temporal/entities"
CITY = "urn:ngsi-ld:City:"
T0 = 1_767_225_600_000_000
PARKING = "urn:ngsi-ld:OffStreetParking:a"
PAUSE_S_MAX = 5.0


def reading(number: int) -> dict[str, object]:
    at = format_us(T0 + number * 1_000_000)
    return {"n": {"type": "Property", "value": number, "observedAt": at}}


class Load:
    """Clients that write until they are told to stop, and what they were told has been written."""

    def __init__(self, city: Served) -> None:
        self._city = city
        self._stop = threading.Event()
        self.readings: dict[str, set[int]] = {}
        self.doubtful: dict[str, set[int]] = {}  # asked, and never answered
        self.gone: set[str] = set()
        self.tokens: set[str] = set()
        self.gap_s = 0.0  # the longest between two answers to one client
        self.refused: dict[int, int] = {}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._stop.clear()
        tasks: list[tuple[Callable[..., None], int]] = [(self._observe, n) for n in range(3)]
        tasks += [(self._delete, 0), (self._reserve, 0)]
        self._threads = [threading.Thread(target=task, args=(n,)) for task, n in tasks]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, client: httpx.Client, *asked: object, **more: object) -> httpx.Response | None:
        """None when nobody answers any more."""
        began = time.perf_counter()
        try:
            answer = client.request(*asked, **more)  # type: ignore[arg-type]
        except httpx.HTTPError:
            self._stop.wait(0.05)
            return None
        self.gap_s = max(self.gap_s, time.perf_counter() - began)
        if answer.status_code >= 400:
            assert answer.status_code == 503, answer.text
            self.refused[503] = self.refused.get(503, 0) + 1
        return answer

    def _observe(self, key: int) -> None:
        urn = f"{CITY}{key}"
        known, doubtful = self.readings.setdefault(urn, set()), self.doubtful.setdefault(urn, set())
        with httpx.Client(base_url=self._city.url, timeout=15) as client:
            while not self._stop.is_set():
                number = max(known | doubtful, default=0) + 1
                entity = [{"id": urn, "type": "City", **reading(number)}]
                path = "/ngsi-ld/v1/entityOperations/upsert?options=update"
                answer = self._ask(client, "POST", path, json=entity)
                if answer is None or answer.status_code >= 400:
                    doubtful.add(number)
                else:
                    known.add(number)

    def _delete(self, _: int) -> None:
        with httpx.Client(base_url=self._city.url, timeout=15) as client:
            while not self._stop.is_set():
                urn = f"{CITY}gone{time.monotonic_ns()}"
                entity = {"id": urn, "type": "City", **reading(1)}
                self._ask(client, "POST", ENTITIES, json=entity)
                done = [
                    self._ask(client, "DELETE", f"{path}/{urn}") for path in (ENTITIES, TEMPORAL)
                ]
                if all(answer is not None and answer.status_code == 204 for answer in done):
                    self.gone.add(urn)

    def _reserve(self, _: int) -> None:
        with httpx.Client(base_url=self._city.url, timeout=15) as client:
            while not self._stop.is_set():
                asked = {"place": PARKING}
                answer = self._ask(client, "POST", "/api/parking/reserve", json=asked)
                if answer is not None and answer.status_code == 200:
                    self.tokens.add(answer.json()["token"])
                self._stop.wait(0.05)


def prepare(city: Served, entities: int) -> None:
    """A place to reserve at, and some more to copy."""
    free = {"type": "Property", "value": 9000, "observedAt": format_us(int(time.time() * 1e6))}
    place = {
        "id": PARKING,
        "type": "OffStreetParking",
        "totalSpotNumber": {"type": "Property", "value": 9000},
        "availableSpotNumber": free,
    }
    assert httpx.post(f"{city.url}{ENTITIES}", json=place).status_code == 201
    for start in range(0, entities, 500):
        some = [
            {"id": f"{CITY}more{n}", "type": "City", **reading(n)}
            for n in range(start, start + 500)
        ]
        path = f"{city.url}/ngsi-ld/v1/entityOperations/upsert"
        assert httpx.post(path, json=some, timeout=60).status_code == 201


def check(city: Served, load: Load) -> None:
    """What the clients were told is so; asked of the store, once the city has stopped."""

    async def run() -> None:
        running = await open_city(read_config(city.folder), SystemClock())
        try:
            permit = running.gate.permit("internal:load", RUN, "read")
            for urn, known in load.readings.items():
                asked = HistoryQuery(urn, ("n",), corrections=True, limit=10_000)
                found = [one.value for one in running.store.history(permit, asked)]
                assert len(found) == len(set(found)), "a reading is there twice"
                assert known <= set(found), f"{len(known - set(found))} of {len(known)} are missing"
                assert set(found) <= known | load.doubtful[urn]
        finally:
            running.close()

    for urn in sorted(load.gone)[-20:]:
        for path in (ENTITIES, TEMPORAL):
            assert httpx.get(f"{city.url}{path}/{urn}").status_code == 404
    for token in sorted(load.tokens)[-20:]:
        kept = httpx.get(f"{city.url}/api/parking/reservation", params={"token": token})
        assert kept.json()["state"] == "reserved"
    city.stop()
    asyncio.run(run())
    assert main(["ledger", "verify", "--city", str(city.folder)]) == 0


def test_a_served_city_moves_while_it_is_written_to(
    tmp_path: Path, server: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "city"
    where = ["--city", str(folder)]
    make_city(folder)
    city = Served(folder)
    load = Load(city)
    try:
        city.start(60)
        prepare(city, 2000)
        load.start()
        time.sleep(1)
        url = server.new_city()
        assert main(["migrate", url, "--owner", server.owner_url, *where]) == 0
        said = capsys.readouterr().out
        load_at = {urn: len(known) for urn, known in load.readings.items()}
        time.sleep(1)
        load.stop()
        pause_s = float(re.findall(r"nobody could write for ([\d.]+) s", said)[0])
        with capsys.disabled():
            print(f"\npause {pause_s} s, longest answer {load.gap_s:.2f} s, 503: {load.refused}")
        assert pause_s < PAUSE_S_MAX and load.gap_s < PAUSE_S_MAX + 2
        assert all(len(known) > load_at[urn] for urn, known in load.readings.items())
        assert read_config(folder).store_url == url
        assert not (folder / "data" / "city.db").exists()
        assert load.gone and load.tokens
        assert main(["migrate", url, *where]) == 1, "it is there already"
        capsys.readouterr()
        city.stop()
        city.start(60)
        check(city, load)
    finally:
        load.stop()
        city.stop()


def verb(folder: Path, url: str, owner_url: str) -> subprocess.Popen[str]:
    code = "import sys; from poorter.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, "migrate", url, "--owner", owner_url, "--city", folder],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begun(folder: Path, url: str, server: Database, said: str) -> subprocess.Popen[str]:
    """A move that has come to where it says this; an earlier one may still be on its way out."""
    for _ in range(50):
        moving = verb(folder, url, server.owner_url)
        assert moving.stdout is not None
        while line := moving.stdout.readline():
            if said in line:
                return moving
        _, wrong = moving.communicate()
        assert "moving already" in wrong or "another process" in wrong, wrong
        time.sleep(0.2)
    raise AssertionError("the move that was broken off does not end")


class Broken:
    """A city in its file, under load, that is on its way out of it."""

    def __init__(self, folder: Path, server: Database) -> None:
        self.folder = folder
        self.server = server
        self.city = Served(folder)
        self.load = Load(self.city)

    def stuck_copying(self, breaks: Callable[[subprocess.Popen[str]], None]) -> str:
        """Break it while it can't write the names; what the verb says in the end."""
        self.load.start()
        with psycopg.connect(self.server.url("postgres")) as link:
            link.execute("LOCK TABLE poorter.name IN SHARE MODE")
            moving = begun(self.folder, self.server.new_city(), self.server, "copying name")
            breaks(moving)
            with suppress(psycopg.Error):  # it may be the database that is gone
                link.rollback()
        return self.left(moving)

    def stuck_in_the_pause(self, breaks: Callable[[subprocess.Popen[str]], None]) -> str:
        """Break it when all is there and writers wait, before city.toml is replaced."""
        self.load.start()
        new, url = self.folder / "city.toml.new", self.server.new_city()
        os.mkfifo(new)  # whoever opens it waits
        moving = begun(self.folder, url, self.server, "written meanwhile")
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as link:
            whole = "SELECT 1 FROM poorter.record WHERE kind = 'move' AND doc = 'whole'"
            while not link.execute(whole).fetchall():
                assert moving.poll() is None, moving.communicate()
                time.sleep(0.05)
        breaks(moving)
        new.unlink()
        return self.left(moving)

    def left(self, moving: subprocess.Popen[str]) -> str:
        _, wrong = moving.communicate(timeout=60)
        time.sleep(1)  # as long as it would take to go on all the same
        self.load.stop()
        assert moving.returncode, "it was not done"
        assert not read_config(self.folder).store_url
        return wrong


def test_a_move_that_breaks_off_leaves_the_city_whole(tmp_path: Path, server: Database) -> None:
    make_city(tmp_path / "city")
    broken = Broken(tmp_path / "city", server)
    city, load = broken.city, broken.load
    bring_forward(server.owner_url, role_of(server.new_city()))

    def stop_database(_: subprocess.Popen[str]) -> None:
        server.stop("immediate")

    try:
        city.start(60)
        prepare(city, 500)
        broken.stuck_copying(lambda verb: verb.kill())
        assert "can't be reached" in broken.stuck_copying(stop_database)
        server.start()
        broken.stuck_copying(lambda _: city.kill())
        city.start(60)
        broken.stuck_in_the_pause(lambda _: city.kill())
        city.start(60)
        load.start()
        out, wrong = begun(city.folder, server.new_city(), server, "copying").communicate()
        load.stop()
        assert "nobody could write" in out, wrong
        check(city, load)
    finally:
        load.stop()
        city.stop()
