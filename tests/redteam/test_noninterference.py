# SPDX-License-Identifier: EUPL-1.2
"""Two cities that differ in nothing but what a caller may not see answer it the very same way,
whatever it asks: values, absence and changes of masked attributes, rows of those who object, and
whole walls. What tells them apart would be a leak, in whatever header, count, order or time.

The number of the newest event is one for the whole city, so it is left out of the comparison.
"""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.founded import OFFICERS
from tests.walls.city import V1, App, City, T, city
from tests.walls.test_consents import FENNA, LOTTE, person

from poorter.gate.policy import Grant, Part, Processor, Purpose
from poorter.identity.credentials import new_credential

KEPT = re.compile(r"urn:ngsi-ld:(\w+):[a-z2-7]{30,}")
MADE = re.compile(r"urn:ngsi-ld:(EntityTypeList|AttributeList|EntityMap):\w+")
MASKED = ("diagnosis", "location", "friend")
PAST = "timerel=after&timeAt=2020-01-01T00:00:00Z"
DAYS = "from=2026-01-01T00:00:00Z&until=2026-01-03T00:00:00Z"
Ask = tuple[str, str, Any]


def reads(urn: str, kind: str) -> list[Ask]:
    e, te, found = f"{V1}/entities?type={kind}&count=true", f"{V1}/temporal/entities", []
    near = "georel=near;maxDistance==1000&geometry=Point&coordinates=[5.3,52.1]"
    for a in ("name", "diagnosis", "location", "nothing"):
        conditions = (a, f"!{a}", f'{a}=="x"', f'{a}!="x"', f'{a}~=".*"', f"{a}.modifiedAt>2020")
        found += [f"{e}&q={q}" for q in (*conditions, f"age;{a}", f"age|{a}", f"friend{{X}}.{a}")]
        found += [f"{e}&{p}={a}" for p in ("attrs", "pick", "omit", "orderBy", "geometryProperty")]
        found += [f"{V1}/entities/{urn}?{p}={a}" for p in ("attrs", "pick", "omit")]
        found += [f"{e}&orderBy={a};desc", f"{e}&{near}&geoproperty={a}", f"{V1}/attributes/{a}"]
        found += [f"{te}/{urn}?attrs={a}", f"{te}?type={kind}&attrs={a}&{PAST}"]
        found += [f"{te}?type={kind}&q={a}&{PAST}&count=true"]
        methods = "options=aggregatedValues&aggrMethods=totalCount,distinctCount,min,max,avg"
        found += [f"{te}/{urn}?attrs={a}&{PAST}&{methods}&aggrPeriodDuration=PT1H"]
        found += [f"/api/city/groups?type={kind}&attr=age&by={a}&{DAYS}"]
        found += [f"/api/city/groups?type={kind}&attr={a}&by=name&{DAYS}"]
        found += [f"/api/city/entities?type={kind}&q={a}", f"/api/city/bulk?type={kind}&q={a}"]
    for form in ("sysAttrs", "concise", "keyValues"):
        found += [f"{e}&options={form}", f"{V1}/entities/{urn}?options={form}"]
        found += [f"{te}/{urn}?options={form}"] if form != "concise" else []
    for time in ("modifiedAt", "createdAt", "observedAt", "deletedAt"):
        found += [f"{te}/{urn}?{PAST}&timeproperty={time}&options=sysAttrs"]
    for scope in ("/a", "/%23", "/%2B"):
        found += [f"{e}&scopeQ={scope}", f"{te}?type={kind}&scopeQ={scope}&{PAST}"]
    found += [f"{e}&join=inline", f"{e}&limit=0", f"{e}&id={urn}", f"{V1}/types/{kind}"]
    found += [
        f"{V1}/{what}{end}" for what in ("types", "attributes") for end in ("", "?details=true")
    ]
    found += [f"{V1}/entities?type=%7E{kind}&count=true", f"{te}/{urn}?attrs=%7Eof"]
    found += [f"/api/city/events?after=0{end}" for end in ("", f"&type={kind}", f"&type=~{kind}")]
    found += [f"/api/city/entities?type={kind}", f"/api/city/bulk?type={kind}"]
    asked: list[Ask] = [("GET", path, None) for path in found]
    for more in (
        {"q": "diagnosis"},
        {"attrs": ["diagnosis"]},
        {"ordering": {"orderBy": ["friend"]}},
    ):
        body = {"type": "Query", "entities": [{"type": kind}], **more}
        asked.append(("POST", f"{V1}/entityOperations/query?count=true", body))
    return asked


