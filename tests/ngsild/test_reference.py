# SPDX-License-Identifier: EUPL-1.2
"""q, places and time over HTTP answer as slow evaluators do that share nothing with the city."""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.ngsild import reference as r
from tests.ngsild.test_http import V1, open_city

MOMENTS = [f"2026-01-{day:02}T12:00:00Z" for day in (1, 2, 3, 9)]
TEXTS = ["a", "b", "ab", "Zoo", "é", 'q"o', "7", "b\\c", *MOMENTS[:2]]
NUMBERS = [0, 1, 2.5, 7, -3, 1e9, 300]
URNS = [f"urn:ngsi-ld:City:{n:02}" for n in range(16)]
LANGUAGES = ["nl", "en", "de"]


def world(seed: int) -> dict[str, dict[str, Any]]:
    """Entities with every kind of attribute, none of which every entity has."""
    chance = random.Random(seed)

    def scalar() -> Any:
        return chance.choice([*NUMBERS, *TEXTS, True, False])

    def value() -> Any:
        many = [scalar() for _ in range(chance.randint(1, 3))]
        return chance.choice([scalar(), scalar(), many, {"k": {"d": scalar()}, "e": scalar()}])

    def instance(dataset: str | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"type": "Property", "value": value()}
        if chance.random() < 0.4:
            body["observedAt"] = chance.choice(MOMENTS)
        if chance.random() < 0.3:
            body["unitCode"] = chance.choice(["MTR", "CEL"])
        if chance.random() < 0.4:
            body["part"] = {"type": "Property", "value": value()}
        if dataset is not None:
            body["datasetId"] = dataset
        return body

    def words() -> Any:
        return chance.choice([chance.choice(TEXTS), [chance.choice(TEXTS) for _ in range(2)]])

    def made(urn: str) -> dict[str, Any]:
        several = [instance(), instance("urn:d:1"), instance("urn:d:2")]
        to = chance.choice([chance.choice(URNS), chance.sample(URNS, 2)])
        tags = chance.sample(LANGUAGES, 2)
        members: dict[str, Any] = {
            "n": instance(),
            "m": chance.choice([several, several[:2], instance()]),
            "near": {"type": "Relationship", "object": to, "part": instance()},
            "links": {"type": "ListRelationship", "objectList": chance.sample(URNS, 2)},
            "words": {"type": "LanguageProperty", "languageMap": {t: words() for t in tags}},
            "kind": {"type": "VocabProperty", "vocab": chance.choice(["a", ["a", "b"]])},
            "raw": {"type": "JsonProperty", "json": {"k": {"d": scalar()}, "value": scalar()}},
            "list": {"type": "ListProperty", "valueList": [scalar(), scalar()]},
        }
        kept = {name: body for name, body in members.items() if chance.random() < 0.8}
        types = ["City", "Road"] if chance.random() < 0.4 else "City"
        return {"id": urn, "type": types, **kept}

    return {urn: made(urn) for urn in URNS}


def built(kind: Any, *parts: Any) -> Any:
    """Of these parts; their types say less than the parts do."""
    return st.tuples(*parts).map(lambda given: kind(*given))


