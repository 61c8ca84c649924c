# SPDX-License-Identifier: EUPL-1.2
"""Patterns of others, run so that no pattern and no text takes long.

Python's own engine goes back and tries again: `(a|a)*$` over forty letters takes hours, and the
city with it. It runs what is plain, over short texts, where it is twenty times as quick; all else
is for RE2, whose time grows with pattern and text and no more (its `\\d`, `\\w` and `\\s` know
ASCII only).
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Any

from poorter.city.errors import Invalid, TooLarge
from poorter.city.limits import PATTERN_CHARS_MAX

#: what stands for one character: an escape, or a class
_ONE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.S)
#: characters of a text, by the repeats without end in a plain pattern: 100,000 steps at most
_TEXT_MAX = (1_000_000, 300, 45)


def checked(text: str, what: str) -> str:
    """A pattern that may be run. Raises Invalid, TooLarge."""
    if len(text) > PATTERN_CHARS_MAX:
        raise TooLarge(f"{what} has at most {PATTERN_CHARS_MAX} characters")
    if re.search(r"\(\?|\\[1-9]", text) or re.search(r"[*+}]\s*\)\s*[*+{]", text):
        raise Invalid(f"{what}: no nested repeats, lookarounds, or \\1")
    try:
        re.compile(text)
        _linear(text)
    except (re.error, RecursionError, OverflowError, UnicodeError) as wrong:
        raise Invalid(f"{what}: {wrong}") from None
    return text


def occurs(pattern: str, text: str) -> bool:
    """Whether a checked pattern is found anywhere in a text."""
    own, most = _engine(pattern)
    if len(text) <= most:
        return own.search(text) is not None
    return _linear(pattern).search(text.encode("utf-8", "replace")) is not None


@lru_cache(1000)
def _engine(pattern: str) -> tuple[re.Pattern[str], int]:
    """Python's form of it, and how long the texts are for which that will do."""
    if "(?" in pattern:  # of our own making (scopes): nobody else may say that
        return re.compile(pattern), sys.maxsize
    plain = _ONE.sub("x", pattern)
    repeats = plain.count("*") + plain.count("+")
    if any(mark in plain for mark in "(|?{") or repeats >= len(_TEXT_MAX):
        return re.compile(pattern), -1
    return re.compile(pattern), _TEXT_MAX[repeats]


@lru_cache(1000)
def _linear(pattern: str) -> Any:
    """RE2's form. Raises re.error for what it doesn't take."""
    import re2  # the first pattern pays for it, not the start

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as wrong:
        said = wrong.args[0]
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise re.error(words) from None
