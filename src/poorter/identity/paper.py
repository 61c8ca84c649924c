# SPDX-License-Identifier: EUPL-1.2
"""Codes on paper: easy to read aloud and to type, impossible to guess.

Twelve letters and digits of Crockford's base 32, without those that look alike: 60 random bits.
"""

from __future__ import annotations

import re

from poorter.city.errors import Unauthenticated
from poorter.city.ids import mint

CODE_CHARS = 12
_LOOK_ALIKE = str.maketrans("oil", "011")
_CODE = re.compile(rf"[0-9a-hjkmnp-tv-z]{{{CODE_CHARS}}}\Z")


def new_code() -> str:
    """Twelve characters."""
    return mint("", CODE_CHARS)


def spelled(code: str) -> str:
    """As printed: capitals in groups of four."""
    return "-".join(code[i : i + 4] for i in range(0, len(code), 4)).upper()


def read_code(typed: str) -> str:
    """The code somebody typed: case, spaces and dashes don't matter, O is 0, I and L are 1.

    Raises Unauthenticated for what can be none.
    """
    code = re.sub(r"[\s\-–.]", "", typed[:100]).lower().translate(_LOOK_ALIKE)
    if not _CODE.match(code):
        raise Unauthenticated
    return code
