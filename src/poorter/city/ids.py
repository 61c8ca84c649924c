# SPDX-License-Identifier: EUPL-1.2
"""Identifiers: what counts as one, and how new ones are made."""

from __future__ import annotations

import re
import secrets
import unicodedata

from poorter.city.errors import Invalid
from poorter.city.limits import NAME_CHARS_MAX, URN_CHARS_MAX

# NGSI-LD ids are URIs (CIM 009, 4.6.2). Scheme, then anything but spaces, controls and
# the characters RFC 3986 leaves out.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"{}|\\^`\x00-\x1f\x7f]+\Z")
_NAME = re.compile(r"[^\W\d_][\w\-]*\Z")  # CIM 009, 4.6.2: Unicode letters and numbers
#: drawn as nothing, though Unicode calls them letters or symbols: fillers and an empty pattern
_UNSEEN = frozenset(("Cf", "Cn", "Co", "Cs", "Zs"))
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_KNOWN: set[str] = set()  # names found good before: a city has few of them and says them often
_KNOWN_MAX = 4096
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u to misread
_LETTERS = (_ALPHABET * 8).encode()  # one for each byte, all as often


#: between a processor and the tenant that it works in: what it may there is granted to the two
IN_TENANT = "@"


def check_uri(text: object, what: str = "id") -> str:
    """`text` if it is a URI, else Invalid naming `what`."""
    if not isinstance(text, str) or len(text) > URN_CHARS_MAX or not _URI.match(text):
        raise Invalid(f"{what} must be a URI of at most {URN_CHARS_MAX} characters")
    if not text.isascii() and any(map(_is_unseen, text)):
        raise Invalid(f"{what} holds characters that nobody sees")
    return text


def _is_unseen(char: str) -> bool:
    """Whether two ids that differ by this one look the same."""
    variation = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    return variation or char in _BLANK or unicodedata.category(char) in _UNSEEN


def check_name(text: object, what: str = "name") -> str:
    """`text` if it is a term (letter, then letters, digits, _ or -) or a URI, else Invalid."""
    if isinstance(text, str) and (text in _KNOWN or _is_name(text)):
        return text
    if isinstance(text, str) and ":" in text:
        return check_uri(text, what)
    raise Invalid(f"{what} must be a term of at most {NAME_CHARS_MAX} characters, or a URI")


def _is_name(text: str) -> bool:
    if len(text) > NAME_CHARS_MAX or not _NAME.match(text):
        return False
    if len(_KNOWN) < _KNOWN_MAX:
        _KNOWN.add(text)
    return True


def mint(prefix: str, chars: int = 20) -> str:
    """A new unguessable id, `prefix` + `chars` × 5 random bits in letters easy to read aloud."""
    return prefix + secrets.token_bytes(chars).translate(_LETTERS).decode("ascii")
