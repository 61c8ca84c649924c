# SPDX-License-Identifier: EUPL-1.2
"""Ids of rows behind a wall: minted here, and another one for each purpose.

Kept is `urn:ngsi-ld:TYPE:~` and 26 letters: 128 random bits. What an app sees, and sends back, is
the same under AES-SIV (RFC 5297) with a key of the purpose and the wall: two purposes have nothing
to join on, and what another purpose saw, or anybody guessed, leads to nothing.

The key of a wall can be changed (`Naming`). What is kept stays; every purpose sees other ids from
then on, and for a while the ids that it saw before still lead to the same rows.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from poorter.gate.permit import SEALED

_BYTES = 16
_KEPT = re.compile(r"urn:ngsi-ld:([^:~]{1,256}):~([a-z2-7]{26})\Z")
_WITHIN = re.compile(r"urn:ngsi-ld:[^:~\s]{1,256}:~[a-z2-7]{26}")
_SHOWN = re.compile(r"urn:ngsi-ld:([^:~]{1,256}):([a-z2-7]{52})\Z")
_SHOWN_WITHIN = re.compile(r"urn:ngsi-ld:([^:~\s\"]{1,256}):([a-z2-7]{52})(?![a-z2-7])")
CACHED = 100_000


@dataclass(frozen=True, slots=True)
class Naming:
    """The keys by which a wall names its rows, 32 bytes each: the one in use, and the one before
    while that is kept. Ids made with that one lead to their rows until `former_until_us`."""

    secret: bytes
    former: bytes | None = None
    former_until_us: int = 0


#: the keys of a wall
NamingOf = Callable[[str], Naming]


class _Keys:
    """What is made of the keys of walls, each once."""

    def __init__(self, naming_of: NamingOf) -> None:
        self._naming_of = naming_of
        self._namings: dict[str, Naming] = {}
        self._ciphers: dict[tuple[str, str, bool], AESSIV] = {}

    def naming(self, wall: str) -> Naming:
        found = self._namings.get(wall)
        if found is None:
            found = self._namings[wall] = self._naming_of(wall)
        return found

    def cipher(self, purpose: str, wall: str, former: bool = False) -> AESSIV:
        """Of the key in use, or of the one before, which there is."""
        cipher = self._ciphers.get((purpose, wall, former))
        if cipher is None:
            naming = self.naming(wall)
            secret = (naming.former or naming.secret) if former else naming.secret
            label = f"pseudonyms\0{purpose}\0{wall}".encode()
            cipher = AESSIV(hmac.digest(secret, label, "sha512"))
            self._ciphers[purpose, wall, former] = cipher
        return cipher


class Pseudonyms:
    """Turns kept ids into those of a purpose and back. `now_us`: whether ids of the key before
    the one in use still lead anywhere is judged as they come."""

    def __init__(self, naming_of: NamingOf, now_us: Callable[[], int]) -> None:
        self._naming_of = naming_of
        self._now_us = now_us
        self.look_again()

    def look_again(self) -> None:
        """A key was changed: nothing of the old ones is used any more."""
        self._keys = keys = _Keys(self._naming_of)
        self._shown = lru_cache(CACHED)(partial(_show, keys))

    def mint(self, type_name: str) -> str:
        """A new kept id."""
        return _kept_id(type_name, secrets.token_bytes(_BYTES))

    def minted(self, type_name: str, wall: str, seed: str) -> list[str]:
        """The kept ids that belong to `seed`, so that a retry finds its row: the one that a new
        row gets, then the one that it would have got under the key before."""
        naming = self._keys.naming(wall)
        found = []
        for secret in (naming.secret, naming.former):
            if secret is not None:
                raw = hmac.digest(secret, b"mint\0" + seed.encode(), "sha256")[:_BYTES]
                found.append(_kept_id(type_name, raw))
        return found

    def shown(self, purpose: str, wall: str, kept: str) -> str:
        """The id of a row as one purpose sees it."""
        return self._shown(purpose, wall, kept)

    def kept(self, purpose: str, wall: str, shown: str) -> str | None:
        """The kept id behind one that a purpose was shown; None for any other text."""
        found = _SHOWN.match(shown)
        if found is None:
            return None
        keys = self._keys
        raw = _opened(keys.cipher(purpose, wall), found)
        naming = keys.naming(wall)
        if raw is None and naming.former and self._now_us() < naming.former_until_us:
            raw = _opened(keys.cipher(purpose, wall, former=True), found)
        return None if raw is None else f"urn:ngsi-ld:{found[1]}:{SEALED}{_letters(raw)}"

    def spellings(self, purpose: str, wall: str, kept: str) -> list[str]:
        """Every id by which the purpose may have seen a row: in texts that were kept."""
        keys = self._keys
        former = [_show(keys, purpose, wall, kept, True)] if keys.naming(wall).former else []
        return [self.shown(purpose, wall, kept), *former]

    def renewed(self, purpose: str, wall: str, text: str) -> str:
        """A text of a purpose with every id of the key before in it as it is shown now."""
        keys = self._keys
        if keys.naming(wall).former is None:
            return text

        def turn(found: re.Match[str]) -> str:
            raw = _opened(keys.cipher(purpose, wall, former=True), found)
            if raw is None:
                return found[0]
            return self.shown(purpose, wall, f"urn:ngsi-ld:{found[1]}:{SEALED}{_letters(raw)}")

        return _SHOWN_WITHIN.sub(turn, text)

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


def is_shown(urn: str) -> bool:
    """Whether it has the form of an id that a purpose was shown."""
    return _SHOWN.match(urn) is not None


def is_kept(urn: str) -> bool:
    """Whether it is an id as it is kept: never to be shown, never to be taken from outside."""
    return _KEPT.match(urn) is not None


def without_kept(text: str, turn: Callable[[str], str]) -> str:
    """Words of an error with every kept id in them turned."""
    return _WITHIN.sub(lambda found: turn(found[0]), text)


def _show(keys: _Keys, purpose: str, wall: str, kept: str, former: bool = False) -> str:
    found = _KEPT.match(kept)
    if found is None:
        return kept
    cipher = keys.cipher(purpose, wall, former)
    sealed = cipher.encrypt(_bytes(found[2]), [found[1].encode()])
    return f"urn:ngsi-ld:{found[1]}:{_letters(sealed)}"


def _opened(cipher: AESSIV, shown: re.Match[str]) -> bytes | None:
    try:
        return cipher.decrypt(_bytes(shown[2]), [shown[1].encode()])
    except (InvalidTag, ValueError):
        return None


def _kept_id(type_name: str, raw: bytes) -> str:
    return f"urn:ngsi-ld:{type_name.rpartition('/')[2] or 'Thing'}:{SEALED}{_letters(raw)}"


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
