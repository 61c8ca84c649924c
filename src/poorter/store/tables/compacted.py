# SPDX-License-Identifier: EUPL-1.2
"""Compacted history as the writer needs it: what was said of a moment, and parts brought back.

A segment never changes. Whoever changes or deletes history of an instance first calls `bring_back`
for that stretch of time: from then on it is rows like any other, and the segment's own part counts
no longer. `drop` leaves it out without bringing it back. Folding writes the segment anew later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from poorter.store.history.plan import Segment
from poorter.store.tables.manifest import (
    AFTER_ALL_US,
    BEFORE_ALL_US,
    Files,
    compacted_rows,
    compacted_until_us,
    out_of,
    segments,
)
from poorter.store.tables.port import Connection

Moment = tuple[int, int]  # instance, observed_us
Words = dict[Moment, list[tuple[int, Any]]]


class Compacted:
    """Runs inside the writer's transaction."""

    def __init__(self, connection: Connection, files: Files) -> None:
        self._connection = connection
        self.files = files
        #: goes up when rows of before `until_us` change other than by being added
        self.changes = 0
        self.until_us = BEFORE_ALL_US
        self.look_again()

    def look_again(self) -> None:
        """The manifest has changed, or the transaction was rolled back."""
        self.until_us = compacted_until_us(self._connection)

    def known(self, moments: Iterable[Moment]) -> Words:
        """(sequence, value) that segments hold of each moment, the latest word first."""
        asked = [moment for moment in moments if moment[1] < self.until_us]
        if not asked:
            return {}
        from poorter.store.history.scan import known

        asked.sort(key=lambda moment: moment[1])
        found: Words = {}
        low, high = asked[0][1], asked[-1][1] + 1
        for segment, inside in _by_segment(segments(self._connection, low, high), asked):
            out = out_of(self._connection, segment)
            found |= known(self.files.open(), segment, inside, out)
        return found

    def bring_back(
        self, instance: int, from_us: int = BEFORE_ALL_US, until_us: int = AFTER_ALL_US
    ) -> None:
        """History of an instance in [from, until) is in rows from here on."""
        self.changes += 1
        if from_us < self.until_us:
            rows = list(compacted_rows(self._connection, self.files, instance, from_us, until_us))
            if rows:
                self._connection.add_words(rows)
                self._leave_out(instance, from_us, until_us)

    def drop(
        self, instance: int, from_us: int = BEFORE_ALL_US, until_us: int = AFTER_ALL_US
    ) -> None:
        """History of an instance in [from, until) is gone, rows and segments."""
        self.changes += 1
        list(
            self._connection.execute(
                "DELETE FROM history WHERE attribute = ? AND observed_us >= ? AND observed_us < ?",
                (instance, from_us, until_us),
            )
        )
        if from_us < self.until_us:
            self._leave_out(instance, from_us, until_us)

    def _leave_out(self, instance: int, from_us: int, until_us: int) -> None:
        self._connection.executemany(
            "INSERT INTO segment_out VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [
                (segment.name, instance, from_us, until_us)
                for segment in segments(self._connection, from_us, until_us)
            ],
        )


def _by_segment(
    found: list[Segment], asked: list[Moment]
) -> Iterable[tuple[Segment, list[Moment]]]:
    """The moments (by time) that lie in each segment."""
    starts = [segment.from_us for segment in found]
    inside: list[list[Moment]] = [[] for _ in found]
    for moment in asked:
        at = bisect_right(starts, moment[1]) - 1
        if at >= 0 and moment[1] < found[at].until_us:
            inside[at].append(moment)
    return ((one, part) for one, part in zip(found, inside, strict=True) if part)
