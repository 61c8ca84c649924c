# SPDX-License-Identifier: EUPL-1.2
"""Tenants: nothing of one is in another or in the city, and the gate says who may use which."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.founded import OFFICERS
from tests.ngsild.test_http import ID, V1, city, open_city, prop
from tests.ngsild.test_subscriptions import Receiver, subscription

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid, Unauthenticated
from poorter.city.text import Text
from poorter.city.time import SECOND_US, format_us
from poorter.gate.genesis import RUN
from poorter.gate.policy import Dataset, Grant, Processor
from poorter.identity.credentials import Credential, Credentials, new_credential
from poorter.jobs import compact, let_expire, record_uses
from poorter.ledger.leaf import decode_leaf
from poorter.offices.keys import make_key
from poorter.running import Running
from poorter.running import open_city as open_again

NORTH = {"NGSILD-Tenant": "north"}
SOUTH = {"NGSILD-Tenant": "south"}
NEW = "NonexistentTenant"


def words(text: str) -> Text:
    return Text(text, text)


@asynccontextmanager
async def open_tenants(
    folder: Path, clock: ManualClock | None = None, who: str = "public@*", **more: Any
) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    async with open_city(folder, clock=clock, more=more or None) as (running, client):
        grants = [
            Grant(f"{who}-{d}", who, "open-data", d, ("read", "write"), OFFICERS)
            for d in ("context", "sources")
        ]
        grants.append(Grant("s", "public", "open-data", "sources", ("read",), OFFICERS))
        processor = Processor(who, words("Everybody in a tenant"), "-")
        await running.registry.put([processor, *grants], "ada", "test")
        try:
            yield running, client
        finally:
            assert running.tenants is not None
            await running.tenants.stop()


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition("/")[2]


def test_what_one_tenant_has_no_other_sees(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_tenants(tmp_path) as (_, client):
            url = f"{V1}/entities/{ID}"
            absent = await client.get(url, headers=NORTH)
            assert (absent.status_code, kind(absent)) == (404, NEW)
            assert absent.headers["ngsild-tenant"] == "north"
            for headers, n in ((NORTH, 1), (SOUTH, 2), ({}, 3)):
                body = city(n=prop(n, observedAt="2026-01-01T00:00:00Z"))
                made = await client.post(f"{V1}/entities", json=body, headers=headers)
                assert made.status_code == 201
            for headers, n in ((NORTH, 1), (SOUTH, 2), ({}, 3)):
                got = await client.get(url, headers=headers)
                assert got.json()["n"]["value"] == n
                assert got.headers.get("ngsild-tenant") == headers.get("NGSILD-Tenant")
                history = f"{V1}/temporal/entities/{ID}?options=temporalValues"
                past = (await client.get(history, headers=headers)).json()
                assert [value for value, _ in past["n"]["values"]] == [n]
            assert (await client.delete(url, headers=NORTH)).status_code == 204
            for headers, status in ((NORTH, 404), (SOUTH, 200), ({}, 200)):
                answer = await client.get(url, headers=headers)
                assert answer.status_code == status
                listed = await client.get(f"{V1}/types", headers=headers)
                assert bool(listed.json()["typeList"]) == (status == 200)
            gone = await client.get(url, headers=NORTH)
            assert kind(gone) == "ResourceNotFound", "the tenant is there, the entity is not"

    asyncio.run(run())


def test_subscriptions_sources_and_contexts_are_apart(tmp_path: Path) -> None:
    async def run() -> None:
        allowed = {"network.allowed_hosts": ["127.0.0.1"]}
        async with open_tenants(tmp_path, **allowed) as (_, client):
            endpoint = "http://127.0.0.1:9/x"
            info = [{"entities": [{"type": "Garden"}]}]
            bodies = {
                "subscriptions": {
                    "type": "Subscription",
                    "entities": [{"type": "City"}],
                    "notification": {"endpoint": {"uri": endpoint}},
                },
                "csourceRegistrations": {
                    "type": "ContextSourceRegistration",
                    "information": info,
                    "endpoint": endpoint,
                },
                "jsonldContexts": {"@context": {"own": "https://example.org/own"}},
            }
            for path, body in bodies.items():
                made = await client.post(f"{V1}/{path}", json=body, headers=NORTH)
                assert made.status_code == 201, made.text
                there = made.headers["location"]
                asked = f"{V1}/{path}?type=Garden" if path.startswith("cs") else f"{V1}/{path}"
                await client.post(f"{V1}/entities", json=city(), headers=SOUTH)
                for headers, number, status in ((NORTH, 1, 200), (SOUTH, 0, 404), ({}, 0, 404)):
                    found = await client.get(asked, headers=headers)
                    assert found.status_code == 200, found.text
                    assert len(found.json()) == number
                    assert (await client.get(there, headers=headers)).status_code == status

    asyncio.run(run())


def test_the_gate_says_who_may_use_which(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_tenants(tmp_path, who="public@north") as (running, client):
            body = city(n=prop(1))
            made = await client.post(f"{V1}/entities", json=body, headers=NORTH)
            assert made.status_code == 201
            # no grant there: one uniform 403, whether there is such a tenant or not
            refused = [
                await client.get(f"{V1}/entities?type=City", headers=SOUTH),
                await client.post(f"{V1}/entities", json=body, headers=SOUTH),
            ]
            assert {answer.status_code for answer in refused} == {403}
            assert running.tenants is not None
            assert running.tenants.names() == ["north"]
            # a processor that may in the city may nothing in a tenant, and the other way round
            grant = Grant("k", "staff@north", RUN, "context", ("read",), OFFICERS)
            inside = Processor("staff@north", words("Staff, in the north"), "-")
            await running.registry.put([inside, grant], "ada", "test")
            kept, key = new_credential("staff", RUN)
            running.credentials.replace([kept])
            keyed = {"Authorization": f"Bearer {key}"}
            url = f"{V1}/entities/{ID}"
            assert (await client.get(url, headers=keyed)).status_code == 403
            assert (await client.get(url, headers={**keyed, **NORTH})).status_code == 200
            assert (await client.delete(url, headers={**keyed, **NORTH})).status_code == 403
            ended = Grant("k", "staff@north", RUN, "context", ("read",), OFFICERS, until_us=1)
            await running.registry.put([ended], "ada", "test")
            assert (await client.get(url, headers={**keyed, **NORTH})).status_code == 403
            await record_uses(running)
            permit = running.gate.permit("internal:ledger", RUN, "read")
            leaves = [decode_leaf(leaf) for _, leaf in running.store.leaves(permit, 0, 1000)]
            told = {one.processor for one in leaves if one.type == "uses"}
            assert {"public@north", "staff@north"} <= told, "the ledger names the tenant"

    asyncio.run(run())


def test_no_key_opens_a_tenant_from_within_the_city(tmp_path: Path) -> None:
    """A key of "staff@north" would have the rights of a tenant over what the city has."""
    kept, key = new_credential("staff@north", RUN)
    credentials = Credentials()
    credentials.replace([Credential.from_doc(kept.id, kept.to_doc())])
    try:
        credentials.caller(key, 0)
    except Unauthenticated:
        pass
    else:
        raise AssertionError("it opens")

    async def run() -> None:
        async with open_tenants(tmp_path) as (running, _):
            try:
                await make_key(running, "public@*", "open-data", 1, "ada")
            except Invalid:
                return
            raise AssertionError("it was made")

    asyncio.run(run())


def test_persons_are_in_the_city_itself(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_tenants(tmp_path) as (running, _):
            people = Dataset(
                "people",
                words("People"),
                "care",
                "personal",
                "Office",
                {"Person": ()},
                retention_days=9,
            )
            who = Processor("staff@north", words("Staff, in the north"), "-")
            inside = Grant("p", "staff@north", RUN, "people", ("read",), OFFICERS)
            with pytest.raises(Invalid, match="not in a tenant"):
                await running.registry.put([people, who, inside], "ada", "test")
            # nor does what somebody reads behind a wall go into a tenant
            behind = Grant("q", "staff", RUN, "people", ("read",), OFFICERS)
            writes = Grant("w", "staff@north", RUN, "context", ("write",), OFFICERS)
            with pytest.raises(Invalid, match="outside it"):
                await running.registry.put([people, who, behind, writes], "ada", "test")

    asyncio.run(run())


def test_names_are_checked_before_they_become_folders(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_tenants(tmp_path) as (running, client):
            for name in ("../north", "a/b", ".", "", "a" * 64, "é", "a b"):
                headers = [("NGSILD-Tenant", name.encode())]
                answer = await client.post(f"{V1}/entities", json=city(), headers=headers)
                assert answer.status_code == 400, name
            twice = [("NGSILD-Tenant", "north"), ("NGSILD-Tenant", "south")]
            answer = await client.get(f"{V1}/entities?type=City", headers=twice)
            assert answer.status_code == 400
            assert running.tenants is not None
            assert running.tenants.names() == []

    asyncio.run(run())


def test_each_has_a_name_of_its_own_among_sources(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_tenants(tmp_path) as (running, client):
            url = f"{V1}/info/sourceIdentity"
            aliases = [
                (await client.get(url, headers=headers)).json()["contextSourceAlias"]
                for headers in ({}, NORTH, SOUTH, NORTH)
            ]
            assert len(set(aliases)) == 3
            assert aliases[1] == aliases[3]
            assert running.tenants is not None
            assert running.tenants.names() == [], "asking for a name makes no tenant"

    asyncio.run(run())


def test_background_work_and_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with open_tenants(tmp_path, clock=clock) as (running, client):
            ends = format_us(clock.now_us() + SECOND_US)
            body = city(n=prop(1, observedAt=format_us(clock.now_us())))
            await client.post(f"{V1}/entities", json=body, headers=NORTH)
            other = {"id": "urn:ngsi-ld:City:b", "type": "City", "expiresAt": ends}
            await client.post(f"{V1}/entities", json=other, headers=NORTH)
            assert running.tenants is not None
            (tenant,) = running.tenants.open
            clock.forward_s(2)
            await let_expire(running)
            assert tenant.store.expires_next_us() > clock.now_us() + 10**15
            clock.forward_s(7 * 86_400)
            await compact(running)
            permit = running.gate.permit("internal:history", RUN, "read")
            assert tenant.store.history_size(permit).segments > 0
            await running.tenants.stop()
            config = running.config
        again = await open_again(config, clock)
        again.close()
        assert (tmp_path / "data" / "tenants" / "north" / "city.db").exists()

    asyncio.run(run())


def test_notifications_name_the_tenant_and_stay_within_it(tmp_path: Path) -> None:
    async def run() -> None:
        allowed = {"network.allowed_hosts": ["127.0.0.1"]}
        async with Receiver() as told, open_tenants(tmp_path, **allowed) as (running, client):
            doc = subscription(told.url)
            made = await client.post(f"{V1}/subscriptions", json=doc, headers=NORTH)
            assert made.status_code == 201
            for headers, n in ((SOUTH, 2), ({}, 3), (NORTH, 1)):
                await client.post(f"{V1}/entities", json=city(n=prop(n)), headers=headers)
            headers, message = await told.next()
            assert headers["ngsild-tenant"] == "north"
            assert message["data"][0]["n"]["value"] == 1
            await told.nothing()
            await running.outgoing.close()

    asyncio.run(run())
