# SPDX-License-Identifier: EUPL-1.2
"""Points and numbers in memory: the answers of a plain evaluator, whatever is written meanwhile."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.permits import READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict
from poorter.city.matching import matches
from poorter.city.query import And, Compare, Condition, Geo, Query, Range
from poorter.city.query import Path as Name
from poorter.gate.permit import Permit, TypeRule
from poorter.store.body import encode_attribute
from poorter.store.contents import AttributeRow, EntityRow
from poorter.store.contract import (
    Change,
    Create,
    Delete,
    DeleteAttribute,
    Erase,
    Observe,
    Op,
    Put,
    Reading,
    SetAttributes,
)
from poorter.store.geometry import related, search_box
from poorter.store.sqlite import SqliteStore, open_store
from poorter.store.tables.spots import _may_be_in

SIZE = 1200
T0 = 1_767_225_600_000_000
#: n does not exist of a Q
NARROW = permit("read", {"P": TypeRule(), "Q": TypeRule(frozenset({"location", "m"}))})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = open_store(tmp_path / "city", ManualClock(T0))
    yield made
    made.close()


def located(dice: random.Random, dataset: str | None = None) -> Attribute:
    point = {"type": "Point", "coordinates": [5 + dice.random() / 40, 52 + dice.random() / 40]}
    return Attribute("location", point, "GeoProperty", dataset_id=dataset)


def nudged(one: Entity) -> Attribute:
    (place,) = one.named("location")
    lon, lat = place.value["coordinates"]
    return replace(place, value={"type": "Point", "coordinates": [lon + 0.0015, lat - 0.001]})


def entity(number: int, dice: random.Random) -> Entity:
    parts = [located(dice), Attribute("m", dice.randrange(9) / 2)]
    if number % 11:
        parts.append(Attribute("n", dice.randrange(30)))
    if number % 7 == 0:
        parts.append(located(dice, "urn:d:2"))
    if number % 13 == 0:
        parts.append(Attribute("n", dice.randrange(30), dataset_id="urn:d:2"))
    return Entity(
        f"urn:e:{number * 7919 % 10_000:05d}", ("P", "Q")[number % 3 == 0 :][:1], (*parts,)
    )


class City:
    """A store, and what should be in it."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.dice = random.Random(5)
        self.entities = {e.urn: e for e in (entity(n, self.dice) for n in range(SIZE))}
        self.commit(*map(Put, self.entities.values()))

    def commit(self, *ops: Op) -> None:
        self.store.commit(WRITE, Change(ops)).result(30)

    def set(self, urn: str, *attributes: Attribute) -> SetAttributes:
        """Write attributes here and, by the op, there."""
        kept = {(a.name, a.dataset_id): a for a in self.entities[urn].attributes}
        kept |= {(a.name, a.dataset_id): a for a in attributes}
        self.entities[urn] = replace(self.entities[urn], attributes=tuple(kept.values()))
        return SetAttributes(urn, attributes)

    def some(self, number: int) -> list[str]:
        return self.dice.sample(sorted(self.entities), number)

    def expected(self, permit: Permit, geo: Geo, condition: Condition | None) -> list[str]:
        found = []
        for urn, one in sorted(self.entities.items()):
            rule = permit.rule_of(one.types)
            assert rule is not None
            there = replace(one, attributes=tuple(a for a in one.attributes if rule.covers(a.name)))
            if (condition is None or matches(there, condition, lambda _: None)) and any(
                related(a.value, geo) for a in there.named("location")
            ):
                found.append(urn)
        return found

    def check(self) -> int:
        """All questions, page by page; how many were answered out of memory."""
        asked = 0
        find = self.store._spots.find

        def counting(*given: Any) -> Any:
            nonlocal asked
            found = find(*given)
            asked += found is not None
            return found

        self.store._spots.find = counting  # type: ignore[method-assign]
        try:
            for reader in (READ, NARROW):
                for geo in areas(self.dice):
                    for condition in CONDITIONS:
                        query = Query(("P", "Q"), condition=condition, geo=geo, limit=17)
                        found = self.paged(reader, query)
                        assert found == self.expected(reader, geo, condition), (geo, condition)
                        counted = self.store.query(reader, replace(query, count=True, limit=0))
                        assert counted.count == len(found)
        finally:
            self.store._spots.find = find  # type: ignore[method-assign]
        return asked

    def paged(self, reader: Permit, query: Query) -> list[str]:
        found: list[str] = []
        after: str | None = None
        while True:
            page = self.store.query(reader, replace(query, after=after))
            found += [one.urn for one in page.entities]
            after = page.after
            if after is None:
                return found


