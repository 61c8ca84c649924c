# SPDX-License-Identifier: EUPL-1.2
"""National grids to longitude and latitude: files come in RD New, Gauss-Krueger and the like."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from poorter.city.errors import Invalid, Unsupported


def to_wgs84(geometry: Any, crs: str) -> dict[str, Any]:
    """The geometry with its positions as longitude, latitude.

    Raises: Invalid for an unknown grid or a position outside it, Unsupported without the extra.
    """
    if not isinstance(geometry, dict) or "coordinates" not in geometry:
        raise Invalid("not a geometry")
    transform = _transformer(crs)
    return {**geometry, "coordinates": _positions(geometry["coordinates"], transform, crs)}


@lru_cache(maxsize=16)
def _transformer(crs: str) -> Any:
    try:
        import pyproj
    except ImportError:
        raise Unsupported("other grids than WGS 84 need the extra: poorter[load]") from None
    try:
        return pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform
    except pyproj.exceptions.CRSError:
        raise Invalid(f"{crs!r:.60} is no grid that is known") from None


def _positions(value: Any, transform: Any, crs: str) -> Any:
    if not isinstance(value, list | tuple):
        raise Invalid("coordinates are lists of numbers")
    if value and isinstance(value[0], int | float):
        longitude, latitude = transform(*value[:2])
        if not (abs(longitude) <= 180 and abs(latitude) <= 90):
            raise Invalid(f"{value[:2]} lies outside {crs}")
        return [round(longitude, 7), round(latitude, 7)]
    return [_positions(part, transform, crs) for part in value]
