# SPDX-License-Identifier: EUPL-1.2
"""Verifying a whole ledger: every entry, tile and root against the signed checkpoint.

What it cannot show: that nobody copied the disk, or that a use was recorded at all. It shows that
what was recorded is still there, unchanged and in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from poorter.identity.keys import PublicPair
from poorter.ledger.checkpoint import Checkpoint, verify_checkpoint
from poorter.ledger.leaf import decode_leaf
from poorter.ledger.sequencer import CHECKPOINT_FILE
from poorter.ledger.tiles import LEVELS_A_TILE, WIDTH, Tiles
from poorter.ledger.tree import Frontier, leaf_hash, subtree_root


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and at which leaf (None: of the ledger as a whole)."""

    index: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """The checkpoint that was verified against, how many leaves were read, what was found."""

    checkpoint: Checkpoint | None
    leaves: int
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        """Nothing was found."""
        return not self.findings


FINDINGS_MAX = 100


def verify_ledger(
    folder: Path,
    keys: Iterable[PublicPair],
    origin: str,
    *,
    known: Iterable[bytes] = (),
    store_leaf: Callable[[int], bytes | None] | None = None,
) -> Report:
    """Verify the ledger in `folder`.

    `known`: checkpoint notes kept from earlier, by a witness or a visitor: the tree must extend
    each. They catch a tree that was rewritten whole and signed with a stolen key. `store_leaf`:
    the store's own leaf at an index, held against the tile's.
    """
    ring = list(keys)
    try:
        checkpoint = verify_checkpoint((folder / CHECKPOINT_FILE).read_bytes(), ring, origin)
    except FileNotFoundError:
        return Report(None, 0, (Finding(None, "there is no checkpoint"),))
    except ValueError as wrong:
        return Report(None, 0, (Finding(None, f"checkpoint: {wrong}"),))
    findings: list[Finding] = []
    tiles = Tiles(folder)
    frontier, read = _read_leaves(tiles, checkpoint.size, findings, store_leaf)
    if not findings and frontier.root() != checkpoint.root:
        findings.append(Finding(None, "the leaves do not lead to the signed root"))
    for note in known:
        findings += _held_against(tiles, checkpoint, note, ring, origin)
    return Report(checkpoint, read, tuple(findings[:FINDINGS_MAX]))


def _read_leaves(
    tiles: Tiles,
    size: int,
    findings: list[Finding],
    store_leaf: Callable[[int], bytes | None] | None,
) -> tuple[Frontier, int]:
    frontier = Frontier()
    for start in range(0, size, WIDTH):
        end = min(start + WIDTH, size)
        try:
            entries = list(tiles.entries(start, end))
        except ValueError as wrong:
            findings.append(Finding(start, str(wrong)))
            return frontier, start
        if len(entries) < end - start:
            findings.append(Finding(start + len(entries), "leaves are missing"))
            return frontier, start + len(entries)
        for offset, entry in enumerate(entries):
            _check_entry(tiles, start + offset, entry, findings, store_leaf)
            for level, number, hashed in frontier.append(leaf_hash(entry)):
                if level and level % LEVELS_A_TILE == 0:
                    _check_node(tiles, (level, number), hashed, findings)
        if len(findings) >= FINDINGS_MAX:
            return frontier, end
    return frontier, size


def _check_entry(
    tiles: Tiles,
    index: int,
    entry: bytes,
    findings: list[Finding],
    store_leaf: Callable[[int], bytes | None] | None,
) -> None:
    try:
        if tiles.node(0, index) != leaf_hash(entry):
            findings.append(Finding(index, "the entry is not the one its tile was made of"))
    except ValueError as wrong:
        findings.append(Finding(index, str(wrong)))
    try:
        decode_leaf(entry)
    except ValueError as wrong:
        findings.append(Finding(index, str(wrong)))
    if store_leaf is not None and store_leaf(index) != entry:
        findings.append(Finding(index, "the store has another leaf here, or none"))


def _check_node(
    tiles: Tiles, place: tuple[int, int], hashed: bytes, findings: list[Finding]
) -> None:
    level, number = place
    try:
        damaged = tiles.node(level, number) != hashed
    except ValueError:
        damaged = True
    if damaged:
        findings.append(Finding(number << level, f"the tile of level {level} is damaged"))


def _held_against(
    tiles: Tiles, checkpoint: Checkpoint, note: bytes, ring: list[PublicPair], origin: str
) -> list[Finding]:
    try:
        earlier = verify_checkpoint(note, ring, origin)
    except ValueError as wrong:
        return [Finding(None, f"the earlier checkpoint: {wrong}")]
    if earlier.size > checkpoint.size:
        return [Finding(checkpoint.size, f"the tree once had {earlier.size} leaves")]
    try:
        root = subtree_root(tiles.node, 0, earlier.size)
    except ValueError as wrong:
        return [Finding(None, str(wrong))]
    if root != earlier.root:
        return [Finding(None, f"the first {earlier.size} leaves are not those once signed")]
    return []
