# SPDX-License-Identifier: EUPL-1.2
"""Records, holds, events and leaves."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.permits import READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Entity
from poorter.city.errors import Conflict, Denied, Invalid, NotFound
from poorter.city.time import SECOND_US
from poorter.gate.permit import TypeRule
from poorter.store.contract import (
    AppendLeaf,
    Change,
    Create,
    DeleteRecord,
    EndHold,
    ExtendHold,
    Hold,
    Op,
    PutRecord,
    Require,
    Store,
)


def commit(store: Store, *ops: Op) -> tuple:
    return store.commit(WRITE, Change(ops)).result(10).results


def test_records_have_versions_and_are_listed_by_their_keys(store: Store) -> None:
    assert commit(store, PutRecord("note", "b", {"n": 1}, 0, {"state": "open"})) == (1,)
    commit(store, PutRecord("note", "a", {"n": 2}, keys={"state": "open"}))
    with pytest.raises(Conflict):
        commit(store, PutRecord("note", "b", {"n": 3}, 0))
    assert commit(store, PutRecord("note", "b", {"n": 3}, 1, {"state": "done"})) == (2,)
    assert [r.id for r in store.records(READ, "note")] == ["a", "b"]
    assert [r.id for r in store.records(READ, "note", {"state": "open"})] == ["a"]
    assert store.record(READ, "note", "b").doc == {"n": 3}
    assert [r.id for r in store.records(READ, "note", after="a")] == ["b"]
    commit(store, DeleteRecord("note", "b"))
    with pytest.raises(NotFound):
        store.record(READ, "note", "b")
    assert store.records(READ, "note", {"state": "done"}) == []


def test_the_newest_records_come_first_when_asked(store: Store, clock: ManualClock) -> None:
    for name in ("m", "z", "a"):
        commit(store, PutRecord("note", name, {}, keys={"state": "open"}))
        clock.forward_s(1)
    commit(store, PutRecord("note", "m", {"n": 2}, keys={"state": "open"}))
    newest = store.records(READ, "note", newest=True)
    assert [r.id for r in newest] == ["a", "z", "m"], "a change doesn't make it new"
    assert [r.id for r in store.records(READ, "note", {"state": "open"}, 2, newest=True)] == [
        "a",
        "z",
    ]


def test_a_kind_outside_the_permit_does_not_exist(store: Store) -> None:
    commit(store, PutRecord("note", "a", {}))
    nothing = permit("read", {})
    assert store.records(nothing, "note") == []
    with pytest.raises(NotFound):
        store.record(nothing, "note", "a")
    with pytest.raises(Denied):
        store.commit(permit("write", {}), Change((PutRecord("note", "a", {}),))).result(10)
    assert store.leaves(nothing, 0, 10) == []
    assert store.pool(nothing, "p").units == 0


def hold(clock: ManualClock, number: object, seconds: int = 60) -> Hold:
    return Hold("p", f"h{number}", 1, 100, 40, clock.now_us() + seconds * SECOND_US)


def test_holds_end_extend_and_expire(store: Store, clock: ManualClock) -> None:
    for number in range(60):
        commit(store, hold(clock, number))
    with pytest.raises(Conflict, match="0 left"):
        commit(store, hold(clock, "more"))
    commit(store, EndHold("p", "h0"))
    commit(store, hold(clock, "more"))
    with pytest.raises(NotFound):
        commit(store, EndHold("p", "h0"))
    commit(store, ExtendHold("p", "h1", clock.now_us() + 120 * SECOND_US))
    clock.forward_s(61)
    assert [h[0] for h in store.pool(READ, "p").holds] == ["h1"]
    with pytest.raises(NotFound):
        commit(store, ExtendHold("p", "h2", clock.now_us() + SECOND_US))
    commit(store, hold(clock, "h0 again"))


def test_a_clock_set_back_revives_no_hold(store: Store, clock: ManualClock) -> None:
    commit(store, hold(clock, 1, seconds=10))
    start = clock.now_us()
    clock.forward_s(20)
    commit(store, PutRecord("note", "tick", {}))
    clock.set_us(start)
    assert store.pool(READ, "p").units == 0


def test_a_thousand_tries_on_a_hundred_hold_exactly_a_hundred(
    store: Store, clock: ManualClock
) -> None:
    until = clock.now_us() + 60 * SECOND_US

    def attempt(number: int) -> bool:
        op = Hold("p", f"h{number}", 1, 100, 0, until)
        return store.commit(WRITE, Change((op,))).exception(30) is None

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, range(1000))) == 100
    assert store.pool(READ, "p").units == 100


def test_no_hold_gives_units_back_or_lasts_for_ever(store: Store, clock: ManualClock) -> None:
    now = clock.now_us()
    soon = now + 60 * SECOND_US
    for units, capacity, taken, until in (
        (-5, 10, 0, soon),
        (0, 10, 0, soon),
        (1, 10, -5, soon),
        (1, 10, 0, now),
        (1, 10, 0, now - 1),
        (1, 10, 0, 2**62),
    ):
        with pytest.raises(Invalid):
            commit(store, Hold("p", "h", units, capacity, taken, until))
    with pytest.raises(Conflict):
        commit(store, Hold("p", "h", 2**40, 10, 0, soon))
    assert store.pool(READ, "p").units == 0
    commit(store, Hold("p", "h", 1, 10, 0, soon))
    for until in (now, 2**62):
        with pytest.raises(Invalid):
            commit(store, ExtendHold("p", "h", until))
    assert store.pool(READ, "p").units == 1


def test_events_have_no_gaps_and_match_what_happened(store: Store) -> None:
    heard: list[int] = []
    stop = store.on_commit(lambda events: heard.extend(e.sequence for e in events))
    for number in range(20):
        commit(store, Create(Entity(f"urn:x:{number}", ("T",))))
        with pytest.raises(Conflict):
            commit(store, Create(Entity(f"urn:x:{number}", ("T",))))
    events = store.events(READ, 0)
    assert [e.sequence for e in events] == list(range(1, 21))
    assert [e.urn for e in events] == [f"urn:x:{number}" for number in range(20)]
    store.commit(WRITE, Change(())).result(10)
    assert heard == list(range(1, 21))
    stop()
    commit(store, Create(Entity("urn:y", ("T",))))
    assert len(heard) == 20
    assert store.events(permit("read", {}), 0) == []


def test_a_change_may_rest_on_a_record_as_it_stands(store: Store) -> None:
    commit(store, Require("note", "a", 0), PutRecord("note", "b", {}))
    commit(store, PutRecord("note", "a", {}))
    commit(store, Require("note", "a", 1), PutRecord("note", "c", {}))
    for wrong in (0, 2):
        with pytest.raises(Conflict):
            commit(store, PutRecord("note", "d", {}), Require("note", "a", wrong))
    assert {r.id for r in store.records(READ, "note")} == {"a", "b", "c"}
    with pytest.raises(Denied):
        only_t = permit("write", {"T": TypeRule()})
        store.commit(only_t, Change((Require("note", "a", 1),))).result(10)


def test_leaves_are_numbered_without_gaps_also_past_failures(store: Store) -> None:
    assert commit(store, AppendLeaf(b"zero", b"private")) == (0,)
    with pytest.raises(Conflict):
        commit(store, AppendLeaf(b"void"), PutRecord("note", "a", {}, expect=7))
    assert commit(store, AppendLeaf(b"one"), AppendLeaf(b"two")) == (1, 2)
    assert store.leaves(READ, 0, 10) == [(0, b"zero"), (1, b"one"), (2, b"two")]
    assert store.leaves(READ, 1, 1) == [(1, b"one")]
    assert store.leaf_payload(READ, 0) == b"private"
    with pytest.raises(NotFound):
        store.leaf_payload(READ, 1)
