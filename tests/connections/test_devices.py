# SPDX-License-Identifier: EUPL-1.2
"""Devices through a real broker into a real city: each reading is counted, one way or another."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.broker import Device, mosquitto, publish_all
from tests.connections.test_model import CONNECTION, put
from tests.founded import founded
from tests.served import free_port

from poorter.city.clock import ManualClock, SystemClock
from poorter.city.entity import Entity
from poorter.city.query import HistoryQuery
from poorter.city.time import format_us
from poorter.connections.counting import Counts
from poorter.connections.model import read_connections
from poorter.connections.run import Connections
from poorter.gate.genesis import RUN
from poorter.offices.devices import add_device, devices, revoke_device, write_broker
from poorter.running import Running
from poorter.server import connect

CITY_KEY = "the-city-s-own-key"


async def until(done: Callable[[], bool], within_s: float = 20.0) -> None:
    for _ in range(int(within_s / 0.02)):
        if done():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come")


@asynccontextmanager
async def city_with_broker(
    folder: Path, names: list[str], port: int, more: str = "", clock: ManualClock | None = None
) -> AsyncIterator[tuple[Running, dict[str, str]]]:
    """A city whose devices are registered, and the files that its broker starts with."""
    text = CONNECTION.replace("1883", str(port))
    text += 'status_topic = "d/{device}/status"\nusername = "poorter"\n'
    text += 'password_file = "broker-key"\n' + more
    city = folder / "city"
    clock = clock or ManualClock(SystemClock().now_us())
    async with founded(city, clock, ("parking",)) as running:
        put(city, text)
        (city / "broker-key").write_text(CITY_KEY)
        keys = {name: await add_device(running, name, "ada") for name in names}
        write_broker(folder / "broker", read_connections(city), devices(running), CITY_KEY)
        yield running, keys


def reading(at_us: int, value: float) -> bytes:
    return json.dumps({"at": format_us(at_us), "t": value}).encode()


async def subscribed(connections: Connections) -> None:
    await until(lambda: connections.standings()[0].state != "failing")


def counted(counts: Counts) -> int:
    return counts.new + counts.corrections + counts.known + sum(counts.refused.values())


def counts_of(running: Running) -> Counts:
    assert running.connections is not None
    return running.connections.standings()[0].counts


def temperature(running: Running, device: str) -> Entity:
    permit = running.gate.permit("internal:load", RUN, "read")
    urn = f"urn:ngsi-ld:AirQualityObserved:{device}"
    return running.store.decode(running.store.entity(permit, urn))


async def crowd(folder: Path, number: int) -> None:
    """`number` devices that behave, and one each that is noisy, forged, replaying, and out of
    time: nobody else suffers, and the counts add up to what was sent."""
    names = [f"dev-{n}" for n in range(number)]
    odd = ["noisy", "replaying", "late", "early", "liar"]
    port = free_port()
    async with city_with_broker(folder, names + odd, port) as (running, keys):
        with mosquitto(folder, f"include_dir {folder / 'broker'}", port=port):
            running.connections = connect(running)
            running.connections.start()
            await subscribed(running.connections)
            counts = counts_of(running)
            now_us = running.clock.now_us()
            began = time.perf_counter()
            good = [
                (name, keys[name], f"d/{name}/up", [reading(now_us - n * 1000, n) for n in (2, 1)])
                for name in names
            ]
            bad: list[tuple[str, str, str, list[bytes]]] = [
                (
                    "noisy",
                    keys["noisy"],
                    "d/noisy/up",
                    [reading(now_us - n, 1) for n in range(500)],
                ),
                ("replaying", keys["replaying"], "d/replaying/up", [reading(now_us, 7)] * 20),
                ("late", keys["late"], "d/late/up", [reading(0, 1)] * 3),
                ("early", keys["early"], "d/early/up", [reading(now_us + 10**12, 1)] * 3),
                # a registered device that speaks for another: the broker takes it nowhere
                ("liar", keys["liar"], "d/dev-0/up", [reading(now_us, 59)] * 4),
            ]
            await publish_all(port, [*bad, *good])
            async with Device(port, "dev-0", "a-guessed-key") as forged:
                assert forged.code in (4, 5)  # bad user name or password, not authorised
            sent = 2 * number + 500 + 20 + 3 + 3
            await until(lambda: counted(counts) >= sent, 240)
            await running.connections.stop()
            seconds = time.perf_counter() - began
            assert counts.messages == sent
            assert counted(counts) == sent
            assert counts.known == 19
            assert counts.devices["noisy"].taken + counts.devices["noisy"].refused == 500
            assert counts.refused["too often"] == counts.devices["noisy"].refused > 400
            assert counts.refused["row"] == 6
            assert {example.device for example in counts.examples} <= {"noisy", "late", "early"}
            for name in names:
                assert (counts.devices[name].taken, counts.devices[name].refused) == (2, 0)
            assert temperature(running, names[0]).value("temperature") == 1
            print(f"{number} devices, {sent} messages in {seconds:.1f} s")


def test_a_crowd_of_devices(tmp_path: Path) -> None:
    asyncio.run(crowd(tmp_path, 200))


@pytest.mark.soak
def test_ten_thousand_devices(tmp_path: Path) -> None:
    asyncio.run(crowd(tmp_path, 10_000))


def test_silence_is_a_state_and_a_revoked_device_is_unknown(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        async with city_with_broker(tmp_path, ["a1"], port) as (running, keys):
            with mosquitto(tmp_path, f"include_dir {tmp_path / 'broker'}", port=port):
                running.connections = connect(running)
                running.connections.start()
                await subscribed(running.connections)
                counts = counts_of(running)
                now_us = running.clock.now_us()
                async with Device(port, "a1", keys["a1"], ("d/a1/status", b"offline")) as device:
                    await device.publish("d/a1/up", reading(now_us, 20))
                    await until(lambda: counts.new == 1)
                    device.cut()
                await until(lambda: counts.devices["a1"].silent)
                permit = running.gate.permit("internal:load", RUN, "read")

                def state() -> object:
                    stored = running.store.entity(permit, "urn:ngsi-ld:Device:a1")
                    return running.store.decode(stored).value("deviceState")

                await until(lambda: counts.things == 1)
                assert state() == "silent"
                async with Device(port, "a1", keys["a1"]) as device:
                    await device.publish("d/a1/up", reading(now_us + 1, 21))
                await until(lambda: counts.new == 2)
                await revoke_device(running, "a1", "bob")
                async with Device(port, "a1", keys["a1"]) as device:
                    await device.publish("d/a1/up", reading(now_us + 2, 22))
                await until(lambda: counts.refused["unknown device"] == 1)
                assert temperature(running, "a1").value("temperature") == 21
                await running.connections.stop()

    asyncio.run(run())


def test_nothing_is_lost_while_the_city_is_away(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        async with city_with_broker(tmp_path, ["a1"], port) as (running, keys):
            with mosquitto(tmp_path, f"include_dir {tmp_path / 'broker'}", port=port):
                first = connect(running)
                first.start()
                await subscribed(first)
                await first.stop()
                now_us = running.clock.now_us()
                async with Device(port, "a1", keys["a1"]) as device:
                    payloads = [reading(now_us - n, n) for n in range(50)]
                    await device.publish(
                        "d/a1/up", *payloads, b"{", b"[]", b'{"t": 3}', b'{"at":""}'
                    )
                running.connections = connect(running)
                running.connections.start()
                await subscribed(running.connections)
                counts = counts_of(running)
                await until(lambda: counts.messages == 54)
                await until(lambda: counts.new == 50)
                await running.connections.stop()
            assert counts.refused == {"payload": 1, "row": 2}
            query = HistoryQuery("urn:ngsi-ld:AirQualityObserved:a1", ("temperature",))
            permit = running.gate.permit("internal:load", RUN, "read")
            assert len(running.store.history(permit, query)) == 50

    asyncio.run(run())


def test_too_large_and_out_of_bounds(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        more = "[limits]\nmessage_bytes = 100\n"
        async with city_with_broker(tmp_path, ["a1"], port, more) as (running, keys):
            with mosquitto(tmp_path, f"include_dir {tmp_path / 'broker'}", port=port):
                running.connections = connect(running)
                running.connections.start()
                await subscribed(running.connections)
                counts = counts_of(running)
                now_us = running.clock.now_us()
                async with Device(port, "a1", keys["a1"]) as device:
                    await device.publish("d/a1/up", b" " * 101, reading(now_us, 61))
                    await device.publish("d/a1/up", reading(now_us, 60))
                await until(lambda: counts.new == 1)
                await running.connections.stop()
        assert counts.refused == {"too large": 1, "value of t": 1}
        assert [example.reason for example in counts.examples] == [
            "a message has at most 100 bytes",
            "over the maximum of 60",
        ]

    asyncio.run(run())
