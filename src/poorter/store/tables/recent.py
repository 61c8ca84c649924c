# SPDX-License-Identifier: EUPL-1.2
"""Entities read lately, whole, so that reading them again asks nothing of SQLite.

A row lives through the commits that write its attributes: the writer knows what it wrote and puts
that in their place. What else happens to an entity makes it go, to be read again. All of it comes
after the commit and before its answers, so whoever got an answer reads what they wrote.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from weakref import WeakSet

from poorter.store.contract import Event, StoredAttribute, StoredEntity

_ENTITY_BYTES, _ATTRIBUTE_BYTES = 500, 200
#: an entity, and its number
Numbered = tuple[int, "StoredEntity"]


@dataclass(slots=True)
class Allowance:
    """What all of these rows may take in memory, as good as it can be told."""

    bytes_max: int


def machine_bytes() -> int:
    """The memory of this machine, or as much as whoever runs this in a container allows."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        return min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return whole


allowance = Allowance(machine_bytes() // 8)


def weight(row: StoredEntity) -> int:
    """About how many bytes an entity takes."""
    size = _ENTITY_BYTES
    for attribute in row.attributes:
        size += _ATTRIBUTE_BYTES + len(attribute.body)
    return size


class Written(NamedTuple):
    """The new state of an attribute instance that was there before."""

    name: str
    dataset_id: str | None
    body: bytes
    version: int
    at_us: int


#: by entity; None where more happened to it than that attributes were written, or may have
AllWritten = Mapping[str, Sequence[Written] | None]


class Recent:
    """Rows by id, and ids by the numbers of their entities. Safe for many readers and one writer.

    They lie in two halves. When the newer one is full the older one goes, and it takes its place.
    """

    def __init__(self) -> None:
        self._rows: dict[str, StoredEntity] = {}
        self._older: dict[str, StoredEntity] = {}
        self._urns: list[str | None] = []
        self._taken = 0  # bytes of the newer half
        self._generation = 0
        self._committing = False
        self._touched: set[str] | None = None
        self._lock = threading.Lock()
        _open.add(self)
        #: how many were kept because somebody read them
        self.read = 0

    @property
    def generation(self) -> int:
        """Changes with each commit that touched anything: take it before reading."""
        return self._generation

    def settled(self) -> int | None:
        """The generation, None while a commit is under way. If it is the same before a reader's
        transaction and after, all of these rows were what that transaction sees."""
        with self._lock:
            return None if self._committing else self._generation

    def get(self, urn: str) -> StoredEntity | None:
        """The row, if it is still true."""
        return self._rows.get(urn) or self._older.get(urn)

    def numbered(self, number: int) -> StoredEntity | None:
        """The row of an entity by its number."""
        urn = self._urns[number] if number < len(self._urns) else None
        return None if urn is None else self.get(urn)

    def keep(self, rows: Iterable[Numbered], generation: int) -> None:
        """Keep what was read at `generation`, unless there was a commit since."""
        with self._lock:
            if self._generation == generation:
                for number, row in rows:
                    self.read += 1
                    self._put(number, row)

    def begin_filling(self) -> None:
        """Rows are about to be read of which no commit meanwhile makes all of them untrue."""
        with self._lock:
            self._touched = set()

    def fill(self, rows: Iterable[Numbered]) -> bool:
        """Keep those that no commit has touched since; False once there is no room for more."""
        with self._lock:
            touched, self._touched = self._touched, None
            if touched is None:
                return True
            for number, row in rows:
                if self._taken + weight(row) > self._half and self._older:
                    return False
                if row.urn not in touched and self.get(row.urn) is None:
                    self._put(number, row)
            return True

    def announce(self) -> None:
        """A commit is next."""
        with self._lock:
            self._committing = True

    def failed(self) -> None:
        """It came to nothing."""
        with self._lock:
            self._committing = False

    def committed(self, events: Sequence[Event], written: AllWritten) -> None:
        """After a commit, before its answers."""
        with self._lock:
            self._generation += 1
            self._committing = False
            urns = {event.urn for event in events}.union(written)
            if self._touched is not None:
                self._touched |= urns
            for urn in urns:
                for rows in (self._rows, self._older):
                    row = rows.get(urn)
                    if row is None:
                        continue
                    found = written.get(urn)
                    now = rewritten(row, found) if found else None
                    if now is None:
                        del rows[urn]
                    else:
                        rows[urn] = now

    @property
    def _half(self) -> int:
        return allowance.bytes_max // (2 * len(_open))

    def _put(self, number: int, row: StoredEntity) -> None:
        bytes_more = weight(row)
        if self._taken + bytes_more > self._half:
            self._rows, self._older, self._taken = {}, self._rows, 0
        self._taken += bytes_more
        self._rows[row.urn] = row
        self._older.pop(row.urn, None)
        if number >= len(self._urns):
            more = number + 1 - len(self._urns)
            self._urns.extend([None] * (more + len(self._urns) // 8))
        self._urns[number] = row.urn


#: those of this process: what they may take is divided among them
_open: WeakSet[Recent] = WeakSet()


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
