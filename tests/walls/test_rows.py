# SPDX-License-Identifier: EUPL-1.2
"""Rows of persons over HTTP: ids of the purpose, nothing readable on disk, the standard's API."""

import asyncio
from pathlib import Path
from typing import Any

from tests.walls.city import V1, city

from poorter.gate.pseudonyms import is_kept

NAME = "Zanzibarina Quickenborne"


def kept(folder: Path, word: str) -> list[str]:
    """Files under the city's folder with a word in them."""
    found = [f for f in folder.rglob("*") if f.is_file() and word.encode() in f.read_bytes()]
    return [str(f.relative_to(folder)) for f in found]


def test_a_person_from_create_to_delete(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            urn = await care.make("Client", name=NAME, age=81)
            assert not is_kept(urn)
            got = await care.get(f"{V1}/entities/{urn}")
            assert got.json() == {
                "id": urn,
                "type": "Client",
                "name": {"type": "Property", "value": NAME},
                "age": {"type": "Property", "value": 81},
            }
            assert kept(tmp_path, NAME) == []
            asked = f"{V1}/entities?type=Client&q=age>80;name~=Quick&count=true"
            found = await care.get(asked)
            assert [one["id"] for one in found.json()] == [urn]
            assert found.headers["ngsild-results-count"] == "1"
            none = await care.get(f"{V1}/entities?type=Client&q=age>81&count=true")
            assert (none.json(), none.headers["ngsild-results-count"]) == ([], "0")
            changed = await care.client.patch(
                f"{V1}/entities/{urn}/attrs", json={"age": {"value": 82}}, headers=care.headers
            )
            assert changed.status_code == 204, changed.text
            merged = await care.client.patch(
                f"{V1}/entities/{urn}", json={"note": {"value": "x"}}, headers=care.headers
            )
            assert merged.status_code == 204, merged.text
            simple = await care.get(f"{V1}/entities/{urn}?options=keyValues")
            assert simple.json() == {
                "id": urn, "type": "Client", "name": NAME, "age": 82, "note": "x"
            }  # fmt: skip
            types = (await care.get(f"{V1}/types")).json()["typeList"]
            assert "Client" in str(types)
            assert "~" not in str(types)
            gone = await care.client.delete(f"{V1}/entities/{urn}", headers=care.headers)
            assert gone.status_code == 204
            assert (await care.get(f"{V1}/entities/{urn}")).status_code == 404
            again = await care.client.delete(f"{V1}/entities/{urn}", headers=care.headers)
            assert again.status_code == 404
            assert ":~" not in again.text

    asyncio.run(run())


def test_another_purpose_sees_another_id_and_the_first_leads_to_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            urn = await care.make("Client", name=NAME)
            visit = await care.make("Visit", of={"type": "Relationship", "object": urn})
            (other,) = await research.ids("Client")
            assert other != urn
            assert (await research.get(f"{V1}/entities/{urn}")).status_code == 404
            assert (await care.get(f"{V1}/entities/{other}")).status_code == 404
            (their,) = await research.ids("Visit")
            link = (await research.get(f"{V1}/entities/{their}")).json()["of"]["object"]
            assert link == other
            assert (await care.get(f"{V1}/entities/{visit}")).json()["of"]["object"] == urn
            linked = await care.get(f'{V1}/entities?type=Visit&q=of{{Client}}.name=="{NAME}"')
            if linked.status_code == 200:
                assert [one["id"] for one in linked.json()] == [visit]
            joined = (await care.get(f"{V1}/entities/{visit}?join=inline&joinLevel=1")).json()
            assert joined["of"]["entity"]["name"]["value"] == NAME
            for nobody in ("public", "debt-help"):
                app = c.apps.get(nobody)
                headers = app.headers if app else {}
                for asked in (f"{V1}/entities/{urn}", f"{V1}/entities/{other}"):
                    assert (await c.client.get(asked, headers=headers)).status_code == 404
                listed = await c.client.get(f"{V1}/entities?type=Client", headers=headers)
                assert listed.json() == []

    asyncio.run(run())


def test_ids_are_minted_so_creating_tells_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            body: Any = {"id": "urn:ngsi-ld:Client:1", "type": "Client"}
            first = await care.post(f"{V1}/entities", body)
            second = await care.post(f"{V1}/entities", body)
            assert (first.status_code, second.status_code) == (201, 201)
            assert first.headers["location"] != second.headers["location"]
            once = {"idempotency-key": "k1"}
            third = await care.post(f"{V1}/entities", body, **once)
            fourth = await care.post(f"{V1}/entities", body, **once)
            assert third.headers["location"] == fourth.headers["location"]
            assert len(await care.ids("Client")) == 3
            batch = await care.post(
                f"{V1}/entityOperations/upsert", [body, body | {"id": "urn:x:2"}]
            )
            assert batch.status_code == 201
            assert len(await care.ids("Client")) == 5
            again = [{"id": batch.json()[0], "type": "Client", "n": {"value": 1}}]
            assert (await care.post(f"{V1}/entityOperations/upsert", again)).status_code == 204
            assert len(await care.ids("Client")) == 5
            inner = (await care.get(f"{V1}/entities?type=Client&limit=2")).json()
            assert len(inner) == 2

    asyncio.run(run())


def test_pages_of_persons_and_open_things_come_one_after_another(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            made = {await care.make("Client", n=i) for i in range(7)}
            seen: list[str] = []
            url = f"{V1}/entities?type=Client&limit=3"
            while url:
                page = await care.get(url)
                assert len(page.json()) <= 3
                seen += [one["id"] for one in page.json()]
                found = [p for p in page.headers.get("link", "").split(",") if 'rel="next"' in p]
                url = found[0].partition("<")[2].partition(">")[0] if found else ""
            assert len(seen) == 7
            assert set(seen) == made

    asyncio.run(run())


def test_history_of_a_person_is_sealed_and_read_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            c.clock.forward_s(3600)
            urn = await care.make("Client", name=NAME)
            for minute in range(3):
                when = c.running.clock.now_us() // 1_000_000 * 1_000_000 + minute * 60_000_000
                body = {"pulse": {"value": 60 + minute, "observedAt": _iso(when)}}
                done = await care.post(f"{V1}/entities/{urn}/attrs", body)
                assert done.status_code == 204, done.text
            found = (await care.get(f"{V1}/temporal/entities/{urn}?options=temporalValues")).json()
            assert [value for value, _ in found["pulse"]["values"]] == [60, 61, 62]
            total = await care.get(
                f"{V1}/temporal/entities/{urn}?options=aggregatedValues&aggrMethods=avg,max"
                "&aggrPeriodDuration=P1D"
            )
            assert total.json()["pulse"]["max"][0][0] == 62

    asyncio.run(run())


def _iso(at_us: int) -> str:
    from poorter.city.time import format_us

    return format_us(at_us)


def test_the_evolution_of_a_person_passes_the_same_gate(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            urn = await care.make("Client", name=NAME)
            url = f"{V1}/temporal/entities"
            pulse = [
                {"type": "Property", "value": 60 + n, "observedAt": f"2025-12-31T0{n}:00:00Z"}
                for n in range(3)
            ]
            body = {
                "id": urn,
                "type": "Client",
                "pulse": [{**pulse[0], "unitCode": "BPM-CANARY"}, *pulse[1:]],
            }
            made = await care.post(url, body)
            assert made.status_code == 204, made.text
            got = (await care.get(f"{url}/{urn}")).json()
            assert [one["value"] for one in got["pulse"]] == [60, 61, 62]
            assert got["pulse"][0]["unitCode"] == "BPM-CANARY"
            assert (got["id"], set(got)) == (urn, {"id", "type", "pulse", "name"})
            window = "timerel=after&timeAt=2025-12-30T00:00:00Z"
            found = await care.get(f"{url}?type=Client&{window}&q=pulse>61&count=true")
            assert [one["id"] for one in found.json()] == [urn]
            mean = f"{url}/{urn}?{window}&options=aggregatedValues&aggrMethods=avg"
            assert (await care.get(mean)).json()["pulse"]["avg"][0][0] == 61.0
            first = got["pulse"][1]["instanceId"]
            gone = await care.client.delete(
                f"{url}/{urn}/attrs/pulse/{first}", headers=care.headers
            )
            assert gone.status_code == 204
            left = (await care.get(f"{url}/{urn}?attrs=pulse")).json()["pulse"]
            assert [one["value"] for one in left] == [60, 62]
            assert kept(tmp_path, "BPM-CANARY") == []
            other = c.apps["debt-help"]
            assert (await other.get(f"{url}/{urn}")).status_code == 404
            assert (await other.post(url, body)).status_code in (403, 404)
            assert (await other.get(f"{url}?type=Client&{window}")).json() == []
            stranger = {**body, "id": "urn:ngsi-ld:Client:unknown"}
            assert (await care.post(url, stranger)).status_code == 404

    asyncio.run(run())
