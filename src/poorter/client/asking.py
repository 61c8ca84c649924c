# SPDX-License-Identifier: EUPL-1.2
"""Queries as NGSI-LD parameters: the way back from what the grammar means to how it is spelt."""

from __future__ import annotations

import json
from typing import Any

from poorter.city.errors import Invalid, Unsupported
from poorter.city.query import (
    And,
    Compare,
    Condition,
    Exists,
    Geo,
    HistoryQuery,
    Moment,
    Path,
    Query,
    Range,
)
from poorter.city.time import format_us


def entity_params(query: Query) -> dict[str, str]:
    """The parameters of a query, without its page. Raises Unsupported, Invalid for what can't be
    said in them."""
    if query.selectors or query.scopes is not None:
        raise Unsupported("selectors and scopes can't be asked of a remote city yet")
    types = query.types
    if query.type_sets:
        types = tuple("(" + ";".join(names) + ")" for names in query.type_sets)
    said = {
        "type": "|".join(types) if query.type_sets else ",".join(types),
        "id": ",".join(query.ids),
        "idPattern": query.id_pattern or "",
        "attrs": ",".join(query.attributes),
        "q": "" if query.condition is None else write_q(query.condition),
    }
    if query.geo is not None:
        said |= _geo(query.geo)
    return {name: text for name, text in said.items() if text}


def _geo(geo: Geo) -> dict[str, str]:
    relation: str = geo.relation
    if geo.min_distance_m is not None:
        relation += f";minDistance=={geo.min_distance_m!r}"
    elif geo.max_distance_m is not None:
        relation += f";maxDistance=={geo.max_distance_m!r}"
    if geo.min_distance_m is not None and geo.max_distance_m is not None:
        raise Unsupported("near takes one distance, the least or the most")
    return {
        "georel": relation,
        "geometry": str(geo.geometry["type"]),
        "coordinates": json.dumps(geo.geometry["coordinates"], separators=(",", ":")),
        "geoproperty": geo.attribute,
    }


def history_params(query: HistoryQuery) -> dict[str, str]:
    """The parameters of a history query. Raises Unsupported for corrections and datasetIds."""
    if query.corrections or query.dataset_ids:
        raise Unsupported("corrections and datasetIds can't be asked of a remote city yet")
    said = {"attrs": ",".join(query.names)}
    if query.last is not None:
        said["lastN"] = str(query.last)
    if query.from_us is not None and query.until_us is not None:
        said |= {
            "timerel": "between",
            "timeAt": format_us(query.from_us),
            "endTimeAt": format_us(query.until_us),
        }
    elif query.from_us is not None:  # "after" takes in the moment itself (4.11)
        said |= {"timerel": "after", "timeAt": format_us(query.from_us)}
    elif query.until_us is not None:
        said |= {"timerel": "before", "timeAt": format_us(query.until_us)}
    return {name: text for name, text in said.items() if text}


def write_q(condition: Condition) -> str:
    """A condition in the q language (CIM 009, 4.9). Raises Invalid for a text it can't hold."""
    if isinstance(condition, Exists):
        return _path(condition.path)
    if isinstance(condition, Compare):
        values = ",".join(_value(value) for value in condition.values)
        return f"{_path(condition.path)}{condition.op}{values}"
    sign = ";" if isinstance(condition, And) else "|"
    return sign.join(_bracketed(term) for term in condition.terms)


def _bracketed(term: Condition) -> str:
    text = write_q(term)
    return text if isinstance(term, Exists | Compare) else f"({text})"


def _path(path: Path) -> str:
    if path.linked is not None:
        raise Unsupported("paths into linked entities can't be asked of a remote city yet")
    names = (path.name, *path.sub)
    if len(names) > 1 and any("." in name or ":" in name for name in names):
        raise Invalid("a path into an attribute with a long name can't be written in q")
    return ".".join(names) + (f"[{'.'.join(path.keys)}]" if path.keys else "")


def _value(value: Any) -> str:
    if isinstance(value, Range):
        return f"{_value(value.low)}..{_value(value.high)}"
    if isinstance(value, Moment):
        return format_us(value.at_us)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    if "\\" in text:
        raise Invalid("a text with a backslash can't be written in q")
    return '"' + text.replace('"', '\\"') + '"'
