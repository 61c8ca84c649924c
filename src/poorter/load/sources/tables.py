# SPDX-License-Identifier: EUPL-1.2
"""Excel sheets and GeoPackage tables as rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import apsw
import shapely
from shapely.geometry import mapping

from poorter.city.errors import CityError, Invalid, Unsupported
from poorter.load.grids import to_wgs84
from poorter.load.mapping import Source
from poorter.load.sources.separated import check_header

_WGS84 = 4326
_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}


def read_excel(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """Rows of a sheet under its header row."""
    try:
        import python_calamine
    except ImportError:
        raise Unsupported("Excel files need the extra: pip install poorter[load]") from None
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(stream)
        name = source.sheet or book.sheet_names[0]
        rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, IndexError) as wrong:
        raise Invalid(f"{path.name}: not an Excel file, or no such sheet: {wrong}") from None
    rows = rows[source.skip_lines :]
    if not rows:
        raise Invalid(f"{path.name}: the sheet {name} is empty")
    header = source.header or [str(cell).strip() for cell in rows[0]]
    while header and not header[-1]:
        header.pop()  # a sheet is as wide as its widest row
    check_header(path, header)
    first = 0 if source.header else 1
    for number, cells in enumerate(rows[first:], source.skip_lines + first + 1):
        if any(cell != "" for cell in cells[len(header) :]):
            yield number, f"more columns than the {len(header)} of the header"
        elif any(cell != "" for cell in cells):
            padded = [*cells, *[""] * (len(header) - len(cells))]
            yield number, dict(zip(header, padded, strict=False))


def read_geopackage(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """Rows of a feature table (OGC 12-128r19); the geometry is column "geometry" in WGS 84."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        found = list(
            connection.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns")
        )
    except apsw.Error as wrong:
        raise Invalid(f"{path.name} is no GeoPackage: {wrong}") from None
    tables = {str(table): (str(column), srs) for table, column, srs in found}
    table = source.sheet or next(iter(tables), "")
    if table not in tables:
        raise Invalid(f"{path.name} holds {', '.join(tables) or 'no feature table'}")
    geometry_column, srs = tables[table]
    quoted = table.replace('"', '""')
    cursor = connection.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 - quoted identifier
    names = [str(column[0]) for column in cursor.get_description()] if cursor else []
    for number, cells in enumerate(cursor, 1):
        row: dict[str, Any] = dict(zip(names, cells, strict=True))
        blob = row.pop(geometry_column, None)
        try:
            shape = _geometry(blob)
            grid = srs != _WGS84 and shape is not None
            row["geometry"] = to_wgs84(shape, f"EPSG:{srs}") if grid else shape
        except (ValueError, CityError, shapely.errors.GEOSException) as wrong:
            yield number, f"{geometry_column}: {wrong}"
            continue
        yield number, row


def _geometry(blob: Any) -> dict[str, Any] | None:
    """GeoPackage binary (2.1.3): a header, then WKB."""
    if blob is None:
        return None
    if not isinstance(blob, bytes) or blob[:2] != b"GP" or len(blob) < 8:
        raise ValueError("not GeoPackage geometry")
    flags = blob[3]
    envelope = _ENVELOPE_BYTES.get(flags >> 1 & 7)
    if envelope is None:
        raise ValueError("unknown envelope")
    if flags >> 4 & 1:
        return None  # declared empty
    shape = shapely.force_2d(shapely.from_wkb(blob[8 + envelope :]))
    found: dict[str, Any] = mapping(shape)
    return {"type": found["type"], "coordinates": _lists(found["coordinates"])}


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, tuple | list) else value
