# SPDX-License-Identifier: EUPL-1.2
"""A mirror: keeps another's whole log, and finds the leaf at which two histories part.

A witness says that a log went on from what it saw; a mirror also has what it saw, so it can name
the line that was changed, taken out or put in, even when it was signed with the right keys.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from poorter.ledger.checkpoint import Checkpoint, parse_checkpoint
from poorter.ledger.sequencer import CHECKPOINT_FILE, WITNESSED_FILE, frontier_at
from poorter.ledger.tiles import WIDTH, Tiles, split_bundle, tile_path, write_whole
from poorter.ledger.tree import EMPTY_ROOT, leaf_hash
from poorter.ledger.trust import Trust
from poorter.ledger.verify import Finding

#: the bytes of a path of the log (tlog-tiles), or None where there are none
Get = Callable[[str], bytes | None]
PENDING_FILE = "pending"
ENTRIES_A_STEP = 64 * WIDTH
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How far the mirror has the log, how far witnesses cosigned it, and what is wrong."""

    size: int
    witnessed: int
    findings: tuple[Finding, ...]


class Mirror:
    """The copy of one log in a folder, in the layout of tlog-tiles: any file server serves it."""

    def __init__(self, folder: Path, get: Get, trust: Trust) -> None:
        self._folder = folder
        self._get = get
        self._trust = trust
        self._tiles = Tiles(folder)

    def update(self) -> Mirrored:
        """Bring the copy up to the log, unless the log is not the one that was copied.

        Raises: ValueError when the log shows no checkpoint that its keys signed.
        """
        note = self._get("checkpoint")
        if note is None:
            raise ValueError("the log shows no checkpoint")
        new = self._trust.verify(note, quorum=False).checkpoint
        kept = self._kept(new.origin)
        findings = list(self._held_against(kept, new))
        if not findings and new.size > kept.size:
            findings += self._extend(kept, new)
        if not findings:
            write_whole(self._folder / CHECKPOINT_FILE, note)
            kept = new
        witnessed, late = self._witnessed(kept)
        return Mirrored(kept.size, witnessed, (*findings, *late))

    def _kept(self, origin: str) -> Checkpoint:
        try:
            return parse_checkpoint((self._folder / CHECKPOINT_FILE).read_bytes())[0]
        except FileNotFoundError:
            return Checkpoint(origin, 0, EMPTY_ROOT)

    def _held_against(self, kept: Checkpoint, new: Checkpoint) -> Iterator[Finding]:
        if new.origin != kept.origin:
            yield Finding(None, f"this is the mirror of {kept.origin}, not of {new.origin}")
        elif new.size < kept.size:
            yield from self._parting(new.size)
            yield Finding(new.size, f"the log is cut off here: it had {kept.size} leaves")
        elif new.size == kept.size and new.root != kept.root:
            yield from self._parting(kept.size)
            yield Finding(None, "the log signed two trees of the same size")

    def _extend(self, kept: Checkpoint, new: Checkpoint) -> Iterator[Finding]:
        """Fetch the new entries aside, and take them in only if they lead to the signed root."""
        pending = self._folder / PENDING_FILE
        self._folder.mkdir(parents=True, exist_ok=True)
        frontier = frontier_at(self._tiles, kept.size)
        with pending.open("wb") as stream:
            for number in range(kept.size // WIDTH, -(-new.size // WIDTH)):
                first = number * WIDTH
                bundle = self._bundle(number, min(WIDTH, new.size - first))
                if bundle is None:
                    yield Finding(max(first, kept.size), "the log does not show these leaves")
                    return
                for entry in bundle[max(kept.size - first, 0) :]:
                    frontier.append(leaf_hash(entry))
                    stream.write(_LENGTH.pack(len(entry)) + entry)
        if frontier.root() != new.root:
            parting = list(self._parting(kept.size))
            what = "the leaves from here on do not lead to the signed root"
            yield from parting or [Finding(kept.size, what)]
            return
        self._take_in(pending, kept.size)
        pending.unlink()

    def _take_in(self, pending: Path, size: int) -> None:
        frontier = frontier_at(self._tiles, size)
        batch: list[bytes] = []
        with pending.open("rb") as stream:
            while head := stream.read(_LENGTH.size):
                batch.append(stream.read(_LENGTH.unpack(head)[0]))
                if len(batch) == ENTRIES_A_STEP:
                    self._tiles.extend(frontier.size, batch, frontier)
                    batch = []
        if batch:
            self._tiles.extend(frontier.size, batch, frontier)

    def _bundle(self, number: int, width: int) -> list[bytes] | None:
        """`width` entries of a bundle: the part of that width, or the whole one by now."""
        for path in dict.fromkeys((tile_path("entries", number, width), _whole(number))):
            data = self._get(path)
            if data is not None:
                try:
                    bundle = split_bundle(data, number)
                except ValueError:
                    return None
                if len(bundle) >= width:
                    return bundle[:width]
        return None

    def _parting(self, size: int) -> Iterator[Finding]:
        """The first of our `size` leaves that the log now shows otherwise, by its own entries."""
        for number in range(-(-size // WIDTH)):
            first = number * WIDTH
            width = min(WIDTH, size - first)
            ours = list(self._tiles.entries(first, first + width))
            theirs = self._bundle(number, width)
            if theirs is None:
                yield Finding(first, "the log does not show these leaves any more")
                return
            for offset, (mine, shown) in enumerate(zip(ours, theirs, strict=True)):
                if mine != shown:
                    yield Finding(first + offset, "the log shows another leaf here than it did")
                    return

    def _witnessed(self, kept: Checkpoint) -> tuple[int, list[Finding]]:
        """How far enough witnesses cosigned it; it must be the tree that we have."""
        note = self._get("witnessed")
        if note is None:
            return 0, []
        try:
            seen = self._trust.verify(note).checkpoint
        except ValueError as wrong:
            return 0, [Finding(None, f"the witnessed checkpoint: {wrong}")]
        if seen.size > kept.size:
            return 0, []  # newer than what was copied a moment ago: the next time tells
        try:
            known = frontier_at(self._tiles, seen.size).root()
        except ValueError as wrong:
            return 0, [Finding(None, str(wrong))]
        if known != seen.root:
            return 0, [Finding(seen.size, "what the witnesses saw is not what we were shown")]
        write_whole(self._folder / WITNESSED_FILE, note)
        return seen.size, []


def _whole(number: int) -> str:
    return tile_path("entries", number)
