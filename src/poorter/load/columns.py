# SPDX-License-Identifier: EUPL-1.2
"""Many rows of a table at once to readings: column by column, so that a cell costs no call.

A column in which anything is out of the ordinary is looked at cell by cell, as `rows` does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Protocol

from poorter.city.errors import CityError, Invalid
from poorter.load.mapping import Map, Readings, Value
from poorter.load.moments import Moments
from poorter.load.rows import Now, Reject, Template, row_reject, take_value, time_template
from poorter.store.series import Series

_EXACT = 2**53
#: (line, cells), or why the row is refused
Record = tuple[int, list[str] | str]


@dataclass(slots=True)
class Block:
    """What came of some rows: readings, cells that were empty, and rejects in the file's order."""

    series: list[Series] = field(default_factory=list)
    missing: int = 0
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(one.moments_us) for one in self.series)


class BlockTaker(Protocol):
    """Takes rows by a map."""

    #: cells with a value in each row
    width: int

    def take(self, records: Sequence[Record], skip: int = 0) -> Block:
        """Of the first `skip` nothing is kept but what they tell about those after them."""
        ...


def make_block_taker(map_: Map, header: Sequence[str], now: Now) -> BlockTaker:
    """For a table with these columns. Raises Invalid for a map that doesn't fit."""
    assert map_.readings is not None
    comma = map_.source.decimal == ","
    if map_.readings.wide is None:
        return _Long(map_.readings, header, now, comma)
    return _Wide(map_.readings, map_.readings.wide, header, now, comma)


