# SPDX-License-Identifier: EUPL-1.2
"""Reads what is to be compacted and writes segments; changes nothing in the database.

Runs in a child process (`serve`: a job a line in and an answer a line out), so that neither the
memory nor the interpreter of the serving process pays for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from poorter.city.time import HOUR_US
from poorter.store.history.plan import SUFFIX, Segment, Window
from poorter.store.history.rows import Ints, Rows, in_order, joined, make_rows
from poorter.store.tables.port import Connection

#: instances whose readings may lie in segments: those of (types, name), from a moment on
Allowed = list[tuple[str, int, int]]
_CHUNK_GROUPS = 8
_STRANGE = 2**62
_HOUR = f"(h.observed_us - ((h.observed_us % {HOUR_US}) + {HOUR_US}) % {HOUR_US}) / {HOUR_US}"


class Count(msgspec.Struct, tag=True):
    """How many rows of before `until_us`, committed up to `received_us`, wait for folding?"""

    allowed: Allowed
    until_us: int
    received_us: int


class Fold(msgspec.Struct, tag=True):
    """Write the segment `name` of what waits in the window and of the segments it replaces."""

    allowed: Allowed
    window: Window
    out: dict[str, list[tuple[int, int, int]]]
    name: str
    received_us: int


class Check(msgspec.Struct, tag=True):
    """Does a segment hold what it may not, or not any longer?"""

    allowed: Allowed
    segment: Segment
    out: list[tuple[int, int, int]]


class Checked(msgspec.Struct):
    """`expired`: some of it is past its retention. `strange`: instances that may not be in it."""

    expired: bool
    strange: list[int]


class Folded(msgspec.Struct):
    """What was written; `moved`: how many rows of the store are in it, of which `instances`."""

    rows: int
    size: int
    hours_size: int
    moved: int
    instances: list[int]


class Folding:
    """Works on a reading connection."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder

    def do(self, job: Check | Fold) -> Checked | Folded:
        """Either of these."""
        return self.check(job) if isinstance(job, Check) else self.fold(job)

    def count(self, job: Count) -> dict[int, int]:
        """Rows that wait, by hour since 1970."""
        dialect = self._connection.dialect
        rows: Any = self._connection.execute(
            "WITH allowed AS MATERIALIZED (SELECT value ->> 0 AS types, "
            f"CAST(value ->> 1 AS BIGINT) AS name FROM {dialect.pairs.format('?1', 'j')}) "
            f"SELECT {_HOUR}, count(*) FROM entity e JOIN attribute a ON a.entity = e.id "
            f"{dialect.then.format('history', 'h', 'h.attribute = a.id AND h.observed_us < ?2')} "
            "WHERE h.received_us <= ?3 "
            "AND (e.types, a.name) IN (SELECT types, name FROM allowed) GROUP BY 1",
            (_json(job.allowed), job.until_us, job.received_us),
        )
        return dict(rows)

    def fold(self, job: Fold) -> Folded:
        """Write the segment; no file when nothing is left to write."""
        from poorter.store.history.write import write_segment

        with self._connection.moment():  # one moment of the store for all of it
            eligible = self._eligible(job.allowed)
            moved: dict[int, int] = {}

            def chunks() -> Iterator[Rows]:
                moved.clear()
                for part in self._chunks(job, eligible, moved):
                    if len(part):
                        yield part

            self._folder.mkdir(parents=True, exist_ok=True)
            written = write_segment(self._folder, job.name, job.window.from_us, chunks)
        counted = sum(moved.values())
        return Folded(written.rows, written.size, written.hours_size, counted, sorted(moved))

    def check(self, job: Check) -> Checked:
        """What of a segment has to leave it."""
        from poorter.store.history.read import Segments
        from poorter.store.history.scan import rows_in

        with self._connection.moment():
            numbers, since = _columns(self._eligible(job.allowed))
        files = Segments(self._folder)
        everything = (job.segment.from_us, job.segment.until_us)
        expired, strange = False, set[int]()
        for rows in rows_in(
            files, job.segment, None, *everything, job.out, ("instance", "observed")
        ):
            kept_us = _since(numbers, since, rows.instance)
            strange |= set(np.unique(rows.instance[kept_us == _STRANGE]).tolist())
            expired = expired or bool(((rows.observed_us < kept_us) & (kept_us < _STRANGE)).any())
        return Checked(expired, sorted(strange))

    def _eligible(self, allowed: Allowed) -> dict[int, int]:
        """The instances, and from when on each is kept."""
        kept = {(types, name): from_us for types, name, from_us in allowed}
        return {
            number: kept[types, name]
            for number, types, name in self._connection.execute(
                "SELECT a.id, e.types, a.name FROM attribute a JOIN entity e ON e.id = a.entity"
            )
            if (types, name) in kept
        }

    def _chunks(self, job: Fold, eligible: dict[int, int], moved: dict[int, int]) -> Iterator[Rows]:
        """All rows of the window, whole instances at a time."""
        ids, since = _columns(eligible)
        before = -1
        for last in self._pauses(job.window.sources):
            part = ids[(ids > before) & (ids <= last)]
            waiting = self._waiting(job, part)
            for number, count in zip(*np.unique(waiting.instance, return_counts=True), strict=True):
                moved[int(number)] = int(count)
            yield joined([waiting, *self._kept(job, before, last, ids, since)])
            before = last

    def _pauses(self, sources: tuple[Segment, ...]) -> list[int]:
        """Where chunks end, so that each is of a size that memory can hold."""
        if not sources:
            return [2**62]
        from poorter.store.history.read import Columns

        largest = max(sources, key=lambda one: one.rows)
        cuts = Columns(self._folder / (largest.name + SUFFIX)).cuts()
        return [*cuts[_CHUNK_GROUPS - 1 :: _CHUNK_GROUPS].tolist(), 2**62]

    def _waiting(self, job: Fold, ids: Ints) -> Rows:
        window = job.window
        dialect = self._connection.dialect
        span = "h.attribute = e.value AND h.observed_us >= ?2 AND h.observed_us < ?3"
        rows = self._connection.words(
            "SELECT h.attribute, h.observed_us, h.sequence, h.received_us, h.quality, h.value "
            f"FROM {dialect.numbers.format('?1', 'e')} {dialect.then.format('history', 'h', span)} "
            "WHERE h.received_us <= ?4",
            (dialect.many(ids.tolist()), window.from_us, window.until_us, job.received_us),
        )
        return in_order(make_rows(list(rows)))  # how a database finds them is its own affair

    def _kept(self, job: Fold, before: int, last: int, ids: Ints, since: Ints) -> Iterator[Rows]:
        """What the old segments hold of instances in (before, last], less what is out or old."""
        if not job.window.sources:
            return
        from poorter.store.history.read import Segments
        from poorter.store.history.scan import rows_between

        files = Segments(self._folder)
        for source in job.window.sources:
            for rows in rows_between(files, source, before, last, job.out[source.name]):
                kept_us = _since(ids, since, rows.instance)
                yield rows.take((rows.observed_us >= kept_us) | (kept_us == _STRANGE))


def _columns(eligible: dict[int, int]) -> tuple[Ints, Ints]:
    """Instances, sorted, and from when on each is kept; with one that is above all."""
    numbers = sorted(eligible)
    since = [eligible[number] for number in numbers]
    return np.array([*numbers, _STRANGE], np.int64), np.array([*since, _STRANGE], np.int64)


def _since(ids: Ints, since: Ints, instance: Ints) -> Ints:
    """From when on each is kept, or _STRANGE where it is not eligible."""
    at = np.searchsorted(ids, instance)
    kept: Ints = np.where(ids[at] == instance, since[at], _STRANGE)
    return kept


def _json(value: Allowed) -> str:
    return msgspec.json.encode(value).decode()


def serve(connection: Connection, folder: str) -> None:
    """Do each job that comes in until there are no more."""
    folding = Folding(connection, Path(folder))
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    for line in given:
        job = msgspec.json.decode(line, type=Check | Fold)
        answers.write(msgspec.json.encode(folding.do(job)) + b"\n")
        answers.flush()
