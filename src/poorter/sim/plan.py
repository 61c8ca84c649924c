# SPDX-License-Identifier: EUPL-1.2
"""The plan of Poorterstad: an invented town on invented ground in the middle of a lake.

No real place is meant. All of it follows from this file; nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

CENTRE = (5.32, 52.62)
_METRE_LON = 1 / (111_320 * math.cos(math.radians(CENTRE[1])))
_METRE_LAT = 1 / 110_574

Rhythm = Literal["shops", "offices", "evening", "station", "overflow"]


@dataclass(frozen=True, slots=True)
class Garage:
    """A parking place: where (metres east and north of the centre), how large, whose rhythm."""

    key: str
    name: str
    east_m: float
    north_m: float
    total: int
    rhythm: Rhythm
    euro_an_hour: float
    badge: int = 6
    fault: Literal["", "silent", "stuck"] = ""


@dataclass(frozen=True, slots=True)
class Street:
    """A street with a counter."""

    key: str
    name: str
    east_m: float
    north_m: float
    busy: int
    rhythm: Rhythm


GARAGES = (
    Garage("markt", "Garage Markt", 60, -120, 320, "shops", 3.2, 12),
    Garage("raadhuis", "Garage Raadhuis", -210, 40, 210, "offices", 3.0, 8),
    Garage("schouwburg", "Garage Schouwburg", 330, 240, 280, "evening", 2.8, 8),
    Garage("haven", "Parkeerterrein Haven", 640, -330, 190, "evening", 2.0, 4),
    Garage("station", "Garage Station", -720, -420, 640, "station", 2.4, 16),
    Garage("singel", "Garage Singel", -120, -430, 160, "shops", 2.8, 4),
    Garage("ziekenhuis", "Garage Ziekenhuis", 820, 660, 450, "offices", 1.8, 24),
    Garage("bibliotheek", "Garage Bibliotheek", 170, 460, 130, "offices", 2.4, 6, "stuck"),
    Garage("warande", "P+R Warande", -1350, 820, 380, "station", 0.0, 8),
    Garage("oostpoort", "P+R Oostpoort", 1480, -240, 420, "station", 0.0, 8),
    Garage("brouwerij", "Garage Brouwerij", 430, -60, 150, "shops", 3.0, 4, "silent"),
    Garage("weide", "Overloopterrein Weide", -980, -980, 500, "overflow", 1.0, 0),
)

STREETS = (
    Street("langestraat", "Langestraat", 20, 60, 1900, "shops"),
    Street("markt", "Markt", 0, -60, 1500, "shops"),
    Street("kade", "Havenkade", 560, -260, 700, "evening"),
    Street("stationsplein", "Stationsplein", -640, -360, 1600, "station"),
    Street("theaterplein", "Theaterplein", 300, 180, 620, "evening"),
    Street("koorstraat", "Koorstraat", -90, 180, 380, "shops"),
    Street("stadspark", "Stadspark", -380, 420, 240, "evening"),
    Street("bolwerk", "Bolwerk", 420, 520, 150, "evening"),
)

_RIVER = (
    (-2450, -520),
    (-1750, -720),
    (-1150, -660),
    (-560, -690),
    (-60, -760),
    (480, -640),
    (1000, -570),
    (1650, -760),
    (2450, -960),
)
_GARDENS = (
    ("Stadspark", -430, 500, 150),
    ("Oosterpark", 1180, 420, 190),
    ("Warande", -1060, 560, 170),
    ("Begraafplaats", 250, -1080, 130),
    ("Bolwerkpark", -560, -1160, 160),
)
_QUARTERS = ("Binnenstad", "Havenkwartier", "Stationsbuurt", "Parkbuurt", "Bolwerk", "Oosterveld")


def at(east_m: float, north_m: float) -> list[float]:
    """Metres from the centre to longitude, latitude."""
    return [
        round(CENTRE[0] + east_m * _METRE_LON, 6),
        round(CENTRE[1] + north_m * _METRE_LAT, 6),
    ]


def point(east_m: float, north_m: float) -> dict[str, Any]:
    """A GeoJSON point."""
    return {"type": "Point", "coordinates": at(east_m, north_m)}


def neighbourhoods() -> list[tuple[str, dict[str, Any]]]:
    """(name, polygon): the old town, and five wedges around it."""
    found = [(_QUARTERS[0], _polygon(_ring(480, 0, 360, 48)))]
    for number, name in enumerate(_QUARTERS[1:]):
        start, end = 72 * number - 30, 72 * (number + 1) - 30
        outer = _ring(1750, start, end, 24)
        back = list(reversed(_ring(480, start, end, 12)))
        found.append((name, _polygon([*outer, *back])))
    return found


def roads() -> list[tuple[str, dict[str, Any]]]:
    """(name, line): the rings, the ways into town, and the streets between them."""
    lines = [
        ("Stadsring", _ring(760, 0, 360, 72)),
        ("Buitenring", _ring(1260, 0, 360, 72)),
        ("Binnenring", _ring(300, 0, 360, 36)),
    ]
    names = ("Havenweg", "Kerkweg", "Parklaan", "Stationsweg", "Singelweg", "Oosterweg")
    for number, name in enumerate(names):
        lines.append((name, _way(60 * number + 15, 90, 1750)))
        lines.append((f"{name[:-3]}straat", _way(60 * number + 45, 480, 1750)))
    for number in range(12):
        lines.append((f"Dwarsstraat {number + 1}", _way(30 * number, 760, 1260)))
    return [
        (name, {"type": "LineString", "coordinates": [at(*p) for p in line]})
        for name, line in lines
    ]


def water() -> list[tuple[str, dict[str, Any]]]:
    """(name, polygon): the canal around the old town, the river and its harbour."""
    moat = [*_ring(505, 0, 360, 60), *reversed(_ring(455, 0, 360, 60))]
    harbour = [(540, -590), (560, -430), (760, -400), (900, -430), (930, -570)]
    return [
        ("Stadsgracht", _polygon(moat)),
        ("Rivier", _polygon(_band(_smooth(_RIVER), 42))),
        ("Haven", _polygon(harbour)),
    ]


def gardens() -> list[tuple[str, dict[str, Any]]]:
    """(name, polygon): the parks."""
    return [
        (name, _polygon(_blob(east_m, north_m, radius_m)))
        for name, east_m, north_m, radius_m in _GARDENS
    ]


def _radius(radius_m: float, angle: float) -> float:
    """No town is round: further out where a village was swallowed, closer where it is wet."""
    bent = 0.05 * math.sin(3 * angle + 0.6) + 0.035 * math.sin(5 * angle + 2.1)
    return radius_m * (1 + bent * min(radius_m / 1200, 1.2))


def _ring(radius_m: float, start: float, end: float, steps: int) -> list[tuple[float, float]]:
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [
        (math.cos(a) * _radius(radius_m, a), math.sin(a) * _radius(radius_m, a)) for a in angles
    ]


def _way(degrees: float, from_m: float, to_m: float) -> list[tuple[float, float]]:
    """A way out of town, which bends a little."""
    found = []
    for step in range(9):
        radius_m = from_m + (to_m - from_m) * step / 8
        angle = math.radians(degrees + 5 * math.sin(radius_m / 420))
        reach_m = _radius(radius_m, angle)
        found.append((math.cos(angle) * reach_m, math.sin(angle) * reach_m))
    return found


def _blob(east_m: float, north_m: float, radius_m: float) -> list[tuple[float, float]]:
    found = []
    for step in range(24):
        angle = math.radians(15 * step)
        reach_m = radius_m * (1 + 0.18 * math.sin(2 * angle + east_m) + 0.1 * math.sin(3 * angle))
        found.append(
            (east_m + math.cos(angle) * reach_m * 1.25, north_m + math.sin(angle) * reach_m)
        )
    return found


def _smooth(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A line through the points, without corners (Catmull-Rom)."""
    found = []
    padded = [line[0], *line, line[-1]]
    for p, q, r, s in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for step in range(8):
            t = step / 8
            found.append((_between(p[0], q[0], r[0], s[0], t), _between(p[1], q[1], r[1], s[1], t)))
    return [*found, line[-1]]


def _between(p: float, q: float, r: float, s: float, t: float) -> float:
    slope, bend = r - p, 2 * p - 5 * q + 4 * r - s
    return q + 0.5 * t * (slope + t * (bend + t * (3 * (q - r) + s - p)))


def _band(line: Sequence[tuple[float, float]], half_m: float) -> list[tuple[float, float]]:
    """Both banks of a river along a line."""
    left, right = [], []
    for (ax, ay), (bx, by) in zip(line, [*line[1:], line[-1]], strict=True):
        length = math.hypot(bx - ax, by - ay) or 1.0
        dx, dy = -(by - ay) / length * half_m, (bx - ax) / length * half_m
        left.append((ax + dx, ay + dy))
        right.append((ax - dx, ay - dy))
    return [*left[:-1], *reversed(right[:-1])]


def _polygon(outline: Sequence[tuple[float, float]]) -> dict[str, Any]:
    ring = [at(east_m, north_m) for east_m, north_m in outline]
    if ring[0] != ring[-1]:
        ring.append(ring[0])
    return {"type": "Polygon", "coordinates": [ring]}
