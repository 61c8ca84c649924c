# SPDX-License-Identifier: EUPL-1.2
"""Entities and attributes behind the contract."""

import math

import pytest
from tests.permits import READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Denied, Invalid, NotFound, TooLarge, Unavailable
from poorter.city.query import HistoryQuery
from poorter.gate.permit import TypeRule
from poorter.store.contract import (
    Change,
    Committed,
    Create,
    Delete,
    DeleteAttribute,
    Op,
    Put,
    Replace,
    SetAttributes,
    Store,
)

URN = "urn:ngsi-ld:OffStreetParking:noord"
POINT = {"type": "Point", "coordinates": [5.1, 52.1]}


def place(urn: str = URN, **values: object) -> Entity:
    attributes = [Attribute(name, value) for name, value in values.items()]
    attributes.append(Attribute("location", POINT, "GeoProperty"))
    return Entity(urn, ("OffStreetParking",), tuple(attributes))


def commit(store: Store, *ops: Op, key: str | None = None) -> Committed:
    return store.commit(WRITE, Change(ops, key)).result(10)


def values(store: Store, urn: str = URN) -> dict[str, object]:
    entity = store.decode(store.entity(READ, urn))
    return {a.name: a.value for a in entity.attributes}


def test_what_is_created_reads_back_with_its_times(store: Store, clock: ManualClock) -> None:
    made = clock.now_us()
    sub = (Attribute("accuracy", 0.5, unit_code="P1"),)
    rich = Attribute("free", 7, observed_at_us=made - 5, unit_code="C62", sub=sub)
    german = Attribute("name", {"de": "Nord"}, "LanguageProperty", dataset_id="urn:d:1")
    entity = Entity(URN, ("OffStreetParking", "Thing"), (rich, german), ("/city/noord",))
    commit(store, Create(entity))
    clock.forward_s(1)
    found = store.decode(store.entity(READ, URN))
    assert found.types == entity.types
    assert found.scopes == entity.scopes
    assert found.created_at_us == found.modified_at_us == made
    assert found.version == 1
    assert [(a.name, a.value, a.sub, a.dataset_id, a.unit_code) for a in found.attributes] == [
        ("free", 7, sub, None, "C62"),
        ("name", {"de": "Nord"}, (), "urn:d:1", None),
    ]


def test_creating_twice_is_a_conflict_and_changes_nothing(store: Store) -> None:
    commit(store, Create(place(free=1)))
    with pytest.raises(Conflict):
        commit(store, Create(place(free=2)))
    assert values(store)["free"] == 1


def test_a_change_is_whole_or_not_at_all(store: Store) -> None:
    commit(store, Create(place(free=1)))
    other = place("urn:ngsi-ld:OffStreetParking:zuid", free=3)
    with pytest.raises(Conflict):
        commit(store, Create(other), Create(place(free=2)))
    with pytest.raises(NotFound):
        store.entity(READ, other.urn)
    commit(store, Create(other))
    assert values(store, other.urn)["free"] == 3


def test_errors_of_one_change_leave_the_group_alone(store: Store) -> None:
    commit(store, Create(place(free=1)))
    futures = [
        store.commit(WRITE, Change((Create(place(f"urn:x:{n % 3}", free=n)),))) for n in range(30)
    ]
    outcomes = [future.exception(10) for future in futures]
    assert outcomes[:3] == [None, None, None]
    assert all(isinstance(wrong, Conflict) for wrong in outcomes[3:])
    assert values(store, "urn:x:2")["free"] == 2


@pytest.mark.parametrize(
    ("mode", "written", "left"),
    [
        ("append", ("free", "price"), ()),
        ("keep", ("price",), ("free",)),
        ("update", ("free",), ("price",)),
    ],
)
def test_three_ways_to_set_attributes(
    store: Store, mode: str, written: tuple[str, ...], left: tuple[str, ...]
) -> None:
    commit(store, Create(place(free=1)))
    attributes = (Attribute("free", 2), Attribute("price", 3))
    done = commit(store, SetAttributes(URN, attributes, mode))  # type: ignore[arg-type]
    assert done.results == ((written, left),)
    assert values(store)["free"] == (1 if mode == "keep" else 2)
    assert values(store).get("price") == (None if mode == "update" else 3)


def test_compare_and_set_by_version(store: Store) -> None:
    commit(store, Create(place(free=1)))
    commit(store, SetAttributes(URN, (Attribute("free", 2),), expect=1))
    with pytest.raises(Conflict, match="version 2"):
        commit(store, SetAttributes(URN, (Attribute("free", 3),), expect=1))
    assert values(store)["free"] == 2


def test_replace_leaves_nothing_of_before(store: Store) -> None:
    commit(store, Create(place(free=1, price=2)))
    commit(store, Replace(Entity(URN, ("ParkingGroup",), (Attribute("free", 9),))))
    assert values(store) == {"free": 9}
    assert store.entity(READ, URN).types == ("ParkingGroup",)
    assert store.types(READ) == (("ParkingGroup", 1),)
    with pytest.raises(NotFound):
        commit(store, Replace(place("urn:x:none")))


