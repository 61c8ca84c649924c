# SPDX-License-Identifier: EUPL-1.2
"""Temporal evolutions: added, replaced, deleted; what a permit lets exist; pages by time."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.permits import READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity, Instance
from poorter.city.errors import Denied, NotFound
from poorter.city.query import EvolutionQuery, Query
from poorter.city.time import HOUR_US
from poorter.gate.permit import TypeRule
from poorter.store.contract import (
    Change,
    Create,
    Delete,
    DeleteAttribute,
    Observe,
    Op,
    Reading,
    SetAttributes,
    Store,
)
from poorter.store.evolving import AddInstances, DeleteInstances, Evolution, ReplaceInstance

URN = "urn:ngsi-ld:Car:a"
T0 = 1_700_000_000_000_000


def do(store: Store, *ops: Op) -> Any:
    return store.commit(WRITE, Change(ops)).result(10).results[0]


def at(hours: float, value: object, name: str = "speed", **more: Any) -> Attribute:
    return Attribute(name, value, observed_at_us=T0 + round(hours * HOUR_US), **more)


def add(store: Store, *instances: Attribute, urn: str = URN, **more: Any) -> Any:
    return do(store, AddInstances(Entity(urn, ("Car",), instances, **more)))


def evolution(store: Store, **asked: Any) -> Evolution:
    return store.evolution(READ, EvolutionQuery(URN, **asked))


def values(store: Store, **asked: Any) -> list[Any]:
    return [one.attribute.value for one in evolution(store, **asked).instances]


def test_added_twice_is_there_once_and_state_follows_the_newest(store: Store) -> None:
    more = {"unit_code": "KMH", "sub": (Attribute("source", "gps"),)}
    assert add(store, at(1, 10), at(0, 5, **more)) is True
    assert add(store, at(1, 10), at(0, 5, **more)) is False
    found = evolution(store).instances
    assert [one.attribute.value for one in found] == [5, 10]
    assert found[0].attribute.unit_code == "KMH"
    assert found[0].attribute.sub == (Attribute("source", "gps"),)
    assert store.decode(store.entity(READ, URN)).value("speed") == 10
    add(store, at(2, 7, **more), at(1.5, 8))
    state = store.decode(store.entity(READ, URN)).get("speed")
    assert state is not None
    assert (state.value, state.unit_code) == (7, "KMH")
    with pytest.raises(NotFound):
        do(store, AddInstances(Entity("urn:x:none", ("Car",)), must_exist=True))


def test_of_one_moment_the_later_one_of_a_batch_counts(store: Store) -> None:
    unit = {"unit_code": "KMH"}
    whole = [at(n / 100, n) for n in range(2000)]
    add(store, *whole[:1000], at(3, -1, **unit), at(3, -2), at(4, -3), at(4, -4, **unit))
    add(store, *whole[:300], *whole[1000:], at(5, -5, **unit))
    add(store, at(5, -5), at(6, -6, "gear"), at(6, -6, **unit))
    found = evolution(store, limit=10_000).instances
    assert len(found) == 2001  # one of them of "gear"
    said = {(one.attribute.name, one.attribute.observed_at_us): one.attribute for one in found}
    at_hours = {n: said["speed", T0 + n * HOUR_US] for n in (2, 3, 4, 5, 6)}
    assert {n: (one.value, one.unit_code) for n, one in at_hours.items()} == {
        2: (200, None),
        3: (-2, None),
        4: (-4, "KMH"),
        5: (-5, None),
        6: (-6, "KMH"),
    }


def test_an_instance_keeps_its_id_when_it_is_replaced(store: Store, clock: ManualClock) -> None:
    add(store, at(0, 1), at(1, 2), at(2, 3))
    first = evolution(store).instances[0]
    clock.forward_s(1.0)
    do(store, ReplaceInstance(URN, "speed", first.instance_id, at(5, 99)))
    last = evolution(store).instances[-1]
    assert (last.attribute.value, last.instance_id) == (99, first.instance_id)
    assert last.attribute.created_at_us == first.attribute.created_at_us
    assert (last.attribute.modified_at_us or 0) > (first.attribute.modified_at_us or 0)
    do(store, ReplaceInstance(URN, "speed", first.instance_id, at(5, 1)))
    do(store, ReplaceInstance(URN, "speed", first.instance_id, at(5, 99)))
    assert values(store) == [2, 3, 99]
    do(store, DeleteInstances(URN, "speed", instance_id=first.instance_id))
    assert values(store) == [2, 3]
    for op in (
        DeleteInstances(URN, "speed", instance_id=first.instance_id),
        DeleteInstances(URN, "speed", instance_id="urn:x:odd"),
        DeleteInstances(URN, "other", instance_id=first.instance_id),
        DeleteInstances(URN, "other", every_dataset=True),
        ReplaceInstance("urn:x:none", "speed", first.instance_id, at(0, 1)),
    ):
        with pytest.raises(NotFound):
            do(store, op)


def test_deleting_an_attribute_is_recorded_and_an_evolution_can_go(store: Store) -> None:
    add(
        store, at(0, 1), at(0, 2, dataset_id="urn:d:1"), at(0, "urn:x:p", "in", kind="Relationship")
    )
    do(store, DeleteAttribute(URN, "in"))
    (gone,) = evolution(store, time="deletedAt").instances
    assert (gone.attribute.value, gone.attribute.kind) == ("urn:ngsi-ld:null", "Relationship")
    assert gone.deleted_at_us is not None
    do(store, DeleteInstances(URN, "speed"))
    assert [one.attribute.value for one in evolution(store, names=("speed",)).instances] == [2]
    do(store, DeleteInstances(URN, "speed", every_dataset=True))
    assert evolution(store, names=("speed",)).instances == ()


def test_an_entity_made_of_its_evolution_goes_with_it(store: Store) -> None:
    add(store, at(0, 1))
    do(store, DeleteInstances(URN))
    with pytest.raises(NotFound):
        evolution(store)
    with pytest.raises(NotFound):
        store.entity(READ, URN)
    assert add(store, at(0, 1)) is True
    do(store, SetAttributes(URN, (Attribute("name", "mine"),)))
    do(store, DeleteInstances(URN))
    assert store.decode(store.entity(READ, URN)).value("name") == "mine"
    assert values(store) == []


def test_what_is_gone_keeps_its_evolution(store: Store) -> None:
    do(store, Create(Entity(URN, ("Car",), (at(0, 1),))))
    do(store, Delete(URN))
    found = evolution(store)
    assert [one.attribute.value for one in found.instances] == [1]
    assert found.deleted_at_us is not None
    assert store.evolving(READ, Query(types=("Car",))) == (URN,)
    assert store.evolving(READ, Query(types=("Bus",))) == ()
    do(store, DeleteInstances(URN))
    with pytest.raises(NotFound):
        evolution(store)


def test_state_without_a_moment_is_its_own_evolution(store: Store, clock: ManualClock) -> None:
    do(store, Create(Entity(URN, ("Car",), (Attribute("name", "x"),))))
    assert values(store) == []
    now_us = clock.now_us()
    assert values(store, time="createdAt", from_us=now_us) == ["x"]
    assert values(store, time="createdAt", until_us=now_us) == []
    assert values(store, time=None) == ["x"]


def test_a_change_of_scope_is_an_instance(store: Store, clock: ManualClock) -> None:
    do(store, Create(Entity(URN, ("Car",), (), ("/a",))))
    clock.forward_s(1.0)
    do(store, SetAttributes(URN, (), scopes=("/b", "/c")))
    clock.forward_s(1.0)
    do(store, SetAttributes(URN, (), scopes=()))
    found = evolution(store).scopes
    assert [one.attribute.value for one in found if one.deleted_at_us is None] == [
        "/a",
        ["/b", "/c"],
    ]
    assert sum(one.deleted_at_us is not None for one in found) == 1


def test_a_permit_decides_what_of_an_evolution_exists(store: Store) -> None:
    add(store, at(0, 1), at(0, "A-1", "plate"), scopes=("/a",))
    narrow = permit("read", {"Car": TypeRule(frozenset({"speed"}))})
    found = store.evolution(narrow, EvolutionQuery(URN, time=None))
    assert {one.attribute.name for one in found.instances} == {"speed"}
    assert store.evolution(narrow, EvolutionQuery(URN, ("plate",))).instances == ()
    with pytest.raises(NotFound):
        store.evolution(permit("read", {"Bus": TypeRule()}), EvolutionQuery(URN))
    assert store.evolving(permit("read", {"Bus": TypeRule()}), Query()) == ()
    short = permit("read", {"Car": TypeRule(retention_us=HOUR_US)})
    assert store.evolution(short, EvolutionQuery(URN)).instances == ()
    writes = permit("write", {"Car": TypeRule(without=frozenset({"plate"}))})
    hidden: list[Op] = [
        AddInstances(Entity(URN, ("Car",), (at(1, "A-2", "plate"),))),
        AddInstances(Entity("urn:x:new", ("Bus",), (at(1, 1),))),
    ]
    for op in hidden:
        with pytest.raises(Denied):
            store.commit(writes, Change((op,))).result(10)
    with pytest.raises(NotFound):
        store.commit(writes, Change((DeleteInstances(URN, "plate"),))).result(10)
    store.commit(writes, Change((DeleteInstances(URN),))).result(10)
    assert {one.attribute.name for one in evolution(store).instances} == {"plate"}


KEYS = st.tuples(st.sampled_from(["speed", "fuel"]), st.sampled_from([None, "urn:d:1"]))
POINT = st.tuples(KEYS, st.integers(0, 12), st.integers(0, 3), st.booleans())
ADDED = st.lists(st.lists(POINT, max_size=6), max_size=5)


@given(
    ADDED, st.integers(1, 6), st.none() | st.integers(1, 3), st.integers(0, 12), st.integers(0, 12)
)
@example(  # with a unit, but corrected since: it was known already
    [
        [
            (("speed", None), 1, 1, False),
            (("speed", None), 1, 0, False),
            (("speed", None), 1, 1, True),
        ]
    ],
    1,
    None,
    1,
    2,
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pages_by_time_are_what_a_plain_evaluator_gives(
    store: Store, batches: Any, limit: int, last: int | None, first: int, end: int
) -> None:
    """A page is the oldest (with lastN the newest) instances, all of its last moment included."""
    urn = f"urn:ngsi-ld:Car:{id(batches)}-{limit}-{first}-{end}-{last}"
    latest: dict[tuple[str, str | None, int], int] = {}
    said: dict[tuple[str, str | None, int], set[int]] = defaultdict(set)
    do(store, AddInstances(Entity(urn, ("Car",))))
    for batch in batches:
        instances = []
        for (name, dataset), hour, value, rich in batch:
            more: dict[str, Any] = {"unit_code": "KMH"} if rich else {}
            instances.append(at(hour, value, name, dataset_id=dataset, **more))
            key = (name, dataset, hour)
            if value not in said[key]:  # what was said before of a moment is known
                said[key].add(value)
                latest[key] = value
        do(store, AddInstances(Entity(urn, ("Car",), tuple(instances))))
    query = EvolutionQuery(
        urn, from_us=T0 + first * HOUR_US, until_us=T0 + end * HOUR_US, last=last, limit=limit
    )
    found = store.evolution(READ, query)
    expected, beyond = _page(latest, first, end, last, limit)
    got = {_key(one): one.attribute.value for one in found.instances}
    assert got == expected
    assert (found.beyond is not None) == beyond
    do(store, DeleteInstances(urn))


def _key(one: Instance) -> tuple[str, str | None, int]:
    attribute = one.attribute
    hour = ((attribute.observed_at_us or 0) - T0) // HOUR_US
    return attribute.name, attribute.dataset_id, hour


def _page(
    latest: dict[tuple[str, str | None, int], int],
    first: int,
    end: int,
    last: int | None,
    limit: int,
) -> tuple[dict[tuple[str, str | None, int], int], bool]:
    rows = [key for key in latest if first <= key[2] < end]
    if last is not None:
        kept = []
        for name in ("speed", "fuel"):
            same = sorted(
                (key for key in rows if key[0] == name), key=lambda key: (-key[2], key[1] or "")
            )
            kept += same[:last]
        rows = kept
    rows.sort(key=lambda key: key[2] if last is None else -key[2])
    page = rows[:limit]
    if page:
        page += [key for key in rows[limit:] if key[2] == page[-1][2]]
    return {key: latest[key] for key in page}, len(page) < len(rows)


def test_readings_of_a_feed_are_instances_too(store: Store) -> None:
    readings = (Reading(URN, "speed", T0, 5), Reading(URN, "speed", T0 + 1, 6, quality=2))
    do(store, Observe("Car", readings))
    found = evolution(store).instances
    assert [one.attribute.value for one in found] == [5, 6]
    assert len({one.instance_id for one in found}) == 2
    assert found[1].attribute.sub == (Attribute("quality", 2),)
    do(store, DeleteInstances(URN, "speed", instance_id=found[0].instance_id))
    assert values(store) == [6]
