# SPDX-License-Identifier: EUPL-1.2
"""History of many entities by group: as a plain sum over their readings, for the permit only."""

import random
from collections import defaultdict
from typing import Any

import pytest
from tests.permits import READ, WRITE, permit

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied
from poorter.city.time import DAY_US, HOUR_US
from poorter.gate.permit import TypeRule
from poorter.store.contract import Change, Observe, Put, Reading, Store
from poorter.store.history.groups import GroupQuery

T0 = 1_767_225_600_000_000
UNTIL = T0 + 72 * HOUR_US
SQUARE = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))


def sensor(number: int) -> Entity:
    point = {"type": "Point", "coordinates": [5.25 + 0.5 * (number % 3), 52.5]}
    attributes = (
        Attribute("in", f"urn:ngsi-ld:Area:{number % 3}", "Relationship"),
        Attribute("location", point, "GeoProperty"),
        Attribute("kind", "wet" if number % 2 else "dry"),
    )
    return Entity(f"urn:ngsi-ld:Sensor:{number}", ("Sensor",), attributes)


def area(number: int) -> Entity:
    ring = [[5 + number * 0.5 + x * 0.5, 52 + y] for x, y in SQUARE]
    shape = {"type": "Polygon", "coordinates": [ring]}
    attributes = (Attribute("location", shape, "GeoProperty"),)
    return Entity(f"urn:ngsi-ld:Area:{number}", ("Area",), attributes)


@pytest.fixture
def said(store: Store) -> list[Reading]:
    dice = random.Random(4)
    things = [sensor(n) for n in range(7)] + [area(n) for n in range(3)]
    store.commit(WRITE, Change(tuple(Put(thing) for thing in things))).result(10)
    moments = range(0, 72 * 60, 20)
    readings = [
        Reading(
            sensor(n).urn,
            "n",
            T0 + m * 60_000_000,
            dice.randrange(9),
            quality=dice.choice((0, 0, 3)),
        )
        for n in range(7)
        for m in moments
    ]
    late = [Reading(r.urn, "n", r.observed_at_us, 50) for r in dice.sample(readings, 30)]
    store.commit(WRITE, Change((Observe("Sensor", readings),))).result(10)
    store.commit(WRITE, Change((Observe("Sensor", late),))).result(10)
    return readings + late


def plain(said: list[Reading], group: Any, width_us: int, from_us: int = T0) -> dict[str, Any]:
    last = {(r.urn, r.observed_at_us): r for r in said}
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for reading in last.values():
        if reading.quality < 3 and from_us <= reading.observed_at_us < UNTIL:
            start = reading.observed_at_us // width_us * width_us
            found[group(int(reading.urn.split(":")[-1]))][start].append(reading.value)
    return {
        name: [(s, len(v), sum(v), min(v), max(v)) for s, v in sorted(buckets.items())]
        for name, buckets in sorted(found.items())
    }


def asked(store: Store, query: GroupQuery, by: Any = READ) -> dict[str, Any]:
    return {
        group: [(b.start_us, b.count, b.total, b.minimum, b.maximum) for b in buckets]
        for group, buckets in store.grouped(by, query).items()
    }


def in_area(number: int) -> str:
    return f"urn:ngsi-ld:Area:{number % 3}"


def test_by_relationship_by_text_and_by_area(store: Store, said: list[Reading]) -> None:
    def kind(number: int) -> str:
        return "wet" if number % 2 else "dry"

    for width_us in (HOUR_US, 6 * HOUR_US, DAY_US, HOUR_US // 2):
        query = GroupQuery("Sensor", "n", T0, UNTIL, "in", width_us=width_us)
        assert asked(store, query) == plain(said, in_area, width_us)
        by_area = GroupQuery("Sensor", "n", T0, UNTIL, areas="Area", width_us=width_us)
        assert asked(store, by_area) == plain(said, in_area, width_us)
        by_text = GroupQuery("Sensor", "n", T0, UNTIL, "kind", width_us=width_us)
        assert asked(store, by_text) == plain(said, kind, width_us)
    within = GroupQuery("Sensor", "n", T0 + 90 * 60_000_000, UNTIL, "in")
    assert asked(store, within) == plain(said, in_area, HOUR_US, within.from_us)
    assert asked(store, GroupQuery("Sensor", "n", T0, UNTIL, "nothing")) == {}


def test_only_what_exists_for_the_permit(store: Store, said: list[Reading]) -> None:
    query = GroupQuery("Sensor", "n", T0, UNTIL, "in")
    by_area = GroupQuery("Sensor", "n", T0, UNTIL, areas="Area")
    for rules in (
        {"Area": TypeRule()},
        {"Sensor": TypeRule(frozenset({"in", "location"})), "Area": TypeRule()},
        {"Sensor": TypeRule(frozenset({"n"})), "Area": TypeRule()},
        {"Sensor": TypeRule(personal=True), "Area": TypeRule()},
    ):
        narrow = permit("read", rules)
        assert asked(store, query, narrow) == {}
        assert asked(store, by_area, narrow) == {}
    assert asked(store, by_area, permit("read", {"Sensor": TypeRule()})) == {}
    with pytest.raises(Denied):
        store.grouped(permit("write"), query)
