# SPDX-License-Identifier: EUPL-1.2
"""Which layout and encodings take the fewest bytes for the data at hand: for who writes segments.

Each column gets the Parquet encoding that a sample of it comes out smallest under.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from poorter.store.history.layout import Layout
from poorter.store.history.rows import INTEGER, JSON, REAL, TEXT, Floats, Ints, Rows

GROUP_ROWS = 16_384
ZSTD_LEVEL = 9
_UNITS_US = (3_600_000_000, 60_000_000, 1_000_000, 1_000)
_DECIMALS_MAX = 6
_EXACT = 2.0**53
_DICTIONARY = "RLE_DICTIONARY"
_WHOLE = (_DICTIONARY, "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT", "PLAIN")
_SOME = (_DICTIONARY, "BYTE_STREAM_SPLIT", "PLAIN")


class Unfit(Exception):  # noqa: N818 - says that another layout is needed; nobody else sees it
    """The rows don't fit the layout exactly; `wider` is one that they fit."""

    def __init__(self, wider: Layout) -> None:
        super().__init__("the layout was chosen by other rows")
        self.wider = wider


def starts_of(rows: Rows) -> Ints:
    """Position of the first row of each instance."""
    changes = np.flatnonzero(rows.instance[1:] != rows.instance[:-1]) + 1
    return np.concatenate((np.zeros(min(1, len(rows)), np.int64), changes))


def table_of(rows: Rows, layout: Layout) -> pa.Table:
    """One row group. Raises Unfit."""
    real = rows.kind == REAL
    columns = {
        "instance": rows.instance,
        layout.observed: _observed(rows, layout),
        layout.received: _received(rows, layout),
        "quality": rows.quality.astype(np.int8),
        "sequence": rows.sequence.astype(np.int32),
        "integer": pa.array(rows.integer, mask=rows.kind != INTEGER),
        layout.real: pa.array(_reals(rows, layout), mask=~real),
        "text": pa.array(rows.words, pa.string(), mask=rows.kind != TEXT),
        "json": pa.array(rows.words, pa.binary(), mask=rows.kind != JSON),
    }
    return pa.table(columns)


def _observed(rows: Rows, layout: Layout) -> Ints:
    moments, left = np.divmod(rows.observed_us - layout.base_us, layout.observed_unit_us)
    if left.any():
        raise Unfit(replace(layout, observed_unit_us=_unit(rows.observed_us - layout.base_us)))
    if layout.observed == "observed":
        return moments
    steps = np.diff(moments, prepend=0)
    starts = starts_of(rows)
    steps[starts] = moments[starts]
    return steps


def _received(rows: Rows, layout: Layout) -> Ints:
    since = rows.observed_us if layout.received == "received_delay" else layout.base_us
    moments, left = np.divmod(rows.received_us - since, layout.received_unit_us)
    if left.any():
        raise Unfit(replace(layout, received_unit_us=_unit(rows.received_us - since)))
    return moments


def _reals(rows: Rows, layout: Layout) -> Any:
    if layout.decimals is None:
        return rows.real
    reals = np.where(rows.kind == REAL, rows.real, 0.0)
    scaled = _scaled(reals, layout.decimals)
    if scaled is None:
        raise Unfit(replace(layout, decimals=None))
    return scaled


def _scaled(reals: Floats, decimals: int) -> Ints | None:
    """Reals as whole numbers of 10^-decimals; None when that is not exact."""
    if (abs(reals) >= _EXACT / 10.0**decimals).any():
        return None
    scaled = np.round(reals * 10.0**decimals)
    negative_zero = (scaled == 0) & np.signbit(reals)
    if negative_zero.any() or (scaled / 10.0**decimals != reals).any():
        return None
    return scaled.astype(np.int64)


def _unit(times_us: Ints) -> int:
    return next((unit for unit in _UNITS_US if not (times_us % unit).any()), 1)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A layout and the encoding of each column."""

    layout: Layout
    encodings: Mapping[str, str]

    def widened(self, layout: Layout) -> Chosen:
        """With a layout that takes more: a column under a new name is encoded plainly."""
        return Chosen(layout, {name: self.encodings.get(name, "PLAIN") for name in layout.names})


def choose(sample: Rows, base_us: int) -> Chosen:
    """What takes the fewest bytes on a sample, which is at most a row group."""
    unit = _unit(sample.observed_us - base_us)
    plain = Layout(base_us, "observed", unit, "received", _unit(sample.received_us - base_us), None)
    other = Layout(
        base_us,
        "observed_step",
        unit,
        "received_delay",
        _unit(sample.received_us - sample.observed_us),
        _decimals(sample),
    )
    sizes = {layout: dict(_sizes(table_of(sample, layout), layout)) for layout in (plain, other)}

    def better(which: str) -> Layout:
        return min((plain, other), key=lambda one: sizes[one][getattr(one, which)][0])

    by_received, by_real = better("received"), better("real")
    layout = Layout(
        base_us,
        better("observed").observed,
        unit,
        by_received.received,
        by_received.received_unit_us,
        by_real.decimals,
    )
    found = sizes[plain] | sizes[other]
    return Chosen(layout, {name: found[name][1] for name in layout.names})


def _decimals(sample: Rows) -> int | None:
    reals = sample.real[sample.kind == REAL]
    for decimals in range(_DECIMALS_MAX + 1):
        if len(reals) and _scaled(reals, decimals) is not None:
            return decimals
    return None


def _sizes(table: pa.Table, layout: Layout) -> Iterator[tuple[str, tuple[int, str]]]:
    """(column, (bytes, encoding)) of the smallest."""
    for name in layout.names:
        column = table.select([name])
        yield name, min((_size(column, name, way), way) for way in _ways(name, column))


def _ways(name: str, column: pa.Table) -> tuple[str, ...]:
    if name in ("quality", "sequence", "text", "json") or not column.num_rows:
        return (_DICTIONARY,)
    if pa.types.is_floating(column.schema.field(0).type):
        return _SOME
    return _WHOLE


def _size(column: pa.Table, name: str, encoding: str) -> int:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, column.schema, **writing({name: encoding})) as writer:
        writer.write_table(column)
    return int(sink.tell())


def writing(encodings: Mapping[str, str]) -> dict[str, Any]:
    """Settings of the Parquet writer."""
    return {
        "compression": "zstd",
        "compression_level": ZSTD_LEVEL,
        "use_dictionary": [n for n, way in encodings.items() if way == _DICTIONARY],
        "column_encoding": {n: way for n, way in encodings.items() if way != _DICTIONARY} or None,
        "write_statistics": ["instance"],
        "dictionary_pagesize_limit": 8 * 1024 * 1024,
        "data_page_size": 1024 * 1024,
    }
