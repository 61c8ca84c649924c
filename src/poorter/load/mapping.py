# SPDX-License-Identifier: EUPL-1.2
"""A map: which columns of a file are which attributes of which entities. TOML, checked as read."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from poorter.city.errors import Invalid, NotFound

Format = Literal["csv", "json", "geojson", "xml", "excel", "geopackage"]
TimeFormat = str  # "iso", "unix", "unix-ms", or a strptime format


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is read."""

    format: Format
    separator: str = ","
    header: list[str] = []
    skip_lines: int = 0
    records: str = ""  # JSON: path to the list; XML: local name of the record element
    sheet: str = ""  # Excel sheet or GeoPackage table; first one when empty
    member: str = ""  # file in a zip; the only one when empty


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attribute of readings. Outside minimum..maximum a reading is refused, not bent."""

    column: str
    attribute: str
    unit: str | None = None
    kind: Literal["number", "integer", "text"] = "number"
    minimum: float | None = None
    maximum: float | None = None
    missing: list[str] = []


class Readings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that are readings. Long: `values` name columns. Wide: one column is one entity."""

    type: str
    id: str
    time: str
    values: list[Value] = []
    time_format: TimeFormat = "iso"
    time_zone: str = "UTC"
    wide: Value | None = None
    columns: list[str] = []  # wide: these columns only; all but `except` when empty
    without: list[str] = []


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attribute of things."""

    attribute: str
    column: str = ""
    kind: Literal["text", "number", "integer", "geometry", "point", "relationship", "choice"] = (
        "text"
    )
    longitude: str = ""
    latitude: str = ""
    crs: str = ""  # of point and geometry, such as "EPSG:28992"; WGS 84 when empty
    prefix: str = ""  # relationship: what goes before the column's value
    unit: str | None = None
    missing: list[str] = []
    choices: dict[str, str] = {}
    required: bool = False


class Things(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that are things: one entity each, written whole or not at all."""

    type: str
    id: str
    parts: list[Part]
    time: str = ""  # observedAt of numbers and choices, where the row has one
    time_format: TimeFormat = "iso"
    time_zone: str = "UTC"


class Map(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole map. `title` says for which file it was made."""

    title: str
    source: Source
    readings: Readings | None = None
    things: Things | None = None


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
