# SPDX-License-Identifier: EUPL-1.2
"""All that a store keeps goes into another one and is the same there."""

from pathlib import Path

import pytest
from tests.permits import READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied, Invalid, Unavailable
from poorter.city.query import Compare, EvolutionQuery, Geo, HistoryQuery, Query
from poorter.city.query import Path as Where
from poorter.city.time import DAY_US
from poorter.gate.permit import TypeRule
from poorter.ledger.lines import SealedLine
from poorter.store import contract as c
from poorter.store.contents import ROW_TYPES, Contents, Movable, ObservationRow, Row, digest_of
from poorter.store.evolving import AddInstances
from poorter.store.sqlite import open_store

ADMINISTER = permit("administer")
PLACE = "urn:x:Place:1"
POINT = {"type": "Point", "coordinates": [5.3, 52.6]}


def filled(store: c.Store, clock: ManualClock) -> None:
    """Something of every kind that a store keeps."""

    def commit(*ops: c.Op, key: str | None = None) -> c.Committed:
        clock.forward_s(1)
        return store.commit(WRITE, c.Change(ops, key)).result(10)

    now_us = clock.now_us()
    commit(
        c.Create(
            Entity(
                PLACE,
                ("Place", "Also"),
                (
                    Attribute("location", POINT, "GeoProperty"),
                    Attribute("name", "één", unit_code=None),
                    Attribute("free", 3, observed_at_us=now_us, unit_code="C62"),
                    Attribute("free", 4, observed_at_us=now_us, dataset_id="urn:d"),
                    Attribute("owner", "urn:x:Person:1", "Relationship"),
                    Attribute("flags", [True, {"a": 1.0}], sub=(Attribute("why", "so"),)),
                ),
                scopes=("/a/b", "/c"),
            )
        )
    )
    readings = [c.Reading(PLACE, "free", now_us - n * 1000, n, quality=n % 3) for n in range(50)]
    commit(c.Observe("Place", readings))
    commit(c.Observe("Place", [c.Reading(PLACE, "free", now_us - 1000, 2.5), readings[7]]))
    old = [c.Reading("urn:x:Place:2", "text", now_us - 40 * DAY_US, w) for w in ("a", True)]
    commit(c.Observe("Place", old[:1], one_event=True), c.Observe("Place", old[1:]))
    commit(c.SetAttributes(PLACE, (Attribute("name", "twee"), Attribute("gone", 1))))
    commit(c.DeleteAttribute(PLACE, "gone"))
    moved = Entity(PLACE, ("Place",), (Attribute("speed", 9, observed_at_us=now_us - 77),))
    commit(AddInstances(moved))
    evolved = Attribute("n", 1, observed_at_us=now_us, sub=(Attribute("more", 2),))
    commit(AddInstances(Entity("urn:x:Made:1", ("Made",), (evolved,))))
    gone = Attribute("n", 1, observed_at_us=now_us)
    commit(c.Create(Entity("urn:x:Place:3", ("Place",), (gone,))))
    commit(c.Delete("urn:x:Place:3"))
    commit(c.Create(Entity("urn:x:Place:4", ("Place",), (Attribute("n", 1),))))
    commit(c.Erase("urn:x:Place:4"))
    commit(c.PutRecord("note", "a", {"b": [1, 2.0, None], "a": "ü"}, keys={"state": "open"}))
    commit(c.PutRecord("note", "a", {"b": 2}, expect=1, keys={"state": "shut", "by": "ada"}))
    commit(c.PutRecord("goal", "g", {}), c.DeleteRecord("note", "none"))
    commit(c.Hold("pool", "h", 2, 10, 0, clock.now_us() + DAY_US), key="once")
    commit(c.AppendLeaf(b"leaf", b"private", "about", b"t" * 16), c.AppendLeaf(b"bare"))
    sealed = SealedLine(b"s" * 16, b"i" * 32, b"sealed")
    commit(c.AppendLines(b"prefix", b"u" * 16, [sealed, sealed]))


def copied(store: Movable, into: Movable) -> None:
    with store.contents(READ) as contents:
        for row_type in ROW_TYPES:
            rows = list(contents.rows(row_type))
            for start in range(0, len(rows), 7):
                into.take_in(ADMINISTER, rows[start : start + 7])


def digest(store: Movable) -> dict[str, tuple[int, str]]:
    with store.contents(READ) as contents:
        return digest_of(contents)


