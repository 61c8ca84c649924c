# SPDX-License-Identifier: EUPL-1.2
"""The sequencer: what the store committed goes into the tree, then a checkpoint is signed.

The store is the source: leaf numbers are given in its transactions. Tiles and checkpoints are
derived, so a crash at any step is mended by going on from the last checkpoint that verifies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from poorter.city.clock import Clock
from poorter.city.errors import Unavailable
from poorter.identity.keys import KeyPair, PublicPair
from poorter.ledger.checkpoint import (
    Checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from poorter.ledger.tiles import WIDTH, Tiles, write_whole
from poorter.ledger.tree import Frontier, leaf_hash

BATCH = 10_000
CHECKPOINT_FILE = "checkpoint"
#: the newest checkpoint that enough witnesses cosigned
WITNESSED_FILE = "witnessed"

#: committed leaves from an index on, at most so many: [(index, bytes)]
Source = Callable[[int, int], list[tuple[int, bytes]]]


class Sequencer:
    """Brings tiles and checkpoint up to the store. One per city."""

    def __init__(
        self,
        folder: Path,
        source: Source,
        key: KeyPair,
        ring: list[PublicPair],
        clock: Clock,
    ) -> None:
        self.folder = folder
        self.origin = key.name
        self._source = source
        self._key = key
        self._clock = clock
        self._ring = ring
        self._lock = threading.Lock()
        #: why the tree could not be written at the last step, None when it could
        self.failing: str | None = None
        self.tiles = Tiles(folder)
        self._frontier = Frontier()
        self.checkpoint = Checkpoint(self.origin, 0, self._frontier.root())
        self._recover()
        self.witnessed_size = self._read_witnessed()

    def step(self) -> Checkpoint:
        """Take in what was committed since; sign a checkpoint if that was anything.

        Raises: Unavailable when it can't be written; nothing is lost, the next step tries again.
        """
        with self._lock:  # the last step at a stop may meet one that still runs in its thread
            try:
                checkpoint = self._step()
            except OSError as wrong:
                self.failing = wrong.strerror or str(wrong)
                raise Unavailable(f"the ledger can't be written: {self.failing}") from wrong
            self.failing = None
            return checkpoint

    def _step(self) -> Checkpoint:
        while True:
            rows = self._source(self._frontier.size, BATCH)
            if not rows:
                break
            for offset, (index, _) in enumerate(rows):
                if index != self._frontier.size + offset:
                    raise Unavailable(f"the store has no leaf {self._frontier.size + offset}")
            # a copy: where a tile can't be written, the next step begins at the same leaf again
            grown = self._frontier.copy()
            self.tiles.extend(rows[0][0], [leaf for _, leaf in rows], grown)
            self._frontier = grown
        if self._frontier.size != self.checkpoint.size or self._frontier.size == 0:
            self._sign()
        return self.checkpoint

    def node(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree, for proofs."""
        return self.tiles.node(level, index)

    def note(self) -> bytes:
        """The newest signed checkpoint. Raises Unavailable before there is a first one."""
        try:
            return (self.folder / CHECKPOINT_FILE).read_bytes()
        except FileNotFoundError:
            raise Unavailable("the ledger has no checkpoint yet: ask again in a second") from None

    def keep_witnessed(self, note: bytes) -> None:
        """Keep a checkpoint of ours that enough witnesses cosigned. Raises OSError."""
        write_whole(self.folder / WITNESSED_FILE, note)
        self.witnessed_size = parse_checkpoint(note)[0].size

    def note_over(self, index: int) -> tuple[int, bytes]:
        """(size, note) of the best checkpoint over leaf `index`: a witnessed one where there is.

        Raises: Unavailable while no checkpoint covers it.
        """
        if index < self.witnessed_size:
            note = (self.folder / WITNESSED_FILE).read_bytes()
        else:
            note = self.note()
        size = parse_checkpoint(note)[0].size
        if index >= size:
            raise Unavailable("this leaf is in the tree within two seconds: ask again")
        return size, note

    def _read_witnessed(self) -> int:
        try:
            return parse_checkpoint((self.folder / WITNESSED_FILE).read_bytes())[0].size
        except (FileNotFoundError, ValueError):
            return 0

    def _sign(self) -> None:
        checkpoint = Checkpoint(self.origin, self._frontier.size, self._frontier.root())
        note = sign_checkpoint(checkpoint, self._key, self._clock.now_us())
        write_whole(self.folder / CHECKPOINT_FILE, note)
        self.checkpoint = checkpoint

    def _recover(self) -> None:
        """Rebuild the frontier from the store, and hold it against the last checkpoint."""
        file = self.folder / CHECKPOINT_FILE
        signed = None
        if file.exists():
            try:
                signed = verify_checkpoint(file.read_bytes(), self._ring, self.origin)
            except ValueError as wrong:
                raise Unavailable(f"the ledger's checkpoint does not verify: {wrong}") from None
        if signed is None:
            return
        self.checkpoint = signed
        try:
            self._frontier = frontier_at(self.tiles, signed.size)
            list(self.tiles.entries(signed.size - signed.size % WIDTH, signed.size))
        except ValueError:
            self._rebuild(signed.size)  # a tile is missing: it is made again from the store
        if self._frontier.root() != signed.root:
            self._rebuild(signed.size)
            if self._frontier.root() != signed.root:
                raise Unavailable("the store's leaves are not those of the signed tree")

    def _rebuild(self, size: int) -> None:
        """Tiles and frontier from the store's leaves. Names the first leaf that differs."""
        self._frontier = Frontier()
        while self._frontier.size < size:
            start = self._frontier.size
            rows = self._source(start, min(BATCH, size - start))
            if not rows:
                raise Unavailable(f"the store has {start} leaves, the signed tree {size}")
            for index, leaf in rows:
                self._check_leaf(index, leaf_hash(leaf))
            self.tiles.extend(start, [leaf for _, leaf in rows], self._frontier)

    def _check_leaf(self, index: int, hashed: bytes) -> None:
        """Name the first leaf that differs. A missing tile is no difference: it is made again."""
        try:
            known = self.tiles.node(0, index)
        except ValueError:
            return
        if known != hashed:
            raise Unavailable(f"leaf {index} in the store is not the one that was signed")


def frontier_at(tiles: Tiles, size: int) -> Frontier:
    """The frontier of the first `size` leaves, from tiles alone. ValueError when one is missing."""
    peaks = []
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            peaks.append(tiles.node(level, start >> level))
            start += 1 << level
    return Frontier(size, peaks)