N, M = Name("n"), Name("m")
CONDITIONS: list[Condition | None] = [
    None,
    Compare(N, "==", (7,)),
    Compare(N, "<", (10,)),
    Compare(N, ">=", (29,)),
    Compare(N, "==", (Range(3, 5),)),
    And((Compare(N, ">", (20,)), Compare(M, "<=", (1.5,)))),
]


def areas(dice: random.Random) -> list[Geo]:
    box = [[5.001, 52.001], [5.014, 52.002], [5.013, 52.017], [5.002, 52.016], [5.001, 52.001]]
    point = located(dice).value
    return [
        Geo("near", point, max_distance_m=900),
        Geo("near", point, max_distance_m=1500, min_distance_m=300),
        Geo("within", {"type": "Polygon", "coordinates": [box]}),
    ]


def test_answers_out_of_memory_are_those_of_a_plain_evaluator(store: SqliteStore) -> None:
    city = City(store)
    for condition in CONDITIONS:  # what is asked for is made
        store.query(READ, Query(("P",), condition=condition, geo=areas(city.dice)[0]))
        store._spots.wait()
        store._spots._again_at = 0
    assert city.check() > 30
    dice = city.dice
    city.commit(*(city.set(urn, Attribute("n", dice.randrange(30))) for urn in city.some(150)))
    assert city.check() > 30, "numbers that change are changed in memory"
    city.commit(*(city.set(urn, located(dice)) for urn in city.some(60)))
    city.commit(*(city.set(urn, Attribute("n", 7, dataset_id="urn:d:3")) for urn in city.some(20)))
    assert city.check() > 30, "what moved is looked at"
    held = next(iter(store._spots._fields.values()))
    loose = len(held.loose)
    same = [u for u in city.some(300) if len([*city.entities[u].named("location")]) == 1]
    city.commit(*(Put(city.entities[urn], replace=False) for urn in same))
    city.commit(*(city.set(urn, nudged(city.entities[urn])) for urn in same[:80]))
    assert len(held.loose) < loose + 60, "what stays in its cell is where it is now"
    assert city.check() > 30
    gone = city.some(120)
    for urn in gone[:40]:
        del city.entities[urn]
    without = [u for u in gone[40:80] if any(a.name == "n" for a in city.entities[u].attributes)]
    for urn in without:
        kept = tuple(a for a in city.entities[urn].attributes if a.name != "n")
        city.entities[urn] = replace(city.entities[urn], attributes=kept)
    city.commit(
        *map(Delete, gone[:20]),
        *map(Erase, gone[20:40]),
        *(DeleteAttribute(urn, "n", every_instance=True) for urn in without),
    )
    added = [entity(n, dice) for n in range(SIZE, SIZE + 60)]
    city.entities |= {one.urn: one for one in added}
    city.commit(*map(Create, added))
    seen = [u for u in city.some(60) if city.entities[u].types == ("P",)]
    readings = [Reading(urn, "n", T0 + 1, 7) for urn in seen]
    for urn in seen:
        city.set(urn, Attribute("n", 7))
    city.commit(Observe("P", readings))
    assert city.check() > 30


def test_what_a_refused_change_wrote_is_not_remembered(store: SqliteStore) -> None:
    city = City(store)
    geo = areas(city.dice)[2]
    store.query(READ, Query(("P",), condition=CONDITIONS[1], geo=geo))
    store._spots.wait()
    inside = city.expected(READ, geo, None)
    first, second = inside[:2]
    taken = Create(city.entities[second])
    refused = Change((SetAttributes(first, (Attribute("n", 700),)), taken))
    good = Change((city.set(second, Attribute("n", 700)),))
    jobs = [store.commit(WRITE, change) for change in (refused, good)]
    with pytest.raises(Conflict):
        jobs[0].result(10)
    jobs[1].result(10)
    query = Query(("P", "Q"), condition=Compare(N, "==", (700,)), geo=geo)
    assert city.paged(READ, query) == [second]
    assert city.check() > 0


