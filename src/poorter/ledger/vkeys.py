# SPDX-License-Identifier: EUPL-1.2
"""Verifier keys as text (C2SP signed-note), and signatures of each kind they verify.

NAME+KEYID+base64(kind || public key)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from poorter.identity.keys import KeyPair, PublicPair
from poorter.ledger.checkpoint import (
    ED25519_TYPE,
    MLDSA44_TYPE,
    Checkpoint,
    base64_of,
    key_id,
    signature_line,
    subtree_message,
    to_base64,
)

COSIGNATURE_TYPE = 0x04
KEY_BYTES = {ED25519_TYPE: 32, COSIGNATURE_TYPE: 32, MLDSA44_TYPE: 1312}
_TIMESTAMP = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class VKey:
    """One public key for one kind of signature under one name."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that stand in a signature line."""
        return key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{to_base64(bytes([self.kind]) + self.public)}"

    def signed(self, checkpoint: Checkpoint, data: bytes) -> int | None:
        """When (POSIX seconds, 0 for a kind without time) this key signed the checkpoint; None
        when it did not. `data`: what a signature line holds after the key id."""
        at_s = 0
        if self.kind == ED25519_TYPE:
            message, signature = checkpoint.body(), data
        else:
            if len(data) <= _TIMESTAMP.size:
                return None
            (at_s,) = _TIMESTAMP.unpack_from(data)
            signature = data[_TIMESTAMP.size :]
            if self.kind == COSIGNATURE_TYPE:
                message = cosignature_message(at_s, checkpoint)
            else:
                message = subtree_message(self.name, at_s, checkpoint)
        key: ed25519.Ed25519PublicKey | mldsa.MLDSA44PublicKey
        if self.kind == MLDSA44_TYPE:
            key = mldsa.MLDSA44PublicKey.from_public_bytes(self.public)
        else:
            key = ed25519.Ed25519PublicKey.from_public_bytes(self.public)
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return None
        return at_s


def parse_vkey(text: str) -> VKey:
    """Read a key. Raises ValueError saying what is wrong with it."""
    parts = text.split("+", 2)  # base64 has plus signs of its own
    if len(parts) != 3 or not parts[0]:
        raise ValueError("a verifier key reads NAME+KEYID+KEY")
    data = base64_of(parts[2], "verifier key")
    if not data or KEY_BYTES.get(data[0]) != len(data) - 1:
        raise ValueError("the verifier key is of no kind known here")
    key = VKey(parts[0], data[0], data[1:])
    if key.id.hex() != parts[1]:
        raise ValueError("the id of the verifier key is not that of its name and key")
    return key


def log_vkeys(pair: PublicPair) -> tuple[VKey, VKey]:
    """The two keys a log signs its checkpoints with."""
    return VKey(pair.name, ED25519_TYPE, pair.ed25519), VKey(pair.name, MLDSA44_TYPE, pair.mldsa)


def witness_vkeys(pair: PublicPair) -> tuple[VKey, VKey]:
    """The two keys a witness cosigns with."""
    classic = VKey(pair.name, COSIGNATURE_TYPE, pair.ed25519)
    return classic, VKey(pair.name, MLDSA44_TYPE, pair.mldsa)


def cosign(checkpoint: Checkpoint, key: KeyPair, at_us: int) -> bytes:
    """Both cosignature lines of a witness (C2SP tlog-cosignature, types 0x04 and 0x06)."""
    at_s = at_us // 1_000_000
    stamp = _TIMESTAMP.pack(at_s)
    classic, quantum = witness_vkeys(key.public())
    first = stamp + key.sign_ed25519(cosignature_message(at_s, checkpoint))
    second = stamp + key.sign_mldsa(subtree_message(key.name, at_s, checkpoint))
    return signature_line(key.name, classic.id + first) + signature_line(
        key.name, quantum.id + second
    )


def cosignature_message(at_s: int, checkpoint: Checkpoint) -> bytes:
    """What an Ed25519 cosignature signs."""
    return b"cosignature/v1\ntime %d\n" % at_s + checkpoint.body()
