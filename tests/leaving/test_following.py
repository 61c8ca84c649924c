# SPDX-License-Identifier: EUPL-1.2
"""A random history goes on while its store moves: what moved answers like one that never did."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_differential import ADMINISTER, T0, History, alike, answered, asked
from tests.database import Database
from tests.permits import READ, WRITE

from poorter.city.clock import ManualClock
from poorter.city.entity import Entity
from poorter.city.errors import Conflict, Invalid, Unavailable
from poorter.city.query import Query
from poorter.city.time import DAY_US
from poorter.gate.permit import Permit
from poorter.store import contract as c
from poorter.store.contents import digest_of
from poorter.store.postgres.store import PostgresStore, open_arrival
from poorter.store.postgres.store import open_store as open_postgres
from poorter.store.sqlite import SqliteStore, open_store
from poorter.store.sqlite.departing import Departure
from poorter.store.tables.whole import parts


def as_it_is(permit: Permit) -> Permit:
    return permit


class Twins:
    """Two stores of one history: the second moves."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.folder = folder
        self.clocks = [ManualClock(), ManualClock()]
        self.histories = [History(seed), History(seed)]
        self.staying = open_store(folder / "staying", self.clocks[0], near=True)
        self.moving = open_store(folder / "moving", self.clocks[1], near=True)
        self.stores: list[Any] = [self.staying, self.moving]

    def write(self, changes: int) -> None:
        for _ in range(changes):
            pair = [one.change() for one in self.histories]
            one, other = map(answered, self.stores, pair)
            assert repr(one) == repr(other)
            step_s = self.dice.choice((0, 0.25, 60))
            for clock in self.clocks:
                clock.forward_s(step_s)

    def compact(self) -> None:
        until_us = T0 - self.dice.randrange(40) * DAY_US
        rounds = [store.compact(ADMINISTER, until_us, True) for store in self.stores]
        assert rounds[0].moved == rounds[1].moved

    def compare(self) -> None:
        for _ in range(3):
            # but the last: when something expires next is known exactly once a store is opened
            pairs = list(zip(*(one.questions() for one in self.histories), strict=True))[:-1]
            for pair in pairs:
                mine, theirs = map(asked, self.stores, pair)
                assert alike(mine, theirs), (mine, theirs)
        found = []
        for store in self.stores:
            with store.contents(READ) as contents:
                digest = digest_of(contents)
            # ids of instances are each store's own
            found.append({**digest, "instances": (digest["instances"][0], "")})
        assert found[0] == found[1]

    def close(self) -> None:
        for store in self.stores:
            store.close()


def copied(departure: Departure, arrival: Any, between: Callable[[], None]) -> None:
    """All of the copy, with something else after each table."""
    departure.copy()
    between()
    for table in departure.tables.values():
        for part in parts(departure.rows(table)):
            arrival.add(table, part)
        between()
    arrival.add_places(list(departure.places()))
    for table in departure.tables.values():
        arrival.compare(table, departure.rows(table))
    arrival.compare_places(departure.places())


def followed(departure: Departure, arrival: Any) -> int:
    number = 0
    for changed, written, boxes in departure.changed():
        for table, keys, rows in changed:
            arrival.replace(table, keys, rows)
            number += len(keys)
        if written:
            arrival.replace_places(written, boxes)
    return number


@pytest.mark.parametrize("seed", (0, 2))
def test_a_history_goes_on_while_its_store_moves(
    seed: int, server: Database, tmp_path: Path
) -> None:
    twins = Twins(tmp_path, seed)
    before = twins.moving
    assert isinstance(before, SqliteStore)
    url = server.new_city()
    try:
        twins.write(200)
        twins.compact()
        departure = Departure(before, READ, tmp_path / "files")
        twins.write(20)
        arrival, let_go = open_arrival(url, server.owner_url, departure.tables)
        copied(departure, arrival, lambda: twins.write(8))
        twins.write(50)
        twins.compact()
        while followed(departure, arrival) > 200:
            twins.write(20)
        twins.write(20)
        departure.quiet()
        departure.hold()
        assert followed(departure, arrival) > 0
        arrival.whole()
        let_go()
        there = PostgresStore(url, tmp_path / "moving", before.clock, near=True, lock=before.lock)
        departure.go_on(there.take_over(before, as_it_is))
        departure.end()
        there.moved_in()
        before.close()
        twins.stores[1] = there
        twins.compare()
        twins.write(100)
        twins.compact()
        twins.compare()
    finally:
        twins.close()


