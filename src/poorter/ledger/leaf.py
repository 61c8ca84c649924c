# SPDX-License-Identifier: EUPL-1.2
"""A leaf: one recorded use, decision or change of policy, as canonical bytes.

The public tree holds commitments only: what a leaf says of a person is in `commitment`, a SHA-256
over a 32 byte salt and the private payload. Without the salt nobody can guess it back.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Literal

import msgspec

LeafType = Literal[
    "genesis",
    "policy",
    "use",
    "audit",
    "ended",
    "uses",
    "denials",
    "heads",
    "spooled",
    "advice",
    "decision",
    "action",
    "outcome",
    "objection",
    "session",
    "load",
]
#: a line about a person; its payload is sealed and its commitment binds it to their sequence
LINE_TYPE: LeafType = "use"
VERSION = 1
SALT_BYTES = 32


class Leaf(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is public of one line. Encoded as a MessagePack array in this order of fields."""

    version: int
    type: LeafType
    at_us: int
    policy_version: int
    processor: str
    purpose: str
    legal_basis: str
    subject_of: str  # dataset, goal, mandate or register entry that it is about
    action: str
    outcome: str
    commitment: bytes  # empty when there is no private payload


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Leaf).decode


def encode_leaf(leaf: Leaf) -> bytes:
    """The canonical bytes that the tree is made of."""
    return _encode(leaf)


def decode_leaf(data: bytes) -> Leaf:
    """The leaf again. Raises ValueError for bytes that are none, or not canonical."""
    try:
        leaf = _decode(data)
    except msgspec.MsgspecError as wrong:
        raise ValueError(f"not a leaf: {wrong}") from None
    if leaf.version != VERSION or _encode(leaf) != data:
        raise ValueError("not a leaf of this version in canonical form")
    return leaf


def commit_payload(payload: bytes) -> tuple[bytes, bytes]:
    """(commitment, salted payload to keep): both are needed to show what the leaf was about."""
    salted = secrets.token_bytes(SALT_BYTES) + payload
    return hashlib.sha256(salted).digest(), salted


def opens(commitment: bytes, salted: bytes) -> bool:
    """Whether the kept, salted payload is the one that was committed to."""
    return hashlib.sha256(salted).digest() == commitment


@dataclass(frozen=True, slots=True)
class Line:
    """A leaf and the payload that stays private, as handed to the store."""

    leaf: bytes
    payload: bytes


def make_line(
    kind: LeafType,
    at_us: int,
    *,
    policy_version: int = 0,
    processor: str = "",
    purpose: str = "",
    legal_basis: str = "",
    about: str = "",
    action: str = "",
    outcome: str = "",
    payload: bytes = b"",
) -> Line:
    """A leaf with its commitment made; `payload` empty makes a leaf that is public as a whole."""
    commitment, salted = commit_payload(payload) if payload else (b"", b"")
    leaf = Leaf(
        VERSION,
        kind,
        at_us,
        policy_version,
        processor,
        purpose,
        legal_basis,
        about,
        action,
        outcome,
        commitment,
    )
    return Line(encode_leaf(leaf), salted)