NAMES = st.sampled_from(["n", "m", "near", "links", "words", "kind", "raw", "list", "none"])
PLAIN_PATHS = st.one_of(
    built(r.Path, NAMES),
    built(
        r.Path,
        st.sampled_from(["n", "m", "near"]),
        st.sampled_from([("part",), ("observedAt",), ("unitCode",), ("part", "observedAt")]),
    ),
    built(
        r.Path,
        st.sampled_from(["n", "m", "raw"]),
        st.just(()),
        st.sampled_from([("k",), ("k", "d"), ("e",), ("value",)]),
    ),
    built(r.Path, st.just("n"), st.just(("part",)), st.sampled_from([("k", "d"), ("e",)])),
    built(r.Path, st.just("words"), st.just(()), st.sampled_from([("nl",), ("en",), ("*",)])),
)
PATHS = PLAIN_PATHS | st.builds(
    lambda name, inner, hint: r.Path(name, link=inner, hint=hint),
    st.sampled_from(["near", "links", "n"]),
    PLAIN_PATHS,
    st.sampled_from(["", "Road", "City"]),
)
SCALARS = st.sampled_from([*NUMBERS, *TEXTS, *URNS[:4], *map(r.Moment, MOMENTS)])
RANGES = built(r.Range, st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)) | built(
    r.Range, st.sampled_from(TEXTS), st.sampled_from(TEXTS)
)
EQUAL = built(
    r.Compared,
    PATHS,
    st.sampled_from(["==", "!="]),
    st.lists(SCALARS | st.booleans(), min_size=1, max_size=3).map(tuple)
    | st.builds(lambda one: (one,), RANGES),
)
ORDERED = built(
    r.Compared,
    PATHS.filter(lambda p: "kind" not in p.text()),
    st.sampled_from([">", ">=", "<", "<="]),
    st.builds(lambda one: (one,), SCALARS),
)
LIKE = built(
    r.Compared,
    PATHS.filter(lambda p: "kind" not in p.text()),
    st.sampled_from(["~=", "!~="]),
    st.sampled_from([("^a",), ("b$",), (".*o.*",), ("^[0-9]+$",), ("T12",), ("é",)]),
)
TERMS = st.one_of(built(r.Has, PATHS), EQUAL, EQUAL, ORDERED, LIKE)
CONDITIONS = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        built(r.Every, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        built(r.Some, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)


@contextmanager
def served(folder: Path) -> Iterator[tuple[asyncio.Runner, httpx.AsyncClient]]:
    """A city of its own, on an event loop that goes on over many examples."""
    with asyncio.Runner() as runner:
        opened = open_city(folder, more={"server.public_rate_burst": 1_000_000})
        _, client = runner.run(opened.__aenter__())
        try:
            yield runner, client
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def asked(client: httpx.AsyncClient, **params: str) -> list[str]:
    query = {"type": "City", "limit": "100", "join": "inline", "joinLevel": "2", "pick": "id"}
    answer = await client.get(f"{V1}/entities", params={**query, **params})
    assert answer.status_code == 200, (params, answer.text)
    return [one["id"] for one in answer.json()]


async def asked_in_a_body(client: httpx.AsyncClient, q: str) -> list[str]:
    body = {"type": "Query", "entities": [{"type": "City"}], "q": q, "join": "inline"}
    url = f"{V1}/entityOperations/query?limit=100&options=keyValues"
    answer = await client.post(url, json={**body, "joinLevel": 2})
    assert answer.status_code == 200, (q, answer.text)
    return [one["id"] for one in answer.json()]


#: an object lies between no two texts, whatever it is spelt as
IN_NO_RANGE = r.Compared(r.Path("near"), "==", (r.Range("a", "\u00e9"),))


def judge_q(folder: Path, seed: int, examples: int) -> None:
    entities = world(seed)
    with served(folder) as (runner, client):
        made = runner.run(
            client.post(f"{V1}/entityOperations/create", json=list(entities.values()))
        )
        assert made.status_code == 201, made.text

        @given(CONDITIONS)
        @example(IN_NO_RANGE)
        @settings(max_examples=examples, deadline=None)
        def every(condition: Any) -> None:
            expected = [urn for urn, one in entities.items() if r.met(one, condition, entities)]
            q = r.spelt(condition)
            found = runner.run(asked(client, q=q))
            assert found == expected, q
            assert runner.run(asked_in_a_body(client, q)) == expected, q

        every()


def test_q_is_answered_as_the_words_of_the_standard_have_it(tmp_path: Path) -> None:
    judge_q(tmp_path, 1, 120)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 10))
def test_q_over_many_worlds(tmp_path: Path, seed: int) -> None:
    judge_q(tmp_path, seed, 1000)


# -- places ----------------------------------------------------------------------------------------

SPANS = st.tuples(st.integers(1, 6), st.integers(1, 4)).map(lambda s: (s[0], s[0] + s[1]))
BOXES = st.tuples(SPANS, SPANS)
Box = tuple[tuple[int, int], tuple[int, int]]


def related(relation: str, mine: Box, asked_for: Box) -> bool:
    """Two rectangles, by arithmetic on their sides: what touches only shares no inside."""
    sides = list(zip(mine, asked_for, strict=True))
    touch = all(a[0] <= b[1] and b[0] <= a[1] for a, b in sides)
    share = all(a[0] < b[1] and b[0] < a[1] for a, b in sides)
    inside = all(b[0] <= a[0] and a[1] <= b[1] for a, b in sides)
    around = all(a[0] <= b[0] and b[1] <= a[1] for a, b in sides)
    return {
        "within": inside,
        "contains": around,
        "equals": inside and around,
        "intersects": touch,
        "disjoint": not touch,
        "overlaps": share and not inside and not around,
    }[relation]


def ring(box: Box) -> list[list[list[float]]]:
    (west, east), (south, north) = box
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return [[[x / 10 + 5, y / 10 + 52] for x, y in corners]]


