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
    grounds: Sequence[Ground], marks: Sequence[Mark], title: str, cell_href: str = ""
) -> Markup:
    """The map. `cell_href` with {place} makes every part of it a link, to choose a spot."""
    projection = Projection(
        [*(mark.position for mark in marks), *(p for g in grounds for p in _positions(g.geometry))]
    )
    parts = [
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
    ]
    order = {"Neighbourhood": 0, "Water": 1, "Road": 2}
    for ground in sorted(grounds, key=lambda g: order.get(g.kind, 3)):
        parts.append(_ground(ground, projection))
    parts += [_label(g, projection) for g in grounds if g.label and g.kind == "Neighbourhood"]
    if cell_href:
        parts += _cells(projection, cell_href)
    parts += [_mark(mark, projection) for mark in sorted(marks, key=lambda m: m.chosen)]
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
    return f'<path class="{"water" if ground.kind == "Water" else "quarter"}" d="{path}"/>'


def _points(line: Sequence[Sequence[float]], projection: Projection) -> str:
    return " ".join(f"{x},{y}" for x, y in map(projection.xy, line))


def _label(ground: Ground, projection: Projection) -> str:
    found = [projection.xy(p) for p in _positions(ground.geometry)]
    x = sum(p[0] for p in found) / len(found)
    y = sum(p[1] for p in found) / len(found)
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
    return (
        f'<a href="{escape(mark.href)}" class="mark {mark.tone}" aria-label="{title}">'
        f"<title>{title}</title>{around}{inner}</a>"
    )


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


@dataclass(frozen=True, slots=True)
class Ahead:
    """A point of a forecast."""

    at_us: int
    mean: float
    low: float
    high: float


def draw_line(
    past: Sequence[tuple[int, float]],
    ahead: Sequence[Ahead],
    now_us: int,
    title: str,
    now_word: str,
    top: float | None = None,
) -> Markup:
    """Past and forecast in one line, with the forecast's band."""
    width, height, pad = 560, 150, 8
    if not past and not ahead:
        return Markup("")
    times = [t for t, _ in past] + [a.at_us for a in ahead] + [now_us]
    values = [v for _, v in past] + [a.high for a in ahead]
    start, end = min(times), max(*times, min(times) + 1)
    highest = max([*values, top or 0, 1.0])

    def xy(at_us: int, value: float) -> str:
        x = pad + (at_us - start) / (end - start) * (width - 2 * pad)
        y = height - pad - max(value, 0.0) / highest * (height - 3 * pad)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg class="line" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
    ]
    now_x = xy(now_us, 0).split(",")[0]
    parts.append(f'<line class="now" x1="{now_x}" x2="{now_x}" y1="{pad}" y2="{height - pad}"/>')
    parts.append(
        f'<text class="now-word" x="{now_x}" y="{pad + 8}" dx="5">{escape(now_word)}</text>'
    )
    if ahead:
        last = past[-1][1] if past else ahead[0].mean
        joined = [Ahead(now_us, last, last, last), *ahead]
        band = [xy(a.at_us, a.high) for a in joined] + [
            xy(a.at_us, a.low) for a in reversed(joined)
        ]
        parts.append(f'<polygon class="band" points="{" ".join(band)}"/>')
        line = " ".join(xy(a.at_us, a.mean) for a in joined)
        parts.append(f'<polyline class="ahead" points="{line}"/>')
    if past:
        line = " ".join(xy(t, v) for t, v in [*past, (now_us, past[-1][1])])
        parts.append(f'<polyline class="past" points="{line}"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - every text in it was escaped


def draw_spark(points: Sequence[tuple[int, float]], title: str) -> Markup:
    """A small line of an indicator."""
    if len(points) < 2:
        return Markup("")
    return draw_line(points, (), points[-1][0], title, "")
