# SPDX-License-Identifier: EUPL-1.2
"""pick and omit (CIM 009, 4.21): which members of an entity, and of those it is linked to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from poorter.city.errors import Invalid, TooLarge
from poorter.city.limits import QUERY_CHARS_MAX
from poorter.standards.ngsild.context import Context

#: members that are no attributes and can be picked too
CORE_MEMBERS = ("id", "type", "scope")
_DEPTH_MAX = 8
_TOKEN = re.compile(r"[{}|,]|[^{}|,;()\[\]\s\"'<>=!]+")


@dataclass(frozen=True, slots=True)
class Projection:
    """Internal names; a name may go on with a projection of the entity it leads to."""

    members: dict[str, Projection | None] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        return name in self.members

    def under(self, name: str) -> Projection | None:
        """The projection of what a relationship leads to; None when there is none."""
        return self.members.get(name)

    @property
    def depth(self) -> int:
        """How many links it follows."""
        below = [1 + one.depth for one in self.members.values() if one is not None]
        return max(below, default=0)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names that are attributes."""
        return tuple(name for name in self.members if name not in CORE_MEMBERS)


def parse_projection(text: str, context: Context, what: str) -> Projection:
    """Text to a projection. Raises Invalid naming the parameter, TooLarge past the limits."""
    if len(text) > QUERY_CHARS_MAX:
        raise TooLarge(f"{what} has at most {QUERY_CHARS_MAX} characters")
    tokens = _tokens(text, what)
    found, rest = _level(tokens, context, what, 0)
    if rest is not None:
        raise Invalid(f"{what}: a brace is closed that was not opened")
    return found


def _tokens(text: str, what: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise Invalid(f"{what}, character {at + 1}: {text[at]!r} can't stand here")
        at = token.end()
        yield token.group()


def _level(
    tokens: Iterator[str], context: Context, what: str, depth: int
) -> tuple[Projection, str | None]:
    """Members up to a closing brace or the end; the token that ended it."""
    if depth > _DEPTH_MAX:
        raise Invalid(f"{what} goes at most {_DEPTH_MAX} links deep")
    members: dict[str, Projection | None] = {}
    name: str | None = None
    for part in tokens:
        if part in ("|", ",", "}"):
            if name is None:
                raise Invalid(f"{what}: a name is missing before {part!r}")
            name = None
            if part == "}":
                return Projection(members), part
        elif part == "{":
            if name is None or members[name] is not None or name in CORE_MEMBERS:
                raise Invalid(f"{what}: a name is missing before {{")
            members[name], end = _level(tokens, context, what, depth + 1)
            if end is None:
                raise Invalid(f"{what}: a brace is not closed")
        elif name is not None:
            raise Invalid(f"{what}: a separator is missing before {part[:40]!r}")
        else:
            name = part if part in CORE_MEMBERS else context.expand(part)
            if name in members:
                raise Invalid(f"{what}: {part[:40]!r} stands there twice")
            members[name] = None
    if name is None:
        raise Invalid(f"{what}: a name is missing at the end")
    return Projection(members), None
