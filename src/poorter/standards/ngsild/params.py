# SPDX-License-Identifier: EUPL-1.2
"""URL parameters of entity and temporal requests to queries (CIM 009, 6.4.3.2, 6.18.3.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from poorter.city.errors import Invalid, Unsupported
from poorter.city.ids import check_uri
from poorter.city.limits import HISTORY_PAGE_MAX, PAGE_DEFAULT, PAGE_MAX
from poorter.city.query import HistoryQuery, Query
from poorter.city.time import parse_us
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.encode import Form
from poorter.standards.ngsild.geo import parse_geo
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.problem import Misplaced

_FORMS = ("normalized", "simplified", "keyValues", "concise")
_ENTITY = frozenset(
    (
        "id",
        "type",
        "idPattern",
        "attrs",
        "q",
        "georel",
        "geometry",
        "coordinates",
        "geoproperty",
    )
) | frozenset(("limit", "offset", "after", "count", "options", "format", "sysAttrs", "local"))
_LATER = frozenset(
    (
        "scopeQ",
        "csf",
        "lang",
        "pick",
        "omit",
        "orderBy",
        "join",
        "joinLevel",
        "containedBy",
    )
) | frozenset(("expandValues", "geometryProperty", "entityMap", "datasetId", "jsonKeys"))


def parse_query(query: Mapping[str, str], context: Context) -> tuple[Query, int]:
    """The query and its offset. Raises Invalid, Unsupported for what is not built yet."""
    check_names(query, _ENTITY)
    if not any(query.get(name) for name in ("id", "type", "attrs", "q", "georel")):
        raise Invalid("say which entities: by type, attrs, q, georel or id")
    q = query.get("q")
    ids = tuple(check_uri(one, "id") for one in _list(query.get("id")))
    if query.get("idPattern") and len(query["idPattern"]) > 200:
        raise Invalid("idPattern has at most 200 characters")
    parsed = Query(
        types=_types(query.get("type"), context),
        ids=ids,
        id_pattern=_id_pattern(query.get("idPattern")),
        attributes=tuple(context.expand(name) for name in _list(query.get("attrs"))),
        condition=parse_q(q, context) if q else None,
        geo=parse_geo(query, context),
        limit=number(query, "limit", PAGE_DEFAULT, 0, PAGE_MAX),
        after=query.get("after"),
        count=flag(query, "count"),
    )
    if parsed.limit == 0 and not parsed.count:
        raise Invalid("limit=0 asks for a count: say count=true")
    return parsed, number(query, "offset", 0, 0, 1_000_000)


def parse_form(query: Mapping[str, str], context: Context, embed: bytes | None) -> Form:
    """How the answer is to be written."""
    options = _list(query.get("options"))
    form = query.get("format")
    for option in (*options, *((form,) if form else ())):
        if option not in (*_FORMS, "sysAttrs"):
            raise Invalid(f"{option!r:.60} is no representation")
    chosen = form or next((o for o in options if o in _FORMS), "normalized")
    attrs = _list(query.get("attrs"))
    return Form(
        simplified=chosen in ("simplified", "keyValues"),
        concise=chosen == "concise",
        times="sysAttrs" in options or flag(query, "sysAttrs"),
        context=context,
        only=frozenset(context.expand(name) for name in attrs) if attrs else None,
        embed=embed,
    )


_TEMPORAL = frozenset(
    (
        "attrs",
        "timerel",
        "timeAt",
        "endTimeAt",
        "timeproperty",
        "lastN",
        "options",
        "format",
    )
) | frozenset(("limit", "count", "aggrMethods", "aggrPeriodDuration"))


def parse_history(urn: str, query: Mapping[str, str], context: Context) -> HistoryQuery:
    """The observations asked for (4.11). Raises Invalid; timeproperty is observedAt only."""
    check_names(query, _TEMPORAL)
    if query.get("timeproperty", "observedAt") != "observedAt":
        raise Unsupported("history is kept by observedAt")
    relation = query.get("timerel")
    at_us = parse_us(query["timeAt"]) if "timeAt" in query else None
    from_us = until_us = None
    if relation is None and at_us is not None:
        raise Invalid("timeAt needs timerel")
    if relation is not None:
        if at_us is None:
            raise Invalid("timerel needs timeAt")
        if relation == "before":
            until_us = at_us
        elif relation == "after":
            from_us = at_us + 1
        elif relation == "between":
            if "endTimeAt" not in query:
                raise Invalid("between needs endTimeAt")
            from_us, until_us = at_us, parse_us(query["endTimeAt"])
        else:
            raise Invalid("timerel is before, after or between")
    return HistoryQuery(
        urn,
        tuple(context.expand(name) for name in _list(query.get("attrs"))),
        from_us=from_us,
        until_us=until_us,
        last=number(query, "lastN", 0, 1, HISTORY_PAGE_MAX) if "lastN" in query else None,
        limit=number(query, "limit", 1000, 1, HISTORY_PAGE_MAX),
    )


def check_names(query: Mapping[str, str], known: frozenset[str]) -> None:
    """Raises Unsupported for parameters of the standard not built yet, Invalid for no such."""
    for name in query:
        if name in _LATER:
            raise Unsupported(f"{name} is not supported yet")
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


def _list(text: str | None) -> list[str]:
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise Invalid("a list holds an empty name")
    return parts


def _types(text: str | None, context: Context) -> tuple[str, ...]:
    if text is None:
        return ()
    if any(char in text for char in ";()"):
        raise Unsupported("of the type grammar only alternatives (A,B or A|B) are supported yet")
    names = [name.strip() for name in text.replace("|", ",").split(",")]
    if not all(names):
        raise Invalid("type holds an empty name")
    return tuple(context.expand(name) for name in names)


def _id_pattern(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as wrong:
        raise Invalid(f"idPattern: {wrong}") from None
    if re.search(r"\(\?|\\[1-9]", text) or re.search(r"[*+}]\s*\)\s*[*+{]", text):
        raise Invalid("idPattern: no nested repeats, lookarounds, or \\1")
    return text
