# SPDX-License-Identifier: EUPL-1.2
"""A map: which columns of a file are which attributes of which entities. TOML, checked as read."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from poorter.city.errors import Invalid, NotFound

Format = Literal["csv", "json", "geojson", "xml", "excel", "geopackage", "gtfs-rt"]
PartKind = Literal["text", "number", "integer", "geometry", "point", "relationship", "choice"]
TimeFormat = str  # "iso", "unix", "unix-ms", or a strptime format


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is read."""

    format: Format  # csv, json, geojson, xml, excel, geopackage or gtfs-rt; .ndjson is JSON too
    separator: str = ","  # CSV: between cells
    encoding: str = "utf-8"  # CSV: "utf-8", "cp1252", "utf-16", ...
    decimal: Literal[".", ","] = "."  # CSV: "," for 1,5 and 1.234,5
    header: list[str] = []  # names of the columns, where the file has no header line
    skip_lines: int = 0  # CSV, Excel: lines before the header
    records: str = ""  # JSON: path to the list; XML: name of the record element; GTFS-RT: which
    sheet: str = ""  # Excel sheet or GeoPackage table; first one when empty
    member: str = ""  # file in a zip; the only one when empty


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attribute of readings. Outside minimum..maximum a reading is refused, not bent."""

    column: str  # where the value is; "*" when wide
    attribute: str  # what it becomes
    unit: str | None = None  # UN/CEFACT code
    kind: Literal["number", "integer", "text"] = "number"  # what a cell must be
    minimum: float | None = None  # below it a cell is refused
    maximum: float | None = None  # above it a cell is refused
    missing: list[str] = []  # texts that mean that there is no value


class Readings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that are readings. Long: `values` name columns. Wide: one column is one entity."""

    type: str  # of the entities that are read
    id: str  # their id, with {columns} in it; wide: {column}
    time: str  # column of the moment, or a text with {columns}
    values: list[Value] = []  # long: the columns with values
    time_format: TimeFormat = "iso"  # iso, unix, unix-ms, or as strptime has it
    time_zone: str = "UTC"  # of times that don't say theirs
    wide: Value | None = None  # wide: what each cell is
    columns: list[str] = []  # wide: these columns only; all but `without` when empty
    without: list[str] = []  # wide: columns that are no entity

    def needs(self) -> frozenset[str]:
        """Columns that a file must have."""
        own = _named(self.id) if self.wide is None else ()
        named = (value.column for value in self.values)
        return frozenset((*own, *_named(self.time, whole=True), *named, *self.columns))


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attribute of things."""

    attribute: str  # what it becomes
    column: str = ""  # where it is
    kind: PartKind = "text"  # text, number, integer, geometry, point, relationship or choice
    longitude: str = ""  # point: column, in degrees or as `crs` has it
    latitude: str = ""  # point: column
    moves: bool = False  # point: it moves, so where it is has a moment
    crs: str = ""  # of point and geometry, such as "EPSG:28992"; WGS 84 when empty
    prefix: str = ""  # relationship: what goes before the column's value
    unit: str | None = None  # UN/CEFACT code
    missing: list[str] = []  # texts that mean that there is no value
    choices: dict[str, str] = {}  # choice: what each text of the file becomes
    required: bool = False  # a row without it is refused


class Things(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that are things: one entity each, written whole or not at all."""

    type: str  # of the entities
    id: str  # their id, with {columns} in it
    parts: list[Part]  # their attributes
    time: str = ""  # observedAt of numbers and choices, where the row has one
    time_format: TimeFormat = "iso"  # iso, unix, unix-ms, or as strptime has it
    time_zone: str = "UTC"  # of times that don't say theirs

    def needs(self) -> frozenset[str]:
        """Columns that a file must have."""
        named = [*_named(self.id), *(_named(self.time, whole=True) if self.time else ())]
        for part in self.parts:
            named += filter(None, (part.column, part.longitude, part.latitude))
        return frozenset(named)


class Map(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole map. `title` says for which file it was made."""

    title: str  # for which file it was made
    source: Source  # how the file is read
    readings: Readings | None = None  # rows are readings, or
    things: Things | None = None  # rows are things

    def needs(self) -> frozenset[str]:
        """Columns that a file must have; a nested one as its path."""
        rows = self.things or self.readings
        return frozenset() if rows is None else rows.needs()


def _named(text: str, whole: bool = False) -> list[str]:
    """The {columns} in a text; `whole`: a text without braces is one."""
    found = re.findall(r"\{([^{}]+)\}", text)
    return found or ([text] if whole else [])


def read_map(name: str) -> Map:
    """A map file, or one that comes with Poorter by its name.

    Raises: NotFound when there is neither, Invalid naming the setting that is wrong.
    """
    path = Path(name)
    if path.suffix == ".toml" and path.exists():
        text = path.read_text("utf-8")
    else:
        shipped = files("poorter.load").joinpath("maps", f"{Path(name).stem}.toml")
        if not shipped.is_file():
            raise NotFound(f"there is no map {name}: see poorter maps")
        text = shipped.read_text("utf-8")
    return parse_map(text, name)


def parse_map(text: str, name: str = "map") -> Map:
    """A map from its text."""
    try:
        found = msgspec.convert(tomllib.loads(text), Map)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as wrong:
        raise Invalid(f"{name}: {wrong}") from None
    if (found.readings is None) == (found.things is None):
        raise Invalid(f"{name}: a map describes either readings or things")
    readings = found.readings
    if readings is not None and bool(readings.values) == (readings.wide is not None):
        raise Invalid(f"{name}: readings are long (values) or wide (wide), one of the two")
    return found


def shipped_maps() -> list[tuple[str, str]]:
    """(name, title) of the maps that come with Poorter."""
    found: list[tuple[str, str]] = []
    for entry in files("poorter.load").joinpath("maps").iterdir():
        if entry.name.endswith(".toml"):
            title: Any = tomllib.loads(entry.read_text("utf-8")).get("title", "")
            found.append((entry.name.removesuffix(".toml"), title))
    return sorted(found)