def test_put_makes_or_merges(store: Store) -> None:
    assert commit(store, Put(place(free=1))).results == ((1, True),)
    assert commit(store, Put(Entity(URN, ("Thing",), (Attribute("price", 2),)), False)).results == (
        (2, False),
    )
    assert values(store) == {"free": 1, "price": 2, "location": POINT}
    assert set(store.entity(READ, URN).types) == {"OffStreetParking", "Thing"}


def test_delete_and_make_again(store: Store) -> None:
    commit(store, Create(place(free=1)))
    commit(store, Delete(URN))
    with pytest.raises(NotFound):
        store.entity(READ, URN)
    with pytest.raises(NotFound):
        commit(store, Delete(URN))
    commit(store, Delete(URN, missing_ok=True))
    assert store.types(READ) == ()
    commit(store, Create(place(price=2)))
    assert "free" not in values(store)


def test_one_instance_of_many_goes(store: Store) -> None:
    both = (Attribute("free", 1), Attribute("free", 2, dataset_id="urn:d:2"))
    commit(store, Create(Entity(URN, ("T",), both)))
    commit(store, DeleteAttribute(URN, "free"))
    assert [a.dataset_id for a in store.entity(READ, URN).attributes] == ["urn:d:2"]
    commit(store, DeleteAttribute(URN, "free", every_instance=True))
    with pytest.raises(NotFound):
        commit(store, DeleteAttribute(URN, "free", every_instance=True))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_hold_is_refused_or_null_free(store: Store, value: float) -> None:
    with pytest.raises(Invalid, match="free"):
        commit(store, Create(place(free=value)))
    with pytest.raises(NotFound):
        store.entity(READ, URN)


def test_a_huge_attribute_is_refused_with_its_size(store: Store) -> None:
    with pytest.raises(TooLarge, match="bytes"):
        commit(store, Create(place(note="x" * 1_000_000)))


def test_a_replayed_key_gives_the_first_answer(store: Store) -> None:
    first = commit(store, Create(place(free=1)), key="k1")
    again = commit(store, Create(place(free=1)), key="k1")
    assert again.replayed
    assert (again.results, again.sequence) == (first.results, first.sequence)
    assert store.entity(READ, URN).version == 1


def test_only_writing_permits_write_and_leases_end(store: Store, clock: ManualClock) -> None:
    change = Change((Create(place(free=1)),))
    with pytest.raises(Denied):
        store.commit(READ, change)
    with pytest.raises(Unavailable):
        store.commit(permit("write", valid_until_us=clock.now_us()), change)
    commit(store, Create(place(free=1)))
    with pytest.raises(Denied):
        store.entity(WRITE, URN)
    with pytest.raises(Unavailable):
        store.entity(permit("read", valid_until_us=clock.now_us()), URN)


def test_types_and_attributes_outside_the_permit_do_not_exist(store: Store) -> None:
    commit(store, Create(place(free=1, secret=2)))
    narrow = permit("read", {"OffStreetParking": TypeRule(frozenset({"free"}))})
    assert [a.name for a in store.entity(narrow, URN).attributes] == ["free"]
    with pytest.raises(NotFound):
        store.entity(permit("read", {"Other": TypeRule()}), URN)
    with pytest.raises(NotFound):
        store.history(permit("read", {"Other": TypeRule()}), HistoryQuery(URN))
    assert store.types(permit("read", {"Other": TypeRule()})) == ()


def test_writing_outside_the_permit_is_denied_and_writes_nothing(store: Store) -> None:
    commit(store, Create(place(free=1, secret=2)))
    narrow = permit("write", {"OffStreetParking": TypeRule(frozenset({"free", "location"}))})
    for op in (
        SetAttributes(URN, (Attribute("free", 5), Attribute("secret", 5))),
        Create(place("urn:x:1", secret=1)),
        Create(Entity("urn:x:2", ("Other",))),
    ):
        with pytest.raises(Denied):
            store.commit(narrow, Change((op,))).result(10)
    commanded = TypeRule(without=frozenset({"signText"}))
    with pytest.raises(Denied):
        op = SetAttributes(URN, (Attribute("signText", "VOL"),))
        store.commit(permit("write", {"OffStreetParking": commanded}), Change((op,))).result(10)
    assert values(store)["free"] == 1


def test_replacing_does_not_touch_what_the_permit_does_not_cover(store: Store) -> None:
    commit(store, Create(place(free=1, secret=2)))
    narrow = permit("write", {"OffStreetParking": TypeRule(without=frozenset({"secret"}))})
    op = Replace(Entity(URN, ("OffStreetParking",), (Attribute("free", 3),)))
    store.commit(narrow, Change((op,))).result(10)
    assert values(store) == {"free": 3, "secret": 2}
