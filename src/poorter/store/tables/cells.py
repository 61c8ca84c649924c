# SPDX-License-Identifier: EUPL-1.2
"""A grid over points: each cell holds its points in the order of their entities' ids.

A box that holds thousands is answered from a few cells that are read side by side in that order, as
far as the page goes, where a place index alone would have to find all of them and sort.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: degrees; migration 0006 has it too
SIDE = 0.01
CELLS_MAX = 64
_ELSEWHERE = (1 << 32) - 1

Box = tuple[float, float, float, float]


def cell_of(name: int, geometry: Mapping[str, Any]) -> int:
    """The cell of an attribute's geometry; what is no point lies elsewhere."""
    if geometry["type"] != "Point":
        return elsewhere(name)
    longitude, latitude = geometry["coordinates"][:2]
    return _cell(name, _column(longitude), _row(latitude))


def cell_at(longitude: float, latitude: float) -> int:
    """The cell of a position, without a name."""
    return _cell(0, _column(longitude), _row(latitude))


def elsewhere(name: int) -> int:
    """The cell of all shapes that are no points."""
    return name << 32 | _ELSEWHERE


def cells_of(name: int, box: Box) -> list[int] | None:
    """The cells that a box (west, south, east, north) touches; None when they are too many."""
    west, south, east, north = box
    columns = range(_column(west), _column(east) + 1)
    rows = range(_row(south), _row(north) + 1)
    if len(columns) * len(rows) > CELLS_MAX:
        return None
    return [_cell(name, column, row) for row in rows for column in columns]


def spans_of_cells(box: Box) -> list[tuple[int, int]]:
    """The first and last cell of a box in each row of the grid, without a name."""
    west, south, east, north = box
    rows = range(_row(south), _row(north) + 1)
    return [(_cell(0, _column(west), row), _cell(0, _column(east), row)) for row in rows]


def _cell(name: int, column: int, row: int) -> int:
    return name << 32 | row << 16 | column


def _column(longitude: float) -> int:
    return int((min(180.0, max(-180.0, longitude)) + 180.0) / SIDE)


def _row(latitude: float) -> int:
    return int((min(90.0, max(-90.0, latitude)) + 90.0) / SIDE)
