# SPDX-License-Identifier: EUPL-1.2
"""Entities read lately, whole, so that reading them again asks nothing of SQLite.

A row lives through the commits that write its attributes: the writer knows what it wrote and puts
that in their place. What else happens to an entity makes it go, to be read again. All of it comes
after the commit and before its answers, so whoever got an answer reads what they wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from poorter.store.contract import Event, StoredAttribute, StoredEntity

KEPT_MAX = 20_000


class Written(NamedTuple):
    """The new state of an attribute instance that was there before."""

    name: str
    dataset_id: str | None
    body: bytes
    version: int
    at_us: int


#: by entity; None where more happened to it than that attributes were written
AllWritten = Mapping[str, Sequence[Written] | None]


class Recent:
    """Rows by id. Safe for many readers and one writer."""

    def __init__(self) -> None:
        self._rows: dict[str, StoredEntity] = {}
        self._generation = 0
        self._lock = threading.Lock()

    @property
    def generation(self) -> int:
        """Changes with each commit that touched anything: take it before reading."""
        return self._generation

    def get(self, urn: str) -> StoredEntity | None:
        """The row, if it is still true."""
        return self._rows.get(urn)

    def keep(self, urn: str, row: StoredEntity, generation: int) -> None:
        """Keep what was read at `generation`, unless there was a commit since."""
        with self._lock:
            if self._generation != generation:
                return
            if len(self._rows) >= KEPT_MAX:
                self._rows = {}
            self._rows[urn] = row

    def committed(self, events: Sequence[Event], written: AllWritten | None) -> None:
        """After a commit, before its answers. `written`: None when that is not known."""
        with self._lock:
            self._generation += 1
            if written is None and any(event.kind == "backfill" for event in events):
                self._rows = {}  # it names one of many
                return
            written = written or {}
            rows = self._rows
            for urn in {event.urn for event in events}.union(written):
                row = rows.get(urn)
                if row is None:
                    continue
                found = written.get(urn)
                now = rewritten(row, found) if found else None
                if now is None:
                    del rows[urn]
                else:
                    rows[urn] = now


def rewritten(row: StoredEntity, written: Iterable[Written]) -> StoredEntity | None:
    """An entity after its attributes were written; None when it had not all of them, or has any
    that expire. It makes no difference whether `row` is of after the commit already: a reader may
    have been so quick."""
    if row.holds_until_us is not None:
        return None
    attributes = list(row.attributes)
    version, modified_us = row.version, row.modified_at_us
    for name, dataset_id, body, later, at_us in written:
        for place, old in enumerate(attributes):
            if old.name == name and old.dataset_id == dataset_id:
                attributes[place] = StoredAttribute(
                    name, dataset_id, body, old.created_at_us, at_us
                )
                break
        else:
            return None
        version = max(version, later)
        modified_us = max(modified_us, at_us)
    return StoredEntity(
        row.urn,
        row.types,
        row.scopes,
        version,
        row.created_at_us,
        modified_us,
        tuple(attributes),
        row.subject,
    )
