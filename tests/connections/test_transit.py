# SPDX-License-Identifier: EUPL-1.2
"""GTFS Realtime from a real HTTP server: vehicles, delays, and messages that are none."""

import asyncio
import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.transit import gtfs_realtime_pb2 as gtfs
from tests.connections.test_devices import until
from tests.connections.test_polling import clock_now, feed, found, serving, with_feeds

from poorter.city.errors import Invalid
from poorter.city.query import HistoryQuery
from poorter.gate.genesis import RUN
from poorter.load.mapping import read_map
from poorter.load.rows import make_taker
from poorter.load.sources.opening import open_rows
from poorter.running import Running


def message(at_s: int, version: str = "2.0") -> gtfs.FeedMessage:
    made = gtfs.FeedMessage()
    made.header.gtfs_realtime_version = version
    made.header.timestamp = at_s
    return made


def vehicle(feed_: gtfs.FeedMessage, key: str, east: float, at_s: int | None = None) -> None:
    entity = feed_.entity.add(id=key)
    entity.vehicle.vehicle.id = key
    entity.vehicle.trip.trip_id = f"t{key}"
    entity.vehicle.trip.route_id = "r 1"
    entity.vehicle.position.latitude = 52.0
    entity.vehicle.position.longitude = east
    entity.vehicle.position.speed = 8.5
    if at_s is not None:
        entity.vehicle.timestamp = at_s


def late(feed_: gtfs.FeedMessage, trip: str, delays: dict[str, int], at_s: int | None) -> None:
    entity = feed_.entity.add(id=trip)
    entity.trip_update.trip.trip_id = trip
    if at_s is not None:
        entity.trip_update.timestamp = at_s
    for stop, seconds in delays.items():
        entity.trip_update.stop_time_update.add(stop_id=stop).arrival.delay = seconds


def test_vehicles_move_and_are_never_moved_back(tmp_path: Path) -> None:
    clock = clock_now()
    at_s = clock.now_us() // 1_000_000

    def now(east: float, seconds: int) -> bytes:
        made = message(at_s - 30)
        vehicle(made, "7", east, at_s + seconds)
        raw: bytes = made.SerializeToString()
        return raw

    async def work(running: Running, standings: Any) -> None:
        def east() -> float:
            (one,) = found(running, "Vehicle")
            return round(one.value("location")["coordinates"][0], 4)

        await until(lambda: len(found(running, "Vehicle")) == 1)
        (one,) = found(running, "Vehicle")
        assert one.urn == "urn:ngsi-ld:Vehicle:7"
        assert one.value("refRoute") == "urn:ngsi-ld:GtfsRoute:r%201"
        assert (one.value("speed"), one.get("speed").unit_code) == (8.5, "MTS")
        assert one.get("location").observed_at_us == (at_s - 10) * 1_000_000
        assert standings()[0].state == "fresh"
        source.set("/v", now(5.2, -5))
        await until(lambda: east() == 5.2)
        source.set("/v", now(5.1, -20))  # a lagging mirror
        asked = len(source.asked)
        await until(lambda: len(source.asked) > asked + 3)
        assert east() == 5.2
        source.set("/v", b"<html>maintenance</html>")
        await until(lambda: "GTFS Realtime" in standings()[0].wrong)
        await until(lambda: standings()[0].state == "failing")
        source.set("/v", now(5.3, 0))
        await until(lambda: east() == 5.3)

    with serving() as source:
        source.set("/v", now(5.1, -10))
        feed(tmp_path, "vehicles", f"{source.url}/v", "gtfs_rt_vehicles")
        asyncio.run(with_feeds(tmp_path, clock, work))


def test_delays_at_stops_are_readings(tmp_path: Path) -> None:
    clock = clock_now()
    at_s = clock.now_us() // 1_000_000
    first, older = message(at_s), message(at_s - 60)
    late(first, "t1", {"a": 120, "b": 90}, at_s - 1)
    late(first, "t2", {"a": 999_999}, None)
    late(older, "t1", {"a": 60}, None)

    async def work(running: Running, standings: Any) -> None:
        await until(lambda: len(found(running, "GtfsStop")) == 2)
        values = {one.urn[-1]: one.value("arrivalDelay") for one in found(running, "GtfsStop")}
        assert values == {"a": 120, "b": 90}
        counts = standings()[0].counts
        assert counts.refused == {"value of stop_time_update.arrival.delay": 1}
        source.set("/t", older.SerializeToString())
        await until(lambda: standings()[0].counts.new == 3)
        permit = running.gate.permit("internal:load", RUN, "read")
        kept = running.store.history(permit, HistoryQuery("urn:ngsi-ld:GtfsStop:a"))
        assert [one.value for one in kept] == [60, 120]
        (stop,) = [one for one in found(running, "GtfsStop") if one.urn.endswith("a")]
        assert stop.value("arrivalDelay") == 120, "an older message leaves newer state as it is"

    with serving() as source:
        source.set("/t", first.SerializeToString())
        feed(tmp_path, "delays", f"{source.url}/t", "gtfs_rt_delays")
        asyncio.run(with_feeds(tmp_path, clock, work))


def rows(file: Path, map_name: str) -> Iterator[Any]:
    with open_rows(file, read_map(map_name)) as opened:
        yield from opened.rows


def test_messages_that_are_none_are_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "feed.pb"
    changes = message(1)
    changes.header.incrementality = gtfs.FeedHeader.DIFFERENTIAL
    whole = message(1)
    vehicle(whole, "1", 5.0)
    raw = whole.SerializeToString()
    for content, says in (
        (changes.SerializeToString(), "DIFFERENTIAL"),
        (message(1, "3.7").SerializeToString(), "3.7"),
        (raw[:-4], "no GTFS Realtime"),
        (b"\xff" * 50, "no GTFS Realtime"),
    ):
        file.write_bytes(content)
        with pytest.raises(Invalid, match=says):
            list(rows(file, "gtfs_rt_vehicles"))
    file.write_bytes(raw)
    ((_, row),) = rows(file, "gtfs_rt_vehicles")
    assert row["timestamp"] == 1, "that of the message"
    gone = message(1)
    gone.entity.add(id="x", is_deleted=True)
    file.write_bytes(gone.SerializeToString())
    assert list(rows(file, "gtfs_rt_vehicles")) == []


def test_static_routes_come_out_of_the_zip(tmp_path: Path) -> None:
    text = io.StringIO()
    out = csv.writer(text)
    out.writerows([("route_id", "agency_id", "route_short_name", "route_long_name", "route_type")])
    out.writerows([("r 1", "a", "12", "Station - Haven", "3"), ("r2", "a", "", "Veer", "4")])
    file = tmp_path / "gtfs.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("routes.txt", text.getvalue())
        archive.writestr("stops.txt", "stop_id\n")
    take = make_taker(read_map("gtfs_routes"), lambda: 0)
    things = [take(line, row).thing for line, row in rows(file, "gtfs_routes")]
    assert [one.urn for one in things if one] == [
        "urn:ngsi-ld:GtfsRoute:r%201",
        "urn:ngsi-ld:GtfsRoute:r2",
    ]
    assert things[0] is not None
    assert things[0].value("operatedBy") == "urn:ngsi-ld:GtfsAgency:a"
    assert things[0].value("routeType") == "3"
