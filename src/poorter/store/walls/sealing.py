# SPDX-License-Identifier: EUPL-1.2
"""An attribute of a person as it is kept: AES-256-GCM under the key of that person.

What it is sealed to, the row, name, datasetId and moment, is part of it: a value laid in another
place opens to nothing. The nonce is derived from key and content, so that the same reading twice
is the same bytes and counts once, and no nonce serves two contents.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = "1"
NONCE_BYTES = 12


@lru_cache(4096)
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)


def forget() -> None:
    """No key stays in memory that has been destroyed."""
    _cipher.cache_clear()


def place_of(urn: str, name: str, dataset_id: str | None, observed_at_us: int | None) -> bytes:
    """Where a value belongs, as bytes."""
    moment = "" if observed_at_us is None else str(observed_at_us)
    return "\0".join((urn, name, dataset_id or "", moment)).encode("utf-8", "surrogatepass")


def seal(key: bytes, place: bytes, purpose: str, body: bytes) -> str:
    """Text to keep. `purpose`: what it was collected for; it travels inside."""
    plain = purpose.encode() + b"\0" + body
    nonce = hmac.digest(key, b"nonce\0" + place + b"\0" + plain, "sha256")[:NONCE_BYTES]
    sealed = _cipher(key).encrypt(nonce, plain, place)
    return VERSION + base64.b64encode(nonce + sealed).decode()


def unseal(keys: Sequence[bytes], place: bytes, text: str) -> tuple[str, bytes] | None:
    """(purpose that it was collected for, body), by the first key that fits; None for what was not
    sealed so, or to here."""
    for key in keys:
        plain = _opened(key, place, text)
        if plain is not None:
            purpose, _, body = plain.partition(b"\0")
            return purpose.decode(), body
    return None


def sealed_anew(keys: Sequence[bytes], place: bytes, text: str) -> str:
    """The same under the first of the keys; what opens with none of them stays as it is."""
    found = None if _opened(keys[0], place, text) is not None else unseal(keys[1:], place, text)
    return text if found is None else seal(keys[0], place, *found)


def _opened(key: bytes, place: bytes, text: str) -> bytes | None:
    if text[:1] != VERSION:
        return None
    try:
        raw = base64.b64decode(text[1:], validate=True)
        return _cipher(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place)
    except (InvalidTag, ValueError):
        return None
