# SPDX-License-Identifier: EUPL-1.2
"""Geo queries (CIM 009, 4.10): georel, geometry, coordinates, geoproperty."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from poorter.city.errors import Invalid
from poorter.city.place import check_geometry
from poorter.city.query import Geo, GeoRelation
from poorter.standards.ngsild.context import Context

_RELATIONS = ("near", "within", "contains", "intersects", "equals", "disjoint", "overlaps")
_NAMES = ("georel", "geometry", "coordinates")


def parse_geo(query: Mapping[str, str], context: Context) -> Geo | None:
    """The geo query in the parameters, None when there is none. Raises Invalid."""
    given = [name for name in _NAMES if query.get(name)]
    if not given:
        return None
    if len(given) < len(_NAMES):
        raise Invalid("a geo query needs georel, geometry and coordinates")
    relation, *modifiers = query["georel"].split(";")
    if relation not in _RELATIONS:
        raise Invalid(f"georel is one of {', '.join(_RELATIONS)}")
    try:
        coordinates = json.loads(query["coordinates"])
    except (ValueError, RecursionError):
        raise Invalid("coordinates must be a JSON array") from None
    geometry = check_geometry({"type": query["geometry"], "coordinates": coordinates}, True)
    least, most = _distances(relation, modifiers)
    name = context.expand(query.get("geoproperty") or "location")
    known: GeoRelation = relation  # type: ignore[assignment]
    return Geo(known, geometry, name, max_distance_m=most, min_distance_m=least)


def _distances(relation: str, modifiers: list[str]) -> tuple[float | None, float | None]:
    """(minimum, maximum) in metres of `near`; the others take none."""
    if relation != "near":
        if modifiers:
            raise Invalid(f"{relation} takes no distance")
        return None, None
    found: dict[str, float] = {}
    for modifier in modifiers:
        name, separator, value = modifier.partition("==")
        try:
            found[name] = float(value)
        except ValueError:
            raise Invalid(f"{modifier}: the distance is a number of metres") from None
        if not separator or name not in ("maxDistance", "minDistance"):
            raise Invalid("near takes maxDistance==metres or minDistance==metres")
        if not 0 < found[name] < math.inf:
            raise Invalid(f"{name} is more than nothing, and not endless")
    if len(found) != 1 or len(modifiers) != 1:
        raise Invalid("near needs one of maxDistance==metres and minDistance==metres")
    return found.get("minDistance"), found.get("maxDistance")