def test_what_is_left_of_a_move_is_no_city_and_can_be_replaced(
    server: Database, tmp_path: Path
) -> None:
    twins = Twins(tmp_path, 9)
    url = server.new_city()
    try:
        twins.write(100)
        for whole in (False, True):
            departure = Departure(twins.moving, READ, tmp_path / "files")
            arrival, let_go = open_arrival(url, server.owner_url, departure.tables)
            copied(departure, arrival, lambda: None)
            if whole:
                arrival.whole()
            let_go()
            departure.end()
            twins.write(20)
            if not whole:
                with pytest.raises(Unavailable, match="broken off"):
                    open_postgres(url, tmp_path / "there", twins.clocks[1])
        there = open_postgres(url, tmp_path / "there", twins.clocks[1], near=True)
        there.close()
        departure = Departure(twins.moving, READ, tmp_path / "files")
        try:
            with pytest.raises(Conflict, match="a city in that store already"):
                open_arrival(url, server.owner_url, departure.tables)
            with pytest.raises(Invalid):
                open_arrival("postgresql://x:secret@127.0.0.1/x", "", departure.tables)
        finally:
            departure.end()
        twins.write(20)
        twins.compare()
    finally:
        twins.close()


def test_what_waited_is_written_by_who_takes_over(tmp_path: Path) -> None:
    clock = ManualClock()
    one, other = (open_store(tmp_path / name, clock, near=True) for name in "ab")
    told: list[int] = []
    one.on_commit(lambda events: told.extend(event.sequence for event in events))
    until_us = clock.now_us() + 1_000_000
    short = [replace(WRITE, valid_until_us=until_us, processor=name) for name in ("kept", "ended")]

    def renewed(given: Permit) -> Permit:
        if given.processor == "ended":
            raise Unavailable("ask again", retry_after_s=1)
        return replace(given, valid_until_us=given.valid_until_us + 10_000_000)

    def put(name: str) -> c.Change:
        return c.Change((c.Put(Entity(f"urn:x:{name}", ("Room",))),))

    try:
        one.hold()
        waiting = [one.commit(WRITE, put("a")), *(one.commit(p, put(p.processor)) for p in short)]
        clock.forward_s(5)
        assert not any(future.done() for future in waiting)
        one.go_on(other.take_over(one, renewed))
        assert [future.exception(10) is None for future in waiting] == [True, True, False]
        assert one.commit(WRITE, put("b")).result(10).sequence == 3
        assert [e.urn for e in other.query(READ, Query()).entities] == [
            "urn:x:a",
            "urn:x:b",
            "urn:x:kept",
        ]
        assert one.query(READ, Query()).entities == ()
        assert told == [1, 2, 3], "whoever listened goes on listening"
        assert one.clock.now_us() == other.clock.now_us()
    finally:
        one.close()
        other.close()


def test_a_row_that_differs_is_named(server: Database, tmp_path: Path) -> None:
    twins = Twins(tmp_path, 3)
    try:
        twins.write(100)
        departure = Departure(twins.moving, READ, tmp_path / "files")
        try:
            arrival, let_go = open_arrival(server.new_city(), server.owner_url, departure.tables)
            departure.copy()
            table = departure.tables["history"]
            rows = list(departure.rows(table))
            arrival.add(table, rows[:-1])
            with pytest.raises(Conflict, match=f"history, row {len(rows)}"):
                arrival.compare(table, rows)
            number = next(n for n, row in enumerate(rows) if isinstance(row[-1], int))
            other = list(rows)
            other[number] = (*rows[number][:-1], float(rows[number][-1]))
            with pytest.raises(Conflict, match=f"history, row {number + 1} "):
                arrival.compare(table, other)
            let_go()
        finally:
            departure.end()
    finally:
        twins.close()
