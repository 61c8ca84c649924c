# SPDX-License-Identifier: EUPL-1.2
"""How answers are asked for: orders of text, pages forth and back, maps of evolutions, forms of an
earlier version, and what is asked too widely."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from tests.ngsild.test_forms import get
from tests.ngsild.test_http import ID, V1, city, open_city, prop

from poorter.city.errors import Invalid
from poorter.standards.ngsild import consumption
from poorter.standards.ngsild.collation import parse_collation

NULL = "urn:ngsi-ld:null"
WHEN = "timerel=before&timeAt=2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("", ["a", "A", "á", "b"]),
        ("und", ["a", "A", "á", "b"]),
        ("nl-u-kf-upper", ["A", "a", "á", "b"]),
        ("de", ["Afrika", "Ähre", "Zebra"]),
        ("de-u-co-phonebk", ["Adler", "Ähre", "Afrika", "Zebra"]),
        ("und-u-kn-true", ["v2", "v10", "v100"]),
        ("und-u-kn", ["v2", "v10"]),
        ("und-u-ks-level2", ["a", "á", "b"]),
    ],
)
def test_orders_of_text(tag: str, words: list[str]) -> None:
    order = parse_collation(tag)
    mixed = words[1:] + words[:1]
    assert sorted(mixed, key=order.key) == words


@pytest.mark.parametrize(
    "tag", ["!!nope", "sv", "de-u-co-search", "nl-u-co-phonebk", "und-u-xx-y", "und-u-y", "a", "é"]
)
def test_an_order_that_is_not_known_is_refused(tag: str) -> None:
    with pytest.raises(Invalid):
        parse_collation(tag)


def links(answer: Any) -> dict[str, str]:
    found = {}
    for link in answer.headers.get_list("link"):
        match = re.search(r'<([^>]*)>; rel="(prev|next)"', link)
        if match is not None:
            found[match[2]] = match[1]
    return found


@pytest.mark.parametrize("near", [consumption.OFFSET_NEAR, 2])
@pytest.mark.parametrize("more", ["", "&orderBy=n", "&orderBy=n;desc&count=true"])
def test_pages_lead_forth_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, near: int, more: str
) -> None:
    monkeypatch.setattr(consumption, "OFFSET_NEAR", near)

    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            ids = [f"urn:ngsi-ld:City:{i:02}" for i in range(7)]
            batch = [city(n=prop(i), id=urn) for i, urn in enumerate(ids)]
            await client.post(f"{V1}/entityOperations/create", json=batch)
            url = f"{V1}/entities?type=City&limit=2{more}"
            expected = ids[::-1] if "desc" in more else ids
            pages: list[list[str]] = []
            while True:
                page = await client.get(url)
                pages.append([one["id"] for one in page.json()])
                around = links(page)
                if "next" not in around:
                    break
                url = around["next"]
            assert [urn for one in pages for urn in one] == expected
            for before in reversed(pages[:-1]):
                page = await client.get(around["prev"])
                assert [one["id"] for one in page.json()] == before
                around = links(page)
            assert "prev" not in around

    asyncio.run(run())


def test_pages_of_evolutions_lead_back_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            when = "2026-01-01T00:00:00Z"
            ids = [f"urn:ngsi-ld:City:{i}" for i in range(5)]
            batch = [city(n=prop(1, observedAt=when), id=urn) for urn in ids]
            await client.post(f"{V1}/entityOperations/create", json=batch)
            first = await client.get(f"{V1}/temporal/entities?type=City&{WHEN}&limit=2")
            second = await client.get(links(first)["next"])
            third = await client.get(links(second)["next"])
            assert [one["id"] for one in third.json()] == ids[4:]
            assert set(links(third)) == {"prev"}
            back = await client.get(links(third)["prev"])
            assert back.json() == second.json()

    asyncio.run(run())


def test_a_map_of_evolutions_fixes_what_is_paged(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            when = "2026-01-01T00:00:00Z"
            ids = [f"urn:ngsi-ld:City:{i}" for i in range(4)]
            batch = [city(n=prop(i, observedAt=when), id=urn) for i, urn in enumerate(ids)]
            await client.post(f"{V1}/entityOperations/create", json=batch)
            asked = f"type=City&{WHEN}&q=n>0"
            made = await client.get(f"{V1}/temporal/entityMaps?{asked}")
            assert made.status_code == 201
            assert set(made.json()["entityMap"]) == set(ids[1:])
            body = {
                "type": "Query",
                "entities": [{"type": "City"}],
                "q": "n>0",
                "temporalQ": {"timerel": "before", "timeAt": "2030-01-01T00:00:00Z"},
            }
            posted = await client.post(f"{V1}/temporal/entityMaps", json=body)
            assert set(posted.json()["entityMap"]) == set(ids[1:])
            none = await client.get(f"{V1}/temporal/entityMaps?type=City")
            assert none.status_code == 400
            late = city(n=prop(9, observedAt=when), id="urn:ngsi-ld:City:9")
            await client.post(f"{V1}/entities", json=late)
            by_map = {"NGSILD-EntityMap": made.headers["ngsild-entitymap"]}
            url = f"{V1}/temporal/entities?type=City&{WHEN}"
            page = await client.get(url, headers=by_map)
            assert page.headers["ngsild-entitymap"] == by_map["NGSILD-EntityMap"]
            assert [one["id"] for one in page.json()] == ids[1:]
            gone = {"NGSILD-EntityMap": "urn:ngsi-ld:EntityMap:gone"}
            again = await client.get(url, headers=gone)
            assert (again.status_code, len(again.json())) == (201, 5)
            one = await client.get(f"{V1}/temporal/entities/{ids[0]}?entityMap=true")
            assert one.status_code == 200
            there = await client.get(one.headers["ngsild-entitymap"])
            assert there.json()["entityMap"] == {ids[0]: ["@none"]}
            alone = await client.get(f"{V1}/entities/{ids[0]}", headers=gone)
            assert alone.headers["ngsild-entitymap"] != gone["NGSILD-EntityMap"]

    asyncio.run(run())


def test_an_earlier_version_is_kept_to(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            body = city(
                type=["City", "Road"],
                scope="/a",
                kind={"type": "VocabProperty", "vocab": "Big"},
                name={"type": "LanguageProperty", "languageMap": {"nl": "x"}},
                n=[prop(1, unitCode="MTR"), prop(2, datasetId="urn:d:1")],
                near={"type": "ListRelationship", "objectList": ["urn:x:y"]},
            )
            await client.post(f"{V1}/entities", json=body)
            url = f"/entities/{ID}"
            cases = {
                "1.9": (200, "City Road", "VocabProperty", "LanguageProperty", 2, True),
                "1.5": (203, "City Road", "Property", "LanguageProperty", 2, True),
                "1.3": (203, "City Road", "Property", "Property", 2, False),
                "1.0": (203, "City", "Property", "Property", 1, False),
                "7.0": (200, "City Road", "VocabProperty", "LanguageProperty", 2, True),
            }
            for version, (status, types, kind, name, number, scope) in cases.items():
                headers = {"prefer": f'respond-async, NGSI-LD="{version}";x=y'}
                answer = await client.get(V1 + url, headers=headers)
                applied = answer.headers["preference-applied"]
                assert applied == f"ngsi-ld={'1.9' if version == '7.0' else version}"
                doc = answer.json()
                assert answer.status_code == status
                told = [doc["type"]] if isinstance(doc["type"], str) else doc["type"]
                assert " ".join(told) == types
                assert doc["kind"]["type"] == kind
                assert doc["name"]["type"] == name
                n = doc["n"] if isinstance(doc["n"], list) else [doc["n"]]
                assert len(n) == number
                assert ("scope" in doc) == scope
                assert ("unitCode" in n[0]) == (version != "1.0")
            plain = await client.get(V1 + url, headers={"prefer": "respond-async"})
            assert "preference-applied" not in plain.headers
            listed = await client.get(f"{V1}/entities?type=City", headers={"prefer": "ngsi-ld=1.0"})
            assert listed.json()[0]["type"] == "City"
            assert (await get(client, url))["near"]["objectList"] == [{"object": "urn:x:y"}]
            simple = await get(client, f"{url}?options=keyValues")
            assert simple["near"] == ["urn:x:y"]

    asyncio.run(run())


@pytest.mark.parametrize(
    "asked",
    [
        "q=modifiedAt>2020-01-01T00:00:00Z",
        "q=id;type",
        "type=City&q=near{name}==1",
        "type=City&q=near{road{name}}==1&join=flat&joinLevel=1",
        "type=City&csf=((",
        "type=City&georel=near;maxDistance==1;minDistance==1&geometry=Point&coordinates=[5,52]",
        'type=City&q=n=="\\x"',
    ],
)
def test_what_is_asked_too_widely_or_wrongly_is_refused(tmp_path: Path, asked: str) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            answer = await client.get(f"{V1}/entities?{asked}")
            assert answer.status_code == 400, answer.text
            assert answer.json()["type"].endswith("/BadRequestData")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("attribute", "status"),
    [
        ({"type": "JsonProperty", "json": 5}, 400),
        ({"type": "JsonProperty", "json": [{"a": 1}]}, 201),
        ({"type": "LanguageProperty", "languageMap": {"": "x"}}, 400),
        ({"type": "LanguageProperty", "languageMap": {"en": "x"}, "valueType": "x"}, 400),
        ({"type": "LanguageProperty", "languageMap": {"en": "x"}, "valueType": "langString"}, 201),
        ({"type": "Property", "value": 1, "entityIdSealed": ID}, 400),
        ({"@type": "Property", "value": 1}, 201),
    ],
)
def test_forms_of_input(tmp_path: Path, attribute: Any, status: int) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            made = await client.post(f"{V1}/entities", json=city(n=attribute))
            assert made.status_code == status, made.text

    asyncio.run(run())


def test_proofs_and_json_ld_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            proof = {
                "type": "Property",
                "value": {"type": "DataIntegrityProof"},
                "entityIdSealed": ID,
                "entityTypeSealed": "City",
            }
            body = {"@id": ID, "@type": "City", "ngsildproof": proof}
            assert (await client.post(f"{V1}/entities", json=body)).status_code == 201
            for form in ("", "?options=sysAttrs", "?options=concise"):
                got = (await get(client, f"/entities/{ID}{form}"))["ngsildproof"]
                assert (got["entityIdSealed"], got["entityTypeSealed"]) == (ID, "City")
            for wrong in ({**proof, "value": "x"}, {**proof, "entityTypeSealed": 4}):
                url = f"{V1}/entities/{ID}/attrs"
                answer = await client.patch(url, json={"ngsildproof": wrong})
                assert answer.status_code == 400
            for body in (city(scope=NULL), {"id": NULL, "type": "City"}):
                made = await client.post(f"{V1}/entities", json=body)
                assert made.status_code == 400
            scoped = {"Car": {"@id": "https://example.org/Car", "@context": {}}}
            ld = {"content-type": "application/ld+json"}
            body = {**city(), "id": "urn:x:1", "@context": scoped}
            made = await client.post(f"{V1}/entities", json=body, headers=ld)
            assert made.status_code == 400

    asyncio.run(run())
