# SPDX-License-Identifier: EUPL-1.2
"""Points and numbers of a city in memory, cell by cell: what may lie in an area and meet a q.

A page of a city of millions wants twenty entities out of thousands in the area, in the order of
their ids. Each of those costs two look-ups in tables; here it costs a comparison in an array. What
comes out is looked at in the tables all the same, so an array may say too much, never too little:

- a group of changes tells its log before its commit, and the arrays after it, before its number is
  `generation`; a reader takes that number before it begins, and adds all that the log has since;
- what came or moved since the arrays were made is `loose`: always looked at.

Arrays are made in a thread when a dense area is first asked about, and anew when much is loose.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poorter.city.place import EARTH_RADIUS_M
from poorter.city.query import Geo
from poorter.store.tables.cells import Box, cell_at, elsewhere, spans_of_cells
from poorter.store.tables.port import Connection

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
#: nothing that is a number; a number that has to be looked up
NONE, UNSURE = math.nan, math.inf
LOG_MAX = 65_536
LOOKED_AT_MAX = 100_000
COLUMNS_MAX = 16
LOOSE_MIN, LOOSE_SHARE = 500, 0.02
AGAIN_S = 20.0
_AT_ONCE = 20_000
_METRES_A_DEGREE = EARTH_RADIUS_M * math.pi / 180
#: of distances and boxes: what is kept of a place is rounded
_MARGIN_M, _MARGIN_DEGREES = 10.0, 0.0001
#: of numbers, of which 16 digits are kept
_EXACT = 1e-14
_FLAT_M_MAX, _FLAT_DEGREES_MAX = 50_000.0, 65.0


class Between(NamedTuple):
    """The numbers of an attribute lie between these, or the entity is none of those asked for."""

    name: int
    low: float
    high: float


class Note(NamedTuple):
    """An instance that was written or went, and its number: NONE where it has none, UNSURE where
    its entity has several. `at`: longitude and latitude, of a point."""

    name: int
    row: int
    entity: int
    number: float
    at: tuple[float, float] | None = None


@dataclass(slots=True)
class Field:
    """The points under one name, by cell, then by the order of the ids of their entities."""

    cells: Ints
    rows: Ints
    entities: Ints
    rank: Ints
    lon: Floats
    lat: Floats
    #: where an entity's only point is, by its number; -1: none, or not only
    place_of: Ints
    #: entities that are always looked at
    loose: set[int] = field(default_factory=set)
    #: names of which some number is UNSURE
    unsure: set[int] = field(default_factory=set)
    numbers: dict[int, Floats] = field(default_factory=dict)

    @property
    def loose_max(self) -> int:
        """With more of them it is worth being made anew."""
        return LOOSE_MIN + int(len(self.rows) * LOOSE_SHARE)

    def take(self, note: Note, name: int) -> None:
        """A change. `name`: of the points."""
        place = self.place_of[note.entity] if note.entity < len(self.place_of) else -1
        if note.name == name:
            known = note.at is not None and place >= 0 and self.rows[place] == note.row
            if known and note.at and self.cells[place] == cell_at(*note.at):  # or near there still
                self.lon[place], self.lat[place] = note.at
            else:
                self.loose.add(note.entity)
        elif note.name in self.numbers:
            column = self.numbers[note.name]
            if place >= 0 and column[place] != UNSURE:
                if note.number == UNSURE:
                    self.unsure.add(note.name)
                column[place] = note.number

    def holds(self, entity: int) -> bool:
        """Whether it knows the only point of an entity."""
        return bool(entity < len(self.place_of) and self.place_of[entity] >= 0)

    def within(self, box: Box, geo: Geo, tests: Iterable[Between]) -> Ints | None:
        """Entities whose points may be in the box and in the area, and that may pass the tests, by
        the order of their ids; None when too many would have to be looked at."""
        # all stretches of the arrays as one: a call for each would cost more than what is in it
        edges = np.searchsorted(self.cells, np.array(spans_of_cells(box)) + np.array((0, 1)))
        before = np.concatenate(((0,), np.cumsum(edges[:, 1] - edges[:, 0])))
        if before[-1] > LOOKED_AT_MAX:
            return None
        may = None
        for test in tests:
            passes = self._passing(test, edges.tolist())
            may = passes if may is None else may & passes
        places = np.arange(before[-1]) if may is None else np.flatnonzero(may)
        places += (edges[:, 0] - before[:-1])[np.searchsorted(before, places, "right") - 1]
        places = places[_may_be_in(self.lon[places], self.lat[places], box, geo)]
        ordered: Ints = self.entities[places[np.argsort(self.rank[places], kind="stable")]]
        return ordered

    def _passing(self, test: Between, edges: list[list[int]]) -> Any:
        numbers = self.numbers[test.name]
        column = np.concatenate([numbers[start:end] for start, end in edges])
        low, high = test.low - abs(test.low) * _EXACT, test.high + abs(test.high) * _EXACT
        if low == -math.inf:
            passes = column <= high
        else:
            passes = column >= low
            if high != math.inf:
                passes &= column <= high
        return passes | (column == UNSURE) if test.name in self.unsure else passes


def _may_be_in(lon: Floats, lat: Floats, box: Box, geo: Geo) -> Any:
    """Which may be in the area, as far as the box tells, or for those within a distance a plane:
    as good as that is for a part of a city."""
    if (
        geo.relation == "near"
        and geo.max_distance_m is not None
        and geo.geometry["type"] == "Point"
    ):
        at_lon, at_lat = geo.geometry["coordinates"][:2]
        flat = geo.max_distance_m <= _FLAT_M_MAX and abs(at_lat) <= _FLAT_DEGREES_MAX
        if flat and box[0] > -180:
            east = (lon - at_lon) * (_METRES_A_DEGREE * math.cos(math.radians(at_lat)))
            north = (lat - at_lat) * _METRES_A_DEGREE
            off = 1.001 + 0.03 * geo.max_distance_m / _FLAT_M_MAX  # how far a plane may be off
            return east * east + north * north <= (geo.max_distance_m * off + _MARGIN_M) ** 2
    west, south, east, north = box
    may = (lon >= west - _MARGIN_DEGREES) & (lon <= east + _MARGIN_DEGREES)
    may &= (lat >= south - _MARGIN_DEGREES) & (lat <= north + _MARGIN_DEGREES)
    return may


class Spots:
    """Fields by the name of their points. One writer tells it what changes, any thread asks."""

    def __init__(self, reader: Callable[[], Connection], can: bool) -> None:
        """`can`: whether the engine tells of its points."""
        self._reader = reader
        #: waits until no group is under way that began before; the writer's
        self.settled: Callable[[], None] = lambda: None
        #: numbers of names of which it wants to hear
        self.names: set[int] = set()
        #: groups that came to an end
        self.generation = 0
        self._fields: dict[int, Field] = {}
        self._notes: list[Note] = []
        self._log: deque[tuple[int, Note]] = deque()
        self._forgotten = 0  # the newest group of which the log has not all
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again_at = 0.0
        self._stopping = not can

    # -- what the writer tells ---------------------------------------------------------------

    def note(self, note: Note) -> None:
        """Something is about to be written that has one of the `names`."""
        self._notes.append(note)

    def begin(self) -> None:
        """A group begins, or begins once more."""
        self._notes = []

    def mark(self) -> int:
        """How much the group has told so far."""
        return len(self._notes)

    def undo(self, mark: int) -> None:
        """What it told since then was undone."""
        del self._notes[mark:]

    def forget(self) -> None:
        """Rows are about to be written that it is not told of."""
        with self._lock:
            self._fields.clear()
            self._forgotten = self.generation + 1

    def announce(self) -> None:
        """The group's commit is next."""
        if self._notes:
            with self._lock:
                group = self.generation + 1
                self._log.extend((group, note) for note in self._notes)
                while len(self._log) > LOG_MAX:
                    self._forgotten = max(self._forgotten, self._log.popleft()[0])

    def settle(self, committed: bool) -> None:
        """The group that was announced has ended."""
        with self._lock:
            for note in self._notes if committed else ():
                for name, held in self._fields.items():
                    held.take(note, name)
            self._notes = []
            self.generation += 1

    # -- what readers ask --------------------------------------------------------------------

    def find(
        self, name: int, box: Box, geo: Geo, tests: tuple[Between, ...], since: int
    ) -> tuple[Ints, list[int]] | None:
        """Entities by the order of their ids, and loose ones in no order, among which are all that
        may match; None when it does not know. `since`: `generation` before the reader began."""
        held = self._fields.get(name)
        if held is None or any(test.name not in held.numbers for test in tests):
            return None
        if len(held.loose) > held.loose_max:
            self.want(name, ())
            if len(held.loose) > 4 * held.loose_max:
                return None
        entities = held.within(box, geo, tests)
        if entities is None:
            return None
        loose = set(held.loose)
        names = {test.name for test in tests}
        with self._lock:
            if self._forgotten > since:
                return None
            for group, note in reversed(self._log):
                if group <= since:
                    break
                if note.name == name or (note.name in names and held.holds(note.entity)):
                    loose.add(note.entity)
        return entities, sorted(loose)

    def want(self, name: int, tests: tuple[Between, ...]) -> None:
        """Make a field with the numbers of these, where there is none that will do, in a thread of
        its own; one at a time, and at most a fifth of the time."""
        held = self._fields.get(name)
        names = {test.name for test in tests}
        if held is not None:
            if names <= held.numbers.keys() and len(held.loose) <= held.loose_max:
                return
            names |= held.numbers.keys() if len(held.numbers) < COLUMNS_MAX else set()
        with self._lock:
            if self._stopping or self._thread is not None or time.monotonic() < self._again_at:
                return
            self._thread = threading.Thread(
                target=self._make, args=(name, names), name="spots", daemon=True
            )
            self._thread.start()

    def wait(self) -> None:
        """Until nothing is being made."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def stop(self) -> None:
        """Make no more."""
        self._stopping = True
        self.wait()

    # -- making them -------------------------------------------------------------------------

    def _make(self, name: int, numbers: set[int]) -> None:
        began = time.monotonic()
        self.names |= {name, *numbers}
        self.settled()
        since = self.generation
        connection = self._reader()
        made = None
        with suppress(*connection.dialect.failures), connection.moment():
            made = self._read(connection, name, numbers)
        with self._lock:
            if made is not None and self._forgotten <= since:
                for group, note in self._log:
                    if since < group <= self.generation:
                        made.take(note, name)
                self._fields[name] = made
                self._again_at = time.monotonic() + 4 * (time.monotonic() - began)
            else:
                self._again_at = time.monotonic() + AGAIN_S
            self._thread = None

    def _read(self, connection: Connection, name: int, numbers: set[int]) -> Field | None:
        packed = connection.dialect.packed
        assert packed is not None
        ids = self._entities(connection, packed.entities)
        points = self._places(connection, packed.places, name)
        last = int(ids.max(initial=0))
        values = {
            one: self._numbers(connection, packed.numbers, one, last) for one in sorted(numbers)
        }
        return None if self._stopping else _field(ids, points, values)

    def _entities(self, connection: Connection, sql: str) -> Ints:
        parts, after = [np.zeros(0)], ""
        while not self._stopping:
            ((text, last),) = connection.execute(sql, (after, _AT_ONCE))
            if text is None:
                break
            parts.append(_numbers_in(text, 1)[0])
            after = last
        return np.concatenate(parts).astype(np.int64)

    def _places(self, connection: Connection, sql: str, name: int) -> Floats:
        """Columns: row, entity, cell without the name, longitude, latitude."""
        parts, cell, end, size = [np.zeros((5, 0))], name << 32, elsewhere(name), _AT_ONCE
        while not self._stopping:
            ((text,),) = connection.execute(sql, (cell, end, size))
            if text is None:
                break
            page = _numbers_in(text, 5)
            last = page[2].max()
            if page.shape[1] < size:
                parts.append(page)
                break
            if last == cell:
                size *= 2  # there is more in this one cell
                continue
            parts.append(page[:, page[2] < last])  # the last one may go on
            cell = int(last)
        places = np.concatenate(parts, axis=1)
        places[2] -= name << 32
        return places

    def _numbers(self, connection: Connection, sql: str, name: int, last: int) -> Floats:
        """Columns: entity, number."""
        parts = [np.zeros((2, 0))]
        for start in range(0, last, _AT_ONCE):
            if self._stopping:
                break
            ((text,),) = connection.execute(sql, (name, start, start + _AT_ONCE))
            if text is not None:
                parts.append(_numbers_in(text, 2))
        return np.concatenate(parts, axis=1)


def _numbers_in(text: str, width: int) -> Floats:
    """The columns of rows of so many numbers."""
    return np.fromstring(text, sep=",").reshape(-1, width).T


def _field(ids: Ints, points: Floats, values: dict[int, Floats]) -> Field:
    """`ids`: numbers of entities in the order of their ids; `points` and `values` as read."""
    rows, entities, cells = points[:3].astype(np.int64)
    size = int(max(ids.max(initial=0), entities.max(initial=0))) + 1
    rank_of = np.full(size, -1, np.int64)
    rank_of[ids] = np.arange(len(ids))
    order = np.lexsort((rank_of[entities], cells))
    rows, entities, cells, lon, lat = (c[order] for c in (rows, entities, cells, *points[3:]))
    place_of = np.full(size, -1, np.int64)
    place_of[entities] = np.arange(len(entities))
    several = np.bincount(entities, minlength=size) > 1
    place_of[several] = -1
    made = Field(cells, rows, entities, rank_of[entities], lon, lat, place_of)
    for name, (of, numbers) in values.items():
        whole = of.astype(np.int64)
        by_entity = np.full(size, NONE)
        by_entity[whole] = numbers
        by_entity[np.bincount(whole, minlength=size) > 1] = UNSURE
        by_entity[several] = UNSURE
        made.numbers[name] = by_entity[entities]
        if (made.numbers[name] == UNSURE).any():
            made.unsure.add(name)
    return made
