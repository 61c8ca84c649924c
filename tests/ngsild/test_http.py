# SPDX-License-Identifier: EUPL-1.2
"""NGSI-LD over HTTP against a city: statuses, bodies, headers, and the gate before all of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.founded import OFFICERS, founded

from poorter.city.clock import ManualClock
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.gate.policy import Dataset, Grant, Processor, Purpose
from poorter.identity.credentials import new_credential
from poorter.jobs import record_uses
from poorter.ledger.leaf import decode_leaf
from poorter.running import Running
from poorter.server import make_app
from poorter.standards.ngsild.app import ROUTES
from poorter.standards.operations.app import PREFIX

DEFAULT = "https://uri.etsi.org/ngsi-ld/default-context/"
V1 = "/ngsi-ld/v1"
ID = "urn:ngsi-ld:City:a"
CORE_LINK = "json-ld#context"


@asynccontextmanager
async def open_city(
    folder: Path,
    writable: bool = True,
    clock: ManualClock | None = None,
    more: dict[str, object] | None = None,
) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    async with founded(folder, clock or ManualClock(), more=more) as running:
        if writable:
            grant = Grant("t", "public", "open-data", "context", ("write",), OFFICERS)
            await running.registry.put([grant], "ada", "test")
        transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
            yield running, client


def city(**attributes: Any) -> dict[str, Any]:
    return {"id": ID, "type": "City", **attributes}


def prop(value: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **more}


def test_an_entity_from_create_to_delete(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            body = city(
                n=prop(1, unitCode="MTR", since=prop("x")),
                ref={"type": "Relationship", "object": "urn:x:y"},
            )
            made = await client.post(f"{V1}/entities", json=body)
            assert (made.status_code, made.headers["location"]) == (201, f"{V1}/entities/{ID}")
            again = await client.post(f"{V1}/entities", json=body)
            assert again.status_code == 409
            assert again.json()["type"].endswith("/AlreadyExists")
            got = await client.get(f"{V1}/entities/{ID}")
            assert got.json() == body
            assert CORE_LINK in got.headers["link"]
            simple = await client.get(f"{V1}/entities/{ID}?options=keyValues")
            assert simple.json() == {"id": ID, "type": "City", "n": 1, "ref": "urn:x:y"}
            concise = (await client.get(f"{V1}/entities/{ID}?options=concise")).json()
            assert concise["n"] == {"value": 1, "unitCode": "MTR", "since": "x"}
            times = (await client.get(f"{V1}/entities/{ID}?options=sysAttrs")).json()
            assert {"createdAt", "modifiedAt"} <= set(times) & set(times["n"])
            ld = await client.get(f"{V1}/entities/{ID}", headers={"accept": "application/ld+json"})
            assert ld.headers["content-type"] == "application/ld+json"
            assert "@context" in ld.json()
            only = await client.get(f"{V1}/entities/{ID}?attrs=ref")
            assert set(only.json()) == {"id", "type", "ref"}
            none = await client.get(f"{V1}/entities/{ID}?attrs=missing")
            assert none.status_code == 404
            assert (await client.delete(f"{V1}/entities/{ID}")).status_code == 204
            gone = await client.get(f"{V1}/entities/{ID}")
            assert gone.status_code == 404
            assert gone.json()["type"].endswith("/ResourceNotFound")

    asyncio.run(run())


def test_parts_of_an_entity(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            url = f"{V1}/entities/{ID}"
            await client.post(f"{V1}/entities", json=city(a=prop(1, q=prop(1)), b=prop(2)))
            added = await client.post(f"{url}/attrs", json={"c": prop(3), "a": prop(9)})
            assert added.status_code == 204
            kept = await client.post(
                f"{url}/attrs?options=noOverwrite", json={"a": prop(0), "d": prop(4)}
            )
            assert kept.status_code == 207
            assert kept.json()["updated"] == [f"{DEFAULT}d"]
            null = "urn:ngsi-ld:null"
            patch = {"a": prop(10), "zz": prop(1), "scope": "/a"}
            patched = await client.patch(f"{url}/attrs", json=patch)
            assert patched.status_code == 207, "a scope is replaced where there is one, not added"
            assert patched.json()["notUpdated"][0]["attributeName"].endswith("scope")
            gone = await client.patch(f"{url}/attrs", json={"zz": prop(null)})
            assert gone.status_code == 204
            assert (await client.patch(f"{url}/attrs/b", json={"value": 7})).status_code == 204
            assert (await client.put(f"{url}/attrs/c", json=prop("new"))).status_code == 204
            assert (await client.delete(f"{url}/attrs/d")).status_code == 204
            assert (await client.delete(f"{url}/attrs/d")).status_code == 404
            merged = {"b": {"value": 8}, "e": prop(5), "c": "urn:ngsi-ld:null"}
            media = {"content-type": "application/merge-patch+json"}
            answer = await client.patch(url, content=json.dumps(merged), headers=media)
            assert answer.status_code == 204, answer.text
            simple = (await client.get(f"{url}?options=simplified")).json()
            assert simple == {"id": ID, "type": "City", "a": 10, "b": 8, "e": 5}
            assert (await client.put(url, json=city(z=prop(1)))).status_code == 204
            simple = (await client.get(f"{url}?options=simplified")).json()
            assert simple == {"id": ID, "type": "City", "z": 1}
            for method, tail in (
                ("PATCH", "/attrs"),
                ("PUT", ""),
                ("PATCH", ""),
                ("POST", "/attrs"),
            ):
                path = f"{V1}/entities/urn:no:such{tail}"
                body = {"a": prop(1)} if tail or method == "PATCH" else {"type": "City"}
                assert (await client.request(method, path, json=body)).status_code == 404, method

    asyncio.run(run())


def test_queries_pages_and_counts(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            batch = [
                {
                    "id": f"urn:ngsi-ld:City:{i:03d}",
                    "type": "City",
                    "n": prop(i),
                    "location": {
                        "type": "GeoProperty",
                        "value": {"type": "Point", "coordinates": [5 + i / 1000, 52]},
                    },
                }
                for i in range(55)
            ]
            assert (
                await client.post(f"{V1}/entityOperations/upsert", json=batch)
            ).status_code == 201
            url: str | None = f"{V1}/entities?type=City&limit=20&count=true"
            seen: list[str] = []
            while url is not None:
                page = await client.get(url)
                assert page.headers["ngsild-results-count"] == "55"
                seen += [e["id"] for e in page.json()]
                links = [x for x in page.headers.get_list("link") if 'rel="next"' in x]
                url = links[0].partition("<")[2].partition(">")[0] if links else None
            assert seen == sorted(e["id"] for e in batch)
            offset = await client.get(f"{V1}/entities?type=City&limit=10&offset=50")
            assert [e["id"][-3:] for e in offset.json()] == ["050", "051", "052", "053", "054"]
            far = await client.get(f"{V1}/entities?type=City&offset=100")
            assert far.json() == []
            q = await client.get(f"{V1}/entities", params={"type": "City", "q": "n>=10;n<12|n==40"})
            assert [e["n"]["value"] for e in q.json()] == [10, 11, 40]
            near = {
                "type": "City",
                "georel": "near;maxDistance==100",
                "geometry": "Point",
                "coordinates": "[5.01,52]",
            }
            found = await client.get(f"{V1}/entities", params=near)
            assert [e["n"]["value"] for e in found.json()] == [9, 10, 11]
            pattern = await client.get(
                f"{V1}/entities?type=City&idPattern=.*05.$&options=keyValues"
            )
            assert [e["n"] for e in pattern.json()] == [50, 51, 52, 53, 54]
            counted = await client.get(f"{V1}/entities?type=City&limit=0&count=true")
            assert (counted.json(), counted.headers["ngsild-results-count"]) == ([], "55")
            kinds = await client.get(f"{V1}/types")
            assert kinds.json()["typeList"] == ["City"]

    asyncio.run(run())


def test_batches_tell_good_from_bad(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            url = f"{V1}/entityOperations"
            good, other = city(n=prop(1)), {"id": "urn:ngsi-ld:City:b", "type": "City"}
            made = await client.post(f"{url}/create", json=[good, other])
            assert (made.status_code, made.json()) == (201, [ID, other["id"]])
            third = {"id": "urn:ngsi-ld:City:c", "type": "City"}
            mixed = await client.post(f"{url}/create", json=[good, third, {"id": "no uri"}])
            assert mixed.status_code == 207
            assert mixed.json()["success"] == [third["id"]]
            errors = {e["entityId"]: e["error"]["status"] for e in mixed.json()["errors"]}
            assert errors == {ID: 409, "no uri": 400}
            updated = await client.post(f"{url}/upsert?options=update", json=[city(m=prop(2))])
            assert updated.status_code == 204
            assert set((await client.get(f"{V1}/entities/{ID}")).json()) == {"id", "type", "n", "m"}
            replaced = await client.post(f"{url}/upsert", json=[city(k=prop(3))])
            assert replaced.status_code == 204
            assert set((await client.get(f"{V1}/entities/{ID}")).json()) == {"id", "type", "k"}
            gone = await client.post(f"{url}/delete", json=[ID, "urn:no:such"])
            assert gone.status_code == 207
            assert gone.json()["success"] == [ID]

    asyncio.run(run())


def test_history_and_aggregates(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await client.post(f"{V1}/entities", json=city())
            for hour, value in enumerate((1, 3, 5)):
                at = f"2026-01-01T0{hour}:30:00Z"
                answer = await client.post(
                    f"{V1}/entities/{ID}/attrs", json={"n": prop(value, observedAt=at)}
                )
                assert answer.status_code == 204
            url = f"{V1}/temporal/entities/{ID}"
            whole = (await client.get(url)).json()
            assert [i["value"] for i in whole["n"]] == [1, 3, 5]
            after = {"timerel": "after", "timeAt": "2026-01-01T01:00:00Z", "attrs": "n"}
            assert len((await client.get(url, params=after)).json()["n"]) == 2
            values = (await client.get(f"{url}?options=temporalValues&lastN=1")).json()
            assert values["n"]["values"] == [[5, "2026-01-01T02:30:00Z"]]
            asked = {
                "options": "aggregatedValues",
                "aggrMethods": "avg,max,totalCount",
                "aggrPeriodDuration": "P1D",
            }
            day = (await client.get(url, params=asked)).json()["n"]
            assert [day[m][0][0] for m in ("avg", "max", "totalCount")] == [3.0, 5, 3]

    asyncio.run(run())


BAD: list[tuple[Any, int]] = [
    (b"", 400),
    (b"{", 400),
    (b'{"id": "\xff"}', 400),
    (b"[" * 5000, 413),
    (b"null", 400),
    (b'{"id":"x","type":"City"}', 400),
    (b'{"id":"urn:a:b"}', 400),
    (b'{"id":"urn:a:b","type":"City","n":{"type":"Property"}}', 400),
    (b'{"id":"urn:a:b","type":"City","n":{"type":"Property","value":null}}', 400),
    (b'{"id":"urn:a:b","type":"City","n":{"type":"Property","value":NaN}}', 400),
    (b'{"id":"urn:a:b","type":"City","n":{"type":"Property","value":1e999}}', 400),
    (b'{"id":"urn:a:b","type":"City","n":{"type":"Odd","value":1}}', 400),
    (b'{"id":"urn:a:b","type":"City","n":{"type":"Property","value":1,"observedAt":"soon"}}', 400),
    (
        b'{"id":"urn:a:b","type":"City","location":{"type":"GeoProperty","value":'
        b'{"type":"Point","coordinates":[0,0]}}}',
        400,
    ),
    (
        b'{"id":"urn:a:b","type":"City","n":{"type":"Property","value":"' + b"x" * 300_000 + b'"}}',
        413,
    ),
    (b'{"id":"urn:a:b","type":"City","n":' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}", 413),
    (b"x" * 9_000_000, 413),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_bodies_get_a_clear_error_and_leave_nothing(tmp_path: Path, case: int) -> None:
    body, status = BAD[case]

    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            media = {"content-type": "application/json"}
            answer = await client.post(f"{V1}/entities", content=body, headers=media)
            assert answer.status_code == status, answer.text[:300]
            assert answer.json()["detail"]
            assert (await client.get(f"{V1}/entities?type=City")).json() == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/entities", 400),
        ("/entities?type=City&type=City", 400),
        ("/entities?type=City&wat=1", 400),
        ("/entities?type=City&limit=-1", 400),
        ("/entities?type=City&limit=99999", 400),
        ("/entities?type=City&q=((", 400),
        ("/entities?type=City&q=a~=(a%2B)%2B$", 400),
        ("/entities?type=%ff", 400),
        ("/entities?type=City&georel=near&geometry=Point&coordinates=[1,2]", 400),
        ("/entities?id=urn:a:b", 400),
        ("/entities?type=City&scopeQ=/a//b", 400),
        ("/entities?type=(City", 400),
        ("/entities?type=City&pick=a&omit=a", 400),
        ("/entities?type=City&pick=a{", 400),
        ("/entities?type=City&lang=..", 400),
        ("/entities?type=City&joinLevel=1", 400),
        ("/entities?type=City&orderBy=a;up", 400),
        ("/entities?type=City&orderBy=location;dist-asc", 400),
        ("/entities?type=City&options=wat", 400),
        ("/entities/urn:a:b/nothing", 404),
        ("/nothing", 404),
    ],
)
def test_bad_urls(tmp_path: Path, path: str, status: int) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            answer = await client.get(V1 + path)
            assert answer.status_code == status, answer.text

    asyncio.run(run())


def test_media_types_methods_and_contexts(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            plain = {"content-type": "text/plain"}
            assert (
                await client.post(f"{V1}/entities", content="{}", headers=plain)
            ).status_code == 415
            accept = {"accept": "text/html"}
            assert (await client.get(f"{V1}/types", headers=accept)).status_code in (200, 406)
            assert (await client.get(f"{V1}/entities/{ID}", headers=accept)).status_code == 406
            assert (await client.put(f"{V1}/entities")).status_code == 405
            inline = city(**{"@context": {"n": "https://example.org/n"}, "n": prop(1)})
            assert (await client.post(f"{V1}/entities", json=inline)).status_code == 400
            ld = {"content-type": "application/ld+json"}
            body = json.dumps(inline)
            assert (
                await client.post(f"{V1}/entities", content=body, headers=ld)
            ).status_code == 201
            got = (await client.get(f"{V1}/entities/{ID}")).json()
            assert got["https://example.org/n"]["value"] == 1
            remote = json.dumps(city(**{"@context": "https://example.org/c.jsonld"}))
            answer = await client.post(f"{V1}/entities", content=remote, headers=ld)
            assert answer.status_code == 504
            assert answer.json()["type"].endswith("/LdContextNotAvailable")

    asyncio.run(run())


def test_no_route_gets_round_the_gate(tmp_path: Path) -> None:
    """Each route of the table, asked without a grant: the same 403, and nothing else said."""

    async def run() -> None:
        async with open_city(tmp_path, writable=False) as (running, client):
            grants = dict(running.gate.policy.grants)
            over = Grant(
                "public-open", "public", "open-data", "context", ("read",), OFFICERS, until_us=1
            )
            assert "public-open" in grants
            parts = [over] + [
                Grant(g.id, g.processor, g.purpose, g.dataset, g.actions, g.approvals, until_us=1)
                for g in grants.values()
                if g.processor == "public" and g.id != "public-open"
            ]
            await running.registry.put(parts, "ada", "nothing is open any more")
            bodies = set()
            for pattern, methods in ROUTES.items():
                for method in methods:
                    path = "/".join(ID if part == "{id}" else part for part in pattern)
                    url = f"{V1}/{path}".replace("{attr}", "n")
                    answer = await client.request(method, url, json={"n": prop(1)})
                    assert answer.status_code == 403, (method, url, answer.text)
                    bodies.add(answer.text)
            assert len(bodies) == 1

    asyncio.run(run())


def test_keys_are_bound_and_replays_repeat(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (running, client):
            credential, key = new_credential("public", "open-data")
            running.credentials.replace([credential])
            auth = {"authorization": f"Bearer {key}"}
            assert (await client.get(f"{V1}/types", headers=auth)).status_code == 200
            other = {**auth, "poorter-purpose": "control-room"}
            assert (await client.get(f"{V1}/types", headers=other)).status_code == 403
            wrong = {"authorization": f"Bearer {key}x"}
            answer = await client.get(f"{V1}/types", headers=wrong)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            again = {"idempotency-key": "one"}
            first = await client.post(f"{V1}/entities", json=city(), headers=again)
            second = await client.post(f"{V1}/entities", json=city(), headers=again)
            assert (first.status_code, second.status_code) == (201, 201)
            third = await client.post(f"{V1}/entities", json=city())
            assert third.status_code == 409

    asyncio.run(run())


def test_too_many_requests_are_told_when_to_come_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (running, client):
            burst = running.config.server_public_rate_burst
            answers = [(await client.get(f"{V1}/types")).status_code for _ in range(burst + 1)]
            assert answers[-2:] == [200, 429]
            last = await client.get(f"{PREFIX}parking/places")
            assert last.status_code == 429
            assert int(last.headers["retry-after"]) >= 1

    asyncio.run(run())


def test_personal_data_leaves_its_line_before_it_leaves(tmp_path: Path) -> None:
    """One leaf for each subject, with the subject sealed in it; non-personal ones are counted."""

    async def run() -> None:
        async with open_city(tmp_path) as (running, client):
            people = Dataset(
                "people",
                Text("Mensen", "People"),
                "care",
                "personal",
                "Sociaal domein",
                {"Person": ()},
                retention_days=30,
            )
            words = Text("Zorg", "Care")
            why = Purpose("care", "run-the-platform", words, "AVG 6(1)(e), Wmo", "Sociaal domein")
            app = Processor("app:care", words, "city")
            grant = Grant("p", app.id, why.id, "people", ("read", "write"), OFFICERS)
            parts = [people, why, app, grant]
            await running.registry.put(parts, "ada", "a test of the record")
            credential, key = new_credential(app.id, why.id)
            running.credentials.replace([credential])
            client.headers["authorization"] = f"Bearer {key}"
            ids = [f"urn:ngsi-ld:Person:{i}" for i in range(3)]
            shown = []
            for urn in ids:
                body = {"id": urn, "type": "Person", "n": prop(1)}
                made = await client.post(f"{V1}/entities", json=body)
                assert made.status_code == 201
                shown.append(made.headers["location"].rpartition("/")[2])
            permit = running.gate.permit("internal:ledger", RUN, "read")
            before = len(running.store.leaves(permit, 0, 1000))

            def lines(urn: str) -> int:
                subject = running.subject_of(urn, "care")
                _, kept = running.recorder.keys.name("care", subject)
                return len(running.store.lines(permit, kept))

            assert [lines(urn) for urn in ids] == [1, 1, 1]  # each was written once
            got = await client.get(f"{V1}/entities/{shown[0]}")
            assert got.status_code == 200
            assert [lines(urn) for urn in ids] == [2, 1, 1]
            await client.get(f"{V1}/entities?type=Person")
            assert [lines(urn) for urn in ids] == [3, 2, 2]
            leaves = running.store.leaves(permit, before, 1000)
            assert [decode_leaf(leaf).type for _, leaf in leaves] == [
                *("use", "audit"),
                *("use", "use", "use", "audit"),
            ]
            for _, leaf in leaves:
                assert b"Person:" not in leaf  # what is public tells of nobody
            none = await client.get(f"{V1}/entities/urn:ngsi-ld:Person:9")
            assert none.status_code == 404
            assert len(running.store.leaves(permit, before, 1000)) == len(leaves)
            await record_uses(running)
            endings = running.store.leaves(permit, before + len(leaves), 1000)
            assert [decode_leaf(leaf).type for _, leaf in endings].count("ended") == 5

    asyncio.run(run())


def test_a_merge_takes_away_inside_a_value_and_a_create_can_not(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            null = {"a": "urn:ngsi-ld:null", "b": 2}
            refused = await client.post(f"{V1}/entities", json=city(n=prop(null)))
            assert refused.status_code == 400
            await client.post(f"{V1}/entities", json=city(n=prop({"a": 1, "c": 3})))
            merged = await client.patch(
                f"{V1}/entities/{ID}", json={"n": prop(null), "m": prop(null)}
            )
            assert merged.status_code == 204, merged.text
            got = (await client.get(f"{V1}/entities/{ID}?options=keyValues")).json()
            assert (got["n"], got["m"]) == ({"b": 2, "c": 3}, {"b": 2})

    asyncio.run(run())
