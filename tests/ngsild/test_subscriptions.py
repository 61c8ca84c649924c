# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions with a real receiver, by HTTP and by MQTT: who is told what, and who is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.broker import mosquitto
from tests.founded import OFFICERS
from tests.ngsild.test_http import ID, V1, city, open_city, prop

from poorter.city.entity import Attribute
from poorter.gate.policy import Grant
from poorter.running import Running
from poorter.server import make_app
from poorter.standards.ngsild.subscriptions.delivery import PAUSES_S
from poorter.standards.ngsild.subscriptions.waiting import Waiting
from poorter.store.contract import Change, SetAttributes

NEAR = {"georel": "near;maxDistance==100", "geometry": "Point"}
NULL = "urn:ngsi-ld:null"


class Receiver:
    """A small HTTP server that keeps what it is sent and answers as it was told to."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[dict[str, str], dict[str, Any]]] = asyncio.Queue()
        self.status = 200
        self.url = ""

    async def __aenter__(self) -> "Receiver":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/notify"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.got.put_nowait((headers, json.loads(body)))
        writer.write(f"HTTP/1.1 {self.status} X\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def next(self, within_s: float = 3) -> tuple[dict[str, str], dict[str, Any]]:
        return await asyncio.wait_for(self.got.get(), within_s)

    async def nothing(self, for_s: float = 0.4) -> None:
        await asyncio.sleep(for_s)
        assert self.got.empty(), self.got.get_nowait()


@asynccontextmanager
async def telling(folder: Path) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """A city whose subscriptions work, and that may call this machine."""
    allowed: dict[str, object] = {"network.allowed_hosts": ["127.0.0.1"]}
    async with open_city(folder, more=allowed) as (running, client):
        assert running.engine is not None
        await running.engine.start()
        yield running, client
        await running.engine.stop()
        await running.outgoing.close()


def subscription(url: str, **more: Any) -> dict[str, Any]:
    notification = {"endpoint": {"uri": url, **more.pop("endpoint", {})}}
    notification |= more.pop("notification", {})
    entities = {"entities": [{"type": "City"}]}
    return {"type": "Subscription", "notification": notification, **entities, **more}


async def subscribe(client: httpx.AsyncClient, doc: dict[str, Any]) -> str:
    answer = await client.post(f"{V1}/subscriptions", json=doc)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].rpartition("/")[2]


def test_a_change_is_told_in_order_and_counted(tmp_path: Path) -> None:
    async def run() -> None:
        async with Receiver() as receiver, telling(tmp_path) as (_, client):
            info = {"receiverInfo": [{"key": "X-Desk", "value": "7"}]}
            sub_id = await subscribe(client, subscription(receiver.url, endpoint=info))
            await client.post(f"{V1}/entities", json=city(n=prop(0)))
            for number in (1, 2, 2, 3):
                await client.patch(f"{V1}/entities/{ID}/attrs/n", json={"value": number})
            told = [await receiver.next() for _ in range(4)]
            values = [message["data"][0]["n"]["value"] for _, message in told]
            assert values == [0, 1, 2, 3], "what does not change is not told"
            assert [headers["poorter-sequence"] for headers, _ in told] == ["1", "2", "3", "4"]
            headers, message = told[0]
            assert headers["x-desk"] == "7"
            assert "json-ld#context" in headers["link"]
            assert message["subscriptionId"] == sub_id
            shown = (await client.get(f"{V1}/subscriptions/{sub_id}")).json()
            assert shown["notification"]["timesSent"] == 4
            assert shown["notification"]["status"] == "ok"
            assert (await client.delete(f"{V1}/subscriptions/{sub_id}")).status_code == 204
            await client.patch(f"{V1}/entities/{ID}/attrs/n", json={"value": 9})
            await receiver.nothing()

    asyncio.run(run())


def test_triggers_changes_and_deletions(tmp_path: Path) -> None:
    async def run() -> None:
        async with Receiver() as receiver, telling(tmp_path) as (_, client):
            asked = subscription(
                receiver.url,
                notificationTrigger=["attributeUpdated", "attributeDeleted", "entityDeleted"],
                notification={"showChanges": True},
            )
            await subscribe(client, asked)
            await client.post(f"{V1}/entities", json=city(a=prop(1), b=prop("x")))
            await receiver.nothing(0.2)
            await client.patch(f"{V1}/entities/{ID}/attrs", json={"a": prop(2)})
            _, message = await receiver.next()
            assert message["data"][0]["a"] == {**prop(2), "previousValue": 1}
            assert message["data"][0]["b"] == prop("x")
            await client.delete(f"{V1}/entities/{ID}/attrs/b")
            _, message = await receiver.next()
            assert message["data"][0]["b"] == {**prop(NULL), "previousValue": "x"}
            await client.delete(f"{V1}/entities/{ID}")
            _, message = await receiver.next()
            gone = message["data"][0]
            assert gone["deletedAt"]
            assert gone["a"] == {**prop(NULL), "previousValue": 2}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"q": "n>5"}, False),
        ({"q": "n>0"}, True),
        ({"watchedAttributes": ["m"]}, False),
        ({"watchedAttributes": ["n"]}, True),
        ({"scopeQ": "/a/#"}, True),
        ({"scopeQ": "/b"}, False),
        ({"entities": [{"type": "City", "id": ID}]}, True),
        ({"entities": [{"type": "City", "id": "urn:x:other"}]}, False),
        ({"entities": [{"type": "Road"}]}, False),
        ({"isActive": False}, False),
        (
            {
                "geoQ": {
                    "georel": "near;maxDistance==100",
                    "geometry": "Point",
                    "coordinates": [5, 52],
                }
            },
            True,
        ),
        (
            {
                "geoQ": {
                    "georel": "near;maxDistance==100",
                    "geometry": "Point",
                    "coordinates": [6, 52],
                }
            },
            False,
        ),
    ],
)
def test_only_what_was_asked_for_is_told(tmp_path: Path, more: dict[str, Any], told: bool) -> None:
    async def run() -> None:
        async with Receiver() as receiver, telling(tmp_path) as (_, client):
            place = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [5, 52]}}
            body = city(n=prop(0), location=place, scope="/a/b")
            await client.post(f"{V1}/entities", json=body)
            await subscribe(client, subscription(receiver.url, **more))
            await client.patch(f"{V1}/entities/{ID}/attrs/n", json={"value": 3})
            if told:
                assert (await receiver.next())[1]["data"][0]["n"]["value"] == 3
            else:
                await receiver.nothing()

    asyncio.run(run())


def test_throttled_by_time_and_paused(tmp_path: Path) -> None:
    async def run() -> None:
        async with Receiver() as receiver, telling(tmp_path) as (running, client):
            await client.post(f"{V1}/entities", json=city(n=prop(0)))
            slow = await subscribe(client, subscription(receiver.url, throttling=60))
            for number in (1, 2, 3):
                await client.patch(f"{V1}/entities/{ID}/attrs/n", json={"value": number})
            assert (await receiver.next())[1]["data"][0]["n"]["value"] == 1
            await receiver.nothing()
            await client.delete(f"{V1}/subscriptions/{slow}")
            timed = await subscribe(client, subscription(receiver.url, timeInterval=1))
            await receiver.nothing(0.2)
            running.clock._clock.forward_s(2)  # type: ignore[attr-defined]
            assert (await receiver.next())[1]["data"][0]["n"]["value"] == 3
            url = f"{V1}/subscriptions/{timed}"
            assert (await client.patch(url, json={"isActive": False})).status_code == 204
            assert (await client.get(url)).json()["status"] == "paused"
            running.clock._clock.forward_s(5)  # type: ignore[attr-defined]
            await receiver.nothing(0.8)

    asyncio.run(run())


def test_a_permit_that_ends_stops_what_was_subscribed(tmp_path: Path) -> None:
    async def run() -> None:
        async with Receiver() as receiver, telling(tmp_path) as (running, client):
            await client.post(f"{V1}/entities", json=city(n=prop(0)))
            await subscribe(client, subscription(receiver.url))
            await client.patch(f"{V1}/entities/{ID}/attrs/n", json={"value": 1})
            await receiver.next()
            over = Grant(
                "public-open", "public", "open-data", "context", ("read",), OFFICERS, until_us=1
            )
            await running.registry.put([over], "ada", "closed")
            await client.patch(f"{V1}/entities/{ID}/attrs/n", json={"value": 2})
            await receiver.nothing()

    asyncio.run(run())


def test_hosts_that_are_not_allowed_and_bad_subscriptions_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with telling(tmp_path) as (_, client):
            good = "http://127.0.0.1:9/n"
            for doc in (
                subscription("http://169.254.169.254/latest"),
                subscription("ftp://127.0.0.1/x"),
                subscription(good, q="(("),
                subscription(good, wat=1),
                subscription(good, throttling=-1),
                subscription(good, timeInterval=5, watchedAttributes=["n"]),
                subscription(good, expiresAt="2001-01-01T00:00:00Z"),
                subscription(good, expiresAt="2040-01-01T00:00:00+01:00"),
                subscription(good, notificationTrigger=["sometimes"]),
                subscription(good, notification={"showChanges": True, "format": "keyValues"}),
                subscription(good, endpoint={"receiverInfo": [{"key": "a\r\nb", "value": "c"}]}),
                {**subscription(good), "entities": []},
                {**subscription(good), "notification": 1},
            ):
                answer = await client.post(f"{V1}/subscriptions", json=doc)
                assert answer.status_code == 400, (doc, answer.text)
                assert answer.json()["detail"]
            assert (await client.get(f"{V1}/subscriptions")).json() == []

    asyncio.run(run())


def test_a_receiver_that_fails_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poorter.standards.ngsild.subscriptions.delivery.PAUSES_S", (0.01, 0.02))

    async def run() -> None:
        async with Receiver() as broken, Receiver() as well, telling(tmp_path) as (running, client):
            broken.status = 500
            failing = await subscribe(client, subscription(broken.url))
            await subscribe(client, subscription(well.url))
            await client.post(f"{V1}/entities", json=city(n=prop(0)))
            assert (await well.next())[1]["data"][0]["id"] == ID
            for _ in range(3):
                await broken.next()
            await asyncio.sleep(0.2)
            shown = (await client.get(f"{V1}/subscriptions/{failing}")).json()["notification"]
            assert (shown["status"], shown["timesSent"], shown["timesFailed"]) == ("failed", 1, 1)
            permit = running.gate.permit("internal:ngsi-ld", "run", "read")
            letters = running.store.records(permit, "dead-letter")
            assert [letter.doc["subscription"] for letter in letters] == [failing]

    assert len(PAUSES_S) == 3
    asyncio.run(run())


def test_subscriptions_outlive_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        async with Receiver() as receiver, telling(tmp_path) as (running, client):
            sub_id = await subscribe(client, subscription(receiver.url))
            assert running.engine is not None
            await running.engine.stop()
            make_app(running)
            await running.engine.start()
            assert [sub.id for sub in running.engine.of("public", "open-data")] == [sub_id]
            await client.post(f"{V1}/entities", json=city(n=prop(0)))
            assert (await receiver.next())[1]["subscriptionId"] == sub_id

    asyncio.run(run())


def test_notifications_by_mqtt(tmp_path: Path) -> None:
    got: list[dict[str, Any]] = []

    async def run(port: int) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        listener = mqtt.Client(CallbackAPIVersion.VERSION2)
        listener.on_message = lambda _c, _u, message: got.append(json.loads(message.payload))
        listener.connect("127.0.0.1", port)
        listener.subscribe("city/#", qos=1)
        listener.loop_start()
        async with telling(tmp_path / "city") as (_, client):
            for version in ("mqtt3.1.1", "mqtt5.0"):
                notifier = [
                    {"key": "MQTT-Version", "value": version},
                    {"key": "MQTT-QoS", "value": "1"},
                ]
                uri = f"mqtt://127.0.0.1:{port}/city/{version}"
                await subscribe(client, subscription(uri, endpoint={"notifierInfo": notifier}))
            await client.post(f"{V1}/entities", json=city(n=prop(4)))
            for _ in range(100):
                if len(got) == 2:
                    break
                await asyncio.sleep(0.05)
        listener.loop_stop()
        listener.disconnect()

    with mosquitto(tmp_path, "allow_anonymous true") as port:
        asyncio.run(run(port))
    assert len(got) == 2
    assert {message["body"]["data"][0]["n"]["value"] for message in got} == {4}
    assert got[0]["metadata"]["Content-Type"] == "application/json"


def test_too_many_changes_leave_a_gap_and_the_latest_state(tmp_path: Path) -> None:
    """One commit brings more than may wait: whoever is concerned sees that something is missing,
    and in the end what is so."""

    async def run() -> None:
        async with Receiver() as receiver, telling(tmp_path) as (running, client):
            assert running.engine is not None
            running.engine.waiting = Waiting(2)
            sub_id = await subscribe(client, subscription(receiver.url))
            await subscribe(client, subscription(receiver.url, entities=[{"type": "Other"}]))
            await client.post(f"{V1}/entities", json=city(n=prop(0)))
            await receiver.next()
            ops = tuple(SetAttributes(ID, (Attribute("n", number),)) for number in range(1, 9))
            permit = running.gate.permit("public", "open-data", "write")
            await asyncio.gather(*(running.store.commit_async(permit, Change((op,))) for op in ops))
            told = [await receiver.next() for _ in range(3)]
            values = [message["data"][0]["n"]["value"] for _, message in told]
            assert values == [1, 2, 8]
            await receiver.nothing()
            shown = (await client.get(f"{V1}/subscriptions/{sub_id}")).json()["notification"]
            assert (shown["timesFailed"], shown["status"]) == (1, "failed")
            await client.patch(f"{V1}/entities/{ID}/attrs/n", json={"value": 9})
            headers, _ = await receiver.next()
            assert headers["poorter-sequence"] == "6", "1, 2, 3, 4 came, 5 did not"
            assert running.engine.waiting.folded == 5 and running.engine.waiting.lost == 0

    asyncio.run(run())
