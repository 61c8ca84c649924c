# SPDX-License-Identifier: EUPL-1.2
"""Feeds from a real HTTP server: taken, left alone while unchanged, asked less when failing."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.connections.test_devices import until
from tests.founded import founded

from poorter.city.clock import ManualClock, SystemClock
from poorter.city.entity import Entity
from poorter.city.query import Query
from poorter.connections.polling import Breaker
from poorter.connections.run import Standing
from poorter.gate.genesis import RUN
from poorter.running import Running
from poorter.server import connect


class Source:
    """What the server answers by path: status, body; and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    def set(self, path: str, body: Any, status: int = 200) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = (status, raw)


@contextmanager
def serving() -> Iterator[Source]:
    source = Source()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("if-none-match")
            source.asked.append((self.path, known))
            status, body = source.answers.get(self.path, (404, b""))
            etag = f'"{hash(body)}"'
            if status == 200 and known == etag:
                status, body = 304, b""
            self.send_response(status)
            self.send_header("etag", etag)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    source.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield source
    finally:
        server.shutdown()
        server.server_close()


def feed(folder: Path, name: str, url: str, map_: str, more: str = "") -> None:
    (folder / "connections").mkdir(parents=True, exist_ok=True)
    (folder / "connections" / f"{name}.toml").write_text(
        f'title = {{ nl = "{name}", en = "{name}" }}\nmap = "{map_}"\n'
        f'[poll]\nurl = "{url}"\nevery_s = 0.05\n{more}'
    )


def found(running: Running, kind: str) -> list[Entity]:
    permit = running.gate.permit("internal:load", RUN, "read")
    page = running.store.query(permit, Query(types=(kind,), limit=100))
    return [running.store.decode(stored) for stored in page.entities]


async def with_feeds(folder: Path, clock: ManualClock, work: Any) -> None:
    allowed = {"network.allowed_hosts": ["127.0.0.1"]}
    async with founded(folder, clock, (), allowed) as running:
        running.connections = connect(running)
        running.connections.start()
        try:
            await work(running, running.connections.standings)
        finally:
            await running.connections.stop()


def clock_now() -> ManualClock:
    return ManualClock(SystemClock().now_us())


@pytest.mark.parametrize("version", ["2", "3"])
def test_bicycles(tmp_path: Path, version: str) -> None:
    clock = clock_now()
    at_s = clock.now_us() // 1_000_000
    two = version == "2"
    name: Any = "Plein" if two else [{"text": "Plein", "language": "nl"}]
    station = {"station_id": "a 1", "name": name, "lat": 52.1, "lon": 5.3, "capacity": 10}
    number = "num_bikes_available" if two else "num_vehicles_available"

    def status(bikes: int, seconds: int) -> dict[str, Any]:
        moment: Any = at_s + seconds
        if not two:
            from poorter.city.time import format_us

            moment = format_us(moment * 1_000_000)
        row = {
            "station_id": "a 1",
            number: bikes,
            "num_docks_available": 3,
            "last_reported": moment,
        }
        return {"version": version, "data": {"stations": [row]}}

    async def work(running: Running, standings: Any) -> None:
        await until(lambda: len(found(running, "BikeHireDockingStation")) == 1)
        await until(lambda: found(running, "BikeHireDockingStation")[0].get("location") is not None)
        await until(
            lambda: found(running, "BikeHireDockingStation")[0].value("freeSlotNumber") == 3
        )
        (entity,) = found(running, "BikeHireDockingStation")
        assert entity.urn == "urn:ngsi-ld:BikeHireDockingStation:a%201"
        assert (entity.value("name"), entity.value("availableBikeNumber")) == ("Plein", 7)
        # an older answer from a lagging mirror: history, not the state
        source.set("/status", status(1, -60))
        await until(lambda: {s.connection.name: s for s in standings()}["status"].counts.new == 4)
        assert found(running, "BikeHireDockingStation")[0].value("availableBikeNumber") == 7
        assert {s.state for s in standings()} >= {"fresh"}
        unchanged = len(source.asked)
        await until(lambda: len(source.asked) > unchanged + 4)
        assert source.asked[-1][1] is not None
        assert {s.connection.name: s for s in standings()}["status"].counts.new == 4

    with serving() as source:
        source.set("/stations", {"data": {"stations": [station]}})
        source.set("/status", status(7, 0))
        feed(tmp_path, "stations", f"{source.url}/stations", f"gbfs{version}_stations")
        feed(tmp_path, "status", f"{source.url}/status", f"gbfs{version}_status")
        asyncio.run(with_feeds(tmp_path, clock, work))


