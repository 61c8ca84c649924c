# SPDX-License-Identifier: EUPL-1.2
"""What was before in an evolution: former values without a time of their own, and deletions."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from tests.ngsild.test_http import ID, V1, city, open_city, prop
from tests.ngsild.test_temporal import URL, URN, evolving, instance, moment

from poorter.city.clock import ManualClock
from poorter.city.time import SECOND_US, format_us

NULL = "urn:ngsi-ld:null"
EVER = {"timerel": "after", "timeAt": "2000-01-01T00:00:00Z"}


async def values(client: httpx.AsyncClient, name: str = "n", **window: str) -> list[Any]:
    """Of the instances of an attribute, by when they were written."""
    asked = {**EVER, "timeproperty": "modifiedAt", "options": "temporalValues"} | window
    got = await client.get(f"{URL}/{ID}", params=asked)
    assert got.status_code == 200, got.text
    shown = got.json().get(name, {"values": []})
    return [value for value, _ in shown["values"]]


def test_former_values_are_kept_where_the_city_keeps_any(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        kept: dict[str, object] = {"history.former_values": 3}
        async with open_city(tmp_path, clock=clock, more=kept) as (_, client):
            url = f"{V1}/entities/{ID}"

            async def write(method: str, path: str, body: Any) -> None:
                clock.forward_s(1)
                answer = await client.request(method, path, json=body)
                assert answer.status_code in (201, 204), answer.text

            await write("POST", f"{V1}/entities", city(n=prop(1), other=prop("x")))
            assert await values(client) == [1]
            await write("PATCH", f"{url}/attrs/n", prop(2))
            await write("PATCH", f"{url}/attrs/n", prop(1))
            assert await values(client) == [1, 2, 1], "also one that it had before"
            await write("PATCH", f"{url}/attrs/n", prop(1))
            assert await values(client) == [1, 2, 1], "the same again is no other value"
            await write("POST", f"{V1}/entityOperations/upsert", [city(n=prop(4))])
            await write("PATCH", f"{url}/attrs", {"n": prop(5)})
            assert await values(client) == [2, 1, 4, 5], "three before the one it has"
            assert await values(client, "other") == ["x"], "it went, and its last value is kept"
            since = (await client.get(f"{URL}/{ID}?options=sysAttrs")).json()["n"]
            times = [one["modifiedAt"] for one in since]
            assert times == sorted(times) and len(set(times)) == 4
            await write("DELETE", url, None)
            assert await values(client) == [1, 4, 5], "a deletion was no write of a value"
            gone = await client.get(f"{URL}/{ID}", params=EVER | {"timeproperty": "deletedAt"})
            assert [one["value"] for one in gone.json()["n"]] == [NULL]

    asyncio.run(run())


def test_what_was_to_expire_is_not_kept_longer(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        kept: dict[str, object] = {"history.former_values": 3}
        async with open_city(tmp_path, clock=clock, more=kept) as (_, client):
            ends = format_us(clock.now_us() + 60 * SECOND_US)
            body = city(n=prop(1, expiresAt=ends), m=prop(1))
            await client.post(f"{V1}/entities", json=body)
            for name in ("n", "m"):
                clock.forward_s(1)
                await client.patch(f"{V1}/entities/{ID}/attrs/{name}", json=prop(2))
            assert (await values(client), await values(client, "m")) == ([1, 2], [1, 2])
            clock.forward_s(60)
            late = await client.patch(f"{V1}/entities/{ID}/attrs/m", json=prop(3))
            assert late.status_code == 204, late.text
            assert (await values(client), await values(client, "m")) == ([], [1, 2, 3])

    asyncio.run(run())


def test_none_is_kept_otherwise(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await client.post(f"{V1}/entities", json=city(n=prop(1)))
            await client.patch(f"{V1}/entities/{ID}/attrs/n", json=prop(2))
            assert await values(client) == [2]
            await client.delete(f"{V1}/entities/{ID}")
            assert (await client.get(f"{URL}/{ID}")).status_code == 404

    asyncio.run(run())


def test_an_attribute_that_goes_leaves_a_trace(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await client.post(f"{V1}/entities", json=city(n=prop(1), m=prop(2)))
            assert (await client.delete(f"{V1}/entities/{ID}/attrs/n")).status_code == 204
            asked = EVER | {"timeproperty": "deletedAt", "options": "sysAttrs"}
            (gone,) = (await client.get(f"{URL}/{ID}", params=asked)).json()["n"]
            assert gone["value"] == NULL and gone["deletedAt"]
            assert await values(client) == [], "it was no change of it"

    asyncio.run(run())


def test_what_a_whole_write_leaves_out_leaves_a_trace(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            seen = prop(1, observedAt=moment(0))
            whole = city(n=seen, m=seen, o=[seen, {**seen, "datasetId": "urn:d:1"}], p=prop(1))
            await client.post(f"{V1}/entities", json=whole)
            less = city(m=seen, o=seen)
            put = await client.post(f"{V1}/entityOperations/upsert", json=[less])
            assert put.status_code == 204, put.text
            asked = EVER | {"timeproperty": "deletedAt"}
            gone = (await client.get(f"{URL}/{ID}", params=asked)).json()
            assert set(gone) == {"id", "type", "n", "o"}, "p never had an evolution"
            assert [one.get("datasetId") for one in gone["o"]] == ["urn:d:1"]
            assert (await client.put(f"{V1}/entities/{ID}", json=city(o=seen))).status_code == 204
            gone = (await client.get(f"{URL}/{ID}", params=asked)).json()
            assert {name: len(gone[name]) for name in ("n", "m", "o")} == {"n": 1, "m": 1, "o": 1}

    asyncio.run(run())


def test_deletions_are_taken_into_an_evolution(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            ended = instance(2, NULL)
            body = evolving(n=[instance(0, 1), instance(1, 2), ended, instance(3, 3)])
            body["n"].append(instance(1, NULL))
            body["ref"] = {"type": "Relationship", "object": NULL, "observedAt": moment(1)}
            assert (await client.post(URL, json=body)).status_code == 201
            assert (await client.post(URL, json=evolving(n=ended))).status_code == 204
            got = (await client.get(f"{URL}/{URN}")).json()
            assert [one["value"] for one in got["n"]] == [1, 2, NULL, NULL, 3]
            assert [one["object"] for one in got["ref"]] == [NULL]
            assert [one["value"] for one in got["n"] if "deletedAt" in one] == [NULL, NULL]
            between = {"timerel": "between", "timeAt": moment(1), "endTimeAt": moment(2)}
            some = (await client.get(f"{URL}/{URN}", params=between)).json()["n"]
            assert sorted(map(str, (one["value"] for one in some))) == ["2", NULL]
            last = (await client.get(f"{URL}/{URN}?lastN=2")).json()["n"]
            assert [one["value"] for one in last] == [3, NULL]
            summed = {**EVER, "options": "aggregatedValues", "aggrMethods": "totalCount,sum"}
            counted = (await client.get(f"{URL}/{URN}", params=summed)).json()["n"]
            assert (counted["totalCount"][0][0], counted["sum"][0][0]) == (3, 6)
            (at_one,) = [one for one in some if one["value"] == NULL]
            gone = await client.delete(f"{URL}/{URN}/attrs/n/{at_one['instanceId']}")
            assert gone.status_code == 204
            left = (await client.get(f"{URL}/{URN}")).json()["n"]
            assert [one["value"] for one in left] == [1, 2, NULL, 3], "the reading beside it stays"
            state = (await client.get(f"{V1}/entities/{URN}")).json()
            assert state["n"]["value"] == 3
            for wrong in (
                evolving(n=NULL),
                evolving(n=prop({"a": NULL})),
                evolving(expiresAt=NULL, n=instance(0, 1)),
            ):
                assert (await client.post(URL, json=wrong)).status_code == 400, wrong

    asyncio.run(run())