def test_each_answer_is_of_one_moment(store: SqliteStore) -> None:
    """Exactly one of two has the number, and exactly one of two others is in the area, before and
    after each change: so in each answer."""
    city = City(store)
    inside = {"type": "Point", "coordinates": [5.2, 52.2]}
    outside = {"type": "Point", "coordinates": [5.01, 52.01]}
    x, y, v, w = (f"urn:e:{letter}" for letter in "xyvw")
    at = {urn: Attribute("location", inside, "GeoProperty") for urn in (x, y, v, w)}

    def ops(first: bool) -> list[Op]:
        n = (Attribute("n", 900), Attribute("n", 901))[:: 1 if first else -1]
        place = Attribute("location", inside if first else outside, "GeoProperty")
        other = Attribute("location", outside if first else inside, "GeoProperty")
        return [
            SetAttributes(x, (n[0],)),
            SetAttributes(y, (n[1],)),
            SetAttributes(v, (place,)),
            SetAttributes(w, (other,)),
        ]

    made = (Entity(urn, ("P",), (Attribute("n", 902), place)) for urn, place in at.items())
    city.commit(*map(Create, made))
    city.commit(*ops(True))
    store.query(READ, Query(("P",), condition=CONDITIONS[1], geo=areas(city.dice)[0]))
    store._spots.wait()
    settle = store._spots.settle

    def later(committed: bool) -> None:
        time.sleep(0.002)  # as when the thread has to wait: committed, but not in the arrays yet
        settle(committed)

    store._spots.settle = later  # type: ignore[method-assign]
    done = threading.Event()

    def flip() -> None:
        first = False
        while not done.is_set():
            city.commit(*ops(first))
            first = not first

    writer = threading.Thread(target=flip)
    writer.start()
    near = Geo("near", inside, max_distance_m=500)
    try:
        n = 0
        while n < 300 or store._spots.generation < 25:
            n += 1
            numbers = store.query(READ, Query(("P",), condition=Compare(N, "==", (900,)), geo=near))
            assert len(numbers.entities) == 1, n
            places = store.query(READ, Query(("P",), condition=Compare(N, "==", (902,)), geo=near))
            assert len(places.entities) == 1, n
    finally:
        done.set()
        writer.join()


def test_rows_that_are_taken_in_past_the_writer_are_found(store: SqliteStore) -> None:
    city = City(store)
    geo = areas(city.dice)[2]
    store.query(READ, Query(("P",), condition=CONDITIONS[1], geo=geo))
    store._spots.wait()
    assert city.check() > 0
    point = {"type": "Point", "coordinates": [5.008, 52.008]}
    parts = (Attribute("n", 7), Attribute("location", point, "GeoProperty"))
    city.entities["urn:e:new"] = Entity("urn:e:new", ("P",), parts)
    rows = tuple(AttributeRow(a.name, "", encode_attribute(a), T0, T0) for a in parts)
    kept = EntityRow("urn:e:new", ("P",), (), 1, T0, T0, True, None, rows)
    store.take_in(permit("administer"), [kept])
    query = Query(("P",), condition=CONDITIONS[1], geo=geo, limit=1000)
    assert "urn:e:new" in city.paged(READ, query)
    city.check()


def test_a_plane_lets_through_all_that_is_near_enough() -> None:
    dice = random.Random(9)
    for _ in range(300):
        lon, lat = dice.uniform(-170, 170), dice.uniform(-65, 65)
        away_m = dice.choice((5.0, 300.0, 8_000.0, 50_000.0))
        geo = Geo("near", {"type": "Point", "coordinates": [lon, lat]}, max_distance_m=away_m)
        box = search_box(geo)
        assert box is not None
        lons = np.array([dice.uniform(box[0], box[2]) for _ in range(100)])
        lats = np.array([dice.uniform(box[1], box[3]) for _ in range(100)])
        may = _may_be_in(lons, lats, box, geo)
        for one, other, let in zip(lons.tolist(), lats.tolist(), may.tolist(), strict=True):
            near = related({"type": "Point", "coordinates": [one, other]}, geo)
            assert let or not near, (geo, one, other)
