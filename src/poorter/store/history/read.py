# SPDX-License-Identifier: EUPL-1.2
"""Reads segments: the few row groups in which the wanted instances lie, the columns asked for."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from poorter.city.errors import Unavailable
from poorter.store.history.hours import Sums
from poorter.store.history.layout import VERSION, Layout, rows_of
from poorter.store.history.rows import Ints, Rows, among
from poorter.store.history.write import META

_OPEN_MAX = 64
#: what a mean needs, and what the identity of a reading needs
NUMBERS = ("instance", "observed", "sequence", "quality", "integer", "real")
WORDS = ("instance", "observed", "sequence", "integer", "real", "text", "json")


class Columns:
    """One open file. Safe for several threads, one at a time."""

    def __init__(self, file: Path) -> None:
        pa.set_memory_pool(pa.system_memory_pool())  # what is read goes back at once
        self._lock = threading.Lock()
        self._parquet = pq.ParquetFile(file, pre_buffer=False)
        meta = self._parquet.metadata
        doc = json.loads((meta.metadata or {}).get(META, b"{}"))
        if doc.pop("version", None) != VERSION:
            raise Unavailable(f"{file.name} was written by another version of Poorter")
        self.doc: dict[str, Any] = doc
        self.groups: int = meta.num_row_groups
        bounds = [meta.row_group(n).column(0).statistics for n in range(self.groups)]
        self.first: Ints = np.array([bound.min for bound in bounds], np.int64)
        self.last: Ints = np.array([bound.max for bound in bounds], np.int64)

    def holding(self, instances: Ints) -> Ints:
        """The row groups that may hold any of these; sorted."""
        if not len(instances):
            return np.zeros(0, np.int64)
        at = np.searchsorted(instances, self.first)
        there = instances[np.minimum(at, len(instances) - 1)]
        return np.flatnonzero((at < len(instances)) & (there <= self.last))

    def read(self, group: int, names: tuple[str, ...] | None) -> dict[str, Any]:
        """The columns of a row group."""
        with self._lock:
            table = self._parquet.read_row_group(
                int(group), None if names is None else list(names), use_threads=False
            )
        return {name: table.column(name).combine_chunks() for name in table.column_names}

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._parquet.close()


class Segments:
    """The files of one folder; the latest used stay open."""

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

    def rows(
        self, name: str, instances: Ints | None, names: tuple[str, ...] | None = None
    ) -> Iterator[Rows]:
        """Rows of these instances (sorted; None: all), row group by row group."""
        file = self.columns(name)
        layout = Layout(**file.doc)
        wanted = None if names is None else tuple(_column(layout, one) for one in names)
        groups = np.arange(file.groups) if instances is None else file.holding(instances)
        for group in groups:
            rows = rows_of(file.read(group, wanted), layout)
            if instances is not None:
                rows = rows.take(_place(rows.instance, instances))
            if len(rows):
                yield rows

    def hours(self, name: str, instances: Ints | None) -> Iterator[Sums]:
        """Sums by hour of these instances."""
        file = self.columns(name)
        groups = np.arange(file.groups) if instances is None else file.holding(instances)
        for group in groups:
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

    def forget(self, name: str) -> None:
        """The file is going."""
        with self._lock:
            self._open.pop(name, None)


def _place(found: Ints, wanted: Ints) -> Any:
    """Where the wanted ones stand in a sorted column."""
    if len(wanted) == 1:
        return slice(*np.searchsorted(found, (wanted[0], wanted[0] + 1)))
    return among(found, wanted)


def _column(layout: Layout, name: str) -> str:
    return {
        "observed": layout.observed,
        "received": layout.received,
        "real": layout.real,
    }.get(name, name)
