# SPDX-License-Identifier: EUPL-1.2
"""The leaves of a store that goes back in time: those signed since are taken in again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from poorter.city.errors import Conflict
from poorter.gate.permit import Permit
from poorter.identity.keys import PublicPair
from poorter.ledger.checkpoint import Checkpoint
from poorter.ledger.sequencer import CHECKPOINT_FILE, frontier_at
from poorter.ledger.tiles import Tiles
from poorter.ledger.tree import Frontier, leaf_hash
from poorter.ledger.verify import verify_ledger
from poorter.store.contents import LeafRow, LineRow, Movable, Row, TraceRow
from poorter.store.contract import Store

_BATCH = 5000


class Leaves:
    """What a store has of the log, and what it gets."""

    def __init__(self, store: Store, reading: Permit, writing: Permit) -> None:
        self._store = store
        self._reading = reading
        self._writing = writing
        self._frontier = Frontier()
        self._count()

    @property
    def size(self) -> int:
        """How many leaves there are now."""
        return self._frontier.size

    def take_from_store(self, old: Store) -> None:
        """Those that a store of the same log has beyond, with what is private of them. Raises
        Conflict when it is of another history."""
        size = self.size
        theirs = (leaf for _, leaf in _leaves(old, self._reading, size))
        if any(one != other for one, other in zip(self._own(size), theirs, strict=False)):
            raise Conflict("the data here is of another history than this backup")
        assert isinstance(old, Movable)
        with old.contents(self._reading) as contents:
            for row_type in (LeafRow, LineRow, TraceRow):
                self._take(row for row in contents.rows(row_type) if _place(row) >= size)

    def take_from_log(self, log: Path, ring: list[PublicPair], origin: str) -> bool:
        """Those that a copy of the log has beyond, without what is private of them; False when
        there is no log that verifies. Raises Conflict when it is of another history."""
        if not (log / CHECKPOINT_FILE).exists():
            return False
        report = verify_ledger(log, ring, origin)
        if report.checkpoint is None or report.findings:
            return False
        size, tiles, start = report.checkpoint.size, Tiles(log), self.size
        if size <= start:
            self.check(report.checkpoint)
            return True
        if frontier_at(tiles, start).root() != self._frontier.root():
            raise Conflict(f"{log} is of another history than this backup")
        entries = enumerate(tiles.entries(start, size), start)
        self._take(LeafRow(index, leaf, None, None) for index, leaf in entries)
        return True

    def check(self, checkpoint: Checkpoint) -> None:
        """Raises Conflict where a signed tree is not one that these leaves were, or where leaves
        of it are missing."""
        if checkpoint.size > self.size:
            raise Conflict(
                f"the ledger once had {checkpoint.size} leaves, and {self.size} are here: without"
                " the others it would fork. Give a mirror that has them (--mirror), or set"
                " ledger.origin in city.toml to another name: a new log then begins"
            )
        frontier = Frontier()
        for leaf in self._own(checkpoint.size):
            frontier.append(leaf_hash(leaf))
        if frontier.root() != checkpoint.root:
            text = f"the first {checkpoint.size} leaves here are not those that were signed"
            raise Conflict(text)

    def _own(self, size: int) -> Iterator[bytes]:
        return (leaf for _, leaf in _leaves(self._store, self._reading, size))

    def _count(self) -> None:
        while rows := self._store.leaves(self._reading, self._frontier.size, _BATCH):
            for _, leaf in rows:
                self._frontier.append(leaf_hash(leaf))

    def _take(self, rows: Iterable[Row]) -> None:
        assert isinstance(self._store, Movable)
        left = iter(rows)
        while batch := list(islice(left, _BATCH)):
            self._store.take_in(self._writing, batch)
        self._count()


def _leaves(store: Store, permit: Permit, size: int) -> Iterator[tuple[int, bytes]]:
    for start in range(0, size, _BATCH):
        yield from store.leaves(permit, start, min(_BATCH, size - start))


def _place(row: Row) -> int:
    if isinstance(row, LeafRow):
        return row.index
    if isinstance(row, LineRow):
        return row.leaf
    assert isinstance(row, TraceRow)
    return row.first
