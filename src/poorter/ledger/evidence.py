# SPDX-License-Identifier: EUPL-1.2
"""What a person takes home: every recorded use of data about them, with the proofs that each stands
in the ledger and that none is missing. A text file that anybody verifies without the city.

`verify_evidence` is the meaning of the format; the page in the browser does the same in
`web/static/verify.js`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from poorter.ledger.checkpoint import Checkpoint
from poorter.ledger.headmap import HeadProof, Row, key_of, verify_head
from poorter.ledger.leaf import LINE_TYPE, Leaf, decode_leaf
from poorter.ledger.lines import NO_LINE, commitment_of, inner_hash, read_line
from poorter.ledger.sealing import store_name
from poorter.ledger.tree import leaf_hash, verify_inclusion

FORMAT = "poorter.evidence/1"
EVIDENCE_BYTES_MAX = 64 * 1024 * 1024
#: lines of one person in one file; what is older or newer is asked for separately
EVIDENCE_LINES_MAX = 5000
#: what no ledger can show
LIMITS = (
    "whether somebody copied data without asking the city: no ledger can show that",
    "whether what a line says of the reason was true: ask the office, or object",
)


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf and its place under the checkpoint: index, bytes and proof, base64."""

    index: int
    leaf: str
    proof: list[str]


class LineEvidence(Placed, frozen=True, kw_only=True, omit_defaults=True):
    """One line. `salt` and `line` open it; without them (`until` says why and how long) `inner`
    still shows that it is one of this person's."""

    seq: int
    prev: int | None
    salt: str | None = None
    line: str | None = None
    inner: str | None = None
    until: str | None = None


class Outcome(Placed, frozen=True, kw_only=True):
    """How a processing ended: `text` is the JSON behind the leaf."""

    salt: str
    text: str


class HeadEvidence(Placed, frozen=True, kw_only=True):
    """What a day's map says of this person: [key, seq, leaf] found on the way down, or nothing."""

    date: str
    siblings: list[str]
    found: tuple[str, int, int] | None


class SubjectEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A person in one wall: `name` is what the ledger calls them there, hexadecimal."""

    wall: str
    name: str
    lines: list[LineEvidence]
    outcomes: list[Outcome]
    heads: list[HeadEvidence]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `trust` is the policy of keys and witnesses that the city itself names."""

    format: str
    origin: str
    checkpoint: str
    trust: str
    subjects: list[SubjectEvidence]


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong, at which leaf (None: of the file as a whole)."""

    index: int | None
    what: str


@dataclass(slots=True)
class Shown:
    """What a file shows. `opened`: lines as data; `closed`: (index, until) of lines not shown yet;
    `checked` and `open_ends`: in words, what was and what could not be checked."""

    checkpoint: Checkpoint | None = None
    opened: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    closed: list[tuple[int, str]] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    open_ends: list[str] = field(default_factory=list)


def read_evidence(data: bytes) -> Evidence:
    """The file as data. Raises ValueError saying why it is none."""
    if len(data) > EVIDENCE_BYTES_MAX:
        raise ValueError(f"the file has over {EVIDENCE_BYTES_MAX} bytes")
    try:
        found = msgspec.json.decode(data, type=Evidence)
    except msgspec.MsgspecError as wrong:
        raise ValueError(f"this is no such file: {wrong}") from None
    if found.format != FORMAT:
        raise ValueError(f"the format is {found.format[:60]}, not {FORMAT}")
    return found


#: the verified checkpoint of a note. Raises ValueError.
Checking = Callable[[bytes], Checkpoint]


def verify_evidence(evidence: Evidence, check: Checking) -> Shown:
    """Verify all of it. `check` verifies the signed checkpoint by keys that the reader trusts."""
    shown = Shown()
    try:
        shown.checkpoint = check(evidence.checkpoint.encode())
    except ValueError as wrong:
        shown.wrong.append(Wrong(None, f"the checkpoint: {wrong}"))
        return shown
    if shown.checkpoint.origin != evidence.origin:
        shown.wrong.append(Wrong(None, "the file and its checkpoint are of two ledgers"))
    shown.checked.append(f"the ledger of {shown.checkpoint.size} leaves is signed")
    for subject in evidence.subjects:
        shown.wrong += _verify_subject(subject, shown)
    return shown


def _verify_subject(subject: SubjectEvidence, shown: Shown) -> Iterator[Wrong]:
    assert shown.checkpoint is not None
    number = len(subject.lines)
    yield from _sequence(subject.lines)
    for line in subject.lines:
        yield from _line(line, subject.name, shown)
    spans = {span_of(doc) for _, doc in shown.opened}
    for outcome in subject.outcomes:
        yield from _outcome(outcome, spans, shown.checkpoint)
    if number:
        first, last = subject.lines[0].seq, subject.lines[-1].seq
        shown.checked.append(f"{subject.wall}: lines {first} to {last}, none missing between them")
        if first != 1:
            shown.open_ends.append(f"{subject.wall}: lines 1 to {first - 1} are not in this file")
    if not subject.heads:
        shown.open_ends.append(
            f"{subject.wall}: no daily map is in this file, so the newest line may be missing"
        )
    for head in subject.heads:
        yield from _head(head, subject, shown)


def _sequence(lines: list[LineEvidence]) -> Iterator[Wrong]:
    """Numbers and places follow one another: a line left out shows at its own leaf."""
    before: LineEvidence | None = None
    for line in lines:
        if before is None:
            if (line.seq == 1) != (line.prev is None) or line.seq < 1:
                yield Wrong(line.index, "a first line has none before it, every other one has")
        elif line.seq != before.seq + 1 or line.prev != before.index:
            yield Wrong(
                before.index if line.prev is None else line.prev,
                f"between line {before.seq} and line {line.seq} something is missing or moved",
            )
        if before is not None and line.index <= before.index:
            yield Wrong(line.index, "the lines are not in the order of the ledger")
        before = line


def _line(line: LineEvidence, name: str, shown: Shown) -> Iterator[Wrong]:
    assert shown.checkpoint is not None
    try:
        leaf = _placed(line, shown.checkpoint)
        if leaf.type != LINE_TYPE:
            raise ValueError("the leaf is no line about a person")
        if line.salt is not None and line.line is not None:
            inner = inner_hash(_bytes(line.salt), line.line.encode())
        else:
            inner = _bytes(line.inner or "")
        prev = NO_LINE if line.prev is None else line.prev
        if commitment_of(inner, line.seq, prev) != leaf.commitment:
            raise ValueError("the leaf does not commit to this line at this place")
        if line.line is None:
            shown.closed.append((line.index, line.until or ""))
            return
        doc = read_line(line.line.encode())
        subject_id = doc["attributes"].get("dpl.core.data_subject_id", "")
        if store_name(str(subject_id)).hex() != name:
            raise ValueError("the line is about somebody else")
        shown.opened.append((line.index, doc))
    except (ValueError, OverflowError) as wrong:
        yield Wrong(line.index, str(wrong))


def span_of(doc: Mapping[str, Any]) -> tuple[str, str]:
    """(trace, span) of the processing that a line, or an outcome, belongs to."""
    return str(doc["trace_id"]), str(doc.get("parent_span_id", doc["span_id"]))


def _outcome(
    outcome: Outcome, spans: set[tuple[str, str]], checkpoint: Checkpoint
) -> Iterator[Wrong]:
    try:
        leaf = _placed(outcome, checkpoint)
        if leaf.commitment != hashlib.sha256(_bytes(outcome.salt) + outcome.text.encode()).digest():
            raise ValueError("the leaf does not commit to this outcome")
        doc = msgspec.json.decode(outcome.text)
        if leaf.type != "ended" or span_of(doc) not in spans:
            raise ValueError("the outcome belongs to none of these lines")
    except (ValueError, KeyError, TypeError) as wrong:
        yield Wrong(outcome.index, str(wrong))


def _head(head: HeadEvidence, subject: SubjectEvidence, shown: Shown) -> Iterator[Wrong]:
    """The map of a day says how many lines there were: as many must be in the file."""
    assert shown.checkpoint is not None
    try:
        leaf = _placed(head, shown.checkpoint)
        size_text, _, root = leaf.outcome.partition(":")
        if leaf.type != "heads" or leaf.subject_of != head.date or not size_text.isdecimal():
            raise ValueError("the leaf is no daily map of this date")
        key = key_of(bytes.fromhex(subject.name))
        row = None
        if head.found is not None:
            row = Row(bytes.fromhex(head.found[0]), head.found[1], head.found[2])
        proof = HeadProof(tuple(map(_bytes, head.siblings)), row)
        if not verify_head(bytes.fromhex(root), key, proof):
            raise ValueError("the map of this day does not say so")
        size = int(size_text)
    except (ValueError, struct.error) as wrong:
        yield Wrong(head.index, str(wrong))
        return
    recorded = row.seq if row is not None and row.key == key else 0
    yield from _against_head(subject, recorded, row.leaf if row else 0, size, head)
    shown.checked.append(f"{subject.wall}: on {head.date} the map says {recorded} lines")


def _against_head(
    subject: SubjectEvidence, recorded: int, last_leaf: int, size: int, head: HeadEvidence
) -> Iterator[Wrong]:
    before = [line for line in subject.lines if line.index < size]
    if not before and subject.lines and subject.lines[0].seq > recorded:
        return  # this part of the lines begins after that day
    shown_last = before[-1].seq if before else 0
    if shown_last < recorded:
        what = f"on {head.date} there were {recorded} lines, {shown_last} of them are shown"
        yield Wrong(last_leaf, what)
    elif shown_last > recorded:
        yield Wrong(before[-1].index, f"the map of {head.date} knows {recorded} lines only")
    elif before and before[-1].index != last_leaf:
        yield Wrong(last_leaf, f"the map of {head.date} names another last line")


def _placed(placed: Placed, checkpoint: Checkpoint) -> Leaf:
    """The leaf, if it stands at its place. Raises ValueError."""
    data = _bytes(placed.leaf)
    proof = [_bytes(step) for step in placed.proof]
    size, root = checkpoint.size, checkpoint.root
    if not verify_inclusion(leaf_hash(data), placed.index, size, proof, root):
        raise ValueError("the proof does not lead from the leaf to the signed root")
    return decode_leaf(data)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("this is not base64") from None


def texts(parts: Iterable[bytes]) -> list[str]:
    """Bytes as base64, for the file."""
    return [base64.b64encode(part).decode() for part in parts]


def outcomes_by_span(evidence: Evidence) -> Mapping[tuple[str, str], dict[str, Any]]:
    """How each processing ended, as far as the file says."""
    return {
        span_of(doc): doc
        for subject in evidence.subjects
        for outcome in subject.outcomes
        if isinstance(doc := msgspec.json.decode(outcome.text), dict)
    }
