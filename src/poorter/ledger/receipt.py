# SPDX-License-Identifier: EUPL-1.2
"""Receipts: a leaf, its proof and a checkpoint in one text that anybody can verify offline.

The format is C2SP tlog-proof; the leaf's bytes ride in `extra`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from poorter.identity.keys import PublicPair
from poorter.ledger.checkpoint import Checkpoint, verify_checkpoint
from poorter.ledger.leaf import Leaf, decode_leaf
from poorter.ledger.tree import Node, inclusion_proof, leaf_hash, verify_inclusion

HEADER = "c2sp.org/tlog-proof@v1"
RECEIPT_CHARS_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Verified:
    """What a receipt shows: this leaf stands at this place under this signed checkpoint."""

    leaf: Leaf
    index: int
    checkpoint: Checkpoint


def make_receipt(leaf: bytes, index: int, size: int, node: Node, note: bytes) -> str:
    """The receipt of leaf `index` under the signed checkpoint `note` of `size` leaves."""
    proof = inclusion_proof(node, index, size)
    lines = [HEADER, f"extra {base64.b64encode(leaf).decode()}", f"index {index}"]
    lines += [base64.b64encode(step).decode() for step in proof]
    return "\n".join(lines) + "\n\n" + note.decode()


def verify_receipt(text: str, keys: Iterable[PublicPair], origin: str) -> Verified:
    """What the receipt shows, by a city's own keys. Raises ValueError saying what is wrong."""
    ring = list(keys)
    return read_receipt(text, lambda note: verify_checkpoint(note, ring, origin))


def read_receipt(text: str, check: Callable[[bytes], Checkpoint]) -> Verified:
    """What the receipt shows. `check` verifies the checkpoint by keys the reader trusts.

    Raises: ValueError saying what is wrong with it.
    """
    text = text.replace("\r\n", "\n").strip() + "\n"
    if len(text) > RECEIPT_CHARS_MAX:
        raise ValueError("the receipt is too long")
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines[0] != HEADER or len(lines) < 3:
        raise ValueError("this is no receipt: its first line must be " + HEADER)
    if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise ValueError("the receipt lacks its leaf or its index")
    number = lines[2][6:]
    if not number.isascii() or not number.isdecimal() or len(number) > 18:
        raise ValueError("the index is not a number")
    try:
        leaf = base64.b64decode(lines[1][6:], validate=True)
        proof = [base64.b64decode(line, validate=True) for line in lines[3:]]
    except (binascii.Error, ValueError):
        raise ValueError("the receipt is not base64 where it must be") from None
    checkpoint = check(note.encode())
    index = int(number)
    if not verify_inclusion(leaf_hash(leaf), index, checkpoint.size, proof, checkpoint.root):
        raise ValueError("the proof does not lead from the leaf to the signed root")
    return Verified(decode_leaf(leaf), index, checkpoint)
