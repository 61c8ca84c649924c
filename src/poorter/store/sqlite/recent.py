# SPDX-License-Identifier: EUPL-1.2
"""Entities read lately, whole, so that reading them again asks nothing of SQLite.

A row is kept only while no commit has touched its entity. The writer forgets what it touched after
the commit and before it answers, so whoever got an answer reads what they wrote.
"""

from __future__ import annotations

from collections.abc import Iterable

from poorter.store.contract import Event, StoredEntity

KEPT_MAX = 20_000


class Recent:
    """Rows by id. Safe for many readers and one writer."""

    def __init__(self) -> None:
        self._rows: dict[str, StoredEntity] = {}
        self._generation = 0

    @property
    def generation(self) -> int:
        """Changes with each commit that touched anything: take it before reading."""
        return self._generation

    def get(self, urn: str) -> StoredEntity | None:
        """The row, if it is still true."""
        return self._rows.get(urn)

    def keep(self, urn: str, row: StoredEntity, generation: int) -> None:
        """Keep what was read at `generation`.

        Set first, looked at after: a commit in between either finds the row and forgets it, or
        has changed the generation already, and then it is taken back here.
        """
        if len(self._rows) >= KEPT_MAX:
            self._rows = {}
        self._rows[urn] = row
        if self._generation != generation:
            self._rows.pop(urn, None)

    def forget(self, events: Iterable[Event]) -> None:
        """After a commit, before its answers. A backfill names one of many: all goes."""
        self._generation += 1
        for event in events:
            if event.kind == "backfill":
                self._rows = {}
                return
            self._rows.pop(event.urn, None)
