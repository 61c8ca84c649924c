# SPDX-License-Identifier: EUPL-1.2
"""Snapshots: what queries found stays as it was, for whoever made it, while the gate lets it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from tests.founded import OFFICERS
from tests.ngsild.test_http import V1, city, open_city, prop
from tests.ngsild.test_sources import app_key, source
from tests.ngsild.test_temporal import evolving, instance, moment

from poorter.city.clock import ManualClock
from poorter.city.time import SECOND_US, format_us
from poorter.gate.policy import Grant
from poorter.standards.ngsild.snapshots import keeping

A, B, C = (f"urn:ngsi-ld:City:{name}" for name in "abc")


def asking(q: str | None = None, **more: Any) -> dict[str, Any]:
    query: dict[str, Any] = {"type": "Query", "entities": [{"type": "City"}]}
    return {"type": "Snapshot", "snapshotQueries": [query | ({"q": q} if q else {})], **more}


async def fill(client: httpx.AsyncClient) -> None:
    batch = [city(id=urn, n=prop(n)) for n, urn in enumerate((A, B, C))]
    made = await client.post(f"{V1}/entityOperations/create", json=batch)
    assert made.status_code == 201


async def ready(
    client: httpx.AsyncClient, body: dict[str, Any], headers: dict[str, str] | None = None
) -> dict[str, Any]:
    made = await client.post(f"{V1}/snapshots", json=body, headers=headers)
    assert made.status_code == 201, made.text
    for _ in range(100):
        status: dict[str, Any] = (
            await client.get(made.headers["location"], headers=headers)
        ).json()
        if status["snapshotStatus"] != "preparing":
            return status
        await asyncio.sleep(0.01)
    raise AssertionError("it is never ready")


async def inside(client: httpx.AsyncClient, snapshot: str, path: str) -> Any:
    answer = await client.get(f"{V1}{path}", headers={"NGSILD-Snapshot": snapshot})
    assert answer.status_code == 200, answer.text
    assert answer.headers["ngsild-snapshot"] == snapshot
    return answer.json()


def test_what_was_found_stays_as_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await fill(client)
            status = await ready(client, asking("n>0"))
            assert status["snapshotStatus"] == "success"
            assert (status["snapshotPriority"], len(status["snapshotQueriesDetails"])) == (5, 1)
            urn = status["id"]
            await client.patch(f"{V1}/entities/{B}/attrs", json={"n": prop(99)})
            await client.delete(f"{V1}/entities/{C}")
            found = await inside(client, urn, "/entities?type=City&options=keyValues&count=true")
            assert [(one["id"], one["n"]) for one in found] == [(B, 1), (C, 2)]
            assert (await inside(client, urn, "/entities?type=City&q=n==2"))[0]["id"] == C
            ordered = await inside(client, urn, "/entities?type=City&orderBy=n;desc&limit=1")
            assert [one["id"] for one in ordered] == [C]
            assert (await inside(client, urn, f"/entities/{C}"))["n"]["value"] == 2
            assert (await inside(client, urn, "/types"))["typeList"] == ["City"]
            header = {"NGSILD-Snapshot": urn}
            assert (await client.get(f"{V1}/entities/{A}", headers=header)).status_code == 404
            written = await client.post(f"{V1}/entities", json=city(), headers=header)
            assert written.status_code == 422
            gone = {"NGSILD-Snapshot": "urn:x:gone"}
            assert (await client.get(f"{V1}/entities/{B}", headers=gone)).status_code == 404

    asyncio.run(run())


def test_each_query_tells_whether_it_found_anything(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await fill(client)
            nothing = {"type": "Query", "entities": [{"type": "Village"}]}
            body = asking("n>0")
            body["snapshotQueries"].append(nothing)
            status = await ready(client, body)
            each = [one["resultStatus"] for one in status["snapshotQueriesDetails"]]
            assert (status["snapshotStatus"], each) == ("partial", ["success", "empty"])
            status = await ready(client, {"type": "Snapshot", "snapshotQueries": [nothing]})
            assert status["snapshotStatus"] == "empty"

    asyncio.run(run())


def evolution(urn: str, *hours: int, name: str = "n") -> dict[str, Any]:
    return evolving(urn, **{name: [instance(hour, hour) for hour in hours]})


def test_evolutions_stay_as_they_were(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (running, client):
            for body in (evolution(A, 0, 1, 2), evolution(B, 2), evolution(B, 1, 2, name="m")):
                made = await client.post(f"{V1}/temporal/entities", json=body)
                assert made.status_code in (201, 204)
            query = {"type": "Query", "entities": [{"type": "City"}]}
            late = {**query, "temporalQ": {"timerel": "after", "timeAt": moment(2)}, "q": "n>1"}
            early = {**query, "temporalQ": {"timerel": "before", "timeAt": moment(2)}, "q": "m"}
            none = {**late, "q": "n>9"}
            body = {"type": "Snapshot", "snapshotTemporalQueries": [late, early, none]}
            status = await ready(client, body)
            each = [one["resultStatus"] for one in status["snapshotTemporalQueriesDetails"]]
            assert (status["snapshotStatus"], each) == ("partial", ["success", "success", "empty"])
            urn, path = status["id"], "/temporal/entities"
            await client.delete(f"{V1}{path}/{A}")
            await client.post(f"{V1}{path}", json=evolution(B, 3))
            ever = "timerel=after&timeAt=2000-01-01T00:00:00Z"
            found = await inside(client, urn, f"{path}?type=City&{ever}")
            shown = {one["id"]: sorted(one.keys() & {"n", "m"}) for one in found}
            assert shown == {A: ["n"], B: ["m", "n"]}
            whole = await inside(client, urn, f"{path}/{B}")
            assert [[one["value"] for one in whole[name]] for name in ("n", "m")] == [[2], [1, 2]]
            summed = f"{path}/{B}?{ever}&options=aggregatedValues&aggrMethods=sum,totalCount"
            asked = await inside(client, urn, summed)
            assert [asked["m"][one][0][0] for one in ("sum", "totalCount")] == [3, 2]
            assert await inside(client, urn, f"{path}?type=City&{ever}&q=m==1&pick=id") == [
                {"id": B}
            ]
            header = {"NGSILD-Snapshot": urn}
            written = await client.post(f"{V1}{path}", json=evolution(C, 1), headers=header)
            assert written.status_code == 422
            cloned = await client.post(f"{V1}/snapshots/{urn}/clone", json={"type": "Snapshot"})
            other = (await client.get(cloned.headers["location"])).json()
            assert len(await inside(client, other["id"], f"{path}?type=City&{ever}")) == 2
            masked = Grant(
                "public-open", "public", "open-data", "context", ("read",), OFFICERS, mask=("m",)
            )
            await running.registry.put([masked], "ada", "test")
            whole = await inside(client, urn, f"{path}/{B}")
            assert "m" not in whole, "the permit of the moment"

    asyncio.run(run())


def test_a_life_of_its_own(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with open_city(tmp_path, clock=clock) as (_, client):
            await fill(client)
            urn = (await ready(client, asking(id="urn:x:one")))["id"]
            again = await client.post(f"{V1}/snapshots", json=asking(id=urn))
            assert again.status_code == 409
            url = f"{V1}/snapshots/{urn}"
            changed = await client.patch(url, json={"snapshotPriority": 2})
            assert (changed.status_code, changed.json()["snapshotPriority"]) == (200, 2)
            for wrong in (
                {"snapshotPriority": 11},
                {"snapshotQueries": []},
                {"snapshotStatus": "x"},
                {"snapshotLifetime": "soon"},
            ):
                assert (await client.patch(url, json=wrong)).status_code == 400
            cloned = await client.post(
                f"{url}/clone", json={"snapshotPriority": 9, "snapshotLifetime": "PT2H"}
            )
            assert cloned.status_code == 201
            assert (await client.delete(f"{V1}/snapshots?q=n>4")).status_code == 400
            purged = await client.delete(f"{V1}/snapshots?q=snapshotPriority<5")
            assert purged.status_code == 204
            assert (await client.get(url)).status_code == 404
            other = (await client.get(cloned.headers["location"])).json()
            assert len(await inside(client, other["id"], "/entities?type=City")) == 3
            none = await client.delete(f"{V1}/snapshots?q=snapshotPriority==1")
            assert none.status_code == 404
            clock.forward_s(2 * 3600)
            assert (await client.get(cloned.headers["location"])).status_code == 404

    asyncio.run(run())


def test_what_is_asked_wrongly_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            good = asking()["snapshotQueries"][0]
            temporal = {"timerel": "after", "timeAt": "2020-01-01T00:00:00Z"}
            for body, status in (
                ({"type": "Snapshot"}, 400),
                ({"type": "Snapshot", "snapshotQueries": []}, 400),
                ({"type": "Snapshot", "snapshotQueries": [{**good, "temporalQ": temporal}]}, 400),
                ({"type": "Snapshot", "snapshotQueries": [{**good, "q": "(("}]}, 400),
                ({**asking(), "wat": 1}, 400),
                ({**asking(), "snapshotTemporalQueries": [good]}, 400),
                ({**asking(), "snapshotTemporalQueries": []}, 400),
            ):
                answer = await client.post(f"{V1}/snapshots", json=body)
                assert answer.status_code == status, answer.text

    asyncio.run(run())


def test_the_gate_is_asked_again_of_what_was_frozen(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with open_city(tmp_path, clock=clock) as (running, client):
            await fill(client)
            ends = format_us(clock.now_us() + 60 * SECOND_US)
            short = city(id="urn:ngsi-ld:City:d", expiresAt=ends)
            await client.post(f"{V1}/entities", json=short)
            urn = (await ready(client, asking()))["id"]
            grant = Grant("o", "other", "open-data", "context", ("read",), OFFICERS)
            other = await app_key(running, "other", grant)
            header = {"NGSILD-Snapshot": urn}
            url = f"{V1}/entities?type=City"
            assert (await client.get(url, headers={**header, **other})).status_code == 404
            assert (await client.get(f"{V1}/snapshots/{urn}", headers=other)).status_code == 404
            assert len(await inside(client, urn, "/entities?type=City")) == 4
            clock.forward_s(60)
            assert len(await inside(client, urn, "/entities?type=City")) == 3
            masked = Grant(
                "public-open", "public", "open-data", "context", ("read",), OFFICERS, mask=("n",)
            )
            await running.registry.put([masked], "ada", "test")
            found = await inside(client, urn, "/entities?type=City&options=keyValues")
            assert all("n" not in one for one in found)

    asyncio.run(run())


def test_sources_are_asked_once_and_the_status_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        allowed: dict[str, object] = {"network.allowed_hosts": ["127.0.0.1"]}
        with source() as there:
            async with open_city(tmp_path, more=allowed) as (running, client):
                await fill(client)
                told = asking("n>0", endpoint=f"{there.url}/told")
                status = await ready(client, told)
                assert status["snapshotStatus"] == "success"
                for _ in range(100):
                    if there.asked:
                        break
                    await asyncio.sleep(0.01)
                method, path, headers, *_ = there.asked[-1]
                assert (method, headers["NGSILD-Snapshot"]) == ("POST", status["id"])
                assert path.endswith("/told")
                await running.outgoing.close()

    asyncio.run(run())


def test_where_room_ends_the_least_of_ones_own_goes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(keeping, "SNAPSHOTS_MAX", 2)
    monkeypatch.setattr(keeping, "KEPT_MAX", 5)
    monkeypatch.setattr(keeping, "KEPT_ALL_MAX", 8)

    async def run() -> None:
        async with open_city(tmp_path) as (running, client):
            await fill(client)
            grant = Grant("o", "other", "open-data", "context", ("read",), OFFICERS)
            key = await app_key(running, "other", grant)
            two = asking("n>0")
            other = await ready(client, two | {"snapshotPriority": 1}, key)
            low = await ready(client, two | {"snapshotPriority": 1})
            high = await ready(client, two | {"snapshotPriority": 9})

            async def there(status: dict[str, Any], headers: dict[str, str] | None = None) -> int:
                url = f"{V1}/snapshots/{status['id']}"
                return (await client.get(url, headers=headers)).status_code

            third = await ready(client, two)
            assert await there(low) == 404, "one more than there may be"
            assert [await there(high), await there(third)] == [200, 200]
            big = await ready(client, asking())
            assert big["snapshotStatus"] == "success"
            assert [await there(third), await there(high), await there(big)] == [404, 200, 200]
            assert await there(other, key) == 200, "nobody makes room with what is another's"
            full = await ready(client, two | {"snapshotPriority": 9}, key)
            assert full["snapshotStatus"] == "failure", "there is no room in the city"
            (detail,) = full["snapshotQueriesDetails"]
            assert (detail["resultStatus"], detail["problemDetails"]["status"]) == ("failure", 413)

    asyncio.run(run())
