# SPDX-License-Identifier: EUPL-1.2
"""Maps and lines as SVG made by the server: no tiles, no script, no network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT = 900, 640
CELLS = 12
_PAD = 36
_CLASSES = {"Water": "water", "Garden": "garden"}
#: where a name may stand, from the middle of its quarter; the nearest of the best is taken
_SHIFTS = sorted(
    ((dx, dy) for dx in range(-120, 121, 20) for dy in range(-90, 91, 15)),
    key=lambda shift: math.hypot(*shift),
)


@dataclass(frozen=True, slots=True)
class Ground:
    """Something still on the map: a quarter, a road, water. `label` stands in its middle."""

    kind: str
    geometry: dict[str, Any]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that one may choose: a ring filled by `share`, in a tone with its own shape."""

    position: tuple[float, float]
    title: str
    href: str
    tone: str  # "good", "medium", "high", "old", "silent"
    share: float | None = None
    chosen: bool = False
    small: bool = False
    alarm: str = ""  # "high", "medium" or "low" where something asks for somebody


class Projection:
    """Longitude and latitude to the drawing, true to scale around its middle."""

    def __init__(self, positions: Iterable[tuple[float, float]]) -> None:
        found = list(positions) or [(0.0, 0.0)]
        west, east = min(p[0] for p in found), max(p[0] for p in found)
        south, north = min(p[1] for p in found), max(p[1] for p in found)
        self._squeeze = math.cos(math.radians((south + north) / 2))
        width = max((east - west) * self._squeeze, 1e-4)
        height = max(north - south, 1e-4)
        self._scale = min((WIDTH - 2 * _PAD) / width, (HEIGHT - 2 * _PAD) / height)
        self._west = west - ((WIDTH / self._scale) - width) / 2 / self._squeeze
        self._north = north + ((HEIGHT / self._scale) - height) / 2

    def xy(self, position: Sequence[float]) -> tuple[float, float]:
        """Where a position lies in the drawing."""
        x = (position[0] - self._west) * self._squeeze * self._scale
        y = (self._north - position[1]) * self._scale
        return round(x, 1), round(y, 1)

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Which position lies there."""
        longitude = self._west + x / self._scale / self._squeeze
        return round(longitude, 5), round(self._north - y / self._scale, 5)


def draw_map(
    grounds: Sequence[Ground],
    marks: Sequence[Mark],
    title: str,
    cell_href: str = "",
    target: tuple[float, float] | None = None,
) -> Markup:
    """The map. `cell_href` with {place} makes every part of it a link, to choose a spot.

    `target` is the spot that somebody chose, a cross on the map.
    """
    projection = Projection(
        [*(mark.position for mark in marks), *(p for g in grounds for p in _positions(g.geometry))]
    )
    parts = [
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
    ]
    order = {"Neighbourhood": 0, "Garden": 1, "Water": 2, "Road": 3}
    for ground in sorted(grounds, key=lambda g: order.get(g.kind, 4)):
        parts.append(_ground(ground, projection))
    if cell_href:
        parts += _cells(projection, cell_href)
    parts += [_mark(mark, projection) for mark in sorted(marks, key=lambda m: m.chosen)]
    taken = [projection.xy(mark.position) for mark in marks]
    named = [g for g in grounds if g.label and g.kind == "Neighbourhood"]
    parts += [_label(ground, projection, taken) for ground in named]
    if target is not None:
        parts.append(_target(projection.xy(target)))
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - every text in it was escaped


def _positions(geometry: dict[str, Any]) -> Iterable[tuple[float, float]]:
    def walk(value: Any) -> Iterable[tuple[float, float]]:
        if value and isinstance(value[0], int | float):
            yield (value[0], value[1])
        else:
            for part in value:
                yield from walk(part)

    return walk(geometry.get("coordinates", []))


def _ground(ground: Ground, projection: Projection) -> str:
    kind, coordinates = ground.geometry.get("type"), ground.geometry.get("coordinates", [])
    if kind == "LineString":
        return f'<polyline class="road" points="{_points(coordinates, projection)}"/>'
    polygons = coordinates if kind == "MultiPolygon" else [coordinates] if kind == "Polygon" else []
    path = "".join(
        "M" + " L".join(f"{x} {y}" for x, y in map(projection.xy, ring)) + "Z"
        for polygon in polygons
        for ring in polygon
    )
    return f'<path class="{_CLASSES.get(ground.kind, "quarter")}" d="{path}"/>'


def _points(line: Sequence[Sequence[float]], projection: Projection) -> str:
    return " ".join(f"{x},{y}" for x, y in map(projection.xy, line))


def _label(ground: Ground, projection: Projection, taken: Sequence[tuple[float, float]]) -> str:
    """The name in the middle, or beside it where marks would lie under the name."""
    found = [projection.xy(p) for p in _positions(ground.geometry)]
    x = sum(p[0] for p in found) / len(found)
    middle = sum(p[1] for p in found) / len(found)
    half = 5.0 * len(ground.label)
    x, y = min(
        ((x + dx, middle + dy) for dx, dy in _SHIFTS),
        key=lambda at: sum(
            abs(at[0] - mx) < half + 16 and abs(at[1] - 5 - my) < 24 for mx, my in taken
        ),
    )
    return f'<text class="quarter-name" x="{x:.0f}" y="{y:.0f}">{escape(ground.label)}</text>'


def _cells(projection: Projection, href: str) -> list[str]:
    wide, high = WIDTH / CELLS, HEIGHT / CELLS
    cells = []
    for column in range(CELLS):
        for row in range(CELLS):
            longitude, latitude = projection.position((column + 0.5) * wide, (row + 0.5) * high)
            place = f"{longitude},{latitude}"
            cells.append(
                f'<a href="{escape(href.format(place=place))}" tabindex="-1" aria-hidden="true">'
                f'<rect class="cell" x="{column * wide:.1f}" y="{row * high:.1f}" '
                f'width="{wide:.1f}" height="{high:.1f}"/></a>'
            )
    return cells


def _mark(mark: Mark, projection: Projection) -> str:
    x, y = projection.xy(mark.position)
    title = escape(mark.title)
    inner = _shape(mark, x, y)
    around = f'<circle class="chosen" cx="{x}" cy="{y}" r="24"/>' if mark.chosen else ""
    if mark.alarm:
        inner += draw_sign(mark.alarm, x, round(y - 27, 1), 8)
    return (
        f'<a href="{escape(mark.href)}" class="mark {mark.tone}" aria-label="{title}">'
        f"<title>{title}</title>{around}{inner}</a>"
    )


def draw_sign(severity: str, x: float, y: float, half: float) -> str:
    """How much something asks for somebody: high a square, medium a triangle, low a circle."""
    if severity == "high":
        shape = f'<rect x="{x - half}" y="{y - half}" width="{2 * half}" height="{2 * half}"/>'
    elif severity == "medium":
        shape = f'<path d="M{x} {y - half} l{half * 1.15} {2 * half} h-{half * 2.3} z"/>'
    else:
        shape = f'<circle cx="{x}" cy="{y}" r="{half}"/>'
    return f'<g class="sign {severity}">{shape}</g>'


def _target(at: tuple[float, float]) -> str:
    x, y = at
    return f'<path class="target" d="M{x - 12} {y} h24 M{x} {y - 12} v24"/>'


def _shape(mark: Mark, x: float, y: float) -> str:
    """Tone never alone: silent is a triangle, old a square, the rest a ring filled by its share."""
    if mark.tone == "silent":
        return f'<path class="fill" d="M{x} {y - 12} l12 21 h-24 z"/>'
    if mark.tone == "old":
        return f'<rect class="fill" x="{x - 10}" y="{y - 10}" width="20" height="20" rx="3"/>'
    radius = 6.0 if mark.small else 11.0
    length = 2 * math.pi * radius
    filled = length * min(max(mark.share if mark.share is not None else 1.0, 0.0), 1.0)
    return (
        f'<circle class="plate" cx="{x}" cy="{y}" r="{radius + 6}"/>'
        f'<circle class="track" cx="{x}" cy="{y}" r="{radius}"/>'
        f'<circle class="ring" cx="{x}" cy="{y}" r="{radius}" '
        f'stroke-dasharray="{filled:.1f} {length:.1f}" transform="rotate(-90 {x} {y})"/>'
    )
