# SPDX-License-Identifier: EUPL-1.2
"""Lines of the Logboek Dataverwerkingen, and how the tree commits to them. Pure.

One line per data subject, activity and trace. The public leaf holds

    commitment = SHA-256(inner || seq || prev)      inner = SHA-256(salt || line)

with the subject's own sequence number and the index of their line before this one. So a subject
who holds lines 1 to n sees a line that was left out, and nobody else learns that two leaves are
about one person: `inner` can't be guessed without its 32 byte salt.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from poorter.ledger.leaf import SALT_BYTES, Leaf, encode_leaf
from poorter.ledger.tracing import Trace

#: what stands before a subject's first line
NO_LINE = 2**64 - 1
_PLACE = struct.Struct(">QQ")
_HEAD_BYTES = _PLACE.size + hashlib.sha256().digest_size
_EMPTY_COMMITMENT = b"\xc4\x00"
_COMMITMENT = b"\xc4\x20"  # MessagePack: binary of 32 bytes
ID_TYPE = "urn:poorter:data-subject"


class SealedLine(NamedTuple):
    """One line as the store gets it: whose (a keyed name), its inner hash, and what is sealed: of
    the first line of a page the page, of the others one byte that counts how far back that is."""

    subject: bytes
    inner: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class KeptLine:
    """One line as the store has it: place in the subject's sequence, inner hash, the page that it
    lies on, sealed, and where on it. Lines of before there were pages have `sealed` alone."""

    seq: int
    prev: int
    inner: bytes
    sealed: bytes
    place: int = 0


@dataclass(frozen=True, slots=True)
class Activity:
    """What is the same for all lines of one processing, as the standard names it."""

    name: str
    activity_id: str
    start_ms: int
    trace: Trace
    caller: str = ""  # URI of the processor that called, where one did
    resource: Mapping[str, str] | None = None

    def attributes(self, subject_id: str) -> dict[str, str]:
        """`dpl.core.*` of one line."""
        found = {
            "dpl.core.processing_activity_id": self.activity_id,
            "dpl.core.data_subject_id": subject_id,
            "dpl.core.data_subject_id_type": ID_TYPE,
        }
        if self.caller:
            found["dpl.core.foreign_operation.processor"] = self.caller
        return found


_SUBJECT, _SPAN = "\0subject\0", "\0span\0"


class LineWriter:
    """Writes the lines of one activity: only span and subject differ, the rest is made once.
    `parts` stand before the span, between the two, and after the subject."""

    def __init__(self, activity: Activity) -> None:
        doc: dict[str, Any] = {
            "trace_id": activity.trace.trace_id.hex(),
            "span_id": _SPAN,
            "status": "Unset",
            "name": activity.name,
            "start_time": activity.start_ms,
            "end_time": activity.start_ms,
            "parent_span_id": activity.trace.span_id.hex(),
        }
        if activity.resource is not None:
            doc["resource"] = {"attributes": dict(activity.resource)}
        doc["attributes"] = activity.attributes(_SUBJECT)
        text = msgspec.json.encode(doc)
        span, subject = msgspec.json.encode(_SPAN)[1:-1], msgspec.json.encode(_SUBJECT)[1:-1]
        start, _, rest = text.partition(span)
        middle, _, end = rest.partition(subject)
        self.parts = start, middle, end


def inner_hash(salt: bytes, line: bytes) -> bytes:
    """SHA-256 of salt and line: hides the line, and binds to it."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return hashlib.sha256(salt + line).digest()


def commitment_of(inner: bytes, seq: int, prev: int) -> bytes:
    """What the public leaf holds of a line. `prev` is NO_LINE before a subject's first."""
    return hashlib.sha256(inner + _PLACE.pack(seq, prev)).digest()


def leaf_prefix(leaf: Leaf) -> bytes:
    """The leaf's bytes up to its commitment, which the store adds (`complete`)."""
    if leaf.commitment:
        raise ValueError("the leaf has a commitment already")
    return encode_leaf(leaf)[: -len(_EMPTY_COMMITMENT)]


def complete(prefix: bytes, commitment: bytes) -> bytes:
    """The leaf: canonical bytes, as `encode_leaf` would make them."""
    return prefix + _COMMITMENT + commitment


def place_line(line: SealedLine, seq: int, prev: int) -> tuple[bytes, bytes]:
    """(commitment, what the store keeps beside the leaf) of a line at its place."""
    place = _PLACE.pack(seq, prev)
    return hashlib.sha256(line.inner + place).digest(), b"".join((place, line.inner, line.sealed))


def unpack_kept(payload: bytes) -> KeptLine:
    """The line again, still without its page where that stands beside another line (`back_to`).
    Raises ValueError for bytes that are none."""
    if len(payload) < _HEAD_BYTES:
        raise ValueError("this is no line")
    seq, prev = _PLACE.unpack_from(payload)
    return KeptLine(seq, prev, payload[_PLACE.size : _HEAD_BYTES], payload[_HEAD_BYTES:])


def back_to(kept: KeptLine) -> int:
    """How many leaves before this one its page stands; 0 when it stands here."""
    return kept.sealed[0] if len(kept.sealed) == 1 else 0


def read_line(line: bytes) -> dict[str, Any]:
    """A line as data. Raises ValueError for what is none."""
    try:
        doc = msgspec.json.decode(line)
    except msgspec.DecodeError as wrong:
        raise ValueError(f"the line is not JSON: {wrong}") from None
    wanted = ("trace_id", "span_id", "status", "name", "start_time", "end_time", "attributes")
    if not isinstance(doc, dict) or any(name not in doc for name in wanted):
        raise ValueError("this is no line of the Logboek Dataverwerkingen")
    return doc


def with_outcome(doc: dict[str, Any], outcomes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The line with how its processing ended, where that is known; else its status is Unset."""
    for outcome in outcomes:
        doc = {**doc, "status": outcome["status"], "end_time": outcome["end_time"]}
    return doc
