# SPDX-License-Identifier: EUPL-1.2
"""Who looked at my data: one person's lines, opened for that person, with their proofs.

Nobody else gets in here but by a case and a second officer, and that is itself a line
(`offices.inspecting`).
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import NotFound, Unavailable
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.ledger.evidence import (
    EVIDENCE_LINES_MAX,
    FORMAT,
    Evidence,
    HeadEvidence,
    LineEvidence,
    Outcome,
    SubjectEvidence,
    texts,
)
from poorter.ledger.headmap import Row, key_of, open_map, write_map
from poorter.ledger.leaf import SALT_BYTES, Leaf, decode_leaf, make_line
from poorter.ledger.lines import NO_LINE, read_line, with_outcome
from poorter.ledger.sealing import LineKeys
from poorter.ledger.sequencer import Sequencer
from poorter.ledger.tree import inclusion_proof
from poorter.store.contract import AppendLeaf, Change, Store, StoredLine

SUBJECT = "dpl.core.data_subject_id"
HEADS_FOLDER = "heads"
HEADS = "heads"
MAPS_KEPT = 40
#: leaves of a trace, the newest first, among which the outcome of a line is looked for
OUTCOMES_LOOKED_AT = 200
ACTIVITY = re.compile(r"https://.*/activities/([^/@]+)@([0-9a-f]{16})\Z")


@dataclass(frozen=True, slots=True)
class SeenLine:
    """One use as the person may see it. `doc` is the line, None while it is kept from them (then
    `until` is the ISO date on which it unlocks) and once it is erased (then `until` is empty)."""

    wall: str
    index: int
    at_us: int
    seq: int
    doc: Mapping[str, Any] | None
    until: str = ""

    @property
    def purpose(self) -> tuple[str, str]:
        """(id, version) of the purpose; empty texts where the line does not say."""
        found = ACTIVITY.match(self._attribute("dpl.core.processing_activity_id"))
        return (found[1], found[2]) if found else ("", "")

    @property
    def ended(self) -> bool:
        """Whether it is known how the use ended."""
        return self.doc is not None and self.doc["status"] != "Unset"

    def resource(self, name: str) -> str:
        """`service.name`, `poorter.dataset` or `poorter.action`."""
        found = (self.doc or {}).get("resource", {}).get("attributes", {})
        return str(found.get(name, ""))

    def _attribute(self, name: str) -> str:
        return str((self.doc or {}).get("attributes", {}).get(name, ""))


class Insight:
    """Opens lines and proves them."""

    def __init__(
        self, store: Store, gate: Gate, keys: LineKeys, sequencer: Sequencer, clock: Clock
    ) -> None:
        self._store = store
        self._gate = gate
        self._keys = keys
        self._sequencer = sequencer
        self._clock = clock

    # -- what there is ---------------------------------------------------------------------------

    def lines(
        self, wall: str, subject: str, after_seq: int = 0, limit: int = 100
    ) -> list[SeenLine]:
        """The lines about a person of a wall, in the order of their sequence."""
        _, name = self._keys.name(wall, subject)
        found = self._store.lines(self._permit(), name, after_seq, limit)
        return [self._seen(wall, line) for line in found]

    def all_lines(self, wall: str, subject: str, most: int = EVIDENCE_LINES_MAX) -> list[SeenLine]:
        """All of them, the newest `most`."""
        after = max(0, self.number(wall, subject) - most)
        found: list[SeenLine] = []
        while True:
            page = self.lines(wall, subject, after, 1000)
            found += page
            if len(page) < 1000:
                return found
            after = page[-1].seq

    def id_of(self, wall: str, subject: str) -> str:
        """The data subject id that stands in the lines about a person of a wall."""
        return self._keys.name(wall, subject)[0]

    def number(self, wall: str, subject: str) -> int:
        """How many lines there are about a person of a wall, those not shown yet too."""
        return self._store.line_count(self._permit(), self._keys.name(wall, subject)[1])

    def of_trace(
        self, trace: bytes, processor: str, purpose: str, limit: int = 1000
    ) -> list[SeenLine]:
        """The lines of one trace that a processor made for a purpose, for itself: under names of
        persons that are that purpose's only, or two purposes could lay their lines side by side.
        """
        found = []
        for index in self._store.traced(self._permit(), trace, limit):
            try:
                line = self._store.line_at(self._permit(), index)
            except NotFound:
                continue
            seen = self._seen("", line)
            if seen.doc is None or seen.purpose[0] != purpose:
                continue
            if seen.resource("service.name") == processor:
                attributes = dict(seen.doc["attributes"])
                attributes[SUBJECT] = self._keys.as_seen_by(purpose, attributes[SUBJECT])
                found.append(replace(seen, doc={**seen.doc, "attributes": attributes}))
        return found

    def _seen(self, wall: str, line: StoredLine) -> SeenLine:
        leaf = decode_leaf(line.leaf)
        until = self._locked_until(leaf)
        if until:
            return SeenLine(wall, line.index, leaf.at_us, line.kept.seq, None, until)
        try:
            _, text = self._keys.open(line.kept)
        except NotFound:
            return SeenLine(wall, line.index, leaf.at_us, line.kept.seq, None)
        doc = read_line(text)
        outcome = self._outcome_of(doc)
        ended = [] if outcome is None else [outcome[1]]
        return SeenLine(wall, line.index, leaf.at_us, line.kept.seq, with_outcome(doc, ended))

    def _locked_until(self, leaf: Leaf) -> str:
        """The date on which a delayed line unlocks; empty when it may be seen."""
        if leaf.action != "delayed":
            return ""
        return leaf.outcome if self._today() < date.fromisoformat(leaf.outcome) else ""

    def _outcome_of(self, doc: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """(leaf, how the processing of a line ended), None while that is not known. A caller's
        trace may hold many processings here: it is the one whose span the line stands under."""
        trace = bytes.fromhex(doc["trace_id"])
        for index in self._store.traced(self._permit(), trace, OUTCOMES_LOOKED_AT, newest=True):
            leaf = self._leaf(index)
            if leaf is not None and decode_leaf(leaf).type == "ended":
                try:
                    salted = self._store.leaf_payload(self._permit(), index)
                except NotFound:
                    continue
                ended = msgspec.json.decode(salted[SALT_BYTES:])
                if ended["span_id"] == doc["parent_span_id"]:
                    return index, ended
        return None

    # -- what the person takes home --------------------------------------------------------------

    def evidence(
        self, subjects: Sequence[tuple[str, str]], trust: str, after_seq: int = 0
    ) -> Evidence:
        """All lines about these (wall, subject) with their proofs, under one checkpoint.

        Raises: Unavailable while there is no checkpoint.
        """
        found = {
            (wall, subject): self._stored(wall, subject, after_seq) for wall, subject in subjects
        }
        newest = max((line.index for lines in found.values() for line in lines), default=0)
        size, note = self._sequencer.note_over(newest)
        return Evidence(
            format=FORMAT,
            origin=self._sequencer.origin,
            checkpoint=note.decode(),
            trust=trust,
            subjects=[
                self._subject(wall, subject, lines, size)
                for (wall, subject), lines in found.items()
            ],
        )

    def _stored(self, wall: str, subject: str, after_seq: int) -> list[StoredLine]:
        """Those that stand under a checkpoint by now."""
        _, name = self._keys.name(wall, subject)
        lines: list[StoredLine] = []
        while len(lines) < EVIDENCE_LINES_MAX:
            page = self._store.lines(self._permit(), name, after_seq, 1000)
            lines += [line for line in page if line.index < self._sequencer.checkpoint.size]
            if len(page) < 1000:
                break
            after_seq = page[-1].kept.seq
        return lines[:EVIDENCE_LINES_MAX]

    def _subject(
        self, wall: str, subject: str, lines: Sequence[StoredLine], size: int
    ) -> SubjectEvidence:
        _, name = self._keys.name(wall, subject)
        outcomes: dict[int, Outcome] = {}
        told = []
        for line in lines:
            evidence, doc = self._line(line, size)
            told.append(evidence)
            ended = None if doc is None else self._outcome_of(doc)
            if ended is not None and ended[0] < size:
                outcomes[ended[0]] = self._outcome(ended[0], size)
        return SubjectEvidence(
            wall=wall,
            name=name.hex(),
            lines=told,
            outcomes=[outcomes[index] for index in sorted(outcomes)],
            heads=self._heads(name, size),
        )

    def _line(self, line: StoredLine, size: int) -> tuple[LineEvidence, Mapping[str, Any] | None]:
        placed = self._placed(line.index, line.leaf, size)
        kept = line.kept
        place: dict[str, Any] = {
            "seq": kept.seq,
            "prev": None if kept.prev == NO_LINE else kept.prev,
        }
        until = self._locked_until(decode_leaf(line.leaf))
        inner = base64.b64encode(kept.inner).decode()
        if until:
            return LineEvidence(**placed, **place, inner=inner, until=until), None
        try:
            salt, text = self._keys.open(kept)
        except NotFound:
            return LineEvidence(**placed, **place, inner=inner, until="erased"), None
        opened: dict[str, Any] = {"salt": base64.b64encode(salt).decode(), "line": text.decode()}
        return LineEvidence(**placed, **place, **opened), read_line(text)

    def _outcome(self, index: int, size: int) -> Outcome:
        salted = self._store.leaf_payload(self._permit(), index)
        leaf = self._leaf(index) or b""
        salt, text = base64.b64encode(salted[:SALT_BYTES]).decode(), salted[SALT_BYTES:].decode()
        return Outcome(**self._placed(index, leaf, size), salt=salt, text=text)

    def _placed(self, index: int, leaf: bytes, size: int) -> dict[str, Any]:
        proof = texts(inclusion_proof(self._sequencer.node, index, size))
        return {"index": index, "leaf": base64.b64encode(leaf).decode(), "proof": proof}

    def _leaf(self, index: int) -> bytes | None:
        rows = self._store.leaves(self._permit(), index, 1)
        return rows[0][1] if rows and rows[0][0] == index else None

    # -- the daily map ---------------------------------------------------------------------------

    async def write_map(self) -> str | None:
        """Write the map of today, once a day; its date, None when it is there already."""
        today = self._today().isoformat()
        known = self._maps()
        if known and known[-1][1].subject_of == today:
            return None
        heads = await asyncio.to_thread(self._store.heads, self._permit())
        if not heads.heads:
            return None
        root = await asyncio.to_thread(self._make, heads.size, heads.heads)
        line = make_line(
            "heads",
            self._clock.now_us(),
            about=today,
            action="map",
            outcome=f"{heads.size}:{root.hex()}",
        )
        own = self._gate.permit("internal:uses", RUN, "administer")
        leaf = AppendLeaf(line.leaf, b"", f"{HEADS} {today[:4]}")
        await self._store.commit_async(own, Change((leaf,)))
        return today

    def _make(self, size: int, heads: Iterable[tuple[bytes, int, int]]) -> bytes:
        folder = self._folder()
        rows = (Row(key_of(name), seq, leaf) for name, seq, leaf in heads)
        root = write_map(folder / str(size), rows, size)
        kept = sorted(int(file.name) for file in folder.iterdir() if file.name.isdecimal())
        for old in kept[:-MAPS_KEPT]:
            (folder / str(old)).unlink()  # made again from the lines if it is ever asked for
        return root

    def _folder(self) -> Path:
        return self._sequencer.folder / HEADS_FOLDER

    def _maps(self) -> list[tuple[int, Leaf]]:
        """The leaves of the last maps, oldest first."""
        year = self._today().year
        indices: list[int] = []
        for about in (f"{HEADS} {year - 1}", f"{HEADS} {year}"):
            indices += self._store.leaves_about(self._permit(), about)
        indices = indices[-MAPS_KEPT:]
        leaves = ((index, self._leaf(index)) for index in indices)
        return [(index, decode_leaf(leaf)) for index, leaf in leaves if leaf is not None]

    def _heads(self, name: bytes, size: int) -> list[HeadEvidence]:
        """What the newest map under the checkpoint says of a person."""
        for index, leaf in reversed(self._maps()):
            if index < size:
                return [self._head(name, index, leaf, size)]
        return []

    def _head(self, name: bytes, index: int, leaf: Leaf, size: int) -> HeadEvidence:
        map_size, _, root = leaf.outcome.partition(":")
        file = self._folder() / map_size
        if not file.exists():
            made = self._make(int(map_size), self._store.heads(self._permit(), int(map_size)).heads)
            if made.hex() != root:
                raise Unavailable("the lines are not those of the map that was written")
        with open_map(file) as found:
            proof = found.prove(key_of(name))
        row = proof.found
        bare = self._leaf(index) or b""
        return HeadEvidence(
            **self._placed(index, bare, size),
            date=leaf.subject_of,
            siblings=texts(proof.siblings),
            found=None if row is None else (row.key.hex(), row.seq, row.leaf),
        )

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC).date()

    def _permit(self) -> Permit:
        return self._gate.permit("internal:ledger", RUN, "read")
