# SPDX-License-Identifier: EUPL-1.2
"""A city out of the database into a file of the embedded store, table by table: both engines have
the same tables. A backup of one is read by whoever reads a backup of the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from poorter.store.postgres.connection import Connection
from poorter.store.sqlite import connect as sqlite
from poorter.store.sqlite.dialect import Connection as Target
from poorter.store.tables.port import Connection as AnyConnection

_ROWS = 5000
_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'place%' "
    "AND name NOT LIKE 'sqlite%' AND name NOT IN ('history', 'meta')"
)
_PLACES = "SELECT id, ST_XMin(box), ST_YMin(box), ST_XMax(box), ST_YMax(box) FROM place"
_HISTORY = "SELECT attribute, observed_us, sequence, received_us, quality, value FROM history"


def copy_into(source: Connection, file: Path) -> None:
    """All rows of the city as of one moment, into a new `file`."""
    target = sqlite.connect(file, write=True)
    try:
        sqlite.migrate(target)
        with source.moment():
            target.begin()
            for name in [str(name) for (name,) in target.execute(_TABLES)]:
                _copy(source, target, name)
            for part in _parts(source.words(_HISTORY, ())):
                target.add_words(part)
            for part in _parts(source.stream(_PLACES, ())):
                target.executemany(target.dialect.put_place, part)
            target.commit()
    finally:
        target.close()


def _copy(source: AnyConnection, target: Target, table: str) -> None:
    found = target.execute("SELECT name FROM pragma_table_info(?)", (table,))
    columns = [str(name) for (name,) in found]
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    for part in _parts(source.stream(f"SELECT {names} FROM {table}", ())):
        target.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", part)


def _parts(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(rows, _ROWS)):
        yield part
