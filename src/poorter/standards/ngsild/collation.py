# SPDX-License-Identifier: EUPL-1.2
"""Orders of text by a BCP 47 tag with the collation keys of RFC 6067 (CIM 009, 4.23.3): the root
order, and those languages that order as it does. Another language is refused rather than ordered
wrongly."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from poorter.city.errors import Invalid

_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*\Z|root\Z")
#: languages that the Unicode CLDR orders by the root
_ROOT = frozenset(("und", "root", "nl", "en", "de", "fr", "it", "pt", "ga", "gd", "id", "ms"))
_LEVELS = {"level1": 1, "level2": 2, "level3": 3, "level4": 3, "identic": 4}
_PHONEBOOK = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_DIGITS = re.compile(r"\d+")
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collation:
    """`level`: letters; and accents; and case; and what is left. `numeric`: digits as numbers."""

    level: int = 3
    numeric: bool = False
    upper_first: bool = False
    phonebook: bool = False

    def key(self, text: str) -> Key:
        """What a text is ordered by: near to the root collation, letters first, then accents, then
        case, small before large."""
        told = text.translate(_PHONEBOOK) if self.phonebook else text
        if self.numeric:
            told = _DIGITS.sub(lambda found: found.group().lstrip("0").rjust(20, "0"), told)
        spread = unicodedata.normalize("NFKD", told)
        letters = "".join(c for c in spread if not unicodedata.combining(c)).casefold()
        case = told if self.upper_first else told.swapcase()
        return (letters, spread.casefold(), case, text)[: self.level]


ROOT = Collation()


def parse_collation(tag: str | None) -> Collation:
    """The order that a tag names. Raises Invalid for no tag, and for one that is not known here."""
    if not tag:
        return ROOT
    if not _TAG.match(tag):
        raise Invalid("collation is a language tag (BCP 47)")
    head, _, keys = tag.lower().partition("-u-")
    language = head.split("-")[0]
    if language not in _ROOT:
        raise Invalid(f"collation: the order of {language} is not known here")
    return _with_keys(keys.split("-") if keys else [], language)


def _with_keys(parts: list[str], language: str) -> Collation:
    given: dict[str, str] = {}
    for part in parts:
        if len(part) == 2:
            given[part] = ""
        elif given:
            last = next(reversed(given))
            given[last] = f"{given[last]}-{part}".lstrip("-")
        else:
            raise Invalid("collation: a key of two letters goes before its value")
    readers: dict[str, Callable[[str], bool]] = {
        "ks": lambda value: value in _LEVELS,
        "kn": lambda value: value in ("", "true", "false"),
        "kf": lambda value: value in ("upper", "lower", "false"),
        "co": lambda value: value == "standard" or (value, language) == ("phonebk", "de"),
    }
    for key, value in given.items():
        if key not in readers or not readers[key](value):
            raise Invalid(f"collation: {key} {value[:20]} is not known here")
    return Collation(
        _LEVELS[given.get("ks", "level3")],
        given.get("kn", "false") != "false",
        given.get("kf") == "upper",
        given.get("co") == "phonebk",
    )
