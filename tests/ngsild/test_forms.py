# SPDX-License-Identifier: EUPL-1.2
"""Forms of an answer and ways to ask: projections, languages, links, scopes, orders, GeoJSON."""

import asyncio
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.founded import OFFICERS
from tests.ngsild.test_http import V1, open_city, prop

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError
from poorter.city.scope import check_pattern, scope_pattern
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.gate.policy import Dataset, Grant
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.language import choose, parse_languages
from poorter.standards.ngsild.params import scopes_of, types_of
from poorter.standards.ngsild.projection import Projection, parse_projection
from poorter.store.contract import Change, Create

HALL = "urn:ngsi-ld:City:hall"
TREE = "urn:ngsi-ld:City:tree"
POINT = {"type": "Point", "coordinates": [5.1, 52.1]}
HOUSE: dict[str, Any] = {
    "id": HALL,
    "type": "City",
    "scope": ["/Centre/Square", "/Tourism"],
    "name": {"type": "LanguageProperty", "languageMap": {"nl": "Stadhuis", "en": "Town hall"}},
    "location": {"type": "GeoProperty", "value": POINT},
    "stands": {"type": "Relationship", "object": TREE},
    "height": [prop(10), prop(11, datasetId="urn:d:laser")],
}
OAK = {"id": TREE, "type": ["City", "Road"], "scope": "/Park", "name": prop("Oak"), "age": prop(9)}


