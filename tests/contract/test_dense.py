# SPDX-License-Identifier: EUPL-1.2
"""Thousands of places in a small area: the same answers, page by page, as looking at each."""

import random
from dataclasses import replace

import pytest
from tests.permits import READ, WRITE

from poorter.city.entity import Attribute, Entity
from poorter.city.matching import matches
from poorter.city.query import Compare, Condition, Geo, Path, Query
from poorter.store.contract import Change, Delete, DeleteAttribute, Op, Put, SetAttributes, Store
from poorter.store.geometry import related

SIZE = 1500


def point(dice: random.Random) -> dict[str, object]:
    return {"type": "Point", "coordinates": [5 + dice.random() / 50, 52 + dice.random() / 50]}


def located(geometry: dict[str, object], dataset: str | None = None) -> Attribute:
    return Attribute("location", geometry, "GeoProperty", dataset_id=dataset)


def entity(number: int, dice: random.Random) -> Entity:
    parts = [Attribute("n", dice.randrange(100)), located(point(dice))]
    if number % 7 == 0:
        parts.append(located(point(dice), "urn:d:2"))
    types = ("P",) if number % 3 else ("Q", "P")
    return Entity(f"urn:e:{number:05d}", types, tuple(parts))


def commit(store: Store, ops: list[Op]) -> None:
    store.commit(WRITE, Change(tuple(ops))).result(30)


def paged(store: Store, query: Query) -> list[str]:
    found: list[str] = []
    after: str | None = None
    while True:
        page = store.query(READ, replace(query, after=after))
        found += [one.urn for one in page.entities]
        after = page.after
        if after is None:
            return found


def expected(entities: dict[str, Entity], geo: Geo, condition: Condition | None) -> list[str]:
    return sorted(
        urn
        for urn, one in entities.items()
        if (condition is None or matches(one, condition, lambda _: None))
        and any(related(a.value, geo) for a in one.named("location") if a.kind == "GeoProperty")
    )


def areas(dice: random.Random) -> list[Geo]:
    box = [[5.001, 52.001], [5.014, 52.002], [5.013, 52.017], [5.002, 52.016], [5.001, 52.001]]
    polygon = {"type": "Polygon", "coordinates": [box]}
    return [
        Geo("near", point(dice), max_distance_m=700),
        Geo("near", point(dice), max_distance_m=900, min_distance_m=200),
        Geo("near", {"type": "Point", "coordinates": [5.01, 52.01]}, max_distance_m=90_000),
        Geo("within", polygon),
        Geo("intersects", polygon),
    ]


@pytest.mark.parametrize("shapes", [False, True])
def test_dense_places_are_found_as_they_are_now(store: Store, shapes: bool) -> None:
    dice = random.Random(3)
    entities = {one.urn: one for one in (entity(number, dice) for number in range(SIZE))}
    commit(store, [Put(one) for one in entities.values()])
    if shapes:  # one that is no point: no grid of points holds it
        line = {"type": "LineString", "coordinates": [[5.0, 52.0], [5.02, 52.02]]}
        entities["urn:e:line"] = Entity("urn:e:line", ("P",), (located(line),))
        commit(store, [Put(entities["urn:e:line"])])
    ops: list[Op] = []
    for urn in dice.sample(sorted(entities), 300):  # moved, gone, without a place, no place at all
        kind, now = dice.randrange(4), entities[urn]
        others = tuple(a for a in now.attributes if a.name != "location")
        if kind == 0:
            moved = located(point(dice))
            rest = tuple(a for a in now.attributes if a.key != moved.key)
            entities[urn] = replace(now, attributes=(*rest, moved))
            ops.append(SetAttributes(urn, (moved,)))
        elif kind == 1:
            del entities[urn]
            ops.append(Delete(urn))
        elif kind == 2:
            entities[urn] = replace(now, attributes=others)
            ops.append(DeleteAttribute(urn, "location", every_instance=True))
        else:
            words = Attribute("location", "somewhere")
            rest = tuple(a for a in now.attributes if a.key != words.key)
            entities[urn] = replace(now, attributes=(*rest, words))
            ops.append(SetAttributes(urn, (words,)))
    commit(store, ops)
    conditions: list[Condition | None] = [
        None,
        Compare(Path("n"), "<", (60,)),
        Compare(Path("n"), "==", (7,)),
    ]
    for geo in areas(dice):
        for condition in conditions:
            query = Query(types=("P",), condition=condition, geo=geo, limit=97, count=True)
            wanted = expected(entities, geo, condition)
            assert paged(store, query) == wanted, (geo.relation, condition)
            assert store.query(READ, replace(query, limit=5)).count == len(wanted)
