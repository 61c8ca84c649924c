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
from poorter.store.history.choosing import GROUP_ROWS, Chosen, Unfit, choose, table_of, writing
from poorter.store.history.hours import Sums, summed, sums_of
from poorter.store.history.layout import META, VERSION
from poorter.store.history.plan import HOURS_SUFFIX, SUFFIX
from poorter.store.history.rows import Rows, joined

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
    """What a segment came to; sizes in bytes, `moments`: the oldest and newest of each group."""

    rows: int = 0
    size: int = 0
    hours_size: int = 0
    moments: list[tuple[int, int]] = field(default_factory=list)
    chosen: Chosen | None = None


def write_segment(
    folder: Path, name: str, base_us: int, chunks: Callable[[], Iterable[Rows]]
) -> Written:
    """Write FOLDER/NAME.parquet, and sums by hour.

    `chunks`: the rows, each chunk sorted and of instances after those of the chunk before; called
    again when a later chunk doesn't fit the layout that the first one suggested. Without any rows
    there is no file.
    """
    chosen: Chosen | None = None
    file, hours = folder / (name + SUFFIX), folder / (name + HOURS_SUFFIX)
    while True:
        written = Written(chosen=chosen)
        try:
            with _opened(file) as part, _opened(hours) as hours_part:
                sums = _HoursWriter(hours_part)
                _write(part, base_us, sums.seen(chunks()), written)
                sums.close()
            break
        except Unfit as unfit:
            assert written.chosen is not None
            chosen = written.chosen.widened(unfit.wider)
    if not written.rows:
        file.unlink()
        hours.unlink()
        return written
    written.size = file.stat().st_size
    if sums.count and sums.count * HOURS_FEWER <= written.rows:
        written.hours_size = hours.stat().st_size
    else:
        hours.unlink()
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


def _write(part: Path, base_us: int, chunks: Iterable[Rows], written: Written) -> None:
    writer: pq.ParquetWriter | None = None
    try:
        for group in _groups(chunks):
            chosen = written.chosen = written.chosen or choose(group, base_us)
            table = table_of(group, chosen.layout)
            if writer is None:
                writer = pq.ParquetWriter(
                    part, table.schema, store_schema=False, **writing(chosen.encodings)
                )
            writer.write_table(table, row_group_size=GROUP_ROWS)
            written.rows += len(group)
            written.moments.append((int(group.observed_us.min()), int(group.observed_us.max())))
        if writer is None or written.chosen is None:
            part.touch()
            return
        meta = {**written.chosen.layout.to_doc(), "moments": written.moments}
        writer.add_key_value_metadata({META: json.dumps(meta)})
    finally:
        if writer is not None:
            writer.close()


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


class _HoursWriter:
    """Sums by hour on the way: what is written is also counted."""

    def __init__(self, part: Path) -> None:
        schema = _hours_table(summed(())).schema
        self._writer = pq.ParquetWriter(part, schema, store_schema=False, **writing(_HOURS))
        self._left: list[Sums] = []
        self.count = 0

    def seen(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        """The same chunks. Each is of whole instances, so its corrections are all in it."""
        for chunk in chunks:
            sums = sums_of(chunk, HOUR_US)
            self.count += len(sums)
            self._left.append(sums)
            if sum(map(len, self._left)) >= GROUP_ROWS:
                self._flush()
            yield chunk

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._writer.add_key_value_metadata({META: json.dumps({"version": VERSION})})
        self._writer.close()

    def _flush(self) -> None:
        whole, self._left = summed(self._left), []
        if len(whole):
            self._writer.write_table(_hours_table(whole), row_group_size=GROUP_ROWS)


def _hours_table(sums: Sums) -> pa.Table:
    return pa.table(
        {
            "instance": sums.key,
            "hour": sums.bucket,
            "count": sums.count.astype(np.int32),
            "total": sums.total,
            "least": sums.least,
            "most": sums.most,
        }
    )