async def get(client: Any, path: str, **headers: str) -> Any:
    answer = await client.get(V1 + path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_forms_of_one_entity(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            batch = await client.post(f"{V1}/entityOperations/create", json=[HOUSE, OAK])
            assert batch.status_code == 201, batch.text
            one = f"/entities/{HALL}"
            assert await get(client, f"{one}?pick=id,age|name&lang=nl&format=simplified") == {
                "id": HALL,
                "name": "Stadhuis",
            }
            english = (await get(client, f"{one}?pick=name&lang=de,en;q=0.5"))["name"]
            assert english == {"type": "Property", "value": "Town hall", "lang": "en"}
            left = await get(client, f"{one}?omit=id,type,scope,name,location,stands")
            assert set(left) == {"height"}
            laser = await get(client, f"{one}?datasetId=urn:d:laser&pick=height")
            assert laser["height"]["value"] == 11
            default = await get(client, f"{one}?datasetId=@none&pick=height&format=simplified")
            assert default == {"height": 10}
            feature = await get(client, one, accept="application/geo+json")
            assert feature["type"] == "Feature"
            assert feature["geometry"] == POINT
            assert "id" not in feature["properties"]
            found = await get(client, "/entities?type=City", accept="application/geo+json")
            geometries = [one["geometry"] for one in found["features"]]
            assert geometries == [POINT, None], "what has no place has no geometry"
            nothing = await client.get(f"{V1}{one}?pick=unknown")
            assert nothing.status_code == 404

    asyncio.run(run())


def test_linked_entities(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await client.post(f"{V1}/entityOperations/create", json=[HOUSE, OAK])
            one = f"/entities/{HALL}?join=inline&pick=id,stands{{id,age}}"
            inline = await get(client, one)
            assert inline["stands"]["entity"] == {"id": TREE, "age": prop(9)}
            flat = await get(client, f"/entities/{HALL}?join=flat&pick=id,stands{{id}}")
            assert [member["id"] for member in flat] == [HALL, TREE]
            known = await get(client, f"/entities/{HALL}?join=inline&containedBy={TREE}")
            assert "entity" not in known["stands"]
            by_link = await get(client, "/entities?type=City&join=inline&q=stands{Road:age}==9")
            assert [member["id"] for member in by_link] == [HALL]
            none = await get(client, "/entities?type=City&join=inline&q=stands{Water:age}==9")
            assert none == []

    asyncio.run(run())


def test_what_a_permit_hides_is_hidden_behind_a_link_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (running, client):
            hidden = Entity("urn:x:hidden", ("Secret",), (Attribute("age", 9),))
            secret = Dataset("s", Text("s", "s"), "care", "internal", "x", {"Secret": ()})
            grant = Grant("s", "internal:load", RUN, "s", ("write",), OFFICERS)
            await running.registry.put([secret, grant], "ada", "test")
            permit = running.gate.permit("internal:load", RUN, "write")
            await running.store.commit_async(permit, Change((Create(hidden),)))
            link = {"type": "Relationship", "object": hidden.urn}
            made = await client.post(f"{V1}/entities", json={**HOUSE, "stands": link})
            assert made.status_code == 201
            for join in ("inline", "flat"):
                answer = await client.get(f"{V1}/entities?type=City&join={join}")
                assert "Secret" not in answer.text
                assert len(answer.json()) == 1
            assert await get(client, "/entities?type=City&join=inline&q=stands{age}==9") == []
            assert await get(client, "/entities?type=City&join=inline&q=stands{Secret:age}") == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("scopeQ=/Centre/Square", [HALL]),
        ("scopeQ=/Centre", []),
        ("scopeQ=/Centre/%23", [HALL]),
        ("scopeQ=/%2B/Square", [HALL]),
        ("scopeQ=/%23", [HALL, TREE]),
        ("scopeQ=/Park,/Tourism", [HALL, TREE]),
        ("scopeQ=(/Park;/Tourism)", []),
        ("type=(City;Road)", [TREE]),
        ("type=Road|Water", [TREE]),
        ("orderBy=age;desc", [TREE, HALL]),
        ("orderBy=id;desc", [TREE, HALL]),
        ("orderBy=location;dist-asc&orderFrom=[5,52]", [HALL, TREE]),
        ("orderBy=id;desc&limit=1", [TREE]),
        ("orderBy=id;desc&limit=1&offset=1", [HALL]),
        ("q=name==%22Stadhuis%22", [HALL]),
        ("q=name[en]==%22Town hall%22", [HALL]),
        ("q=name[nl]==%22Town hall%22", []),
        ("idPattern=.*tree", [TREE]),
    ],
)
def test_ways_to_ask(tmp_path: Path, asked: str, found: list[str]) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await client.post(f"{V1}/entityOperations/create", json=[HOUSE, OAK])
            path = asked if asked.startswith("type=") else f"type=City&{asked}"
            answer = await get(client, f"/entities?{path}")
            assert [entity["id"] for entity in answer] == found

    asyncio.run(run())


def test_a_question_in_a_body_is_the_same_question(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await client.post(f"{V1}/entityOperations/create", json=[HOUSE, OAK])
            body: dict[str, Any] = {"type": "Query", "entities": [{"type": "City"}], "q": "age>8"}
            answer = await client.post(f"{V1}/entityOperations/query", json=body)
            assert [one["id"] for one in answer.json()] == [TREE]
            several = [{"type": "City", "id": HALL}, {"type": "Road", "idPattern": ".*e$"}]
            body = {"type": "Query", "entities": several, "pick": ["id"]}
            answer = await client.post(f"{V1}/entityOperations/query", json=body)
            assert answer.json() == [{"id": HALL}, {"id": TREE}]
            wrong = await client.post(f"{V1}/entityOperations/query", json={**body, "wat": 1})
            assert wrong.status_code == 400

    asyncio.run(run())


def test_purge_and_discovery(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            await client.post(f"{V1}/entityOperations/create", json=[HOUSE, OAK])
            kinds = await get(client, "/types?details=true")
            names = {one["typeName"]: set(one["attributeNames"]) for one in kinds}
            assert names["Road"] == {"name", "age"}
            height = await get(client, "/attributes/height")
            assert (height["attributeCount"], height["typeNames"]) == (2, ["City"])
            assert (await client.get(f"{V1}/types/Nothing")).status_code == 404
            dropped = await client.delete(f"{V1}/entities?type=City&drop=name")
            assert dropped.status_code == 204
            assert await get(client, "/entities?type=City&attrs=name") == []
            assert (await client.delete(f"{V1}/entities?type=Road")).status_code == 204
            left = await get(client, "/entities?type=City&pick=id")
            assert left == [{"id": HALL}]

    asyncio.run(run())


def test_contexts_kept_here(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            url = f"{V1}/jsonldContexts"
            terms = {"@context": {"hoogte": "https://example.org/height"}}
            made = await client.post(url, json=terms)
            assert made.status_code == 201
            at = made.headers["location"]
            kind = f'<http://city{at}>; rel="http://www.w3.org/ns/json-ld#context"'
            body = {"id": HALL, "type": "City", "hoogte": prop(3)}
            put = await client.post(f"{V1}/entities", json=body, headers={"link": kind})
            assert put.status_code == 201, put.text
            plain = await get(client, f"/entities/{HALL}")
            assert plain["https://example.org/height"]["value"] == 3
            again = await get(client, f"/entities/{HALL}", link=kind)
            assert again["hoogte"]["value"] == 3
            assert (await client.get(at)).json() == terms
            details = (await client.get(f"{at}?details=true")).json()
            assert details["kind"] == "Hosted"
            assert (await client.delete(f"{at}?reload=true")).status_code == 400
            assert (await client.delete(at)).status_code == 204
            assert (await client.get(at)).status_code == 404
            gone = await client.get(f"{V1}/entities/{HALL}", headers={"link": kind})
            assert gone.status_code == 504

    asyncio.run(run())


# -- grammars --------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "id", "type", "temperature"])
TREES = st.recursive(
    st.dictionaries(NAMES, st.none(), min_size=1, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b"]), inner, min_size=1, max_size=2),
    max_leaves=6,
)


def spelt(tree: dict[str, Any]) -> str:
    return ",".join(
        name if inner is None else f"{name}{{{spelt(inner)}}}" for name, inner in tree.items()
    )


def as_tree(projection: Projection) -> dict[str, Any]:
    return {
        name: None if inner is None else as_tree(inner)
        for name, inner in projection.members.items()
    }


@given(TREES)
def test_a_projection_reads_back_as_it_was_spelt(tree: dict[str, Any]) -> None:
    assert as_tree(parse_projection(spelt(tree), CORE, "pick")) == tree


@given(st.text(alphabet="ab{},| ;(", max_size=14))
def test_any_text_is_a_projection_or_a_clear_error(text: str) -> None:
    for parse in (
        lambda: parse_projection(text, CORE, "pick"),
        lambda: types_of(text, CORE),
        lambda: scopes_of(text),
        lambda: parse_languages(text),
    ):
        try:
            parse()
        except CityError as wrong:
            assert wrong.status in (400, 413)


LEVELS = st.lists(st.sampled_from(["A", "B", "Cc"]), min_size=1, max_size=3)


@given(LEVELS, st.lists(st.sampled_from(["A", "B", "+"]), min_size=1, max_size=3), st.booleans())
def test_scope_patterns_mean_what_they_say(
    scope: list[str], pattern: list[str], below: bool
) -> None:
    same = len(scope) >= len(pattern) if below else len(scope) == len(pattern)
    expected = same and all(p in ("+", s) for s, p in zip(scope, pattern, strict=False))
    text = check_pattern("/" + "/".join(pattern) + ("/#" if below else ""))
    stored = " ".join(["/Other/Place", "/" + "/".join(scope)])
    found = re.search(scope_pattern(text), stored) is not None
    other = re.search(scope_pattern(text), "/Other/Place") is not None
    assert (found and not other) == (expected and not other)


@given(st.permutations(["nl", "fr-CH", "en", "@none"]))
def test_a_language_is_chosen_whatever_the_order_of_the_map(tags: list[str]) -> None:
    words = {tag: f"in {tag}" for tag in tags}
    assert choose(words, parse_languages("fr,nl;q=0.2")) == ("in fr-CH", "fr-CH")
    assert choose(words, parse_languages("de"))[1] == "@none"
    for first, second in itertools.permutations(["nl", "en"]):
        assert choose(words, parse_languages(f"{first},{second};q=0.9"))[1] == first