def test_another_store_that_took_it_in_answers_the_same(
    store: c.Store, clock: ManualClock, tmp_path: Path
) -> None:
    filled(store, clock)
    assert isinstance(store, Movable)
    before = digest(store)
    assert all(number for number, _ in before.values()), before
    other = open_store(tmp_path / "other", clock)
    copied(store, other)
    other.close()
    other = open_store(tmp_path / "other", clock)
    try:
        assert digest(other) == before
        whole = HistoryQuery(PLACE, corrections=True)
        assert other.history(READ, whole) == store.history(READ, whole)
        for urn in (PLACE, "urn:x:Made:1", "urn:x:Place:3"):
            assert other.evolution(READ, EvolutionQuery(urn)) == store.evolution(
                READ, EvolutionQuery(urn)
            )
        near = Geo("near", POINT, max_distance_m=50)
        named = Compare(Where("name"), "==", ("twee",))
        for query in (
            Query(limit=50, count=True),
            Query(types=("Place",), geo=near),
            Query(types=("Also",), condition=named),
            Query(condition=Compare(Where("n"), ">", (0,))),
        ):
            assert _bare(other.query(READ, query)) == _bare(store.query(READ, query))
        assert other.evolving(READ, Query()) == store.evolving(READ, Query())
        assert other.events(READ, 0) == store.events(READ, 0)
        assert other.records(READ, "note", {"by": "ada"}) == store.records(READ, "note")
        assert other.pool(READ, "pool") == store.pool(READ, "pool")
        assert other.leaves(READ, 0, 9) == store.leaves(READ, 0, 9)
        assert other.lines(READ, b"s" * 16) == store.lines(READ, b"s" * 16)
        assert other.traced(READ, b"u" * 16) == [2, 3]
        assert other.heads(READ) == store.heads(READ)
        _both_go_on(store, other, clock)
    finally:
        other.close()


def _bare(page: c.Page) -> list[object]:
    """Attributes in no order: that is no matter of what they say."""
    rows: list[object] = [page.count]
    for e in page.entities:
        attributes = sorted((a.name, a.dataset_id or "", a.body) for a in e.attributes)
        rows.append((e.urn, e.types, e.scopes, e.version, e.modified_at_us, attributes))
    return rows


def _both_go_on(store: c.Store, other: c.Store, clock: ManualClock) -> None:
    """What is written next comes to the same in both."""
    now_us = clock.now_us()
    ops = (
        c.SetAttributes(PLACE, (Attribute("gone", 2), Attribute("name", "drie"))),
        c.Observe("Place", [c.Reading(PLACE, "free", now_us, 5), c.Reading(PLACE, "free", 1, 1)]),
        c.PutRecord("note", "a", {"b": 3}, expect=2),
        c.Create(Entity("urn:x:Place:3", ("Place",), (Attribute("n", 2),))),
        c.AppendLines(b"prefix", b"", [SealedLine(b"s" * 16, b"i" * 32, b"sealed")]),
    )
    done = [one.commit(WRITE, c.Change(ops)).result(10) for one in (store, other)]
    assert done[0] == done[1]
    assert other.commit(WRITE, c.Change((), "once")).result(10).replayed
    assert store.commit(WRITE, c.Change((), "once")).result(10).replayed
    assert isinstance(store, Movable)
    assert isinstance(other, Movable)
    assert digest(store) == digest(other)


def test_one_changed_value_is_another_fingerprint(store: c.Store, clock: ManualClock) -> None:
    filled(store, clock)
    assert isinstance(store, Movable)
    before = digest(store)
    store.commit(WRITE, c.Change((c.PutRecord("note", "a", {"b": 4}),))).result(10)
    after = digest(store)
    assert {kind for kind in before if before[kind] != after[kind]} == {"records", "events"}


def test_contents_are_those_of_one_moment(store: c.Store, clock: ManualClock) -> None:
    filled(store, clock)
    assert isinstance(store, Movable)
    before = digest(store)
    with store.contents(READ) as contents:
        for number in range(5):
            new = Entity(f"urn:x:Later:{number}", ("Place",), (Attribute("n", number),))
            ops = (c.Create(new), c.AppendLeaf(b"later"))
            store.commit(permit("administer"), c.Change(ops)).result(10)
        assert contents.sequence + 5 == store.sequence()
        assert digest_of(contents) == before


def test_what_the_permit_does_not_cover_is_not_in_it(store: c.Store, clock: ManualClock) -> None:
    filled(store, clock)
    assert isinstance(store, Movable)
    only = {"Made": TypeRule(frozenset(("n",))), "record:note": TypeRule()}
    with store.contents(permit("read", only)) as contents:
        found = {row_type.kind: list(contents.rows(row_type)) for row_type in ROW_TYPES}
    assert [row.urn for row in found["entities"]] == ["urn:x:Made:1"]  # type: ignore[union-attr]
    assert {row.urn for row in found["observations"]} == {"urn:x:Made:1"}  # type: ignore[union-attr]
    assert len(found["records"]) == 1
    assert not found["leaves"] and not found["lines"] and not found["holds"]


def test_it_ends_when_the_permit_does(store: c.Store, clock: ManualClock) -> None:
    filled(store, clock)
    assert isinstance(store, Movable)
    ends_us = clock.now_us() + 1000
    short = permit("read", valid_until_us=ends_us)

    def read(contents: Contents) -> list[Row]:
        return list(contents.rows(ObservationRow))

    with store.contents(short) as contents:
        assert read(contents)
        clock.forward_s(0.002)
        with pytest.raises(Unavailable, match="ask again"):
            read(contents)
    for wrong in (READ, WRITE, permit("administer", {"Place": TypeRule()})):
        with pytest.raises(Denied):
            store.take_in(wrong, ())
    orphan = ObservationRow("urn:x:nobody", "n", "", 1, 0, 1, 0, 1)
    with pytest.raises(Invalid, match="not there"):
        store.take_in(ADMINISTER, [orphan])
