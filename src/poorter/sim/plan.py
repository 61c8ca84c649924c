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
    inner = _ring(480, 0, 360, 24)
    found = [(_QUARTERS[0], _polygon(inner))]
    for number, name in enumerate(_QUARTERS[1:]):
        start, end = 72 * number - 30, 72 * (number + 1) - 30
        outer = _ring(1750, start, end, 12)
        back = list(reversed(_ring(480, start, end, 8)))
        found.append((name, _polygon([*outer, *back])))
    return found


def roads() -> list[tuple[str, dict[str, Any]]]:
    """(name, line): the ring, and the ways into town."""
    lines = [("Stadsring", _ring(760, 0, 360, 36))]
    names = ("Havenweg", "Kerkweg", "Parklaan", "Stationsweg", "Singelweg", "Oosterweg")
    for number, name in enumerate(names):
        angle = math.radians(60 * number + 15)
        lines.append(
            (
                name,
                [
                    (math.cos(angle) * radius, math.sin(angle) * radius)
                    for radius in (140, 480, 760, 1250, 1750)
                ],
            )
        )
    return [
        (name, {"type": "LineString", "coordinates": [at(*p) for p in line]})
        for name, line in lines
    ]


def water() -> list[tuple[str, dict[str, Any]]]:
    """(name, polygon): the canal around the old town and the harbour."""
    moat = [*_ring(500, 200, 430, 30), *reversed(_ring(455, 200, 430, 30))]
    harbour = [(520, -420), (900, -560), (1000, -430), (600, -300)]
    return [("Stadsgracht", _polygon(moat)), ("Haven", _polygon(harbour))]


def _ring(radius_m: float, start: float, end: float, steps: int) -> list[tuple[float, float]]:
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(math.cos(angle) * radius_m, math.sin(angle) * radius_m) for angle in angles]


def _polygon(outline: Sequence[tuple[float, float]]) -> dict[str, Any]:
    ring = [at(east_m, north_m) for east_m, north_m in outline]
    if ring[0] != ring[-1]:
        ring.append(ring[0])
    return {"type": "Polygon", "coordinates": [ring]}
