# SPDX-License-Identifier: EUPL-1.2
"""Places on earth: GeoJSON geometry in WGS 84 longitude/latitude (RFC 7946), metres between."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from poorter.city.errors import Invalid
from poorter.city.limits import GEOMETRY_POINTS_MAX

EARTH_RADIUS_M = 6_371_008.8
_DEPTH = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}


def check_geometry(value: object, asked: bool = False) -> dict[str, Any]:
    """A GeoJSON geometry, checked: type, depth, finite numbers, range, closed rings.

    The point 0,0 is refused: in city data it is a missing position, never a place. `asked`: it
    stands in a question, which may be about that place too.
    Raises: Invalid with the reason.
    """
    if not isinstance(value, Mapping) or value.get("type") not in _DEPTH:
        raise Invalid("a geometry needs a GeoJSON type: " + ", ".join(_DEPTH))
    kind = str(value["type"])
    count = _check_positions(value.get("coordinates"), _DEPTH[kind], 0)
    if not count:
        raise Invalid("a geometry needs coordinates")
    if kind in ("Polygon", "MultiPolygon"):
        _check_rings(value["coordinates"] if kind == "MultiPolygon" else [value["coordinates"]])
    if kind == "LineString" and len(value["coordinates"]) < 2:
        raise Invalid("a LineString needs at least two positions")
    if kind == "Point" and not asked and value["coordinates"][:2] == [0, 0]:
        raise Invalid("position 0,0 means that the position is missing")
    return dict(value)


def _check_positions(value: object, depth: int, seen: int) -> int:
    if depth == 0:
        _check_position(value)
        return seen + 1
    if not isinstance(value, list):
        raise Invalid("coordinates are nested one level too little for this geometry")
    for part in value:
        seen = _check_positions(part, depth - 1, seen)
        if seen > GEOMETRY_POINTS_MAX:
            raise Invalid(f"a geometry may have at most {GEOMETRY_POINTS_MAX} positions")
    return seen


def _check_position(value: object) -> None:
    if not isinstance(value, list) or not 2 <= len(value) <= 3:
        raise Invalid("a position is [longitude, latitude] or with a height")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Invalid("a position holds numbers only")
        if not math.isfinite(number):
            raise Invalid("a position holds finite numbers only")
    lon, lat = value[0], value[1]
    if not -180 <= lon <= 180 or not -90 <= lat <= 90:
        raise Invalid(f"position out of range (longitude first): [{lon}, {lat}]")


def _check_rings(polygons: list[list[list[list[float]]]]) -> None:
    for rings in polygons:
        for ring in rings:
            if len(ring) < 4 or ring[0] != ring[-1]:
                raise Invalid("a polygon ring needs four positions and ends where it begins")


def positions(geometry: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """All (longitude, latitude) pairs of a checked geometry."""
    stack = [geometry["coordinates"]]
    while stack:
        part = stack.pop()
        if isinstance(part[0], list):
            stack.extend(part)
        else:
            yield part[0], part[1]


def bounds(geometry: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """(west, south, east, north) in degrees of a checked geometry."""
    lons, lats = zip(*positions(geometry), strict=True)
    return min(lons), min(lats), max(lons), max(lats)


def centre(geometry: Mapping[str, Any]) -> tuple[float, float]:
    """(longitude, latitude) of the middle of the bounds: good enough for a label or a walk."""
    west, south, east, north = bounds(geometry)
    return (west + east) / 2, (south + north) / 2


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle metres between two (longitude, latitude) pairs; haversine."""
    return distances_m(*b)(*a)


def distances_m(longitude: float, latitude: float) -> Callable[[float, float], float]:
    """The same from one place to many: what is always the same is worked out once."""
    radians, sin, cos = math.radians, math.sin, math.cos
    to_lon, to_lat = radians(longitude), radians(latitude)
    wide = cos(to_lat)

    def away_m(lon: float, lat: float) -> float:
        at_lat = radians(lat)
        h = (
            sin((to_lat - at_lat) / 2) ** 2
            + cos(at_lat) * wide * sin((to_lon - radians(lon)) / 2) ** 2
        )
        return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))

    return away_m
