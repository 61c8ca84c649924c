# SPDX-License-Identifier: EUPL-1.2
"""expiresAt over HTTP: where it is taken, kept and lifted, shown, and what it comes to (4.22)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.ngsild.test_http import ID, V1, city, open_city, prop
from tests.ngsild.test_subscriptions import Receiver, subscribe, subscription

from poorter.city.clock import ManualClock
from poorter.city.time import SECOND_US, format_us
from poorter.jobs import let_expire

NULL = "urn:ngsi-ld:null"


def at(clock: ManualClock, seconds: int) -> str:
    return format_us(clock.now_us() + seconds * SECOND_US)


def test_it_is_a_system_attribute_wherever_it_stands(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with open_city(tmp_path, clock=clock) as (running, client):
            ends = at(clock, 60)
            part = prop(2, expiresAt=ends)
            attributes: dict[str, Any] = {
                "n": prop(1, expiresAt=ends, accuracy=part),
                "near": {"type": "Relationship", "object": "urn:x:y", "expiresAt": ends},
                "free": [prop(1, expiresAt=ends), prop(2, datasetId="urn:d:1")],
            }
            body = city(expiresAt=ends, **attributes)
            assert (await client.post(f"{V1}/entities", json=body)).status_code == 201
            for form in ("", "?options=concise", "?options=keyValues", "?lang=nl"):
                answer = await client.get(f"{V1}/entities/{ID}{form}")
                assert "expiresAt" not in answer.text, form
            shown = (await client.get(f"{V1}/entities/{ID}?options=sysAttrs")).json()
            for one in (shown, shown["n"], shown["n"]["accuracy"], shown["near"], shown["free"][0]):
                assert one["expiresAt"] == ends
            asked = f"{V1}/entities?type=City&q=expiresAt=={ends}"
            assert len((await client.get(asked)).json()) == 1
            clock.forward_s(60)
            assert (await client.get(f"{V1}/entities/{ID}")).status_code == 404
            assert (await client.get(f"{V1}/entities?type=City")).json() == []
            assert (await client.get(f"{V1}/types")).json()["typeList"] == []
            patched = await client.patch(f"{V1}/entities/{ID}/attrs", json={"n": prop(2)})
            assert patched.status_code == 404
            before = running.store.sequence()
            for _ in range(2):  # a job takes it out while nobody writes, once
                await let_expire(running)
                assert running.store.sequence() == before + 1

    asyncio.run(run())


def test_a_write_beside_what_has_just_expired_is_done(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with open_city(tmp_path, clock=clock) as (running, client):
            body = city(n=prop(1, expiresAt=at(clock, 60)), m=prop(1))
            await client.post(f"{V1}/entities", json=body)
            clock.forward_s(60)
            # what it was worked out for is an entity that the store has not looked at since
            late = await client.patch(f"{V1}/entities/{ID}/attrs/m", json=prop(2))
            assert late.status_code == 204, late.text
            assert set((await client.get(f"{V1}/entities/{ID}")).json()) == {"id", "type", "m"}
            told = running.store.sequence()
            refused = await client.post(f"{V1}/entities", json=city())
            assert (refused.status_code, running.store.sequence()) == (409, told)

    asyncio.run(run())


@pytest.mark.parametrize("bad", ["2026-13-45T00:00:00Z", "tomorrow", 5, "2026-01-01T00:00:00"])
def test_what_is_no_datetime_is_refused_everywhere(tmp_path: Path, bad: Any) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await client.post(f"{V1}/entities", json=city(n=prop(1)))
            part = prop(1, sub=prop(1, expiresAt=bad))
            other = "urn:ngsi-ld:City:b"
            for body in (city(expiresAt=bad), city(n=prop(1, expiresAt=bad)), city(n=part)):
                made = await client.post(f"{V1}/entities", json={**body, "id": other})
                assert made.status_code == 400
                assert made.json()["type"].endswith("/BadRequestData")
            merged = await client.patch(f"{V1}/entities/{ID}", json={"expiresAt": bad})
            assert merged.status_code == 400

    asyncio.run(run())


def test_whole_writes_lift_it_and_partial_ones_keep_it(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with open_city(tmp_path, clock=clock) as (_, client):
            ends = at(clock, 60)
            attributes = {name: prop(1, expiresAt=ends) for name in ("a", "b", "c", "d", "e")}
            await client.post(f"{V1}/entities", json=city(**attributes))
            url = f"{V1}/entities/{ID}"
            for answer in (
                await client.patch(f"{url}/attrs", json={"a": prop(2)}),
                await client.patch(f"{url}/attrs/b", json={"value": 2}),
                await client.patch(url, json={"c": prop(2)}),
                await client.patch(f"{url}/attrs/d", json={"value": 2, "expiresAt": NULL}),
                await client.patch(
                    url, json={"e": {"type": "Property", "expiresAt": at(clock, 90)}}
                ),
            ):
                assert answer.status_code == 204, answer.text
            clock.forward_s(60)
            left = (await client.get(f"{url}?options=keyValues")).json()
            assert left == {"id": ID, "type": "City", "a": 2, "d": 2, "e": 1}

    asyncio.run(run())


def test_an_entity_is_made_transient_and_lasting_again(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with open_city(tmp_path, clock=clock) as (_, client):
            await client.post(f"{V1}/entities", json=city(n=prop(1)))
            url = f"{V1}/entities/{ID}"
            for moment in (at(clock, 60), NULL, at(clock, 90)):
                assert (await client.patch(url, json={"expiresAt": moment})).status_code == 204
                times = (await client.get(f"{url}?options=sysAttrs")).json()
                assert times.get("expiresAt", NULL) == moment
            clock.forward_s(89)
            batch = [city(n=prop(2))]
            updated = await client.post(f"{V1}/entityOperations/upsert?options=update", json=batch)
            assert updated.status_code == 204
            clock.forward_s(1)
            assert (await client.get(url)).status_code == 404
            assert (await client.post(f"{V1}/entities", json=city())).status_code == 201

    asyncio.run(run())


def test_subscribers_hear_that_it_has_gone(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        allowed: dict[str, object] = {"network.allowed_hosts": ["127.0.0.1"]}
        async with (
            Receiver() as told,
            open_city(tmp_path, clock=clock, more=allowed) as (
                running,
                client,
            ),
        ):
            assert running.engine is not None
            await running.engine.start()
            triggers = ["entityDeleted", "attributeDeleted"]
            await subscribe(client, subscription(told.url, notificationTrigger=triggers))
            body = city(expiresAt=at(clock, 60), n=prop(1, expiresAt=at(clock, 30)), m=prop(2))
            await client.post(f"{V1}/entities", json=body)
            clock.forward_s(30)
            await let_expire(running)
            _, message = await told.next()
            assert message["data"][0]["n"]["value"] == NULL
            clock.forward_s(30)
            await let_expire(running)
            _, message = await told.next()
            assert message["data"][0]["deletedAt"] == at(clock, 0)
            await running.engine.stop()
            await running.outgoing.close()

    asyncio.run(run())
