# SPDX-License-Identifier: EUPL-1.2
"""A city on its way into the database: its tables as they were elsewhere, until it is whole.

A record says that it is not: nobody is served from half a city, and whoever begins again may take
away what an earlier try has left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

from poorter.city.errors import Conflict, Invalid, Unavailable
from poorter.store.postgres.bulk import array
from poorter.store.postgres.connection import Connection
from poorter.store.postgres.dialect import DIALECT
from poorter.store.tables.whole import HISTORY, Table, Values, alike

COPYING, WHOLE = b"copying", b"whole"
_OF = "kind = 'move' AND id = 'city'"
STATE, END = f"SELECT doc FROM record WHERE {_OF}", f"DELETE FROM record WHERE {_OF}"
_MARK = (
    "INSERT INTO record (kind, id, doc, version, created_us, modified_us) "
    "VALUES ('move', 'city', ?, 0, 0, 0) ON CONFLICT (city, kind, id) DO UPDATE SET doc = ?"
)
_TYPES = {"i": "bigint", "f": "double precision", "t": "text", "b": "bytea", "l": "boolean"}
_PUT_BOXES = (
    "INSERT INTO place (id, box) "
    "SELECT p1, ST_MakeEnvelope(p2, p3, p4, p5, 4326) FROM {} AS v(p1, p2, p3, p4, p5)"
)
_BOXES = "SELECT id, ST_XMin(box), ST_YMin(box), ST_XMax(box), ST_YMax(box) FROM place"
_BOX_KINDS = "iffff"


class Arrival:
    """Rows as they come, for one thread at a time. Its methods raise Invalid for what PostgreSQL
    can't keep, Unavailable when it can't be reached: then the city has not arrived."""

    def __init__(
        self, writing: Connection, tables: Mapping[str, Table], instead: bool = False
    ) -> None:
        """`writing`: a connection that keeps other writers of this city out. `instead`: of the city
        that is there, which goes.

        Raises: Conflict where there is a city already, else.
        """
        self._link = writing
        self._tables = tables
        with self._writing():
            if instead or list(self._link.execute(STATE)):
                for name in ("place", *tables):
                    self._do(f"DELETE FROM {name}")
            elif any(list(self._link.execute(f"SELECT 1 FROM {t} LIMIT 1")) for t in tables):
                raise Conflict("there is a city in that store already: name one that is empty")
            self._mark(COPYING)

    def add(self, table: Table, rows: Sequence[Values]) -> None:
        """New rows, in a transaction of their own."""
        with self._writing():
            self._add(table, rows)

    def add_places(self, boxes: Sequence[Values]) -> None:
        """The same of places: (row, west, south, east, north)."""
        with self._writing():
            self._add_boxes(boxes)

    def compare(self, table: Table, rows: Iterable[Values]) -> int:
        """Hold what is here against `rows`, both by ascending key; how many. Raises Conflict."""
        order = ", ".join(
            f'{table.columns[at]} COLLATE "C"' if table.kinds[at] == "t" else table.columns[at]
            for at in table.key
        )
        where = f"WHERE NOT ({_OF}) " if table.name == "record" else ""
        sql = f"SELECT {', '.join(table.columns)} FROM {table.name} {where}ORDER BY {order}"
        with self._telling(), self._link.moment():
            return _compared(table.name, rows, self._read(table, sql, ()))

    def compare_places(self, boxes: Iterable[Values]) -> int:
        """The same of places."""
        with self._telling(), self._link.moment():
            return _compared("place", boxes, self._link.stream(f"{_BOXES} ORDER BY id", ()))

    def replace(self, table: Table, keys: Sequence[Values], rows: Sequence[Values]) -> None:
        """These rows in the place of what is under the keys; then all of it is read again. Raises
        Conflict where that differs."""
        with self._writing():
            self._replace(table, keys, rows)

    def replace_places(self, numbers: Sequence[int], boxes: Sequence[Values]) -> None:
        """The places of these attributes, likewise."""
        keys = [(number,) for number in numbers]
        given, values = _arrays("i", keys)
        with self._writing():
            self._do(f"DELETE FROM place USING {given} AS v(p1) WHERE id = p1", values)
            self._add_boxes(boxes)
            then = DIALECT.then.format("place", "p", "p.id = v.p1")
            named = _BOXES.replace("FROM place", f"FROM {given} AS v(p1) {then}")
            _compared("place", sorted(boxes), sorted(self._link.execute(named, values)))

    def whole(self) -> None:
        """Nothing is missing any more: whoever opens it may serve it."""
        with self._writing():
            self._mark(WHOLE)

    # -- parts -------------------------------------------------------------------------------

    def _do(self, sql: str, values: Sequence[Any] = ()) -> None:
        list(self._link.execute(sql, values))

    def _mark(self, state: bytes) -> None:
        self._do(_MARK, (state, state))

    def _add(self, table: Table, rows: Sequence[Values]) -> None:
        if not rows:
            return
        if table.name == HISTORY:
            self._link.add_words(rows)
            return
        given, values = _arrays(table.kinds, rows)
        columns = ", ".join(table.columns)
        self._do(f"INSERT INTO {table.name} ({columns}) SELECT * FROM {given}", values)

    def _add_boxes(self, boxes: Sequence[Values]) -> None:
        if boxes:
            given, values = _arrays(_BOX_KINDS, boxes)
            self._do(_PUT_BOXES.format(given), values)

    def _replace(self, table: Table, keys: Sequence[Values], rows: Sequence[Values]) -> None:
        given, values = _arrays("".join(table.kinds[at] for at in table.key), keys)
        names = [f"p{n}" for n in range(1, len(table.key) + 1)]
        bound = f"{given} AS v({', '.join(names)})"
        pairs = list(zip(table.key_columns, names, strict=True))
        same = " AND ".join(f"t.{column} = v.{name}" for column, name in pairs)
        self._do(f"DELETE FROM {table.name} t USING {bound} WHERE {same}", values)
        self._add(table, rows)
        then = DIALECT.then.format(table.name, "t", same)
        columns = ", ".join(f"t.{column}" for column in table.columns)
        found = self._read(table, f"SELECT {columns} FROM {bound} {then}", values)
        _compared(table.name, sorted(rows, key=table.key_of), sorted(found, key=table.key_of))

    def _read(self, table: Table, sql: str, values: Any) -> Iterator[Values]:
        if table.name == HISTORY:
            return self._link.words(sql, values)
        return self._link.stream(sql, values)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._telling():
            try:
                self._link.begin()
                yield
                self._link.commit()
            except BaseException:
                self._link.roll_back()
                raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except DIALECT.refusals as wrong:
            raise Invalid(f"PostgreSQL can't keep this city: {wrong}") from None
        except DIALECT.failures as wrong:
            raise Unavailable(DIALECT.describe(wrong)) from None


def _arrays(kinds: str, rows: Sequence[Values]) -> tuple[str, list[str]]:
    """Rows as a table for SQL, and what is bound in it."""
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    types = ", ".join(f"?::{_TYPES[kind]}[]" for kind in kinds)
    return f"unnest({types})", [array(k, column) for k, column in zip(kinds, columns, strict=True)]


def _compared(name: str, sent: Iterable[Values], found: Iterable[Values]) -> int:
    number = 0
    for one, other in zip_longest(sent, found, fillvalue=()):
        if not alike(one, other):
            raise Conflict(f"what was moved differs: {name}, row {number + 1} by key")
        number += 1
    return number
