# SPDX-License-Identifier: EUPL-1.2
"""The natural language of an answer (CIM 009, 4.15): one language out of a languageMap."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from poorter.city.errors import Invalid

_RANGE = re.compile(r"(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\Z")
_ANY = "*"
_UNSPECIFIED = "@none"


def parse_languages(text: str) -> tuple[str, ...]:
    """Language ranges, the best liked first (RFC 9110, 12.5.4). Raises Invalid."""
    liked: list[tuple[float, int, str]] = []
    for place, part in enumerate(text.split(",")):
        found = _RANGE.match(part.strip())
        if found is None:
            raise Invalid("lang is a list of language tags, such as nl or fr-CH,fr;q=0.9,*;q=0.5")
        quality = float(found.group(2) or 1)
        if quality > 0:
            liked.append((-quality, place, found.group(1)))
    return tuple(tag for _, _, tag in sorted(liked))


def choose(words: Mapping[str, Any], languages: tuple[str, ...]) -> tuple[Any, str]:
    """(words, language) out of a map that is not empty; what fits none of the ranges is given in
    what is said to be of no language, in English, or in the first there is."""
    for wanted in languages:
        if wanted == _ANY:
            break
        low = wanted.lower()
        while low:  # what is said in no more than a part of the range fits too (RFC 4647, 3.4)
            for tag in words:
                if tag.lower() == low or tag.lower().startswith(low + "-"):
                    return words[tag], tag
            low = low.rpartition("-")[0]
    for tag in (_UNSPECIFIED, "en"):
        if _ANY not in languages and tag in words:
            return words[tag], tag
    tag = _UNSPECIFIED if _UNSPECIFIED in words else next(iter(words))
    return words[tag], tag
