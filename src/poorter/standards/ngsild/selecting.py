# SPDX-License-Identifier: EUPL-1.2
"""Which entities a request asks for (CIM 009, 5.7.2, 6.4.3.2, 6.23), from a URL or from a body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.errors import Invalid, TooLarge
from poorter.city.ids import check_uri
from poorter.city.limits import PAGE_DEFAULT, PAGE_MAX
from poorter.city.matching import links_in, only_own
from poorter.city.query import Query, Selector
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.geo import parse_geo
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.ordering import Order, parse_order
from poorter.standards.ngsild.params import (
    flag,
    id_pattern,
    listed,
    names_in,
    number,
    scopes_of,
    types_of,
)

#: parameters that say which entities
WHICH = frozenset(
    ("id", "type", "idPattern", "attrs", "q", "georel", "geometry", "coordinates", "geoproperty")
) | frozenset(("scopeQ", "csf", "local", "expandValues", "jsonKeys"))
#: parameters that say which of those, in which order
PAGING = frozenset(("limit", "offset", "after", "past", "count"))
ORDER = frozenset(("orderBy", "orderFrom", "orderGeometry", "collation"))
_SELECTORS_MAX = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """A query, how many matches to skip, and an order other than that of ids."""

    query: Query
    offset: int = 0
    order: Order | None = None
    passed: int = 0  # how many entities were on the pages before


def parse_selection(
    given: Mapping[str, str], context: Context, selectors: tuple[Selector, ...] = ()
) -> Selection:
    """What the parameters ask for; `selectors` come from a body. Raises Invalid, TooLarge."""
    query = parse_which(given, context, selectors)
    level = number(given, "joinLevel", 1, 1, 100) if given.get("join", "@none") != "@none" else 0
    if query.condition is not None and links_in(query.condition) > level:
        raise Invalid("q goes on over more links than join and joinLevel ask for (5.7.2.4)")
    limit = number(given, "limit", PAGE_DEFAULT, 0, PAGE_MAX)
    count = flag(given, "count")
    if limit == 0 and not count:
        raise Invalid("limit=0 asks for a count: say count=true")
    paged = Query(
        types=query.types,
        type_sets=query.type_sets,
        scopes=query.scopes,
        selectors=query.selectors,
        ids=query.ids,
        id_pattern=query.id_pattern,
        attributes=query.attributes,
        condition=query.condition,
        geo=query.geo,
        limit=limit,
        after=given.get("after"),
        count=count,
    )
    offset = number(given, "offset", 0, 0, 1_000_000)
    passed = number(given, "past", 0, 0, 10**9 - 1) if paged.after is not None else offset
    return Selection(paged, offset, parse_order(given, context), passed)


def parse_which(
    given: Mapping[str, str],
    context: Context,
    selectors: tuple[Selector, ...] = (),
    narrow: bool = False,
) -> Query:
    """The entities asked for, without paging. Raises Invalid, also for a question too wide;
    `narrow`: it is narrow enough by something else."""
    local = flag(given, "local")
    if given.get("type") == "*" and given.get("local") == "false":
        raise Invalid("type=* is about this city only: local can't be false")
    q = given.get("q") or None
    expanding = frozenset(names_in(given.get("expandValues"), context))
    condition = parse_q(q, context, expanding) if q else None
    asks = condition is not None and not only_own(condition)
    if (
        not narrow
        and not local
        and not selectors
        and not asks
        and not any(map(given.get, ("type", "attrs", "georel")))
    ):
        raise Invalid("say which entities: by type, attrs, q or georel, or local=true")
    if given.get("type") and given["type"] != "*":
        alone = Selector(
            types_of(given["type"], context),
            _ids(given),
            id_pattern(given.get("idPattern") or None),
        )
    else:
        alone = Selector((), _ids(given), id_pattern(given.get("idPattern") or None))
    if len(selectors) == 1:
        alone, selectors = selectors[0], ()
    if given.get("csf"):
        parse_q(given["csf"], context)
    names_in(given.get("jsonKeys"), context)
    types, sets = _types(alone, selectors)
    return Query(
        types=types,
        type_sets=sets,
        scopes=scopes_of(given["scopeQ"]) if given.get("scopeQ") else None,
        selectors=selectors,
        ids=alone.ids,
        id_pattern=alone.id_pattern,
        attributes=names_in(given.get("attrs"), context),
        condition=condition,
        geo=parse_geo(given, context),
    )


def _ids(given: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(check_uri(one, "id") for one in listed(given.get("id") or None))


def _types(
    alone: Selector, selectors: tuple[Selector, ...]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """(types of which an entity has at least one, sets of which it has all of one)."""
    if selectors:
        if not all(one.type_sets for one in selectors):
            return (), ()
        every = [names for one in selectors for names in one.type_sets]
        return tuple(dict.fromkeys(name for names in every for name in names)), ()
    flat = tuple(dict.fromkeys(name for names in alone.type_sets for name in names))
    joined = any(len(names) > 1 for names in alone.type_sets)
    return flat, alone.type_sets if joined else ()


def from_body(doc: Any, context: Context) -> tuple[dict[str, str], tuple[Selector, ...]]:
    """A Query document (5.2.23): parameters as a URL would give them, and entity selectors.

    Raises: Invalid naming the member.
    """
    if not isinstance(doc, dict) or doc.get("type") != "Query":
        raise Invalid("the body is a JSON object of type Query")
    given: dict[str, str] = {}
    for member, value in doc.items():
        if member in ("type", "@context", "entities"):
            continue
        if member == "geoQ":
            given.update(_geo(value))
        elif member == "ordering":
            given.update(_ordering(value))
        elif member in _TEXT and isinstance(value, str):
            given[member] = value
        elif member in _LISTS:
            given[_LISTS[member]] = _joined(member, value)
        elif member in ("joinLevel",) and isinstance(value, int):
            given[member] = str(value)
        else:
            raise Invalid(f"a Query has no member {member!r:.60}, or not of this kind")
    return given, parse_selectors(doc.get("entities"), context)


_TEXT = ("q", "csf", "scopeQ", "lang", "join")
_LISTS = {
    "attrs": "attrs",
    "pick": "pick",
    "omit": "omit",
    "datasetId": "datasetId",
    "containedBy": "containedBy",
    "expandValues": "expandValues",
    "jsonKeys": "jsonKeys",
    "id": "id",
}


def _joined(member: str, value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(isinstance(part, str) for part in parts):
        raise Invalid(f"{member} is a text or a list of them")
    return ",".join(parts)


def _geo(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Invalid("geoQ is a JSON object")
    found: dict[str, str] = {}
    for member, part in value.items():
        if member == "coordinates":
            found[member] = part if isinstance(part, str) else json.dumps(part)
        elif member in ("georel", "geometry", "geoproperty") and isinstance(part, str):
            found[member] = part
        else:
            raise Invalid(f"geoQ has no member {member!r:.60}, or not of this kind")
    return found


_ORDER_MEMBERS = {
    "geometry": "orderGeometry",
    "coordinates": "orderFrom",
    "collation": "collation",
}


def _ordering(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Invalid("ordering is a JSON object")
    found: dict[str, str] = {}
    for member, part in value.items():
        if member == "orderBy":
            found["orderBy"] = _joined(member, part)
        elif member in _ORDER_MEMBERS:
            if not isinstance(part, str) and member != "coordinates":
                raise Invalid(f"ordering: {member} is a text")
            found[_ORDER_MEMBERS[member]] = part if isinstance(part, str) else json.dumps(part)
        else:
            raise Invalid(f"ordering has no member {member!r:.60}")
    return found


def parse_selectors(value: Any, context: Context) -> tuple[Selector, ...]:
    """EntitySelectors (5.2.33): by type, id or idPattern each. Raises Invalid."""
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise Invalid("entities is a list of selectors")
    if len(value) > _SELECTORS_MAX:
        raise TooLarge(f"there are at most {_SELECTORS_MAX} entity selectors")
    found: list[Selector] = []
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("type"), str):
            raise Invalid("an entity selector names a type")
        ids = one.get("id", ())
        urns = ids if isinstance(ids, list | tuple) else [ids]
        sets = () if one["type"] == "*" else types_of(one["type"], context)
        pattern = None if urns else one.get("idPattern")  # an id goes before a pattern (5.2.33)
        if pattern is not None and not isinstance(pattern, str):
            raise Invalid("idPattern is a text")
        found.append(
            Selector(sets, tuple(check_uri(urn, "id") for urn in urns), id_pattern(pattern))
        )
    return tuple(found)
