# SPDX-License-Identifier: EUPL-1.2
"""URL parameters of requests about entities (CIM 009, 6.4.3.2)."""

from __future__ import annotations

from collections.abc import Mapping

from poorter.city.errors import Invalid
from poorter.city.ids import check_name, check_uri
from poorter.city.pattern import checked
from poorter.city.query import Scopes
from poorter.city.scope import check_pattern
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import RESERVED
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.language import parse_languages
from poorter.standards.ngsild.problem import Misplaced
from poorter.standards.ngsild.projection import Projection, parse_projection

_FORMS = ("normalized", "simplified", "keyValues", "concise")
#: how the answer is written; every route that gives entities knows these
FORM = frozenset(
    ("attrs", "options", "format", "sysAttrs", "pick", "omit", "lang", "datasetId", "join")
) | frozenset(("joinLevel", "containedBy", "geometryProperty", "local"))
JOIN_LEVEL_MAX = 5


def parse_form(query: Mapping[str, str], context: Context, embed: bytes | None) -> Form:
    """How the answer is to be written. Raises Invalid, Misplaced for no such representation."""
    given = options(query, (*_FORMS, "sysAttrs"))
    form = query.get("format")
    if form is not None and form not in _FORMS:
        raise Misplaced(f"{form!r:.60} is no representation")
    chosen = form or next((o for o in given if o in _FORMS), "normalized")
    attrs = names_in(query.get("attrs"), context)
    pick, omit = _projections(query, context, bool(attrs))
    lang = query.get("lang")
    join, level = _join(query)
    for projection in (pick, omit):
        if projection is not None and projection.depth > level:
            raise Invalid("pick and omit go no further than joinLevel links (4.21)")
    datasets = query.get("datasetId")
    return Form(
        simplified=chosen in ("simplified", "keyValues"),
        concise=chosen == "concise",
        times="sysAttrs" in given or flag(query, "sysAttrs"),
        context=context,
        only=frozenset(attrs) if attrs else None,
        embed=embed,
        pick=pick,
        omit=omit,
        languages=None if lang is None else parse_languages(lang),
        datasets=None if datasets is None else frozenset(map(_dataset, listed(datasets))),
        join=join,
        join_level=level,
        contained_by=frozenset(check_uri(u, "containedBy") for u in listed(_get(query, _BY))),
    )


_BY = "containedBy"


def _get(query: Mapping[str, str], name: str) -> str | None:
    return query.get(name) or None


def _dataset(text: str) -> str | None:
    return None if text == "@none" else check_uri(text, "datasetId")


def _projections(
    query: Mapping[str, str], context: Context, attrs: bool
) -> tuple[Projection | None, Projection | None]:
    pick, omit = (
        parse_projection(query[name], context, name) if query.get(name) is not None else None
        for name in ("pick", "omit")
    )
    if attrs and (pick or omit):
        raise Invalid("attrs does not go together with pick or omit")
    if pick and omit and any(name in omit for name in pick.members if not omit.under(name)):
        raise Invalid("pick and omit name the same member")
    return pick, omit


def _join(query: Mapping[str, str]) -> tuple[str | None, int]:
    join = query.get("join")
    if join is not None and join not in ("flat", "inline", "@none"):
        raise Invalid("join is flat, inline or @none")
    if join in (None, "@none"):
        if "joinLevel" in query:
            raise Invalid("joinLevel needs join")
        return None, 0
    return join, number(query, "joinLevel", 1, 1, JOIN_LEVEL_MAX)


def options(query: Mapping[str, str], known: tuple[str, ...]) -> list[str]:
    """The options asked for. Raises Misplaced for one that does not exist (6.3.20)."""
    given = listed(query.get("options") or None)
    for option in given:
        if option not in known:
            raise Misplaced(f"there is no option {option!r:.60}")
    return given


def names_in(text: str | None, context: Context) -> tuple[str, ...]:
    """A list of attribute names, expanded. Raises Invalid."""
    names = listed(text or None)
    for name in names:
        if name in RESERVED:
            raise Invalid(f"{name} is no attribute")
        check_name(name, "an attribute name")
    return tuple(context.expand(name) for name in names)


def check_names(query: Mapping[str, str], known: frozenset[str]) -> None:
    """Raises Misplaced for a parameter that this route does not know (6.3.20)."""
    for name in query:
        if name not in known:
            raise Misplaced(f"there is no parameter {name!r:.60}")  # 6.3.20


def number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number within bounds. Raises Invalid."""
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Invalid(f"{name} is a whole number")
    value = int(text)
    if not least <= value <= most:
        raise Invalid(f"{name} lies between {least} and {most}")
    return value


def flag(query: Mapping[str, str], name: str) -> bool:
    """true or false. Raises Invalid."""
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise Invalid(f"{name} is true or false")
    return text == "true"


def listed(text: str | None) -> list[str]:
    """The parts of a list with commas. Raises Invalid for an empty one."""
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise Invalid("a list holds an empty name")
    return parts


def types_of(text: str, context: Context) -> tuple[tuple[str, ...], ...]:
    """The type selection language (4.17): alternatives, each a set of types. Raises Invalid."""
    found: list[tuple[str, ...]] = []
    if text.startswith("(") and text.endswith(")") and ";" not in text and text.count("(") == 1:
        text = text[1:-1]  # brackets around alternatives say nothing more
    for part in _alternatives(text):
        names = part[1:-1].split(";") if part.startswith("(") else [part]
        if part.startswith("(") != part.endswith(")") or not all(names):
            raise Invalid("type: brackets hold names joined by ;")
        expanded = [context.expand(check_name(name.strip(), "type")) for name in names]
        found.append(tuple(dict.fromkeys(expanded)))
    return tuple(found)


def _alternatives(text: str) -> list[str]:
    """Split at | and , outside brackets."""
    parts: list[str] = [""]
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if not 0 <= depth <= 1:
            raise Invalid("brackets are not closed, or nested")
        if char in "|," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    if depth or not all(part.strip() for part in parts) or len(parts) > 100:
        raise Invalid("a name is missing, or a bracket is not closed")
    return [part.strip() for part in parts]


def scopes_of(text: str) -> Scopes:
    """The scope query language (4.19); a conjunction is understood without its brackets too.

    Raises: Invalid.
    """
    found: list[tuple[str, ...]] = []
    for part in _alternatives(text):
        every = (part[1:-1] if part.startswith("(") else part).split(";")
        if part.startswith("(") != part.endswith(")"):
            raise Invalid("scopeQ: brackets hold scopes joined by ;")
        found.append(tuple(check_pattern(one.strip()) for one in every))
    return Scopes(tuple(found))


def id_pattern(text: str | None) -> str | None:
    """A pattern of ids that is safe to run. Raises Invalid, TooLarge."""
    return None if text is None else checked(text, "idPattern")
