# SPDX-License-Identifier: EUPL-1.2
"""Geo relations exactly: boxes for an index to look in, then the relation itself.

Distances: haversine between points; for other shapes a plane through the reference point, good
to a per mille within 100 km. The relations are those of CIM 009, 4.10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import shapely
from shapely.geometry import shape

from poorter.city.place import EARTH_RADIUS_M, bounds, centre, distances_m
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
    return relation(geo)(geometry)


def relation(geo: Geo) -> Callable[[Mapping[str, Any]], bool]:
    """The same for many of them: what is always the same is worked out once."""
    if geo.relation == "near":
        return _nearness(geo)
    asked = shape(geo.geometry)
    holds = _equals if geo.relation == "equals" else getattr(shapely, geo.relation)
    return lambda geometry: bool(holds(shape(geometry), asked))


def _equals(mine: Any, asked: Any) -> bool:
    return bool(mine.equals(asked))


def _nearness(geo: Geo) -> Callable[[Mapping[str, Any]], bool]:
    least_m = 0.0 if geo.min_distance_m is None else geo.min_distance_m
    most_m = math.inf if geo.max_distance_m is None else geo.max_distance_m
    if geo.geometry["type"] != "Point":
        return lambda geometry: least_m <= _away_m(geometry, geo.geometry) <= most_m
    lon, lat = geo.geometry["coordinates"][:2]
    away_m = distances_m(lon, lat)

    def near(geometry: Mapping[str, Any]) -> bool:
        if geometry["type"] != "Point":
            return least_m <= _away_m(geometry, geo.geometry) <= most_m
        at = geometry["coordinates"]
        return least_m <= away_m(at[0], at[1]) <= most_m

    return near


def _away_m(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    lon, lat = centre(b)
    scale = math.cos(math.radians(lat))

    def flat(xy: Any) -> Any:
        return (xy - (lon, lat)) * (_METRES_A_DEGREE * scale, _METRES_A_DEGREE)

    return float(shapely.transform(shape(a), flat).distance(shapely.transform(shape(b), flat)))
