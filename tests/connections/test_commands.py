# SPDX-License-Identifier: EUPL-1.2
"""A decision's command reaches its device, once and in time; what came of it stands beside it."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.broker import Device, mosquitto
from tests.connections.test_devices import city_with_broker, counts_of, subscribed, until
from tests.founded import garage, put
from tests.served import free_port

from poorter.city.clock import ManualClock, SystemClock
from poorter.city.entity import Attribute
from poorter.gate.genesis import RUN
from poorter.running import Running
from poorter.server import connect
from poorter.store.contract import Change, SetAttributes
from poorter.systems.parking.policy import PURPOSE

COMMANDS = """
[[commands]]
type = "OffStreetParking"
attribute = "signText"
device = "sign"
topic = "d/{device}/down"
ack_topic = "d/{device}/ack"
expires_s = 30
"""
URN = "urn:ngsi-ld:OffStreetParking:a"


async def set_sign(running: Running, text: str) -> None:
    permit = running.gate.permit("system:parking", PURPOSE, "command")
    change = Change((SetAttributes(URN, (Attribute("signText", text),)),))
    await running.store.commit_async(permit, change)


def status(running: Running) -> Any:
    permit = running.gate.permit("internal:load", RUN, "read")
    entity = running.store.decode(running.store.entity(permit, URN))
    return entity.value("signTextStatus")


def test_a_command_and_its_answer(tmp_path: Path) -> None:
    async def run() -> None:
        port, clock = free_port(), ManualClock(SystemClock().now_us())
        names = ["s1", "s2"]
        async with city_with_broker(tmp_path, names, port, COMMANDS, clock) as (running, keys):
            with mosquitto(tmp_path, f"include_dir {tmp_path / 'broker'}", port=port):
                await put(running, garage("a", 10, sign="urn:ngsi-ld:Device:s1"))
                running.connections = connect(running)
                running.connections.start()
                await subscribed(running.connections)
                counts = counts_of(running)
                async with (
                    Device(port, "s1", keys["s1"], client_id="listens") as sign,
                    Device(port, "s1", keys["s1"]) as speaks,
                    Device(port, "s2", keys["s2"]) as other,
                ):
                    assert await sign.subscribe("d/s1/down") == 1
                    await set_sign(running, "full")
                    order = json.loads(await sign.next())
                    assert (order["attribute"], order["value"]) == ("signText", "full")
                    await until(lambda: status(running) == "sent")
                    # another device can't answer for it
                    answer = json.dumps({"id": order["id"], "done": True}).encode()
                    await other.publish("d/s2/ack", answer, b"{", b'{"id": 3}')
                    await until(lambda: counts.refused["answer"] == 3)
                    assert status(running) == "sent"
                    await speaks.publish("d/s1/ack", answer)
                    await until(lambda: status(running) == "done")
                    await speaks.publish("d/s1/ack", answer)  # again: it is over
                    await until(lambda: counts.refused["answer"] == 4)
                    await set_sign(running, "few")
                    order = json.loads(await sign.next())
                    refusal = {"id": order["id"], "done": False, "reason": "stuck"}
                    await speaks.publish("d/s1/ack", json.dumps(refusal).encode())
                    await until(lambda: status(running) == "refused")
                    await set_sign(running, "free")
                    await sign.next()
                    await until(lambda: status(running) == "sent")
                    clock.forward_s(31)
                    await until(lambda: status(running) == "expired")
                await running.connections.stop()

    asyncio.run(run())


def test_a_command_under_way_outlives_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        async with city_with_broker(tmp_path, ["s1"], port, COMMANDS) as (running, keys):
            with mosquitto(tmp_path, f"include_dir {tmp_path / 'broker'}", port=port):
                await put(running, garage("a", 10, sign="s1"))
                await set_sign(running, "full")  # before there is any link with devices
                async with Device(port, "s1", keys["s1"], client_id="listens") as sign:
                    await sign.subscribe("d/s1/down")
                    running.connections = connect(running)
                    running.connections.start()
                    await subscribed(running.connections)
                    assert json.loads(await sign.next())["value"] == "full"
                    await until(lambda: status(running) == "sent")
                    await running.connections.stop()
                    again = connect(running)
                    again.start()
                    order = json.loads(await sign.next())
                    assert order["value"] == "full"
                    await again.stop()

    asyncio.run(run())


def test_a_device_hears_its_own_commands_only(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        async with city_with_broker(tmp_path, ["s1", "s2"], port, COMMANDS) as (running, keys):
            with mosquitto(tmp_path, f"include_dir {tmp_path / 'broker'}", port=port):
                await put(running, garage("a", 10, sign="s1"))
                running.connections = connect(running)
                running.connections.start()
                await subscribed(running.connections)
                async with Device(port, "s2", keys["s2"]) as curious:
                    await curious.subscribe("d/+/down")
                    await curious.subscribe("#")
                    await set_sign(running, "full")
                    await until(lambda: status(running) == "sent")
                    try:
                        async with asyncio.timeout(0.5):
                            raise AssertionError(await curious.next())
                    except TimeoutError:
                        pass
                await running.connections.stop()

    asyncio.run(run())