def writes(urn: str, kind: str) -> list[Ask]:
    one, batch = f"{V1}/entities/{urn}", f"{V1}/entityOperations"
    asked: list[Ask] = []
    for a in (*MASKED, "nothing"):
        value = {"type": "Property", "value": "w"}
        whole = {"id": urn, "type": kind, a: value}
        asked += [(m, f"{one}/attrs", {a: value}) for m in ("PATCH", "POST")]
        asked += [(m, f"{one}/attrs/{a}", value) for m in ("PATCH", "PUT")]
        asked += [("POST", f"{one}/attrs?options=noOverwrite", {a: value}), ("PATCH", one, whole)]
        asked += [("DELETE", f"{one}/attrs/{a}", None)]
        asked += [("DELETE", f"{one}/attrs/{a}?deleteAll=true", None)]
        asked += [("POST", f"{batch}/{act}", [whole]) for act in ("update", "merge", "create")]
        asked += [("POST", f"{batch}/upsert{how}", [whole]) for how in ("", "?options=update")]
        temporal = f"{V1}/temporal/entities/{urn}/attrs"
        asked += [("POST", temporal, {a: [{**value, "observedAt": "2020-01-01T00:00:00Z"}]})]
        asked += [("DELETE", f"{temporal}/{a}", None)]
        asked += [("DELETE", f"{V1}/entities?type={kind}&q={a}", None)]
    asked += [("POST", f"{V1}/entities", {"id": urn, "type": kind, "age": {"value": 3}})]
    asked += [("POST", f"{batch}/delete", [urn]), ("DELETE", one, None)]
    return asked


def plain(text: str) -> str:
    """Without what differs anyhow: made-up ids, order by them, and the city's newest number."""
    text = MADE.sub(r"\1", KEPT.sub(r"\1#", text))
    text = re.sub(r"after=urn[^&>]*", "after=", re.sub(r'"last":\d+', '"last":0', text))
    try:
        return json.dumps(_sorted(json.loads(text)))
    except ValueError:
        return "\n".join(sorted(text.splitlines()))


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(map(_sorted, value), key=json.dumps)
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value


async def answers(app: App, asked: list[Ask]) -> list[tuple[str, int, str]]:
    found = []
    for method, path, body in asked:
        got = await app.client.request(method, path, json=body, headers=app.headers)
        head = {name: value for name, value in got.headers.items() if name != "content-length"}
        told = plain(f"{head}") + plain(got.text)
        found.append((plain(f"{method} {path} {body}"), got.status_code, told))
    return found


async def with_key(c: City, processor: str, purpose: str, *parts: Part) -> App:
    await c.running.registry.put([Processor(processor, T, "city"), *parts], "ada", "an attacker")
    credential, key = new_credential(processor, purpose)
    known = dict(c.running.credentials._by_digest)
    c.running.credentials.replace([credential])
    c.running.credentials._by_digest |= known
    return App(c.client, {"authorization": f"Bearer {key}"})


async def masked(folder: Path, world: str, kind: str, asked: Callable[..., list[Ask]]) -> Any:
    """What somebody is told from whom three attributes are kept; `world`: how those are."""
    async with city(folder) as c:
        why, dataset = ("count", "clients") if kind == "Client" else ("open-data", "context")
        more: dict[str, Any] = {"compatible_with": ("home-care",), "assessment": "dpia"}
        purpose = Purpose("count", "people", T, "w", "o", art6="e", art9="h", **more)
        grant = Grant("g", "app:half", why, dataset, ("read", "write"), OFFICERS, mask=MASKED)
        half = await with_key(c, "app:half", why, purpose, grant)
        whole = c.apps["home-care"]
        if kind != "Client":
            every = Grant("e", "app:all", why, dataset, ("read", "write"), OFFICERS)
            whole = await with_key(c, "app:all", why, every)
        point = {"type": "Point", "coordinates": [5.3 if world == "one" else 6.9, 52.1]}
        place = {"type": "GeoProperty", "value": point}
        hidden = {} if world == "none" else {"diagnosis": world, "location": place}
        about = {"resident": FENNA} if kind == "Client" else {}
        urn = await whole.make(kind, name="Fenna", age=71, **about, **hidden)
        c.clock.forward_s(60)
        if world == "changed":
            for n in range(3):
                body = {
                    "diagnosis": {"value": n},
                    "friend": {"type": "Relationship", "object": urn},
                }
                path = f"{V1}/entities/{urn}/attrs"
                done = await c.client.patch(path, json=body, headers=whole.headers)
                assert done.status_code == 204, done.text
        (shown,) = await half.ids(kind)
        return await answers(half, asked(shown, kind))


