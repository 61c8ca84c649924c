# SPDX-License-Identifier: EUPL-1.2
"""A city and sources that are dead, slow, lying or curious: what it takes from them, what it tells
them, and whom it lets register one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.founded import OFFICERS, founded
from tests.sources import Source, source

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.genesis import RUN_GOAL
from poorter.gate.policy import Dataset, Grant, Processor, Purpose
from poorter.identity.credentials import Credential, new_credential
from poorter.running import Running
from poorter.server import make_app

V1 = "/ngsi-ld/v1"
LOT = "urn:ngsi-ld:OffStreetParking:1"


@asynccontextmanager
async def hub(
    folder: Path, clock: ManualClock | None = None, registers: bool = True
) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """A city whose public may read and write the context, and register sources."""
    more: dict[str, object] = {"network.allowed_hosts": ["127.0.0.1"]}
    async with founded(folder, clock or ManualClock(), systems=(), more=more) as running:
        grants = [Grant("w", "public", "open-data", "context", ("write",), OFFICERS)]
        if registers:
            grants.append(Grant("s", "public", "open-data", "sources", ("read", "write"), OFFICERS))
        await running.registry.put(grants, "ada", "test")
        app: Any = make_app(running)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
            yield running, client
        await running.outgoing.close()


def registration(url: str, **more: Any) -> dict[str, Any]:
    body = {
        "type": "ContextSourceRegistration",
        "information": [{"entities": [{"type": "OffStreetParking"}]}],
        "endpoint": url,
    }
    return {**body, **more}


def lot(urn: str = LOT, **values: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"id": urn, "type": "OffStreetParking"}
    for name, value in values.items():
        body[name] = {"type": "Property", "value": value}
    return body


async def register(client: httpx.AsyncClient, body: dict[str, Any], **more: Any) -> str:
    made = await client.post(f"{V1}/csourceRegistrations", json=body, **more)
    assert made.status_code == 201, made.text
    return str(made.headers["location"].rsplit("/", 1)[1])


_keys: dict[int, list[Credential]] = {}


async def app_key(running: Running, name: str, *grants: Grant) -> dict[str, str]:
    """A key of an app with these grants."""
    processor = Processor(name, Text(name, name), "-")
    await running.registry.put([processor, *grants], "ada", "test")
    credential, key = new_credential(name, grants[0].purpose)
    _keys.setdefault(id(running), []).append(credential)
    running.credentials.replace(_keys[id(running)])
    return {"authorization": f"Bearer {key}"}


def test_registering_needs_a_grant_of_its_own(tmp_path: Path) -> None:
    async def run() -> None:
        async with hub(tmp_path, registers=False) as (_, client):
            for method, path in (
                ("POST", "csourceRegistrations"),
                ("GET", "csourceRegistrations?type=OffStreetParking"),
                ("GET", "csourceSubscriptions"),
            ):
                body = registration("http://127.0.0.1:9") if method == "POST" else None
                answer = await client.request(method, f"{V1}/{path}", json=body)
                assert answer.status_code == 403, path

    asyncio.run(run())


def test_secrets_of_a_registration_are_told_to_its_source_only(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as there:
            async with hub(tmp_path) as (running, client):
                key = await app_key(
                    running, "app", Grant("a", "app", "open-data", "context", ("read",), OFFICERS)
                )
                info = [
                    {"key": "X-Token", "value": "its-own-secret"},
                    {"key": "Authorization", "value": "urn:ngsi-ld:request"},
                    {"key": "X-Question", "value": "urn:ngsi-ld:request"},
                ]
                reg = await register(client, registration(there.url, contextSourceInfo=info))
                there.says("GET", f"/entities/{LOT}", 200, lot(free=3))
                headers = {**key, "x-question": "42", "cookie": "session=1"}
                got = await client.get(f"{V1}/entities/{LOT}", headers=headers)
                assert got.json()["free"]["value"] == 3
                _, _, sent, _ = there.asked[0]
                assert sent["X-Token"] == "its-own-secret"
                assert sent["X-Question"] == "42"
                lower = {name.lower() for name in sent}
                assert not lower & {"authorization", "cookie", "poorter-purpose"}
                shown = (await client.get(f"{V1}/csourceRegistrations/{reg}")).text
                assert "its-own-secret" not in shown
                assert "urn:ngsi-ld:hidden" in shown
                # what was shown hidden and is sent back stays as it was
                doc = (await client.get(f"{V1}/csourceRegistrations/{reg}")).json()
                again = {"contextSourceInfo": doc["contextSourceInfo"], "description": "x"}
                done = await client.patch(f"{V1}/csourceRegistrations/{reg}", json=again)
                assert done.status_code == 204
                await client.get(f"{V1}/entities/{LOT}", headers=key)
                assert there.asked[-1][2]["X-Token"] == "its-own-secret"
                # nor does a copy of the data tell it
                files = [file for file in tmp_path.rglob("data/**/*") if file.is_file()]
                assert files and not any(b"its-own-secret" in file.read_bytes() for file in files)
                # and a city that starts again still knows it
                assert running.federation is not None
                await running.federation.registry.start()
                await running.federation.registry.stop()
                await client.get(f"{V1}/entities/{LOT}", headers=key)
                assert there.asked[-1][2]["X-Token"] == "its-own-secret"

    asyncio.run(run())


def test_a_lying_source_gives_only_what_it_registered_and_may(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as there:
            async with hub(tmp_path) as (running, client):
                visitors = Dataset(
                    "visitors", Text("b", "v"), "open", "open", "-", {"Visitor": ("n",)}
                )
                grants = [
                    visitors,
                    Grant("v", "public", "open-data", "visitors", ("read", "write"), OFFICERS),
                ]
                await running.registry.put(grants, "ada", "test")
                information = [
                    {"entities": [{"type": "OffStreetParking"}], "propertyNames": ["free"]},
                    {"entities": [{"type": "Visitor"}]},
                    {"entities": [{"type": "Secret"}]},
                ]
                await register(client, registration(there.url, information=information))
                lies = [
                    lot(free=3, name="not registered"),
                    {"id": "urn:x:1", "type": "Secret", "n": {"type": "Property", "value": 1}},
                    {"id": "urn:x:2", "type": "Road", "n": {"type": "Property", "value": 1}},
                    {
                        "id": "urn:x:3",
                        "type": "Visitor",
                        "n": {"type": "Property", "value": 1},
                        "face": {"type": "Property", "value": "no grant"},
                    },
                ]
                there.says("GET", "/entities", 200, lies)
                kinds = "OffStreetParking,Visitor,Secret,Road"
                found = (await client.get(f"{V1}/entities?type={kinds}&count=true")).json()
                assert {one["id"]: set(one) - {"id", "type"} for one in found} == {
                    LOT: {"free"},
                    "urn:x:3": {"n"},
                }
                asked = there.asked[0][1]
                assert "Secret" not in asked and "Road" not in asked  # it isn't even asked
                # what has no grant can't be felt either: not by q, not by count
                felt = await client.get(f'{V1}/entities?type=Visitor&q=face=="no grant"&count=true')
                assert felt.json() == [] and felt.headers["ngsild-results-count"] == "0"
                # another entity than the one asked for is not taken
                there.says("GET", f"/entities/{LOT}", 200, lot("urn:ngsi-ld:other", free=1))
                assert (await client.get(f"{V1}/entities/{LOT}")).status_code == 404
                # no JSON at all, or far too much of it, is a warning and no failure
                there.says("GET", f"/entities/{LOT}", 200, b"{no json")
                broken = await client.get(f"{V1}/entities/{LOT}")
                assert (
                    broken.status_code == 404 and " 111 " in f" {broken.headers['ngsild-warning']}"
                )

    asyncio.run(run())


def test_a_source_ends_with_the_grant_of_who_registered_it(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as there:
            clock = ManualClock()
            async with hub(tmp_path, clock) as (running, client):
                mine = Grant("b", "bringer", "open-data", "context", ("write",), OFFICERS)
                sources = Grant("c", "bringer", "open-data", "sources", ("write",), OFFICERS)
                key = await app_key(running, "bringer", mine, sources)
                await register(client, registration(there.url), headers=key)
                there.says("GET", f"/entities/{LOT}", 200, lot(free=3))
                assert (await client.get(f"{V1}/entities/{LOT}")).status_code == 200
                now_us = running.clock.now_us()
                over = Grant(
                    "b", "bringer", "open-data", "context", ("write",), OFFICERS, until_us=now_us
                )
                await running.registry.put([over], "ada", "it is over")
                clock.forward_s(1.1)
                count = len(there.asked)
                assert (await client.get(f"{V1}/entities/{LOT}")).status_code == 404
                assert len(there.asked) == count  # it isn't asked any more

    asyncio.run(run())


def test_personal_data_goes_to_no_source_that_may_not_read_it(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as there:
            async with hub(tmp_path) as (running, client):
                people = Dataset(
                    "people",
                    Text("p", "p"),
                    "people",
                    "personal",
                    "-",
                    {"Person": ()},
                    retention_days=30,
                )
                words = Text("Zorg", "Care")
                why = Purpose("care", RUN_GOAL, words, "AVG 6(1)(e), Wmo", "Sociaal domein")
                await running.registry.put([people, why], "ada", "test")
                reads = Grant("r", "doctor", "care", "people", ("read", "write"), OFFICERS)
                doctor = await app_key(running, "doctor", reads)
                writes = Grant("w2", "bringer", "care", "people", ("write",), OFFICERS)
                sources = Grant("c2", "bringer", "care", "sources", ("write",), OFFICERS)
                bringer = await app_key(running, "bringer", writes, sources)
                body = registration(
                    there.url,
                    information=[{"entities": [{"type": "Person"}]}],
                    operations=["redirectionOps"],
                )
                await register(client, body, headers=bringer)
                urn = "urn:ngsi-ld:Person:1"
                person = {"id": urn, "type": "Person", "n": {"type": "Property", "value": 1}}
                await client.get(f"{V1}/entities?type=Person", headers=doctor)
                await client.get(f"{V1}/entities/{urn}", headers=doctor)
                made = await client.post(f"{V1}/entities", json=person, headers=doctor)
                assert made.status_code == 201
                assert there.asked == []
                # and nobody gets both: who reads behind a wall may not bring sources beside it
                more = Grant("r2", "bringer", "care", "people", ("read",), OFFICERS)
                with pytest.raises(Invalid):
                    await running.registry.put([more], "ada", "test")

    asyncio.run(run())


def test_dead_and_slow_sources_hold_nobody_up(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as slow:
            clock = ManualClock()
            async with hub(tmp_path, clock) as (_, client):
                await client.post(f"{V1}/entities", json=lot(free=1))
                slow.delay_s = 3.0
                patience = {"timeout": 200}
                reg = await register(client, registration(slow.url, management=patience))
                began = time.perf_counter()
                got = await client.get(f"{V1}/entities?type=OffStreetParking")
                assert time.perf_counter() - began < 2.0
                assert [one["id"] for one in got.json()] == [LOT]
                assert got.headers["ngsild-warning"].startswith("199 ")
                assert LOT not in got.headers["ngsild-warning"]
                for _ in range(2):
                    await client.get(f"{V1}/entities/{LOT}")
                asked = len(slow.asked)
                began = time.perf_counter()
                rests = await client.get(f"{V1}/entities/{LOT}")  # after three it is left alone
                assert time.perf_counter() - began < 0.15 and len(slow.asked) == asked
                assert rests.status_code == 200 and "left alone" in rests.headers["ngsild-warning"]
                shown = (await client.get(f"{V1}/csourceRegistrations/{reg}")).json()
                assert (shown["status"], shown["timesFailed"]) == ("failed", 3)
                slow.delay_s = 0.0
                clock.forward_s(11)
                well = await client.get(f"{V1}/entities/{LOT}")
                assert "ngsild-warning" not in well.headers and len(slow.asked) == asked + 1
                await client.delete(f"{V1}/csourceRegistrations/{reg}")
                dead = registration(
                    "http://127.0.0.1:9",
                    mode="redirect",
                    operations=["redirectionOps"],
                    information=[{"entities": [{"type": "Road"}]}],
                )
                await register(client, dead)
                road = {"id": "urn:x:r", "type": "Road", "n": {"type": "Property", "value": 1}}
                lost = await client.post(f"{V1}/entities", json=road)
                assert lost.status_code == 504
                kept = await client.get(f"{V1}/entities?type=Road&local=true")
                assert kept.json() == []  # a source holds it alone, or nobody does

    asyncio.run(run())


def test_conflicts_when_registering(tmp_path: Path) -> None:
    async def run() -> None:
        async with hub(tmp_path) as (_, client):
            url = "http://127.0.0.1:9"
            path = f"{V1}/csourceRegistrations"
            await client.post(f"{V1}/entities", json=lot(free=1))
            one = [
                {"entities": [{"id": LOT, "type": "OffStreetParking"}], "propertyNames": ["free"]}
            ]
            taken = await client.post(
                path, json=registration(url, mode="exclusive", information=one)
            )
            assert taken.status_code == 409 and taken.json()["type"].endswith("/Conflict")
            other = [{**one[0], "propertyNames": ["price"]}]
            await register(client, registration(url, mode="exclusive", information=other))
            for mode in ("exclusive", "redirect"):
                again = await client.post(
                    path, json=registration(url, mode=mode, information=other)
                )
                assert again.status_code == 409, mode
            for wrong in (
                registration(url, mode="exclusive"),
                registration(url, mode="auxiliary", operations=["updateEntity"]),
                registration("http://elsewhere.invalid"),
                registration(url, operations=["fly"]),
                registration(url, expiresAt="2000-01-01T00:00:00Z"),
                registration(url, expiresAt="2040-01-01T00:00:00+01:00"),
            ):
                assert (await client.post(path, json=wrong)).status_code == 400, wrong

    asyncio.run(run())


def _paths(there: Source) -> list[tuple[str, str]]:
    return [(method, path) for method, path, _, _ in there.asked]


def test_a_loop_is_refused_where_only_the_loop_has_it(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as there:
            async with hub(tmp_path) as (_, client):
                body = registration(there.url, mode="redirect", operations=["redirectionOps"])
                await register(client, body)
                there.says("POST", "/entities", 201)
                assert (await client.post(f"{V1}/entities", json=lot(free=1))).status_code == 201
                via = there.asked[0][2]["Via"]
                looped = await client.delete(f"{V1}/entities/{LOT}", headers={"via": via})
                assert looped.status_code == 508
                read = await client.get(f"{V1}/entities/{LOT}", headers={"via": via})
                assert read.status_code == 404
                assert len(there.asked) == 1

    asyncio.run(run())


def test_an_entity_map_keeps_pages_and_is_its_makers_own(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as there:
            clock = ManualClock()
            async with hub(tmp_path, clock) as (running, client):
                for key in ("a", "c", "e"):
                    await client.post(f"{V1}/entities", json=lot(f"urn:x:{key}", free=1))
                reg = await register(client, registration(there.url))
                there.says("GET", "/entities", 200, [lot("urn:x:b", free=1), lot("urn:x:c", n=2)])
                kind = "type=OffStreetParking"
                made = await client.get(f"{V1}/entityMaps?{kind}&entityMapLifetime=PT5M")
                assert made.status_code == 201
                assert made.json()["entityMap"] == {
                    "urn:x:a": ["@none"],
                    "urn:x:b": [reg],
                    "urn:x:c": ["@none", reg],
                    "urn:x:e": ["@none"],
                }
                place = made.headers["ngsild-entitymap"]
                await client.post(f"{V1}/entities", json=lot("urn:x:aa", free=1))
                await client.delete(f"{V1}/entities/urn:x:e?local=true")
                by_map = {"ngsild-entitymap": place}
                page = await client.get(f"{V1}/entities?{kind}&limit=2&count=true", headers=by_map)
                assert [one["id"] for one in page.json()] == ["urn:x:a", "urn:x:b"]
                assert page.headers["ngsild-results-count"] == "3"
                rest = await client.get(f"{V1}/entities?{kind}&limit=2&offset=2", headers=by_map)
                assert [one["id"] for one in rest.json()] == ["urn:x:c"]
                assert "urn:x:e" not in (await client.get(place)).text
                grant = Grant("o", "other", "open-data", "context", ("read",), OFFICERS)
                other = await app_key(running, "other", grant)
                assert (await client.get(place, headers=other)).status_code == 404
                assert (await client.delete(place, headers=other)).status_code == 404
                clock.forward_s(301)
                assert (await client.get(place)).status_code == 404
                bad = await client.get(f"{V1}/entityMaps?{kind}&entityMapLifetime=soon")
                assert bad.status_code == 400

    asyncio.run(run())


def test_the_tenant_of_a_source_is_passed_on_and_only_that(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as there:
            async with hub(tmp_path) as (_, client):
                refused = await client.get(f"{V1}/types", headers={"ngsild-tenant": "t"})
                assert refused.status_code == 403, "no grant in it"
                await register(client, registration(there.url, tenant="theirs"))
                await client.get(f"{V1}/entities/{LOT}")
                assert there.asked[0][2]["NGSILD-Tenant"] == "theirs"
                alias = (await client.get(f"{V1}/info/sourceIdentity")).json()["contextSourceAlias"]
                assert there.asked[0][2]["Via"] == f"1.1 {alias}"

    asyncio.run(run())


def test_a_permit_is_asked_again_after_waiting_for_a_source(tmp_path: Path) -> None:
    async def run() -> None:
        with source() as there:
            clock = ManualClock()
            async with hub(tmp_path, clock) as (running, client):
                await client.post(f"{V1}/entities", json=lot(free=1))
                await register(client, registration(there.url))
                there.says("GET", f"/entities/{LOT}", 200, lot(price=2))
                there.delay_s = 0.3

                async def later() -> None:
                    await asyncio.sleep(0.1)
                    clock.forward_s(2)  # the lease runs out while the source thinks

                got, _ = await asyncio.gather(client.get(f"{V1}/entities/{LOT}"), later())
                assert {"free", "price"} <= set(got.json())

                async def revoked() -> None:
                    await asyncio.sleep(0.1)
                    now_us = running.clock.now_us()
                    over = Grant(
                        "w", "public", "open-data", "context", ("write",), OFFICERS, until_us=now_us
                    )
                    await running.registry.put([over], "ada", "it is over")
                    clock.forward_s(2)

                less, _ = await asyncio.gather(client.get(f"{V1}/entities/{LOT}"), revoked())
                assert "price" not in less.json()  # who registered it may not bring it any more

    asyncio.run(run())
