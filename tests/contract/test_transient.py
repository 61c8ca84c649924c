# SPDX-License-Identifier: EUPL-1.2
"""What is kept for a time only: gone from every answer at its moment, whoever has taken it out."""

import pytest
from tests.permits import READ, WRITE

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import NotFound
from poorter.city.query import Compare, Exists, Path, Query
from poorter.city.time import SECOND_US
from poorter.store import contract as c

URN = "urn:ngsi-ld:OffStreetParking:noord"
OTHER = "urn:ngsi-ld:OffStreetParking:zuid"
TYPE = "OffStreetParking"


def commit(store: c.Store, *ops: c.Op) -> c.Committed:
    return store.commit(WRITE, c.Change(ops)).result(10)


def names(store: c.Store, urn: str = URN) -> list[str]:
    return [a.name for a in store.entity(READ, urn).attributes]


def alert(clock: ManualClock, seconds: float = 10, urn: str = URN) -> Entity:
    until_us = clock.now_us() + int(seconds * SECOND_US)
    return Entity(urn, (TYPE,), (Attribute("free", 3),), expires_at_us=until_us)


def test_an_entity_is_gone_from_every_answer_at_its_moment(
    store: c.Store, clock: ManualClock
) -> None:
    commit(store, c.Create(alert(clock)), c.Create(Entity(OTHER, (TYPE,))))
    clock.forward_s(9.9)
    assert store.entity(READ, URN).expires_at_us == clock.now_us() + SECOND_US // 10
    clock.forward_s(0.1)  # and nobody has written since
    with pytest.raises(NotFound):
        store.entity(READ, URN)
    page = store.query(READ, Query(types=(TYPE,), count=True))
    assert ([e.urn for e in page.entities], page.count) == ([OTHER], 1)
    assert store.query(READ, Query(condition=Exists(Path("free")), count=True)).count == 0
    assert dict(store.types(READ))[TYPE] == 1
    assert [(f.type, f.name, f.entities) for f in store.facets(READ)] == [(TYPE, "", 1)]


def test_what_ended_is_told_in_the_order_in_which_it_did(
    store: c.Store, clock: ManualClock
) -> None:
    """So that one history gives one sequence of events, whichever engine keeps it."""
    order = [7, 3, 9, 1, 8, 2]
    for number in range(10):  # made in another order than that in which they end
        seconds = order.index(number) if number in order else 6
        commit(store, c.Create(alert(clock, 10 + seconds, f"urn:x:{number}")))
    before = store.sequence()
    clock.forward_s(60)
    commit(store)
    gone = [event.urn for event in store.events(READ, before)]
    assert gone == [f"urn:x:{number}" for number in (*order, 0, 4, 5, 6)]


def test_a_clock_set_back_revives_nothing(store: c.Store, clock: ManualClock) -> None:
    commit(store, c.Create(alert(clock)))
    clock.forward_s(11)
    commit(store, c.Put(Entity(OTHER, (TYPE,))))
    clock.forward_s(-11)
    with pytest.raises(NotFound):
        store.entity(READ, URN)


def test_the_next_commit_takes_it_out_and_tells_of_it(store: c.Store, clock: ManualClock) -> None:
    told: list[c.Changed] = []
    watch = store.watch(told.extend)  # type: ignore[attr-defined]
    watch.types = frozenset((TYPE,))
    commit(store, c.Create(alert(clock)))
    told.clear()
    clock.forward_s(10)
    assert store.expires_next_us() <= clock.now_us()
    before = store.sequence()
    commit(store)  # an empty one
    assert store.expires_next_us() > clock.now_us()
    assert [(e.kind, e.urn) for e in store.events(READ, before)] == [("deleted", URN)]
    (changed,) = told
    assert changed.before(READ) is not None
    assert changed.after(READ) is None
    watch.stop()


def test_its_id_is_free_again_at_once(store: c.Store, clock: ManualClock) -> None:
    commit(store, c.Create(alert(clock)))
    clock.forward_s(10)
    commit(store, c.Create(Entity(URN, (TYPE,), (Attribute("name", "new"),))))
    assert names(store) == ["name"]
    assert store.entity(READ, URN).expires_at_us is None


def test_an_attribute_goes_alone_and_a_part_of_one_too(store: c.Store, clock: ManualClock) -> None:
    until_us = clock.now_us() + SECOND_US
    part = Attribute("accuracy", 1, expires_at_us=until_us)
    attributes = (
        Attribute("free", 3, expires_at_us=until_us),
        Attribute("free", 4, dataset_id="urn:d:1"),
        Attribute("speed", 5, sub=(part, Attribute("heading", 90))),
    )
    commit(store, c.Create(Entity(URN, (TYPE,), attributes)))
    for after in (False, True):
        clock.forward_s(1)
        if after:
            commit(store)
        found = store.decode(store.entity(READ, URN))
        assert [(a.name, a.value) for a in found.attributes] == [("free", 4), ("speed", 5)]
        assert [a.name for a in found.attributes[1].sub] == ["heading"]
        query = Query(condition=Compare(Path("free"), "==", (3,)), count=True)
        assert store.query(READ, query).count == 0
    assert store.expires_next_us() == c.NEVER_US


def test_a_write_can_set_move_and_lift_it(store: c.Store, clock: ManualClock) -> None:
    commit(store, c.Create(Entity(URN, (TYPE,), (Attribute("free", 3),))))
    soon_us = clock.now_us() + SECOND_US
    commit(store, c.SetAttributes(URN, (), expires_at_us=soon_us))
    commit(store, c.SetAttributes(URN, (Attribute("free", 4),)))
    found = store.entity(READ, URN)
    assert (found.expires_at_us, found.version) == (soon_us, 3)
    commit(store, c.SetAttributes(URN, (), expires_at_us=soon_us + SECOND_US))
    clock.forward_s(1)
    assert names(store) == ["free"]
    commit(store, c.SetAttributes(URN, (), expires_at_us=c.NEVER_US))
    clock.forward_s(1)
    assert names(store) == ["free"]
    commit(store, c.SetAttributes(URN, (), expires_at_us=soon_us))  # over already
    with pytest.raises(NotFound):
        store.entity(READ, URN)


def test_a_whole_write_says_all_of_it_a_partial_one_leaves_it(
    store: c.Store, clock: ManualClock
) -> None:
    commit(store, c.Create(alert(clock)))
    commit(store, c.Put(Entity(URN, (TYPE,), (Attribute("name", "x"),)), replace=False))
    assert store.entity(READ, URN).expires_at_us is not None
    commit(store, c.Put(Entity(URN, (TYPE,), (Attribute("name", "y"),))))
    assert store.entity(READ, URN).expires_at_us is None


def test_what_is_refused_takes_nothing_with_it(store: c.Store, clock: ManualClock) -> None:
    commit(store, c.Create(alert(clock)), c.Create(Entity(OTHER, (TYPE,))))
    clock.forward_s(10)
    with pytest.raises(NotFound):
        commit(store, c.SetAttributes(URN, (Attribute("free", 1),)))
    assert [e.urn for e in store.query(READ, Query(types=(TYPE,))).entities] == [OTHER]
    assert store.expires_next_us() == c.NEVER_US
