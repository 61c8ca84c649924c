# SPDX-License-Identifier: EUPL-1.2
"""Ids of rows behind a wall: minted here, and another one for each purpose.

Kept is `urn:ngsi-ld:TYPE:~` and 26 letters: 128 random bits. What an app sees, and sends back, is
the same under AES-SIV (RFC 5297) with a key of the purpose and the wall: two purposes have nothing
to join on, and what another purpose saw, or anybody guessed, leads to nothing.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from poorter.gate.permit import SEALED

_BYTES = 16
_KEPT = re.compile(r"urn:ngsi-ld:([^:~]{1,256}):~([a-z2-7]{26})\Z")
_WITHIN = re.compile(r"urn:ngsi-ld:[^:~\s]{1,256}:~[a-z2-7]{26}")
_SHOWN = re.compile(r"urn:ngsi-ld:([^:~]{1,256}):([a-z2-7]{52})\Z")
CACHED = 100_000


class Pseudonyms:
    """Turns kept ids into those of a purpose and back. `secret_of`: 32 bytes of a wall."""

    def __init__(self, secret_of: Callable[[str], bytes]) -> None:
        self._secret_of = secret_of
        self._ciphers: dict[tuple[str, str], AESSIV] = {}
        self._shown = lru_cache(CACHED)(self._show)

    def mint(self, type_name: str, wall: str = "", seed: str | None = None) -> str:
        """A new kept id; with `seed`, the one that belongs to it, so that a retry finds it."""
        raw = secrets.token_bytes(_BYTES)
        if seed is not None:
            raw = hmac.digest(self._secret_of(wall), b"mint\0" + seed.encode(), "sha256")[:_BYTES]
        return f"urn:ngsi-ld:{type_name.rpartition('/')[2] or 'Thing'}:{SEALED}{_letters(raw)}"

    def shown(self, purpose: str, wall: str, kept: str) -> str:
        """The id of a row as one purpose sees it."""
        return self._shown(purpose, wall, kept)

    def kept(self, purpose: str, wall: str, shown: str) -> str | None:
        """The kept id behind one that a purpose was shown; None for any other text."""
        found = _SHOWN.match(shown)
        if found is None:
            return None
        try:
            raw = self._cipher(purpose, wall).decrypt(_bytes(found[2]), [found[1].encode()])
        except (InvalidTag, ValueError):
            return None
        return f"urn:ngsi-ld:{found[1]}:{SEALED}{_letters(raw)}"

    def outward(self, purpose: str, wall: str, body: dict[str, Any]) -> None:
        """Every kept id that a Relationship in an attribute's normalised form leads to, in place,
        becomes the purpose's."""
        self._walk(body, lambda urn: self.shown(purpose, wall, urn) if is_kept(urn) else urn)

    def inward(self, purpose: str, wall: str, value: Any) -> Any:
        """The objects of a Relationship as they are kept."""
        if isinstance(value, list):
            return [self.inward(purpose, wall, one) for one in value]
        if isinstance(value, dict):
            return {key: self.inward(purpose, wall, one) for key, one in value.items()}
        return (self.kept(purpose, wall, value) or value) if isinstance(value, str) else value

    def _walk(self, body: dict[str, Any], turn: Callable[[str], str]) -> None:
        for key, value in body.items():
            if key in ("object", "objectList"):
                body[key] = _turned(value, turn)
            elif isinstance(value, dict) and key not in ("value", "json", "languageMap"):
                self._walk(value, turn)

    def _show(self, purpose: str, wall: str, kept: str) -> str:
        found = _KEPT.match(kept)
        if found is None:
            return kept
        sealed = self._cipher(purpose, wall).encrypt(_bytes(found[2]), [found[1].encode()])
        return f"urn:ngsi-ld:{found[1]}:{_letters(sealed)}"

    def _cipher(self, purpose: str, wall: str) -> AESSIV:
        cipher = self._ciphers.get((purpose, wall))
        if cipher is None:
            label = f"pseudonyms\0{purpose}\0{wall}".encode()
            key = hmac.digest(self._secret_of(wall), label, "sha512")
            cipher = self._ciphers[(purpose, wall)] = AESSIV(key)
        return cipher


def is_shown(urn: str) -> bool:
    """Whether it has the form of an id that a purpose was shown."""
    return _SHOWN.match(urn) is not None


def is_kept(urn: str) -> bool:
    """Whether it is an id as it is kept: never to be shown, never to be taken from outside."""
    return _KEPT.match(urn) is not None


def without_kept(text: str, turn: Callable[[str], str]) -> str:
    """Words of an error with every kept id in them turned."""
    return _WITHIN.sub(lambda found: turn(found[0]), text)


def _turned(value: Any, turn: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_turned(one, turn) for one in value]
    if isinstance(value, dict):
        return {key: _turned(one, turn) for key, one in value.items()}
    return turn(value) if isinstance(value, str) else value


def _letters(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=").lower()


def _bytes(letters: str) -> bytes:
    """Raises ValueError for letters whose spare bits say something: one id has one spelling."""
    raw = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
    if _letters(raw) != letters:
        raise ValueError("not the canonical spelling")
    return raw