class _Rows:
    """The rows of a block that are whole: their places in it, and their moments."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self.places: list[int] = []
        self.moments_us: list[int] = []
        #: (place of row, of column, reject): to bring them into the order of the file
        self.rejects: list[tuple[int, int, Reject]] = []

    def cells(self) -> list[Any]:
        """Those of each row."""
        records = self._records
        return [records[place][1] for place in self.places]

    def line(self, row: int) -> int:
        """Where a row is in the file."""
        return self._records[self.places[row]][0]

    def refuse(self, place: int, reject: Reject, column: int = -1) -> None:
        self.rejects.append((place, column, reject))

    def block(self, series: list[Series], missing: int) -> Block:
        self.rejects.sort(key=lambda one: one[:2])
        return Block(series, missing, [reject for _, _, reject in self.rejects])


class _Column:
    """A column with values."""

    def __init__(self, place: int, name: str, value: Value, comma: bool) -> None:
        self.place = place
        self.value = value
        self._name = name
        self._comma = comma
        self._missing = frozenset(value.missing)

    def read(self, cells: Sequence[str], rows: _Rows) -> tuple[Sequence[Any], Sequence[bool], int]:
        """The values, of which cells they are (empty: of all), and how many cells have none."""
        there = self._there(cells)
        present = list(compress(cells, there)) if there else cells
        missing = len(cells) - len(present)
        values = self._together(present)
        if values is None:
            values, there = self._one_by_one(cells, there or [True] * len(cells), rows)
        return values, there, missing

    def _there(self, cells: Sequence[str]) -> list[bool]:
        missing = self._missing
        if missing and not missing.isdisjoint(map(str.strip, cells)):
            return [cell != "" and cell.strip() not in missing for cell in cells]
        return [cell != "" for cell in cells] if "" in cells else []

    def _one_by_one(
        self, cells: Sequence[str], there: list[bool], rows: _Rows
    ) -> tuple[list[Any], list[bool]]:
        values, taken = [], list(there)
        for at in compress(range(len(cells)), there):
            try:
                values.append(take_value(cells[at], self.value, self._comma))
            except CityError as wrong:
                taken[at] = False
                reject = Reject(rows.line(at), self._name, cells[at][:200], wrong.detail)
                rows.refuse(rows.places[at], reject, self.place)
        return values, taken

    def _together(self, cells: Sequence[str]) -> Sequence[Any] | None:
        """All of them as numbers, where each is one and none is out of bounds."""
        if not cells:
            return []
        numbers = None if self.value.kind == "text" else self._numbers(cells)
        if numbers is None:
            return None
        least, most = self.value.minimum, self.value.maximum
        if least is not None and min(numbers) < least:
            return None
        return None if most is not None and max(numbers) > most else numbers

    def _numbers(self, cells: Sequence[str]) -> Sequence[Any] | None:
        text = "".join(cells)
        if not text.isascii() or "_" in text:
            return None
        try:
            return list(map(int, cells))
        except ValueError:
            pass
        if self._comma or self.value.kind == "integer":
            return None
        try:
            numbers = list(map(float, cells))
        except ValueError:
            return None
        if not all(map(math.isfinite, numbers)) or max(map(abs, numbers)) >= _EXACT:
            return None
        return [int(number) if number.is_integer() else number for number in numbers]


class _Wide:
    """One row, one moment; one column, one entity."""

    def __init__(
        self, map_: Readings, value: Value, header: Sequence[str], now: Now, comma: bool
    ) -> None:
        self._time = time_template(map_.time)
        self._moments = Moments(map_.time_format, map_.time_zone, now)
        self._of_time = [header.index(name) for name in self._time.columns]
        without = {*map_.without, *self._time.columns}
        template = Template(map_.id, encode=True)
        self._columns = [
            (template.fill({"column": name}), _Column(place, name, value, comma))
            for place, name in enumerate(header)
            if name not in without and (not map_.columns or name in map_.columns)
        ]
        self.width = len(self._columns)

    def take(self, records: Sequence[Record], skip: int = 0) -> Block:
        rows = _Rows(records)
        for place, (line, cells) in enumerate(records):
            if isinstance(cells, str):
                if place >= skip:
                    rows.refuse(place, Reject(line, "(row)", "", cells))
                continue
            try:
                text = self._time.fill_in(tuple([cells[at] for at in self._of_time]))
                at_us = self._moments.read(text, "row")
            except CityError as wrong:
                if place >= skip:
                    rows.refuse(place, row_reject(line, cells, wrong.detail))
                continue
            if place >= skip:
                rows.places.append(place)
                rows.moments_us.append(at_us)
        series, missing = [], 0
        by_column = list(zip(*rows.cells(), strict=True))
        for urn, column in self._columns if by_column else ():
            values, there, empty = column.read(by_column[column.place], rows)
            missing += empty
            if values:
                moments_us = list(compress(rows.moments_us, there)) if there else rows.moments_us
                value = column.value
                series.append(Series(urn, value.attribute, moments_us, values, None, 0, value.unit))
        return rows.block(series, missing)


class _Long:
    """One row, one moment of one entity, one or more attributes."""

    def __init__(self, map_: Readings, header: Sequence[str], now: Now, comma: bool) -> None:
        self._id = Template(map_.id, encode=True)
        self._time = time_template(map_.time)
        self._moments = Moments(map_.time_format, map_.time_zone, now)
        self._of_id = [header.index(name) for name in self._id.columns]
        self._of_time = [header.index(name) for name in self._time.columns]
        self._single = map_.time == self._time.columns[0]
        self._columns = [
            _Column(header.index(value.column), value.column, value, comma) for value in map_.values
        ]
        self.width = len(self._columns)

    def take(self, records: Sequence[Record], skip: int = 0) -> Block:
        rows, urns = _Rows(records), []
        places, moments_us, of_id, single = rows.places, rows.moments_us, self._of_id, self._single
        of_time = self._of_time[0]
        urn_of, known = self._id.known, self._moments.known
        for place, (line, cells) in enumerate(records):
            if isinstance(cells, str):
                if place >= skip:
                    rows.refuse(place, Reject(line, "(row)", "", cells))
                continue
            key = tuple([cells[at] for at in of_id])
            text = cells[of_time] if single else ""
            try:
                urn = urn_of.get(key) or self._id.fill_in(key)
                at_us = known.get(text)
                if at_us is None:
                    at_us = self._moments.read(text or self._moment(cells), urn)
            except CityError as wrong:
                if place >= skip:
                    rows.refuse(place, row_reject(line, cells, wrong.detail))
                continue
            if place >= skip:
                places.append(place)
                moments_us.append(at_us)
                urns.append(urn)
        series: list[Series] = []
        missing, whole = 0, rows.cells()
        for column in self._columns:
            at = column.place
            values, there, empty = column.read([cells[at] for cells in whole], rows)
            missing += empty
            series += _by_urn(column.value, urns, rows.moments_us, values, there)
        return rows.block(series, missing)

    def _moment(self, cells: list[str]) -> str:
        if self._single:
            raise Invalid(f"{self._time.columns[0]} is empty")
        return self._time.fill_in(tuple([cells[at] for at in self._of_time]))


def _by_urn(
    value: Value,
    urns: Sequence[str],
    moments_us: Sequence[int],
    values: Sequence[Any],
    there: Sequence[bool],
) -> list[Series]:
    if there:
        urns, moments_us = list(compress(urns, there)), list(compress(moments_us, there))
    places: dict[str, list[int]] = defaultdict(list)
    for place, urn in enumerate(urns):
        places[urn].append(place)
    return [
        Series(
            urn,
            value.attribute,
            [moments_us[at] for at in own],
            [values[at] for at in own],
            None,
            0,
            value.unit,
        )
        for urn, own in places.items()
    ]
