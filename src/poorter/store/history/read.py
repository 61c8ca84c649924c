# SPDX-License-Identifier: EUPL-1.2
"""Reads segments: the few row groups in which the wanted instances lie, the columns asked for."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from poorter.city.errors import Unavailable
from poorter.store.history.hours import Sums
from poorter.store.history.layout import META, VERSION, Layout, rows_of
from poorter.store.history.parquet import Broken, Column, File
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
    except (OSError, Broken) as wrong:
        raise Unavailable(f"history in {name} can't be read: {wrong}") from None


class Columns:
    """One open file, for any number of threads.

    Raises: FileNotFoundError when it has been replaced since, Unavailable when it can't be read.
    """

    def __init__(self, file: Path) -> None:
        self._name = file.name
        with _readable(file.name):
            self._file = File(file)
        self.groups = self._file.groups
        self.doc: dict[str, Any] = json.loads(self._file.metadata.get(META, b"{}"))
        if self.doc.pop("version", None) != VERSION:
            raise Unavailable(f"{file.name} was written by another version of Poorter")
        moments = self.doc.pop("moments", [(-(2**62), 2**62)] * self.groups)
        self._oldest, self._newest = np.array(moments, np.int64).reshape(-1, 2).T

    def holding(self, instances: Ints | None, from_us: int, until_us: int) -> Ints:
        """The row groups that may hold any of these in [from, until)."""
        there = (self._newest >= from_us) & (self._oldest < until_us)
        if instances is not None:
            bounded = np.append(instances, 2**62)
            there &= bounded[np.searchsorted(instances, self._file.first)] <= self._file.last
        return np.flatnonzero(there)

    def between(self, before: int, last: int) -> Ints:
        """The row groups with instances in (before, last]."""
        return np.flatnonzero((self._file.last > before) & (self._file.first <= last))

    def cuts(self) -> Ints:
        """The last instance of each row group: where a walk over all of it may pause."""
        return np.unique(self._file.last)

    def read(self, group: int, names: tuple[str, ...] | None) -> dict[str, Column]:
        """The columns of a row group."""
        with _readable(self._name):
            return self._file.read(int(group), self._file.names if names is None else names)


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
                read["instance"].values,
                read["hour"].values,
                read["count"].values.astype(np.int64),
                read["total"].values,
                read["least"].values,
                read["most"].values,
            )
            yield sums if instances is None else sums.take(_place(sums.key, instances))


def _place(found: Ints, wanted: Ints) -> Any:
    """Where the wanted ones stand in a sorted column."""
    if len(wanted) == 1:
        return slice(*np.searchsorted(found, (wanted[0], wanted[0] + 1)))
    return among(found, wanted)
