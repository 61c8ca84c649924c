# SPDX-License-Identifier: EUPL-1.2
"""kill -9 while serving and loading: what was acknowledged is there, nothing doubled."""

import asyncio
import csv
import random
import subprocess
import sys
import time
from pathlib import Path

import httpx
from tests.served import SRC, Served, make_city

from poorter.city.clock import SystemClock
from poorter.city.query import HistoryQuery
from poorter.config import read_config
from poorter.gate.genesis import RUN
from poorter.identity.keys import read_ring
from poorter.ledger.verify import verify_ledger
from poorter.load.mapping import parse_map
from poorter.load.run import Load
from poorter.running import LEDGER_FOLDER, open_city

CITY = "urn:ngsi-ld:City:"


def attribute(value: int) -> dict[str, object]:
    return {"n": {"type": "Property", "value": value, "observedAt": "2026-01-01T00:00:00Z"}}


async def writer(
    client: httpx.AsyncClient, url: str, key: int, acknowledged: dict[int, int]
) -> None:
    """Raise one number until the city is gone."""
    entity = {"id": f"{CITY}{key}", "type": "City", **attribute(0)}
    try:
        await client.post(f"{url}/ngsi-ld/v1/entities", json=entity)
        for number in range(1, 100_000):
            path = f"{url}/ngsi-ld/v1/entities/{CITY}{key}/attrs"
            answer = await client.post(path, json=attribute(number))
            if answer.status_code == 204:
                acknowledged[key] = number
    except httpx.HTTPError:
        return


def test_kill_while_serving_loses_nothing_acknowledged(tmp_path: Path) -> None:
    make_city(tmp_path)
    city = Served(tmp_path)
    acknowledged: dict[int, int] = {}

    async def storm(seconds: float) -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            tasks = [
                asyncio.create_task(writer(client, city.url, key, acknowledged)) for key in range(8)
            ]
            await asyncio.sleep(seconds)
            city.kill()
            await asyncio.gather(*tasks)

    try:
        for seed in range(3):
            city.start()
            asyncio.run(storm(random.Random(seed).uniform(0.3, 1.2)))
        assert len(acknowledged) == 8
        city.start()
        for key, number in acknowledged.items():
            found = httpx.get(f"{city.url}/ngsi-ld/v1/entities/{CITY}{key}").json()
            assert found["n"]["value"] >= number
        time.sleep(1.2)  # the ledger takes in what was recorded before the kill
    finally:
        city.stop()
    config = read_config(tmp_path)
    keys = [e.public() for e in read_ring(config.paths_keys) if e.use == "ledger"]
    report = verify_ledger(config.paths_data / LEDGER_FOLDER, keys, config.ledger_origin)
    assert report.intact, report.findings
    assert report.leaves > 3


def test_a_hundred_units_stay_a_hundred_across_a_kill(tmp_path: Path) -> None:
    make_city(tmp_path)
    city = Served(tmp_path)
    urn = "urn:ngsi-ld:OffStreetParking:a"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    count = {"type": "Property", "value": 100, "observedAt": now}
    entity = {
        "id": urn,
        "type": "OffStreetParking",
        "totalSpotNumber": {"type": "Property", "value": 100},
        "availableSpotNumber": count,
    }
    tokens: list[str] = []

    async def attempt(client: httpx.AsyncClient) -> None:
        try:
            answer = await client.post(f"{city.url}/api/parking/reserve", json={"place": urn})
        except httpx.HTTPError:
            return
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 200:
            tokens.append(answer.json()["token"])

    async def tries(number: int, kill_at: int | None) -> None:
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(timeout=20, limits=limits) as client:
            tasks = [asyncio.create_task(attempt(client)) for _ in range(number)]
            if kill_at is not None:
                while len(tokens) < kill_at and not any(t.done() and t.exception() for t in tasks):
                    await asyncio.sleep(0.002)
                city.kill()
            await asyncio.gather(*tasks)

    try:
        city.start()
        assert httpx.post(f"{city.url}/ngsi-ld/v1/entities", json=entity).status_code == 201
        asyncio.run(tries(400, kill_at=40))
        before = len(tokens)
        assert 40 <= before < 100
        city.start()
        asyncio.run(tries(600, kill_at=None))
        for token in tokens:
            found = httpx.get(f"{city.url}/api/parking/reservation", params={"token": token})
            assert found.json()["state"] == "reserved"
        held = httpx.get(f"{city.url}/api/parking/places").json()["places"][0]["held"]
    finally:
        city.stop()
    assert held == 100
    assert before < len(tokens) <= 100


LOADING = """
import asyncio, sys
from pathlib import Path
from poorter.cli import main
sys.exit(main(["load", sys.argv[1], "--map", sys.argv[2], "--city", sys.argv[3], "--quiet"]))
"""

MAP = """
title = "a test"
[source]
format = "csv"
[readings]
type = "OffStreetParking"
id = "urn:ngsi-ld:OffStreetParking:{place}"
time = "time"
time_format = "unix"
[[readings.values]]
column = "free"
attribute = "availableSpotNumber"
"""


def test_a_load_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    city = tmp_path / "city"
    make_city(city)
    file, map_file = tmp_path / "long.csv", tmp_path / "map.toml"
    map_file.write_text(MAP)
    rows = 60_000
    with file.open("w", newline="") as opened:
        out = csv.writer(opened)
        out.writerow(("place", "time", "free"))
        for number in range(rows):
            out.writerow((number % 7, 1_700_000_000 + number * 10, number % 100))
    delay_s = 0.3
    for _ in range(60):  # killed ever later, until one is quicker than its end: so mid-load too
        child = subprocess.Popen(
            [sys.executable, "-c", LOADING, str(file), str(map_file), str(city)],
            env={"PYTHONPATH": str(SRC), "PATH": ""},
            stdout=subprocess.DEVNULL,
        )
        time.sleep(delay_s)
        ended = child.poll() is not None
        child.kill()
        child.wait()
        if ended:
            break
        delay_s += 0.2

    urns = (f"urn:ngsi-ld:OffStreetParking:{place}" for place in range(7))
    places = [HistoryQuery(urn, ("availableSpotNumber",), limit=10_000) for urn in urns]

    async def finish() -> tuple[object, int]:
        running = await open_city(read_config(city), SystemClock())
        try:
            load = Load(
                running.store,
                lambda action: running.gate.permit("internal:load", RUN, action),
                running.clock,
                parse_map(MAP),
                file,
                tmp_path / "rejects.csv",
            )
            totals = await asyncio.to_thread(load.run)
            number = 0
            for query in places:
                permit = running.gate.permit("internal:load", RUN, "read")
                number += len(running.store.history(permit, query))
            return totals, number
        finally:
            running.close()

    totals, number = asyncio.run(finish())
    assert number == rows
    assert totals.done  # type: ignore[attr-defined]
    assert totals.rows == rows  # type: ignore[attr-defined]
    assert totals.rejects == 0  # type: ignore[attr-defined]
