# SPDX-License-Identifier: EUPL-1.2
"""Queries: every answer equals that of the plain evaluator over all entities."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path as File

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.conftest import Opens
from tests.permits import READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.matching import matches
from poorter.city.query import And, Compare, Condition, Exists, Geo, Or, Path, Query, Range
from poorter.gate.permit import TypeRule
from poorter.store.contract import Change, Create, Store
from poorter.store.geometry import related


def city(seed: int, size: int = 120) -> list[Entity]:
    chance = random.Random(seed)
    entities = []
    for number in range(size):
        attributes = [Attribute("free", chance.choice([0, 1, 2.5, 7, 300, True, [1, 7], "7"]))]
        if chance.random() < 0.7:
            name = chance.choice(["a", "b", "x" * 300, {"k": {"d": 1}}, ["a", "z"]])
            attributes.append(Attribute("name", name, sub=(Attribute("accuracy", number % 4),)))
        if chance.random() < 0.8:
            point = [5 + chance.random() / 10, 52 + chance.random() / 10]
            geometry = {"type": "Point", "coordinates": point}
            attributes.append(Attribute("location", geometry, "GeoProperty"))
        types = chance.choice([("P",), ("Q",), ("P", "Q")])
        entities.append(Entity(f"urn:e:{number:03d}", types, tuple(attributes)))
    return entities


@pytest.fixture(scope="module")
def filled(
    opens: Opens, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, list[Entity]]]:
    folder: File = tmp_path_factory.mktemp("queries")
    store = opens(folder, ManualClock())
    entities = city(7)
    store.commit(WRITE, Change(tuple(map(Create, entities)))).result(30)
    yield store, entities
    store.close()


PATHS = st.sampled_from(
    [
        Path("free"),
        Path("name"),
        Path("name", ("accuracy",)),
        Path("name", (), ("k", "d")),
        Path("none"),
    ]
)
VALUES = st.sampled_from([0, 1, 7, 2.5, "a", "7", True, Range(1, 7), "x" * 300])
COMPARE = st.builds(
    Compare,
    PATHS,
    st.sampled_from(["==", "!=", ">", ">=", "<", "<="]),
    st.lists(VALUES, min_size=1, max_size=2).map(tuple),
).filter(lambda c: c.op in ("==", "!=") or not any(isinstance(v, Range) for v in c.values))
LIKE = st.builds(Compare, PATHS, st.sampled_from(["~=", "!~="]), st.just(("^[ax]",)))
CONDITIONS = st.recursive(
    COMPARE | LIKE | st.builds(Exists, PATHS),
    lambda part: (
        st.builds(And, st.lists(part, min_size=1, max_size=3).map(tuple))
        | st.builds(Or, st.lists(part, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=5,
)
GEO = st.builds(
    lambda lon, lat, far, near: Geo(
        "near", {"type": "Point", "coordinates": [5 + lon, 52 + lat]}, "location", far, near
    ),
    st.floats(0, 0.1),
    st.floats(0, 0.1),
    st.sampled_from([200.0, 2000.0, 20000.0, None]),
    st.sampled_from([None, 1000.0]),
)


def plain(entities: Sequence[Entity], query: Query) -> list[str]:
    """The same answer the slow way."""
    found = []
    for entity in entities:
        if query.types and not set(query.types) & set(entity.types):
            continue
        if query.condition is not None and not matches(entity, query.condition):
            continue
        if query.geo is not None and not any(
            related(a.value, query.geo) for a in entity.named(query.geo.attribute)
        ):
            continue
        found.append(entity.urn)
    return sorted(found)


def pages(store: Store, query: Query) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = store.query(
            READ,
            Query(
                query.types,
                condition=query.condition,
                geo=query.geo,
                limit=query.limit,
                after=after,
            ),
        )
        found += [entity.urn for entity in page.entities]
        after = page.after
        if after is None:
            return found


@settings(max_examples=300, deadline=None)
@given(
    condition=st.none() | CONDITIONS,
    geo=st.none() | GEO,
    types=st.sampled_from([(), ("P",), ("P", "Q"), ("None",)]),
    limit=st.integers(1, 40),
)
def test_every_query_agrees_with_the_plain_evaluator(
    filled: tuple[Store, list[Entity]],
    condition: Condition | None,
    geo: Geo | None,
    types: tuple[str, ...],
    limit: int,
) -> None:
    store, entities = filled
    query = Query(types, condition=condition, geo=geo, limit=limit)
    expected = plain(entities, query)
    assert pages(store, query) == expected
    counted = store.query(READ, Query(types, condition=condition, geo=geo, limit=1, count=True))
    assert counted.count == len(expected)


SQUARE = {
    "type": "Polygon",
    "coordinates": [[[5.02, 52.02], [5.06, 52.02], [5.06, 52.06], [5.02, 52.06], [5.02, 52.02]]],
}


@pytest.mark.parametrize("relation", ["within", "intersects", "disjoint"])
def test_relations_with_a_polygon(filled: tuple[Store, list[Entity]], relation: str) -> None:
    store, entities = filled
    query = Query(geo=Geo(relation, SQUARE), limit=1000)  # type: ignore[arg-type]
    expected = plain(entities, query)
    assert 5 < len(expected) < 100
    assert pages(store, query) == expected


def test_ids_patterns_and_attributes_select(filled: tuple[Store, list[Entity]]) -> None:
    store, entities = filled
    some = ("urn:e:005", "urn:e:002", "urn:none")
    found = store.query(READ, Query(ids=some))
    assert [e.urn for e in found.entities] == ["urn:e:002", "urn:e:005"]
    found = store.query(READ, Query(id_pattern=":01[0-4]$"))
    assert [e.urn for e in found.entities] == [f"urn:e:01{n}" for n in range(5)]
    found = store.query(READ, Query(attributes=("name",), limit=1000))
    assert [e.urn for e in found.entities] == [e.urn for e in entities if e.get("name")]


def test_a_hidden_attribute_can_not_be_asked_about(filled: tuple[Store, list[Entity]]) -> None:
    store, _ = filled
    rule = TypeRule(frozenset({"name"}))
    narrow = permit("read", {"P": rule})
    number = Compare(Path("free"), "==", (7,))
    assert store.query(narrow, Query(condition=number, count=True)).count == 0
    assert store.query(narrow, Query(condition=Exists(Path("free")))).entities == ()
    assert store.query(narrow, Query(attributes=("free",))).entities == ()
    near = Geo("near", {"type": "Point", "coordinates": [5.05, 52.05]}, max_distance_m=50_000)
    assert store.query(narrow, Query(geo=near, count=True)).count == 0
    only = store.query(narrow, Query(types=("Q",))).entities
    assert only == ()
