# SPDX-License-Identifier: EUPL-1.2
"""Who somebody is, without a number that says so.

A citizen number comes in, a root comes out: HMAC-SHA256 under a key outside the data folder. The
root is not stored in the open either: what is stored in a wall is the subject of that wall, under
a key of its own, so that two walls laid side by side have nobody in common. A citizen number has
nine digits; without the key each could be tried in a minute, so nothing unkeyed is ever kept.
"""

from __future__ import annotations

import base64
import hmac
import re
from pathlib import Path

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.identity.keys import kept_secret

#: the wall in which the city's own administration of logins lies
CITY_HALL = "city-hall"
BSN = "bsn"
_WALL = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\Z")
_SUBJECT_BYTES = 16
_SUBJECT = re.compile(r"[a-z2-7]{26}\Z")


class Persons:
    """Roots and subjects. Prints nothing of its keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: dict[str, bytes] = {}

    def root(self, scheme: str, number: str) -> bytes:
        """The root of whoever has this number; 32 bytes. Raises Invalid for no such number."""
        if scheme == BSN:
            number = check_bsn(number)
        return hmac.digest(self._key("persons"), f"{scheme}\0{number}".encode(), "sha256")

    def subject(self, root: bytes, wall: str) -> str:
        """What the person is called in a wall: 26 letters and digits, no other wall's."""
        if not _WALL.match(wall):
            raise Invalid(f"{wall[:60]!r} is no name of a wall")
        digest = hmac.digest(self._key(f"wall-{wall}"), root, "sha256")
        return base64.b32encode(digest[:_SUBJECT_BYTES]).decode().rstrip("=").lower()

    def _key(self, name: str) -> bytes:
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = kept_secret(self._folder, name)
        return key


def is_subject(text: str) -> bool:
    """Whether it has the form of what `Persons.subject` gives."""
    return _SUBJECT.match(text) is not None


def check_bsn(text: str) -> str:
    """A Dutch citizen number as nine digits. Raises Invalid, which never repeats what was given.

    Source: the weighted sum (9, 8, ... 2, -1) of the digits is a multiple of eleven.
    """
    digits = re.sub(r"[ .\-]", "", text)
    if digits.isascii() and digits.isdecimal() and 8 <= len(digits) <= 9:
        digits = digits.zfill(9)
        weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
        total = sum(int(d) * w for d, w in zip(digits, weights, strict=True))
        if total % 11 == 0 and int(digits):
            return digits
    raise Invalid(
        Text(
            "dit is geen burgerservicenummer: kijk de cijfers nog eens na",
            "this is no citizen number: check the digits again",
        )
    )


def digest_of(pepper: bytes, label: str, secret: str) -> str:
    """What a secret is kept under: keyed, so that a copied database can't be guessed against."""
    return hmac.digest(pepper, f"{label}\0{secret}".encode("utf-8", "replace"), "sha256").hex()
