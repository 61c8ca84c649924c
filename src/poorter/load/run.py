# SPDX-License-Identifier: EUPL-1.2
"""A load: rows in batches, each batch one transaction together with how far it came.

So a load that was broken off goes on where it was, and what it had written stands. Readings are
known by (entity, attribute, observedAt): a second run finds all of them there.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import Entity
from poorter.city.errors import Invalid, NotFound
from poorter.gate.permit import Permit
from poorter.ledger.leaf import make_line
from poorter.load.columns import make_block_taker
from poorter.load.mapping import Map
from poorter.load.rows import Reject, Taken, make_taker
from poorter.load.sameness import is_there
from poorter.load.sources.opening import Opened, open_rows, open_table
from poorter.store.contract import (
    AppendLeaf,
    Change,
    Committed,
    Observe,
    ObserveResult,
    Op,
    Put,
    PutRecord,
    Reading,
    Store,
)
from poorter.store.series import InSeries, Series

BATCH = 5000
IN_FLIGHT = 4
#: formats whose rows all have the same columns
WITH_HEADER = ("csv", "excel", "geopackage")
Progress = Callable[[int, int, int], None]  # bytes read, bytes in all, rows


@dataclass(slots=True)
class Totals:
    """What a load came to. Every cell is counted once: new, correction, known, missing, refused."""

    rows: int = 0
    new: int = 0
    corrections: int = 0
    known: int = 0
    missing: int = 0
    things: int = 0
    things_same: int = 0
    rejects: int = 0
    done: bool = False
    resumed_at: int = 0
    #: how long the rejects file was at that moment
    rejects_bytes: int = 0
    #: columns that the map names and no row has
    unseen: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    readings: Sequence[Reading] = ()
    things: Sequence[Entity] = ()


class Load:
    """One file into one store. `permits` asks the gate for a read or write permit anew."""

    def __init__(
        self,
        store: Store,
        permits: Callable[[Any], Permit],
        clock: Clock,
        map_: Map,
        file: Path,
        rejects: Path,
        progress: Progress | None = None,
    ) -> None:
        self._store = store
        self._permits = permits
        self._clock = clock
        self._map = map_
        self._file = file
        self._rejects_path = rejects
        self._progress = progress
        self._flying: deque[Future[Committed]] = deque()
        self._things: dict[str, int] = {}
        self.totals = Totals()

    def run(self) -> Totals:
        """Load it all. Raises Invalid for a damaged file, Unavailable for a full disk; what was
        committed before stands, and the next run goes on from there."""
        load_id = _identity(self._file, self._map)
        known = self._known(load_id)
        skip, kept = 0, None
        if known is not None and not known["done"]:
            kept = known.get("rejects_bytes", 0)
            if kept <= _size(self._rejects_path):  # else its refusals would be lost: from the start
                skip = known["rows"]
                self.totals = Totals(**{**known, "resumed_at": skip})
        as_table = self._map.source.format == "csv" and self._map.readings is not None
        opening, batches = (open_table, self._blocks) if as_table else (open_rows, self._rows)
        with (
            _Rejects(self._rejects_path, kept if skip else None) as rejects,
            opening(self._file, self._map) as opened,
        ):
            try:
                batches(load_id, opened, skip, rejects)
            finally:
                with suppress(Exception):
                    self._settle(0)  # the first error is the one to tell
            self._settle(0)
        self.totals.done = True
        self._finish(load_id)
        return self.totals

    def _blocks(self, load_id: str, opened: Opened, skip: int, rejects: _Rejects) -> None:
        """A table of readings, many rows at a time."""
        _, header = next(opened.rows)
        self._check_columns(self._map.needs() - set(header), header)
        taker = make_block_taker(self._map, header, self._clock.now_us)
        size = max(1, BATCH // max(1, taker.width))
        number, series = 0, list[Series]()
        while records := list(islice(opened.rows, size)):
            block = taker.take(records, max(0, skip - number))
            number += len(records)
            if number <= skip:
                continue  # taken again for what it leaves: the hour that comes twice
            self._count(number, block.missing, block.rejects, rejects)
            series += block.series
            readings = InSeries(series)
            if 2 * len(readings) > BATCH:  # else the next rows go with them: few had a value
                self._submit(load_id, _Batch(readings), rejects)
                series = []
                self._show(opened, number)
        self._submit(load_id, _Batch(InSeries(series)), rejects)

    def _rows(self, load_id: str, opened: Opened, skip: int, rejects: _Rejects) -> None:
        take = make_taker(self._map, self._clock.now_us)
        readings, things = list[Reading](), list[Entity]()
        unseen = set(self._map.needs())
        for number, (line, row) in enumerate(opened.rows, 1):
            if isinstance(row, str):
                taken = Taken([], None, 0, [Reject(line, "(row)", "", row)])
            else:
                if unseen:
                    unseen -= row.keys()
                    if self._map.source.format in WITH_HEADER:
                        self._check_columns(unseen, row)
                taken = take(line, row)
                if taken.thing is not None:
                    taken = self._once(taken, taken.thing, number, line)
            if number <= skip:
                continue  # taken again for what it leaves: the hour that comes twice, ids seen
            self._count(number, taken.missing, taken.rejects, rejects)
            readings += taken.readings
            if taken.thing is not None:
                self._keep_thing(things, taken.thing)
            if len(readings) + len(things) >= BATCH:
                self._submit(load_id, _Batch(readings, things), rejects)
                readings, things = [], []
                self._show(opened, number)
        if self.totals.rows and self._map.source.format not in WITH_HEADER:
            self.totals.unseen = sorted(unseen)
        self._submit(load_id, _Batch(readings, things), rejects)

    def _count(self, number: int, missing: int, found: list[Reject], rejects: _Rejects) -> None:
        self.totals.rows = number
        self.totals.missing += missing
        if found:
            self.totals.rejects += len(found)
            rejects.write(found)

    def _show(self, opened: Opened, number: int) -> None:
        if self._progress is not None:
            self._progress(opened.read_bytes(), opened.total_bytes, number)

    def _check_columns(self, unseen: Collection[str], columns: Iterable[str]) -> None:
        """A table has the same columns in each row: what the first one lacks is not there."""
        if unseen:
            raise Invalid(
                f"{self._file.name} has no column {', '.join(sorted(unseen))}; "
                f"it has {', '.join(columns)}"[:1000]
            )

    def _once(self, taken: Taken, thing: Entity, number: int, line: int) -> Taken:
        """One row for each thing: of two, each load would write the one and then the other."""
        first = self._things.setdefault(thing.urn, number)
        if first == number:
            return taken
        reason = f"row {first} has this id already"
        return Taken([], None, 0, [Reject(line, "(id)", thing.urn, reason)])

    def _keep_thing(self, things: list[Entity], thing: Entity) -> None:
        if is_there(self._store, self._permits("read"), thing):
            self.totals.things_same += 1
        else:
            things.append(thing)

    def _submit(self, load_id: str, batch: _Batch, rejects: _Rejects) -> None:
        self.totals.rejects_bytes = rejects.flush()
        if not batch.readings and not batch.things:
            return
        self._settle(IN_FLIGHT - 1)
        ops: list[Op] = []
        if batch.readings and self._map.readings is not None:
            ops.append(Observe(self._map.readings.type, batch.readings, one_event=True))
        ops += [Put(thing, replace=False) for thing in batch.things]
        self.totals.things += len(batch.things)
        ops.append(PutRecord("load", load_id, asdict(self.totals)))
        self._flying.append(self._store.commit(self._permits("write"), Change(tuple(ops))))

    def _settle(self, leave: int) -> None:
        """Wait until at most `leave` batches are under way, and count what they came to."""
        while len(self._flying) > leave:
            committed = self._flying.popleft().result()
            first = committed.results[0]
            if isinstance(first, ObserveResult):
                self.totals.new += first.new
                self.totals.corrections += first.corrections
                self.totals.known += first.duplicates

    def _finish(self, load_id: str) -> None:
        totals = self.totals
        line = make_line(
            "load",
            self._clock.now_us(),
            processor="internal:load",
            about=self._map.title[:200],
            action="load",
            outcome=f"{totals.new} new, {totals.known} known, {totals.rejects} refused",
        )
        ops = (
            PutRecord("load", load_id, asdict(totals)),
            AppendLeaf(line.leaf, line.payload),
        )
        self._store.commit(self._permits("write"), Change(ops)).result()

    def _known(self, load_id: str) -> dict[str, Any] | None:
        try:
            return self._store.record(self._permits("read"), "load", load_id).doc
        except NotFound:
            return None


class _Rejects:
    """The rejects file; there only if something was refused."""

    def __init__(self, path: Path, kept_bytes: int | None) -> None:
        self._path = path
        self._kept_bytes = kept_bytes
        self._file: Any = None
        self._writer: Any = None

    def __enter__(self) -> _Rejects:
        if not self._kept_bytes:
            self._path.unlink(missing_ok=True)
        else:  # what follows belongs to rows that come again
            os.truncate(self._path, self._kept_bytes)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, rejects: list[Reject]) -> None:
        """Add rows; the header comes with the first."""
        if self._file is None:
            self._open()
        for reject in rejects:
            value = reject.value.encode("utf-8", "backslashreplace").decode()
            self._writer.writerow((reject.line, reject.column, value, reject.reason))

    def flush(self) -> int:
        """Bring what was written to the disk, before the load says how far it is; its length."""
        if self._file is None:
            return self._kept_bytes or 0
        self._file.flush()
        os.fsync(self._file.fileno())
        return int(self._file.tell())

    def _open(self) -> None:
        try:
            fresh = not self._kept_bytes
            self._file = self._path.open("a", encoding="utf-8", newline="")
        except OSError as wrong:
            raise Invalid(f"the rejects file can't be written: {wrong.strerror}") from None
        self._writer = csv.writer(self._file)
        if fresh:
            self._writer.writerow(("line", "column", "value", "reason"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _identity(file: Path, map_: Map) -> str:
    """Of this content by this map."""
    if not file.is_file():
        raise NotFound(f"{file} is not there")
    with file.open("rb") as opened:
        hashed = hashlib.file_digest(opened, "sha256")
    hashed.update(msgspec.json.encode(map_))
    return hashed.hexdigest()[:40]