def test_pages_of_a_sensorthings_service(tmp_path: Path) -> None:
    clock = clock_now()
    moment = "2026-01-01T00:00:00Z"

    def stream(number: int) -> dict[str, Any]:
        return {
            "@iot.id": number,
            "Observations": [{"result": number * 2, "phenomenonTime": moment}],
        }

    async def work(running: Running, standings: Any) -> None:
        await until(lambda: len(found(running, "Device")) == 5)
        values = [entity.value("value") for entity in found(running, "Device")]
        assert values == [0, 2, 4, 6, 8]

    with serving() as source:
        for page in range(5):
            body: dict[str, Any] = {"value": [stream(page)]}
            if page < 4:
                body["@iot.nextLink"] = f"{source.url}/p{page + 1}"
            source.set(f"/p{page}", body)
        more = 'next = "@iot.nextLink"\n'
        feed(tmp_path, "st", f"{source.url}/p0", "sensorthings_observations", more)
        asyncio.run(with_feeds(tmp_path, clock, work))


def test_a_failing_feed_says_so_and_recovers(tmp_path: Path) -> None:
    clock = clock_now()
    row = {"station_id": "1", "num_bikes_available": 2, "num_docks_available": 1}
    good = {"data": {"stations": [row | {"last_reported": clock.now_us() // 1_000_000}]}}

    async def work(running: Running, standings: Any) -> None:
        def standing() -> Standing:
            return standings()[0]  # type: ignore[no-any-return]

        await until(lambda: standing().state == "failing")
        assert "503" in standing().wrong
        for body, says in ((b"{not json", "JSON"), ({"data": 3}, "no list")):
            source.set("/s", body)
            await until(lambda: says in standing().wrong)  # noqa: B023
        assert found(running, "BikeHireDockingStation") == []
        source.set("/s", good)
        await until(lambda: standing().state == "fresh")
        assert found(running, "BikeHireDockingStation")[0].value("availableBikeNumber") == 2
        # a row that is wrong is refused by itself
        source.set("/s", {"data": {"stations": [row | {"last_reported": "x"}, row]}})
        await until(lambda: standing().counts.refused["row"] == 2)
        assert found(running, "BikeHireDockingStation")[0].value("availableBikeNumber") == 2

    with serving() as source:
        source.set("/s", {}, 503)
        feed(tmp_path, "s", f"{source.url}/s", "gbfs2_status")
        asyncio.run(with_feeds(tmp_path, clock, work))


def test_a_host_that_was_not_allowed_is_not_asked(tmp_path: Path) -> None:
    async def run() -> None:
        with serving() as source:
            feed(tmp_path, "s", f"{source.url}/s", "gbfs2_status")
            async with founded(tmp_path, clock_now(), ()) as running:
                running.connections = connect(running)
                running.connections.start()
                await until(lambda: running.connections.standings()[0].state == "failing")  # type: ignore[union-attr]
                assert "allowed_hosts" in running.connections.standings()[0].wrong
                await running.connections.stop()
                assert source.asked == []

    asyncio.run(run())


def test_the_breaker() -> None:
    breaker = Breaker(60)
    waits = []
    for _ in range(12):
        breaker.failed("down")
        waits.append(breaker.wait_s())
    assert waits[:5] == [60, 60, 120, 240, 480]
    assert waits[-1] == 3600
    breaker.succeeded()
    assert breaker.wait_s() == 60 and not breaker.open
