# SPDX-License-Identifier: EUPL-1.2
"""Compacted history as the writer needs it: what was said of a moment, and parts brought back.

A segment never changes. Whoever changes or deletes history of an instance first calls `bring_back`
for that stretch of time: from then on it is rows like any other, and the segment's own part counts
no longer. `drop` leaves it out without bringing it back. Folding writes the segment anew later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

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

if TYPE_CHECKING:
    from poorter.store.history.recall import Recall, Said


class Compacted:
    """Runs inside the writer's transaction."""

    def __init__(self, connection: Connection, files: Files) -> None:
        self._connection = connection
        self.files = files
        #: goes up when rows of before `until_us` change other than by being added
        self.changes = 0
        self._recall: Recall | None = None
        self.until_us = BEFORE_ALL_US
        self.look_again()

    def look_again(self) -> None:
        """The manifest has changed, or the transaction was rolled back."""
        self.until_us = compacted_until_us(self._connection)

    def known(self, asked: Iterable[tuple[int, Sequence[int]]]) -> dict[int, Said]:
        """What segments say of the moments of each instance."""
        if self._recall is not None:
            self._recall.rest()
        old = [(one, moments) for one, moments in asked if min(moments) < self.until_us]
        if not old:
            return {}
        instances = np.repeat([one for one, _ in old], [len(moments) for _, moments in old])
        moments_us = np.concatenate([np.array(moments, np.int64) for _, moments in old])
        order = np.lexsort((moments_us, instances))
        instances, moments_us = instances[order], moments_us[order]
        once = np.ones(len(order), bool)
        once[1:] = (instances[1:] != instances[:-1]) | (moments_us[1:] != moments_us[:-1])
        found: dict[int, Said] = {}
        low, high = int(moments_us.min()), int(moments_us.max()) + 1
        for segment in segments(self._connection, low, high):
            inside = once & (moments_us >= segment.from_us) & (moments_us < segment.until_us)
            if inside.any():
                out = out_of(self._connection, segment)
                self._read().add(found, segment, instances[inside], moments_us[inside], out)
        return found

    def _read(self) -> Recall:
        if self._recall is None:
            from poorter.store.history.recall import Recall

            self._recall = Recall(self.files.open())
        return self._recall

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
