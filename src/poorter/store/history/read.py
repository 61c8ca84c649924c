# SPDX-License-Identifier: EUPL-1.2
"""Reads segments: the few row groups in which the wanted instances lie, the columns asked for.

By what `pyarrow.parquet` stands on, since that loads the file systems of three clouds too: 6 MiB of
a city's memory for files that lie in a folder.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow._parquet import ParquetReader

from poorter.city.errors import Unavailable
from poorter.store.history.hours import Sums
from poorter.store.history.layout import META, VERSION, Layout, rows_of
from poorter.store.history.rows import Ints, Rows, among

_OPEN_MAX = 64
#: what a mean needs, and what the identity of a reading needs
NUMBERS = ("instance", "observed", "sequence", "quality", "integer", "real")
WORDS = ("instance", "observed", "sequence", "integer", "real", "text", "json")


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as wrong:
        raise Unavailable(f"history in {name} can't be read: {wrong}") from None


class Columns:
    """One open file. Safe for several threads, one at a time.

    Raises: FileNotFoundError when it has been replaced since, Unavailable when it can't be read.
    """

    def __init__(self, file: Path) -> None:
        self._name = file.name
        with _readable(file.name):
            self._open(file)

    def _open(self, file: Path) -> None:
        pa.set_memory_pool(pa.system_memory_pool())  # what is read goes back at once
        self._lock = threading.Lock()
        self._parquet = ParquetReader()
        self._parquet.open(str(file), pre_buffer=False)
        self._places = {name: n for n, (name, *_) in enumerate(self._parquet.column_paths)}
        meta = self._parquet.metadata
        self.doc: dict[str, Any] = json.loads((meta.metadata or {}).get(META, b"{}"))
        if self.doc.pop("version", None) != VERSION:
            raise Unavailable(f"{file.name} was written by another version of Poorter")
        self.groups: int = meta.num_row_groups
        bounds = [meta.row_group(n).column(0).statistics for n in range(self.groups)]
        self._first: Ints = np.array([bound.min for bound in bounds], np.int64)
        self._last: Ints = np.array([bound.max for bound in bounds], np.int64)
        moments = self.doc.pop("moments", [(-(2**62), 2**62)] * self.groups)
        self._oldest, self._newest = np.array(moments, np.int64).reshape(-1, 2).T

    def holding(self, instances: Ints | None, from_us: int, until_us: int) -> Ints:
        """The row groups that may hold any of these in [from, until)."""
        there = (self._newest >= from_us) & (self._oldest < until_us)
        if instances is not None:
            bounded = np.append(instances, 2**62)
            there &= bounded[np.searchsorted(instances, self._first)] <= self._last
        return np.flatnonzero(there)

    def between(self, before: int, last: int) -> Ints:
        """The row groups with instances in (before, last]."""
        return np.flatnonzero((self._last > before) & (self._first <= last))

    def cuts(self) -> Ints:
        """The last instance of each row group: where a walk over all of it may pause."""
        return np.unique(self._last)

    def read(self, group: int, names: tuple[str, ...] | None) -> dict[str, Any]:
        """The columns of a row group."""
        with self._lock, _readable(self._name):
            wanted = None if names is None else [self._places[name] for name in names]
            table = self._parquet.read_row_group(int(group), wanted, use_threads=False)
        return {name: table.column(name).combine_chunks() for name in table.column_names}


class Segments:
    """The files of one folder; those used last stay open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, Columns] = OrderedDict()
        self._lock = threading.Lock()

    def columns(self, name: str) -> Columns:
        """An open file. Raises FileNotFoundError when it has been replaced since."""
        with self._lock:
            found = self._open.get(name)
            if found is None:
                found = self._open[name] = Columns(self.folder / name)
                if len(self._open) > _OPEN_MAX:
                    self._open.popitem(last=False)  # closed when its last reader lets go
            self._open.move_to_end(name)
            return found

    def forget(self, name: str) -> None:
        """The file is going."""
        with self._lock:
            self._open.pop(name, None)

    def group(self, name: str, group: int, names: tuple[str, ...] | None = None) -> Rows:
        """All rows of one row group."""
        file = self.columns(name)
        layout = Layout(**file.doc)
        wanted = None if names is None else tuple(layout.column(one) for one in names)
        return rows_of(file.read(group, wanted), layout)

    def rows(
        self,
        name: str,
        instances: Ints | None,
        from_us: int,
        until_us: int,
        names: tuple[str, ...] | None = None,
        backwards: bool = False,
    ) -> Iterator[Rows]:
        """Rows of these instances (sorted; None: all) in [from, until), group by group; with
        `backwards` the last group first."""
        groups = self.columns(name).holding(instances, from_us, until_us)
        for group in groups[::-1] if backwards else groups:
            rows = self.group(name, group, names)
            if instances is not None:
                rows = rows.take(_place(rows.instance, instances))
            inside = (rows.observed_us >= from_us) & (rows.observed_us < until_us)
            if not inside.all():
                rows = rows.take(inside)
            if len(rows):
                yield rows

    def hours(self, name: str, instances: Ints | None) -> Iterator[Sums]:
        """Sums by hour of these instances."""
        file = self.columns(name)
        for group in file.holding(instances, -(2**62), 2**62):
            read = file.read(group, None)
            sums = Sums(
                read["instance"].to_numpy(),
                read["hour"].to_numpy(),
                read["count"].to_numpy().astype(np.int64),
                read["total"].to_numpy(),
                read["least"].to_numpy(),
                read["most"].to_numpy(),
            )
            yield sums if instances is None else sums.take(_place(sums.key, instances))


def _place(found: Ints, wanted: Ints) -> Any:
    """Where the wanted ones stand in a sorted column."""
    if len(wanted) == 1:
        return slice(*np.searchsorted(found, (wanted[0], wanted[0] + 1)))
    return among(found, wanted)
