# SPDX-License-Identifier: EUPL-1.2
"""Checkpoints: origin, size and root, as a signed note (C2SP tlog-checkpoint, signed-note).

Each carries an Ed25519 signature over the note's text and an ML-DSA-44 cosignature of type 0x06
over the subtree form (C2SP tlog-cosignature). Our verifier wants both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from poorter.identity.keys import KeyPair, PublicPair

ED25519_TYPE = 0x01
MLDSA44_TYPE = 0x06
NOTE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of `size` leaves of the log `origin` has this root."""

    origin: str
    size: int
    root: bytes
    extension: str = ""  # lines after these three, each with its newline; our own log has none

    def body(self) -> bytes:
        """The text that is signed, with its final newline."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n{self.extension}".encode()


def sign_checkpoint(checkpoint: Checkpoint, key: KeyPair, at_us: int) -> bytes:
    """The signed note, with both signatures of `key`."""
    public = key.public()
    body = checkpoint.body()
    classic = key.sign_ed25519(body)
    at_s = at_us // 1_000_000
    quantum = key.sign_mldsa(subtree_message(public.name, at_s, checkpoint))
    lines = [
        signature_line(public.name, key_id(public.name, ED25519_TYPE, public.ed25519) + classic),
        signature_line(
            public.name,
            key_id(public.name, MLDSA44_TYPE, public.mldsa) + struct.pack(">Q", at_s) + quantum,
        ),
    ]
    return body + b"\n" + b"".join(lines)


def parse_checkpoint(note: bytes) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    """(checkpoint, [(key name, key id and signature)]), unverified.

    Raises: ValueError saying what is malformed.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise ValueError("the note is too long")
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the note is not UTF-8") from None
    body, separator, rest = text.partition("\n\n")
    lines = body.split("\n")
    if not separator or len(lines) < 3 or not rest.endswith("\n"):
        raise ValueError("a checkpoint is three lines, an empty one, and signatures")
    origin, size, root = lines[:3]
    extension = "".join(f"{line}\n" for line in lines[3:])
    if not size.isascii() or not size.isdecimal() or (size != "0" and size.startswith("0")):
        raise ValueError("the size is not a plain number")
    if not origin:
        raise ValueError("the origin is empty")
    if len(size) > 19 or int(size) >= 2**63:
        raise ValueError("the size is beyond any tree")
    checkpoint = Checkpoint(origin, int(size), base64_of(root, "root"), extension)
    if len(checkpoint.root) != 32:
        raise ValueError("the root is not 32 bytes")
    return checkpoint, [read_signature(line) for line in rest[:-1].split("\n")]


def verify_checkpoint(note: bytes, keys: Iterable[PublicPair], origin: str) -> Checkpoint:
    """The checkpoint, if one of `keys` signed it in both ways.

    Raises: ValueError saying what is wrong.
    """
    checkpoint, signatures = parse_checkpoint(note)
    if checkpoint.origin != origin:
        raise ValueError(f"the checkpoint is of {checkpoint.origin}, not of {origin}")
    for key in keys:
        if _classic(key, checkpoint, signatures) and _quantum(key, checkpoint, signatures):
            return checkpoint
    raise ValueError("no key of the ring signed the checkpoint in both ways")


def _classic(key: PublicPair, checkpoint: Checkpoint, lines: list[tuple[str, bytes]]) -> bool:
    own_id = key_id(key.name, ED25519_TYPE, key.ed25519)
    return any(
        name == key.name and data[:4] == own_id and key.verify_ed25519(data[4:], checkpoint.body())
        for name, data in lines
    )


def _quantum(key: PublicPair, checkpoint: Checkpoint, lines: list[tuple[str, bytes]]) -> bool:
    own_id = key_id(key.name, MLDSA44_TYPE, key.mldsa)
    for name, data in lines:
        if name == key.name and data[:4] == own_id and len(data) > 12:
            (at_s,) = struct.unpack(">Q", data[4:12])
            message = subtree_message(key.name, at_s, checkpoint)
            if key.verify_mldsa(data[12:], message):
                return True
    return False


def subtree_message(name: str, at_s: int, checkpoint: Checkpoint) -> bytes:
    """What an ML-DSA-44 cosignature of a whole tree signs (tlog-cosignature)."""
    return b"".join(
        (
            b"subtree/v1\n\x00",
            _short(name),
            struct.pack(">Q", at_s),
            _short(checkpoint.origin),
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """The four bytes that name a key in a signature line (signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def signature_line(name: str, data: bytes) -> bytes:
    """One line of a note's signatures; `data` is key id and signature."""
    return f"\u2014 {name} {base64.b64encode(data).decode()}\n".encode()


def read_signature(line: str) -> tuple[str, bytes]:
    """(key name, key id and signature). Raises ValueError for what is no signature line."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014" or not parts[1] or "+" in parts[1]:
        raise ValueError("a signature line is a dash, a name and a signature")
    data = base64_of(parts[2], "signature")
    if len(data) < 5:
        raise ValueError("the signature is too short")
    return parts[1], data


def base64_of(text: str, what: str) -> bytes:
    """Bytes of canonical base64. Raises ValueError naming `what` for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the {what} is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise ValueError(f"the {what} is not canonical base64")
    return data


def to_base64(data: bytes) -> str:
    """Canonical base64."""
    return base64.b64encode(data).decode()
