# SPDX-License-Identifier: EUPL-1.2
"""History and what is private of the ledger as Parquet; docs/leaving.md explains the columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from poorter.city.errors import Invalid
from poorter.store.contents import LeafRow, LineRow, ObservationRow, Row, TraceRow

_MOMENT = pa.timestamp("us", "UTC")
HISTORY = pa.schema(
    [
        pa.field("entity", pa.string(), False),
        pa.field("attribute", pa.string(), False),
        pa.field("datasetId", pa.string()),
        pa.field("observedAt", _MOMENT, False),
        pa.field("sequence", pa.int32(), False),
        pa.field("receivedAt", _MOMENT, False),
        pa.field("quality", pa.int8(), False),
        pa.field("integer", pa.int64()),
        pa.field("real", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("json", pa.string()),
    ]
)
LEAVES = pa.schema(
    [
        pa.field("index", pa.int64(), False),
        pa.field("leaf", pa.binary(), False),
        pa.field("subject", pa.string()),
        pa.field("payload", pa.binary()),
    ]
)
LINES = pa.schema(
    [
        pa.field("subject", pa.binary(), False),
        pa.field("seq", pa.int64(), False),
        pa.field("leaf", pa.int64(), False),
    ]
)
TRACES = pa.schema(
    [
        pa.field("trace", pa.binary(), False),
        pa.field("first", pa.int64(), False),
        pa.field("number", pa.int64(), False),
    ]
)
#: the file of each kind of row, and its columns
TABLES: dict[type[Row], tuple[str, pa.Schema]] = {
    LeafRow: ("leaves.parquet", LEAVES),
    LineRow: ("lines.parquet", LINES),
    TraceRow: ("traces.parquet", TRACES),
}
GROUP_ROWS = 100_000
FILE_ROWS = 5_000_000
_KINDS: dict[type, int] = {int: 0, float: 1, str: 2, bytes: 3}


class HistoryFiles:
    """Files of at most `FILE_ROWS` rows in a folder, which is made for the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[ObservationRow] = []
        self._out: pq.ParquetWriter | None = None
        self._files = self._written = 0

    def add(self, row: ObservationRow) -> None:
        """One more row."""
        self._waiting.append(row)
        if len(self._waiting) >= GROUP_ROWS:
            self._write()

    def close(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._write()
        if self._out is not None:
            self._out.close()

    def _write(self) -> None:
        if self._out is not None and self._written >= FILE_ROWS:
            self._out.close()
            self._out = None
        if self._out is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._files, self._written = self._files + 1, 0
            file = self._folder / f"{self._files:05d}.parquet"
            self._out = pq.ParquetWriter(file, HISTORY, compression="zstd")
        self._out.write_table(_history_table(self._waiting))
        self._written += len(self._waiting)
        self._waiting = []


def _history_table(rows: list[ObservationRow]) -> pa.Table:
    values: list[list[Any]] = [[None] * len(rows) for _ in _KINDS]
    for at, row in enumerate(rows):
        value = row.value
        values[_KINDS[type(value)]][at] = value.decode() if isinstance(value, bytes) else value
    columns = [
        [row.urn for row in rows],
        [row.name for row in rows],
        [row.dataset or None for row in rows],
        pa.array([row.observed_us for row in rows], pa.int64()).cast(_MOMENT),
        [row.sequence for row in rows],
        pa.array([row.received_us for row in rows], pa.int64()).cast(_MOMENT),
        [row.quality for row in rows],
        *values,
    ]
    arrays = [
        one if isinstance(one, pa.Array) else pa.array(one, field.type)
        for one, field in zip(columns, HISTORY, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=HISTORY)


def read_history(folder: Path) -> Iterator[ObservationRow]:
    """The rows again. Raises Invalid for a file with other columns, or a row without a value."""
    for file in sorted(folder.glob("*.parquet")):
        for batch in _batches(file, HISTORY):
            columns = [
                column.cast(pa.int64()).to_pylist()
                if pa.types.is_timestamp(column.type)
                else column.to_pylist()
                for column in batch.columns
            ]
            for urn, name, dataset, *word, integer, real, text, json in zip(*columns, strict=True):
                given = [one for one in (integer, real, text) if one is not None]
                given += [json.encode()] if json is not None else []
                if len(given) != 1:
                    raise Invalid(f"{file.name}: {urn} {name} has {len(given)} values, not one")
                observed_us, sequence, received_us, quality = word
                key = (urn, name, dataset or "", observed_us, sequence)
                yield ObservationRow(*key, received_us, quality, given[0])


def write_table(file: Path, schema: pa.Schema, rows: Iterable[Any]) -> None:
    """Rows whose fields are the columns."""
    names, left = schema.names, iter(rows)
    with pq.ParquetWriter(file, schema, compression="zstd") as out:
        while group := list(islice(left, GROUP_ROWS)):
            columns = [[getattr(row, name) for row in group] for name in names]
            out.write_table(pa.Table.from_pydict(dict(zip(names, columns, strict=True)), schema))


def read_table(file: Path, schema: pa.Schema, row_type: Any) -> Iterator[Any]:
    """The rows again. Raises Invalid for a file with other columns."""
    for batch in _batches(file, schema):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield row_type(*values)


def _batches(file: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(file) as opened:
            if opened.schema_arrow.names != schema.names:
                raise Invalid(f"{file.name} has other columns than an export of this version")
            yield from opened.iter_batches()
    except (pa.ArrowException, OSError) as wrong:
        raise Invalid(f"{file} can't be read: {wrong}") from None
