# SPDX-License-Identifier: EUPL-1.2
"""Writes a segment, and beside it the sums by hour where those are much fewer than the readings.

A file is there under its name only when all of it is on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from poorter.city.time import HOUR_US
from poorter.store.history.hours import Sums, sums_of, summed
from poorter.store.history.layout import (
    GROUP_ROWS,
    VERSION,
    Chosen,
    Unfit,
    choose,
    table_of,
    writing,
)
from poorter.store.history.rows import Rows, joined

META = b"poorter"
SUFFIX = ".parquet"
HOURS_SUFFIX = ".hours.parquet"
UNFINISHED = ".part"
#: sums are worth their bytes when they are so many times fewer than the readings
HOURS_FEWER = 4
_HOURS = {
    "instance": "DELTA_BINARY_PACKED",
    "hour": "DELTA_BINARY_PACKED",
    "count": "RLE_DICTIONARY",
    "total": "BYTE_STREAM_SPLIT",
    "least": "BYTE_STREAM_SPLIT",
    "most": "BYTE_STREAM_SPLIT",
}


@dataclass(slots=True)
class Written:
    """What a segment came to; sizes in bytes."""

    rows: int = 0
    size: int = 0
    hours_size: int = 0
    oldest_us: int = 2**62
    newest_us: int = -(2**62)
    sums: list[Sums] = field(default_factory=list)

    def count(self, rows: Rows) -> None:
        """Note what was written."""
        self.rows += len(rows)
        self.oldest_us = min(self.oldest_us, int(rows.observed_us.min()))
        self.newest_us = max(self.newest_us, int(rows.observed_us.max()))
        self.sums.append(sums_of(rows, HOUR_US))


def write_segment(
    folder: Path, name: str, base_us: int, chunks: Callable[[], Iterable[Rows]]
) -> Written:
    """Write FOLDER/NAME.parquet, and sums by hour.

    `chunks`: the rows, each chunk sorted and of instances after those of the chunk before; called
    again when a later chunk doesn't fit the layout that the first one suggested.
    """
    chosen: Chosen | None = None
    file = folder / (name + SUFFIX)
    while True:
        written = Written()
        try:
            with _opened(file) as part:
                chosen = _write(part, base_us, chunks(), chosen, written)
            break
        except Unfit as unfit:
            chosen = Chosen(unfit.wider, _encodings(chosen, unfit))
    written.size = file.stat().st_size
    sums = summed(written.sums)
    if len(sums) and len(sums) * HOURS_FEWER <= written.rows:
        hours = folder / (name + HOURS_SUFFIX)
        with _opened(hours) as part:
            _write_hours(part, sums)
        written.hours_size = hours.stat().st_size
    written.sums = []
    sync_folder(folder)
    return written


def sync_folder(folder: Path) -> None:
    """What has a name in the folder has it after a power cut too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _opened:  # noqa: N801 - a context, used as one
    """A file that takes its name when it is whole and on the disk."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._part = file.with_name(file.name + UNFINISHED)

    def __enter__(self) -> Path:
        return self._part

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._part.unlink(missing_ok=True)
            return
        with self._part.open("rb") as written:
            os.fsync(written.fileno())
        self._part.replace(self._file)


def _encodings(chosen: Chosen | None, unfit: Unfit) -> dict[str, str]:
    """Of the wider layout: as before, and for the column that has changed one that takes all."""
    known = dict(chosen.encodings) if chosen is not None else {}
    return {name: known.get(name, "BYTE_STREAM_SPLIT") for name in unfit.wider.names}


def _write(
    part: Path, base_us: int, chunks: Iterable[Rows], chosen: Chosen | None, written: Written
) -> Chosen:
    writer: pq.ParquetWriter | None = None
    try:
        for group in _groups(chunks):
            if chosen is None:
                chosen = choose(group, base_us)
            table = table_of(group, chosen.layout)
            if writer is None:
                writer = pq.ParquetWriter(
                    part, table.schema, store_schema=False, **writing(chosen.encodings)
                )
            writer.write_table(table, row_group_size=GROUP_ROWS)
            written.count(group)
        if writer is None or chosen is None:
            raise ValueError("a segment of no rows")
        meta = json.dumps(chosen.layout.to_doc())
        writer.add_key_value_metadata({META: meta})
    finally:
        if writer is not None:
            writer.close()
    return chosen


def _groups(chunks: Iterable[Rows]) -> Iterator[Rows]:
    """Row groups of equal size out of chunks of any."""
    left: list[Rows] = []
    held = 0
    for chunk in chunks:
        left.append(chunk)
        held += len(chunk)
        if held < GROUP_ROWS:
            continue
        whole = joined(left)
        for start in range(0, held - held % GROUP_ROWS, GROUP_ROWS):
            yield whole.take(slice(start, start + GROUP_ROWS))
        left = [whole.take(slice(held - held % GROUP_ROWS, held))]
        held %= GROUP_ROWS
    if held:
        yield joined(left)


def _write_hours(part: Path, sums: Sums) -> None:
    table = pa.table(
        {
            "instance": sums.key,
            "hour": sums.bucket,
            "count": sums.count.astype(np.int32),
            "total": sums.total,
            "least": sums.least,
            "most": sums.most,
        }
    )
    with pq.ParquetWriter(part, table.schema, store_schema=False, **writing(_HOURS)) as writer:
        writer.write_table(table, row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({META: json.dumps({"version": VERSION})})
