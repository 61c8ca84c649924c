# SPDX-License-Identifier: EUPL-1.2
"""Which segments there are, what of them no longer counts, and the files themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from poorter.store.history.plan import HOURS_SUFFIX, SUFFIX, Segment
from poorter.store.history.report import HistorySize
from poorter.store.history.rows import Row
from poorter.store.tables.port import Connection

if TYPE_CHECKING:
    from poorter.store.history.read import Segments

FOLDER = "history"
BEFORE_ALL_US = -(2**62)
AFTER_ALL_US = 2**62
_COLUMNS = "name, from_us, until_us, rows, size, hours_size, made_us"


class Files:
    """The files of a city. Parquet is loaded when the first of them is read, and not before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._segments: Segments | None = None

    def open(self) -> Segments:
        """The reader."""
        if self._segments is None:
            from poorter.store.history.read import Segments

            self._segments = Segments(self.folder)
        return self._segments

    def forget(self, name: str) -> None:
        """A file is going."""
        if self._segments is not None:
            self._segments.forget(name)


def segments(
    connection: Connection, from_us: int = BEFORE_ALL_US, until_us: int = AFTER_ALL_US
) -> list[Segment]:
    """Those that touch [from, until), by time."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM segment WHERE until_us > ? AND from_us < ? ORDER BY from_us",
        (from_us, until_us),
    )
    return [Segment(*row) for row in rows]


def compacted_until_us(connection: Connection) -> int:
    """Where the last segment ends: what is later is in rows only."""
    ((until_us,),) = connection.execute("SELECT max(until_us) FROM segment")
    return BEFORE_ALL_US if until_us is None else int(until_us)


def names(connection: Connection) -> list[str]:
    """The files of all segments."""
    found = []
    for segment in segments(connection):
        found.append(segment.name + SUFFIX)
        if segment.hours_size:
            found.append(segment.name + HOURS_SUFFIX)
    return found


def size(connection: Connection) -> HistorySize:
    """What history takes on the disk; the pages of its rows as the engine counts them."""
    ((rows,),) = connection.execute("SELECT count(*) FROM history")
    ((pages,),) = connection.execute(connection.dialect.history_bytes)
    found = segments(connection)
    return HistorySize(
        int(rows),
        int(pages),
        sum(one.rows for one in found),
        sum(one.size + one.hours_size for one in found),
        len(found),
    )


def out_of(connection: Connection, segment: Segment) -> list[tuple[int, int, int]]:
    """(instance, from, until) of what no longer counts."""
    return list(
        connection.execute(
            "SELECT attribute, from_us, until_us FROM segment_out WHERE name = ?", (segment.name,)
        )
    )


def compacted_rows(
    connection: Connection,
    files: Files,
    instance: int,
    from_us: int,
    until_us: int,
    newest_first: bool = False,
) -> Iterator[Row]:
    """What segments hold of one instance in [from, until), in the order of time."""
    found = segments(connection, from_us, until_us)
    if not found:
        return
    from poorter.store.history.scan import rows_in

    wanted = np.array([instance], np.int64)
    for segment in reversed(found) if newest_first else found:
        out = [part for part in out_of(connection, segment) if part[0] == instance]
        parts = rows_in(
            files.open(), segment, wanted, from_us, until_us, out, backwards=newest_first
        )
        for rows in parts:
            ordered = rows.take(slice(None, None, -1)) if newest_first else rows
            yield from ordered.tuples()
