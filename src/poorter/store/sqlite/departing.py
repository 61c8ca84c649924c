# SPDX-License-Identifier: EUPL-1.2
"""A city on its way out of its file while it is written to: a copy of the file as of one moment,
then, as often as is asked for, what has changed since."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from poorter.city.errors import Unavailable
from poorter.city.place import bounds
from poorter.gate.permit import Permit
from poorter.store.body import decode_attribute
from poorter.store.sqlite.connect import FILE, shut
from poorter.store.sqlite.dialect import DIALECT, Connection
from poorter.store.sqlite.store import SqliteStore
from poorter.store.sqlite.touched import Touched
from poorter.store.tables.whole import Table, Values
from poorter.store.tables.writer import HandedOver

_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'place%' "
    "AND name NOT LIKE 'sqlite%' AND name <> 'meta' ORDER BY name"
)
_COLUMNS = "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid"
_KINDS = {"INTEGER": "i", "REAL": "f", "TEXT": "t", "BLOB": "b", "": "v"}
#: for a compaction, a backup or an export that is under way
_QUIET_S_MAX = 900.0
_PLACED = "SELECT p.id, a.body FROM place p CROSS JOIN attribute a ON a.id = p.id"


class Changed(NamedTuple):
    """Keys of a table that were written, and the rows that are there under them now: what has no
    row was deleted."""

    table: Table
    keys: list[Values]
    rows: list[Values]


class Departure:
    """Begins to keep track of what is written; `end` it, whatever comes of it. For one thread at a
    time."""

    def __init__(self, store: SqliteStore, permit: Permit, folder: Path) -> None:
        """`folder`: a new one, for files that need no name once they are open. Raises Unavailable
        when the disk is full."""
        permit.check("read", store.clock.now_us())
        self._store = store
        self._folder = folder
        self._held = self._quiet = False
        self._done = 0
        self._copy: Connection | None = None
        self._reader = store.new_reader()
        self.tables = tables_of(self._reader)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            with store.still():
                self._touched = Touched(store.writing, self.tables, folder)
        except OSError as wrong:
            shut(self._reader)
            raise Unavailable(f"the city stays: {wrong.strerror}") from wrong

    def copy(self) -> None:
        """Copy the file, as of one moment from here on, for `rows`."""
        file = self._folder / FILE
        try:
            self._copy = Connection(str(file))
            with self._copy.backup("main", self._reader, "main") as work:
                work.step()
            list(self._copy.execute("PRAGMA journal_mode = DELETE"))
            list(self._copy.execute("PRAGMA query_only = ON"))
        except apsw.Error as wrong:
            raise Unavailable(DIALECT.describe(wrong)) from wrong
        shutil.rmtree(self._folder)  # both files are open, and go when they are closed

    def rows(self, table: Table) -> Iterator[Values]:
        """Those of a table in the copy, by ascending key."""
        assert self._copy is not None
        columns, key = ", ".join(table.columns), ", ".join(table.key_columns)
        yield from self._copy.execute(f"SELECT {columns} FROM {table.name} ORDER BY {key}")

    def places(self) -> Iterator[Values]:
        """Attributes with a place in the copy: (row, west, south, east, north), by row."""
        assert self._copy is not None
        yield from map(_box, self._copy.execute(f"{_PLACED} ORDER BY p.id"))

    def forget_copy(self) -> None:
        """It was compared and is of no use any more."""
        if self._copy is not None:
            shut(self._copy)
            self._copy = None

    def changed(self) -> Iterator[tuple[list[Changed], list[int], list[Values]]]:
        """What was written since the last time, some at a time, and is durable: by table, then
        attributes that were written, and the places that those have now.

        Raises: Unavailable where it could not be kept track of.
        """
        with self._store.still(self._held):
            mark = self._touched.mark()
            list(self._reader.execute("BEGIN"))
            list(self._reader.execute("SELECT 1 FROM event LIMIT 1"))  # as of this moment
        try:
            for keys in self._touched.keys(self._done, mark):
                found = [
                    Changed(table, keys[name], self._found(table, keys[name]))
                    for name, table in self.tables.items()
                    if name in keys
                ]
                written = [int(number) for (number,) in keys.get("attribute", ())]
                yield found, written, self._placed(written)
            self._done = mark
        finally:
            list(self._reader.execute("ROLLBACK"))

    def quiet(self) -> None:
        """Wait until segments stay as they are: no compaction and no backup until `end`.

        Raises: Unavailable when that takes too long.
        """
        self._store.stop_rounds(_QUIET_S_MAX)
        self._quiet = True

    def hold(self) -> None:
        """Wait until no group is under way; none begins until `go_on`."""
        self._store.hold()
        self._held = True

    def go_on(self, handed: HandedOver | None = None) -> None:
        """What waits is written here, or by who has taken over."""
        if self._held:
            self._held = False
            self._store.go_on(handed)

    def end(self) -> None:
        """Keep track no more."""
        self.go_on()
        with self._store.still():
            self._touched.stop()
        self.forget_copy()
        shutil.rmtree(self._folder, ignore_errors=True)
        shut(self._reader)
        if self._quiet:
            self._store.start_rounds()

    def _found(self, table: Table, keys: Sequence[Values]) -> list[Values]:
        where = " AND ".join(f"{name} = ?" for name in table.key_columns)
        sql = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {where}"
        found = []
        for key in keys:
            found += list(self._reader.execute(sql, key))
        return found

    def _placed(self, numbers: Sequence[int]) -> list[Values]:
        sql = f"{_PLACED} WHERE p.id = ?"
        return [_box(row) for number in numbers for row in self._reader.execute(sql, (number,))]


def _box(row: Any) -> Values:
    """The box of a place, exactly: the index keeps it rounded."""
    number, body = row
    return (number, *bounds(decode_attribute("", body).value))


def tables_of(connection: Connection) -> dict[str, Table]:
    """All tables of a city but the index of places."""
    found = {}
    for (name,) in list(connection.execute(_TABLES)):
        columns: list[Any] = list(connection.execute(_COLUMNS, (name,)))
        kinds = "".join("l" if c == "live" else _KINDS[kind] for c, kind, _ in columns)
        ordered = sorted((place, at) for at, (*_, place) in enumerate(columns) if place)
        key = tuple(at for _, at in ordered)
        found[str(name)] = Table(str(name), tuple(c for c, *_ in columns), kinds, key)
    return found