def test_rectangles_stand_to_each_other_as_arithmetic_says(tmp_path: Path) -> None:
    with served(tmp_path) as (runner, client):

        async def check(boxes: list[Box], box: Box, relation: str) -> None:
            bodies = [
                {
                    "id": f"urn:ngsi-ld:City:{n}",
                    "type": "City",
                    "location": {
                        "type": "GeoProperty",
                        "value": {"type": "Polygon", "coordinates": ring(one)},
                    },
                }
                for n, one in enumerate(boxes)
            ]
            await client.post(f"{V1}/entityOperations/upsert", json=bodies)
            found = await asked(
                client, georel=relation, geometry="Polygon", coordinates=json.dumps(ring(box))
            )
            expected = [n for n, one in enumerate(boxes) if related(relation, one, box)]
            assert [int(urn[-1]) for urn in found] == expected, (relation, box, boxes)

        relations = st.sampled_from(
            ["within", "contains", "equals", "intersects", "disjoint", "overlaps"]
        )

        @given(st.lists(BOXES, min_size=8, max_size=8), BOXES, relations)
        @settings(max_examples=40, deadline=None)
        def every(boxes: list[Box], box: Box, relation: str) -> None:
            runner.run(check(boxes, box, relation))

        every()


# -- time ------------------------------------------------------------------------------------------

HOURS = st.integers(0, 47)
INSTANCES = st.lists(
    st.tuples(HOURS, st.sampled_from([0, 1, 2.5, 7, "a", "b", True])),
    max_size=6,
    unique_by=lambda one: one[0],
)
WINDOWS = built(
    r.Window,
    st.sampled_from(["before", "after", "between"]),
    HOURS,
    HOURS,
    st.none() | st.integers(1, 3),
)
IN_TIME = st.none() | st.recursive(
    st.one_of(
        built(r.Has, built(r.Path, st.sampled_from(["n", "m"]))),
        built(
            r.Compared,
            built(r.Path, st.sampled_from(["n", "m"])),
            st.sampled_from(["==", "!=", ">", "<="]),
            st.builds(lambda one: (one,), st.sampled_from([0, 1, 2.5, 7, "a", "b"])),
        ),
    ),
    lambda inner: (
        built(r.Every, st.lists(inner, min_size=2, max_size=2).map(tuple))
        | built(r.Some, st.lists(inner, min_size=2, max_size=2).map(tuple))
    ),
    max_leaves=3,
)


def moment(hour: int) -> str:
    return f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z"


def judge_time(folder: Path, examples: int) -> None:
    with served(folder) as (runner, client):

        async def check(rows: Any, window: r.Window, condition: Any) -> None:
            evolutions = {f"urn:ngsi-ld:City:{n}": dict(row) for n, row in enumerate(rows)}
            for urn, attributes in evolutions.items():
                body = {"id": urn, "type": "City"} | {
                    name: [
                        {"type": "Property", "value": value, "observedAt": moment(hour)}
                        for hour, value in instances
                    ]
                    for name, instances in attributes.items()
                    if instances
                }
                made = await client.post(f"{V1}/temporal/entities", json=body)
                assert made.status_code == 201, made.text
            params = {
                "type": "City",
                "options": "temporalValues",
                "timerel": window.relation,
                "timeAt": moment(window.at),
            }
            if window.relation == "between":
                params["endTimeAt"] = moment(window.end)
            if window.last is not None:
                params["lastN"] = str(window.last)
            if condition is not None:
                params["q"] = r.spelt(condition)
            answer = await client.get(f"{V1}/temporal/entities", params=params)
            assert answer.status_code == 200, (params, answer.text)
            found = {
                doc["id"]: {
                    name: sorted((at, repr(value)) for value, at in doc[name]["values"])
                    for name in ("n", "m")
                    if name in doc
                }
                for doc in answer.json()
            }
            expected = {
                urn: {
                    name: sorted((moment(hour), repr(value)) for hour, value in instances)
                    for name, instances in shown.items()
                }
                for urn, shown in r.selected(evolutions, window, condition).items()
            }
            for urn in evolutions:
                await client.delete(f"{V1}/temporal/entities/{urn}")
            assert found == expected, params

        rows = st.lists(
            st.fixed_dictionaries({"n": INSTANCES, "m": INSTANCES}), min_size=3, max_size=3
        )

        @given(rows, WINDOWS, IN_TIME)
        @settings(max_examples=examples, deadline=None)
        def every(rows: Any, window: r.Window, condition: Any) -> None:
            runner.run(check(rows, window, condition))

        every()


def test_time_is_answered_as_the_words_of_the_standard_have_it(tmp_path: Path) -> None:
    judge_time(tmp_path, 40)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_time_over_many_questions(tmp_path: Path) -> None:
    judge_time(tmp_path, 1000)
