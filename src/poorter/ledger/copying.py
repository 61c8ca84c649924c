# SPDX-License-Identifier: EUPL-1.2
"""A copy of a log as of one of its checkpoints, while the log itself goes on growing."""

from __future__ import annotations

from pathlib import Path

from poorter.city.errors import Unavailable
from poorter.ledger.checkpoint import parse_checkpoint
from poorter.ledger.sequencer import CHECKPOINT_FILE, WITNESSED_FILE
from poorter.ledger.tiles import WIDTH, Tiles, write_whole
from poorter.ledger.tree import Frontier

ENTRIES_A_STEP = 64 * WIDTH
#: a partial tile that grew is a new file: whoever was about to read the old one looks again
TRIES = 5


def copy_log(log: Path, into: Path) -> int:
    """Copy the log in `log` as of its newest checkpoint, which is verified on the way; its size.

    Raises: Unavailable when there is no checkpoint yet, or the leaves don't lead to its root.
    """
    try:
        note = (log / CHECKPOINT_FILE).read_bytes()
        witnessed = _optional(log / WITNESSED_FILE)
        checkpoint, _ = parse_checkpoint(note)
    except (FileNotFoundError, ValueError) as wrong:
        raise Unavailable(f"the ledger has no checkpoint to copy it by: {wrong}") from None
    tiles, frontier = Tiles(into), Frontier()
    for start in range(0, checkpoint.size, ENTRIES_A_STEP):
        end = min(start + ENTRIES_A_STEP, checkpoint.size)
        tiles.extend(start, _entries(log, start, end), frontier)
    if frontier.root() != checkpoint.root:
        raise Unavailable("the ledger's leaves do not lead to its signed root: verify it first")
    write_whole(into / CHECKPOINT_FILE, note)
    if witnessed is not None and parse_checkpoint(witnessed)[0].size <= checkpoint.size:
        write_whole(into / WITNESSED_FILE, witnessed)
    return checkpoint.size


def _entries(log: Path, start: int, end: int) -> list[bytes]:
    for left in reversed(range(TRIES)):
        try:
            return list(Tiles(log).entries(start, end))
        except (FileNotFoundError, ValueError) as wrong:
            if not left:
                raise Unavailable(f"leaves from {start} on can't be read: {wrong}") from None
    return []


def _optional(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None
