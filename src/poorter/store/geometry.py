# SPDX-License-Identifier: EUPL-1.2
"""Geo relations exactly: boxes for an index to look in, then the relation itself.

Distances: haversine between points; for other shapes a plane through the reference point, good
to a per mille within 100 km. The relations are those of CIM 009, 4.10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import shapely
from shapely.geometry import shape

from poorter.city.place import EARTH_RADIUS_M, bounds, centre, distance_m
from poorter.city.query import Geo

Box = tuple[float, float, float, float]
_METRES_A_DEGREE = EARTH_RADIUS_M * math.pi / 180


def search_box(geo: Geo) -> Box | None:
    """(west, south, east, north) outside which nothing matches; None when there is no such box."""
    if geo.relation == "disjoint":
        return None
    west, south, east, north = bounds(geo.geometry)
    if geo.relation != "near":
        return west, south, east, north
    if geo.max_distance_m is None:
        return None
    tall = geo.max_distance_m / _METRES_A_DEGREE * 1.001
    widest = max(abs(south - tall), abs(north + tall))
    if widest >= 89:
        return -180.0, south - tall, 180.0, north + tall
    wide = tall / math.cos(math.radians(widest))
    if west - wide < -180 or east + wide > 180:
        return -180.0, south - tall, 180.0, north + tall
    return west - wide, south - tall, east + wide, north + tall


def related(geometry: Mapping[str, Any], geo: Geo) -> bool:
    """Whether an entity's geometry stands in the relation to the query's."""
    if geo.relation == "near":
        away_m = _away_m(geometry, geo.geometry)
        near = geo.max_distance_m is None or away_m <= geo.max_distance_m
        return near and (geo.min_distance_m is None or away_m >= geo.min_distance_m)
    mine, asked = shape(geometry), shape(geo.geometry)
    if geo.relation == "equals":
        return bool(mine.equals(asked))
    return bool(getattr(shapely, geo.relation)(mine, asked))


def _away_m(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    if a["type"] == "Point" and b["type"] == "Point":
        return distance_m(tuple(a["coordinates"][:2]), tuple(b["coordinates"][:2]))
    lon, lat = centre(b)
    scale = math.cos(math.radians(lat))

    def flat(xy: Any) -> Any:
        return (xy - (lon, lat)) * (_METRES_A_DEGREE * scale, _METRES_A_DEGREE)

    return float(shapely.transform(shape(a), flat).distance(shapely.transform(shape(b), flat)))
