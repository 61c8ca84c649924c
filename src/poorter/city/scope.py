# SPDX-License-Identifier: EUPL-1.2
"""Scopes: where in a hierarchy of its own making an entity stands (CIM 009, 4.18, 4.19)."""

from __future__ import annotations

import re

from poorter.city.errors import Invalid

SCOPES_MAX = 20
SCOPE_CHARS_MAX = 512
_LEVEL = r"[^\W\d_]\w*"  # 4.18
_SCOPE = re.compile(rf"/?{_LEVEL}(?:/{_LEVEL})*\Z")
_PATTERN = re.compile(rf"/#\Z|/(?:{_LEVEL}|\+)(?:/(?:{_LEVEL}|\+))*(?:/#)?\Z")


def check_scope(text: object) -> str:
    """`text` as a scope with its first slash. Raises Invalid."""
    if not isinstance(text, str) or len(text) > SCOPE_CHARS_MAX or not _SCOPE.match(text):
        raise Invalid("a scope is a path of names, such as /Centre/Gardens")
    return text if text.startswith("/") else "/" + text


def check_pattern(text: str) -> str:
    """`text` as a pattern of scopes with its first slash. Raises Invalid."""
    pattern = text if text.startswith("/") else "/" + text
    if len(text) > SCOPE_CHARS_MAX or not _PATTERN.match(pattern):
        raise Invalid(f"scopeQ: {text[:100]!r} is no scope")
    return pattern


def scope_pattern(pattern: str) -> str:
    """A regular expression over scopes that are joined by spaces."""
    if pattern == "/#":
        return r"\S"
    below = pattern.endswith("/#")
    levels = pattern.removesuffix("/#").split("/")[1:]
    path = "".join("/" + (r"[^/ ]+" if level == "+" else re.escape(level)) for level in levels)
    return rf"(?:^| ){path}{'(?:/[^ ]*)?' if below else ''}(?: |$)"
