# SPDX-License-Identifier: EUPL-1.2
"""Rows to readings and things. What is wrong comes back as rejects, with column and reason."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import quote

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError, Invalid
from poorter.city.ids import check_uri
from poorter.city.place import check_geometry
from poorter.load.grids import to_wgs84
from poorter.load.mapping import Map, Part, Readings, Things, Value
from poorter.load.moments import Moments
from poorter.store.contract import Reading

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """A row or cell that was refused."""

    line: int
    column: str
    value: str
    reason: str


@dataclass(slots=True)
class Taken:
    """What came of one row: readings or one thing, cells that were empty, and rejects."""

    readings: list[Reading]
    thing: Entity | None
    missing: int
    rejects: list[Reject]


Taker = Callable[[int, Row], Taken]
Now = Callable[[], int]


def make_taker(map_: Map, now: Now, late_us: int | None = None) -> Taker:
    """The function that takes rows by this map. Readings after `now()` are refused, and those more
    than `late_us` before it where that is given."""
    comma = map_.source.decimal == ","
    if map_.things is not None:
        return _Things(map_.things, now, late_us, comma).take
    assert map_.readings is not None
    if map_.readings.wide is not None:
        return _Wide(map_.readings, map_.readings.wide, now, late_us, comma).take
    return _Long(map_.readings, now, late_us, comma).take


class Template:
    """Text with {columns}; in ids each value is percent-encoded, so any name makes a URI."""

    def __init__(self, text: str, encode: bool) -> None:
        self._parts = re.split(r"\{([^{}]+)\}", text)
        self._encode = encode
        #: what was filled in, by the values
        self.known: dict[tuple[Any, ...], str] = {}
        self.columns = self._parts[1::2]
        if not self.columns and not encode:
            raise Invalid(f"{text!r} names no {{column}}")

    def fill(self, row: Row) -> str:
        """The text with a row's values. Raises Invalid where one is empty or can't be printed."""
        return self.fill_in(tuple([row.get(column) for column in self.columns]))

    def fill_in(self, values: tuple[Any, ...]) -> str:
        """The same, given the values of its columns."""
        known = self.known.get(values) if self._encode else None
        if known is not None:
            return known
        parts = list(self._parts)
        for position, value in enumerate(values):
            if value is None or value == "":
                raise Invalid(f"{self.columns[position]} is empty")
            text = str(value).strip()
            if not text.isprintable():
                raise Invalid(f"{self.columns[position]} holds characters that can't be printed")
            parts[2 * position + 1] = quote(text, safe="") if self._encode else text
        filled = "".join(parts)
        if self._encode:
            check_uri(filled)
            if len(self.known) < 100_000:
                self.known[values] = filled
        return filled


def time_template(text: str) -> Template:
    """Of the moment: the name of a column, or a text with {columns}."""
    return Template(text if "{" in text else "{" + text + "}", encode=False)


class _Long:
    """One row, one moment of one entity, one or more attributes."""

    def __init__(self, map_: Readings, now: Now, late_us: int | None, comma: bool) -> None:
        self._comma = comma
        self._id = Template(map_.id, encode=True)
        self._time = time_template(map_.time)
        self._single = self._time.columns[0] if map_.time == self._time.columns[0] else None
        self._moments = Moments(map_.time_format, map_.time_zone, now, late_us)
        self._values = [(value, frozenset(value.missing)) for value in map_.values]

    def take(self, line: int, row: Row) -> Taken:
        try:
            urn = self._id.fill(row)
            raw = row.get(self._single) if self._single else self._time.fill(row)
            if raw is None or raw == "":
                raise Invalid(f"{self._single} is empty")
            at_us = self._moments.read(raw, urn)
        except CityError as wrong:
            return Taken([], None, 0, [row_reject(line, row.values(), wrong.detail)])
        taken = Taken([], None, 0, [])
        for value, missing in self._values:
            cell = row.get(value.column)
            if cell is None or cell == "" or (missing and str(cell).strip() in missing):
                taken.missing += 1
                continue
            _take_cell(taken, line, urn, at_us, value, cell, value.column, self._comma)
        return taken


class _Wide:
    """One row, one moment; one column, one entity."""

    def __init__(
        self, map_: Readings, value: Value, now: Now, late_us: int | None, comma: bool
    ) -> None:
        self._comma = comma
        self._time = time_template(map_.time)
        self._moments = Moments(map_.time_format, map_.time_zone, now, late_us)
        self._id = map_.id
        self._value = value
        self._missing = frozenset(value.missing)
        self._only = frozenset(map_.columns)
        self._without = frozenset((*map_.without, *self._time.columns))
        self._urns: dict[str, str | None] = {}

    def take(self, line: int, row: Row) -> Taken:
        try:
            at_us = self._moments.read(self._time.fill(row), "row")
        except CityError as wrong:
            return Taken([], None, 0, [row_reject(line, row.values(), wrong.detail)])
        taken = Taken([], None, 0, [])
        urns, missing, value, comma = self._urns, self._missing, self._value, self._comma
        for column, cell in row.items():
            if column in urns:
                urn = urns[column]
            else:
                urn = urns[column] = self._urn(column)
            if urn is None:
                continue
            if cell is None or cell == "" or (missing and str(cell).strip() in missing):
                taken.missing += 1
                continue
            _take_cell(taken, line, urn, at_us, value, cell, column, comma)
        return taken

    def _urn(self, column: str) -> str | None:
        if column in self._without or (self._only and column not in self._only):
            return None
        return Template(self._id, encode=True).fill({"column": column})


def _take_cell(
    taken: Taken,
    line: int,
    urn: str,
    at_us: int,
    value: Value,
    cell: Any,
    column: str,
    comma: bool,
) -> None:
    try:
        number = take_value(cell, value, comma)
    except CityError as wrong:
        taken.rejects.append(Reject(line, column, str(cell)[:200], wrong.detail))
        return
    taken.readings.append(Reading(urn, value.attribute, at_us, number, None, 0, value.unit))


def take_value(cell: Any, value: Value, comma: bool) -> Any:
    """A cell as the map wants it. Raises Invalid, also outside the map's bounds."""
    number = read_value(cell, value.kind, comma)
    if value.kind != "text":
        if value.minimum is not None and number < value.minimum:
            raise Invalid(f"under the minimum of {value.minimum:g}")
        if value.maximum is not None and number > value.maximum:
            raise Invalid(f"over the maximum of {value.maximum:g}")
    return number