async def hidden(folder: Path, world: str, asked: Callable[..., list[Ask]]) -> Any:
    """What research is told of Fenna, who objects, or whose row is gone."""
    async with city(folder) as c:
        care, research = c.apps["home-care"], c.apps["care-research"]
        urn = await care.make("Client", resident=FENNA, name="Fenna", age=71, diagnosis="x")
        (shown,) = await research.ids("Client")
        await care.make("Client", resident=LOTTE, name="Lotte", age=50)
        c.clock.forward_s(60)
        await c.running.people.consents.object(person(c), "care-research")
        if world == "gone":
            await care.client.delete(f"{V1}/entities/{urn}", headers=care.headers)
        return await answers(research, asked(shown, "Client"))


async def walled(folder: Path, who: str, there: bool, asked: Callable[..., list[Ask]]) -> Any:
    """What another wall, or anybody, is told of clients that are there or not."""
    async with city(folder) as c:
        if there:
            await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna", diagnosis="x")
        app = c.apps[who] if who else App(c.client, {})
        return await answers(app, asked("urn:ngsi-ld:Client:" + "a" * 52, "Client"))


@pytest.mark.parametrize("asked", [reads, writes])
@pytest.mark.parametrize("kind", ["Client", "Garden"])
def test_masked_attributes_are_as_absent(
    tmp_path: Path, kind: str, asked: Callable[..., list[Ask]]
) -> None:
    async def run() -> None:
        first = await masked(tmp_path / "first", "one", kind, asked)
        assert len({status for _, status, _ in first}) > 1
        for world in ("none", "changed"):
            assert await masked(tmp_path / world, world, kind, asked) == first, world

    asyncio.run(run())


@pytest.mark.parametrize("asked", [reads, writes])
def test_rows_that_are_hidden_are_as_absent(
    tmp_path: Path, asked: Callable[..., list[Ask]]
) -> None:
    async def run() -> None:
        there = await hidden(tmp_path / "there", "hidden", asked)
        assert there == await hidden(tmp_path / "gone", "gone", asked)
        for who in ("debt-help", ""):
            full = await walled(tmp_path / f"full{who}", who, True, asked)
            assert full == await walled(tmp_path / f"empty{who}", who, False, asked)

    asyncio.run(run())


def test_waiting_for_events_ends_for_those_only_that_one_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            grant = Grant("g", "app:half", "home-care", "clients", ("read",), OFFICERS, mask=MASKED)
            half = await with_key(c, "app:half", "home-care", grant)
            care, debts = c.apps["home-care"], c.apps["debt-help"]
            urn = await care.make("Client", resident=FENNA, name="Fenna", diagnosis="x")
            after = (await care.get("/api/city/events")).json()["last"]

            async def changes(value: str) -> None:
                body = {"diagnosis": {"value": value}}
                await care.client.patch(
                    f"{V1}/entities/{urn}/attrs", json=body, headers=care.headers
                )

            async def waits(app: App, types: str) -> bool:
                """Whether the answer is held back although a diagnosis changes before and after
                it is asked for."""
                path = f"/api/city/events?after={after}&wait_s=5&type={types}"
                await changes(f"before {app.headers} {types}")
                asking = asyncio.ensure_future(app.get(path))
                await asyncio.sleep(0.2)
                await changes(f"{app.headers} {types}")
                done, _ = await asyncio.wait([asking], timeout=0.5)
                asking.cancel()
                return not done

            for app, types in (
                (half, "Client"),
                (debts, "Client"),
                (debts, "~Client"),
                (debts, ""),
            ):
                after = (await care.get("/api/city/events")).json()["last"]
                assert await waits(app, types), types
            after = (await care.get("/api/city/events")).json()["last"]
            assert not await waits(care, "Client")

    asyncio.run(run())