#: 1.234,5 where the comma is the decimal mark
_WITH_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d*)?")


def read_value(cell: Any, kind: str, comma: bool = False) -> Any:
    """A cell as number, whole number or text. `comma`: it is the decimal mark.

    Raises Invalid; NaN and infinities are no numbers, nor is what only Python reads as one.
    """
    if kind == "text":
        text = str(cell).strip()
        if not text.isprintable():
            raise Invalid("holds characters that can't be printed, or is not UTF-8")
        return text
    if isinstance(cell, str):
        if comma:
            cell = _with_point(cell.strip())
        if "_" in cell or not cell.isascii():
            raise Invalid("not a number")
        try:
            return int(cell)
        except ValueError:
            pass
    elif isinstance(cell, bool):
        raise Invalid("not a number")
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        raise Invalid("not a number") from None
    if not math.isfinite(number):
        raise Invalid("not a finite number")
    if kind == "integer":
        if number != int(number):
            raise Invalid("not a whole number")
        return int(number)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _with_point(text: str) -> str:
    if not _WITH_COMMA.fullmatch(text):
        raise Invalid("not a number with a decimal comma")
    return text.replace(".", "").replace(",", ".")


class _Things:
    """One row, one entity."""

    def __init__(self, map_: Things, now: Now, late_us: int | None, comma: bool) -> None:
        self._map = map_
        self._comma = comma
        self._id = Template(map_.id, encode=True)
        self._time = time_template(map_.time) if map_.time else None
        self._moments = Moments(map_.time_format, map_.time_zone, now, late_us)

    def take(self, line: int, row: Row) -> Taken:
        column = "(id)"
        try:
            urn = self._id.fill(row)
            column = self._map.time
            at_us = None
            if self._time is not None:
                at_us = self._moments.read(self._time.fill(row))
            attributes = []
            missing = 0
            for part in self._map.parts:
                column = part.column or part.longitude
                attribute = _attribute(part, row, at_us, self._comma)
                if attribute is None:
                    missing += 1
                else:
                    attributes.append(attribute)
        except CityError as wrong:
            return Taken(
                [], None, 0, [Reject(line, column, str(row.get(column, ""))[:200], wrong.detail)]
            )
        return Taken([], Entity(urn, (self._map.type,), tuple(attributes)), missing, [])


def _attribute(part: Part, row: Row, at_us: int | None, comma: bool) -> Attribute | None:
    if part.kind == "point":
        return _point(part, row, at_us if part.moves else None, comma)
    cell = row.get(part.column)
    if cell is None or cell == "" or str(cell) in part.missing:
        if part.required:
            raise Invalid(f"{part.column} is empty")
        return None
    if part.kind == "geometry":
        shape = to_wgs84(cell, part.crs) if part.crs else cell
        return Attribute(part.attribute, check_geometry(shape), "GeoProperty")
    if part.kind == "relationship":
        urn = check_uri(part.prefix + quote(str(cell).strip(), safe=""), part.column)
        return Attribute(part.attribute, urn, "Relationship")
    if part.kind == "choice":
        chosen = part.choices.get(str(cell).strip())
        if chosen is None:
            raise Invalid(f"{cell!r:.60} is not among {', '.join(part.choices)}")
        return Attribute(part.attribute, chosen, observed_at_us=at_us)
    observed_at_us = at_us if part.kind in ("number", "integer") else None
    value = read_value(cell, part.kind, comma)
    return Attribute(part.attribute, value, observed_at_us=observed_at_us, unit_code=part.unit)


def _point(part: Part, row: Row, at_us: int | None, comma: bool) -> Attribute | None:
    cells = (row.get(part.longitude), row.get(part.latitude))
    if all(cell is None or cell == "" for cell in cells):
        if part.required:
            raise Invalid(f"{part.longitude} and {part.latitude} are empty")
        return None
    position = [float(read_value(cell, "number", comma)) for cell in cells]
    shape = {"type": "Point", "coordinates": position}
    geometry = check_geometry(to_wgs84(shape, part.crs) if part.crs else shape)
    return Attribute(part.attribute, geometry, "GeoProperty", at_us)


def row_reject(line: int, cells: Iterable[Any], reason: str) -> Reject:
    """A whole row that is refused, by its first cells."""
    return Reject(line, "(row)", ",".join(map(str, islice(cells, 4)))[:200], reason)
