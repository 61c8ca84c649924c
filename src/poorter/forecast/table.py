# SPDX-License-Identifier: EUPL-1.2
"""A table of counts by hour and place, from a wide or a long CSV. What is missing is NaN.

Values that can't be are made missing by what was known before them only: below zero, or over twice
the known capacity, or over three times the most that was seen in all hours before.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poorter.city.errors import Invalid

Hours = NDArray[np.int64]
Values = NDArray[np.float64]
MAX_GAP_HOURS = 24 * 366 * 20
#: so many hours must have been seen before "more than ever" means anything
SEEN_MIN = 24 * 7
CARRY_HOURS = 24
SILENT_HOURS = 6


@dataclass(frozen=True, slots=True)
class Table:
    """`values[hour, place]`; `hours` is gapless, hours since 1970 UTC. `capacity` NaN: unknown."""

    hours: Hours
    places: tuple[str, ...]
    values: Values
    capacity: Values


def read_table(file: Path, places_file: Path | None = None) -> Table:
    """Read a wide table (a column of hours, then one column a place) or a long one (time, place,
    count). A long one is brought to the hour by its last count in it (`carried`).

    Raises: Invalid for a file that is neither.
    """
    with file.open(encoding="utf-8-sig", newline="") as opened:
        separator = ";" if opened.readline().count(";") else ","
        opened.seek(0)
        reader = csv.reader(opened, delimiter=separator)
        header = next(reader, [])
        first = next(reader, [])
        rows = chain([first], reader)
        if len(header) == 3 and len(first) == 3 and first[1] and np.isnan(_number(first[1])):
            hours, names, values = _long(rows)
        elif len(header) > 1:
            hours, names, values = _wide(rows, header)
        else:
            raise Invalid(f"{file.name} is neither a wide nor a long table")
    capacity = _capacity(places_file, names)
    return Table(hours, names, clean(values, capacity), capacity)


def _wide(reader: Iterable[list[str]], header: list[str]) -> tuple[Hours, tuple[str, ...], Values]:
    names = tuple(header[1:])
    rows: dict[int, list[float]] = {}
    for cells in reader:
        if len(cells) == len(header):
            rows[_hour(cells[0])] = [_number(cell) for cell in cells[1:]]
    hours = _gapless(rows)
    empty = [np.nan] * len(names)
    return hours, names, np.array([rows.get(int(hour), empty) for hour in hours])


def _long(reader: Iterable[list[str]]) -> tuple[Hours, tuple[str, ...], Values]:
    found: dict[str, dict[int, float]] = {}
    for cells in reader:
        if len(cells) == 3:
            found.setdefault(cells[1], {})[_hour(cells[0])] = _number(cells[2])
    names = tuple(sorted(found))
    hours = _gapless({hour for one in found.values() for hour in one})
    values = np.full((len(hours), len(names)), np.nan)
    for column, name in enumerate(names):
        for hour, value in found[name].items():
            values[hour - hours[0], column] = value
    return hours, names, carried(values)


def carried(values: Values) -> Values:
    """A long table often tells changes only: a count stands until the next one, for a day at most,
    and not while the whole source has been silent for over six hours."""
    filled = values.copy()
    alive = -SILENT_HOURS - 1
    since = np.full(values.shape[1], CARRY_HOURS + 1)
    for at in range(len(values)):
        known = ~np.isnan(values[at])
        if known.any():
            alive = at
        since = np.where(known, 0, since + 1)
        stands = (since > 0) & (since <= CARRY_HOURS) & (at - alive <= SILENT_HOURS)
        if at:
            filled[at, stands] = filled[at - 1, stands]
    return filled


def _gapless(hours: Iterable[int]) -> Hours:
    known = sorted(hours)
    if not known or known[-1] - known[0] > MAX_GAP_HOURS:
        raise Invalid("the table holds no hours, or more than twenty years of them")
    return np.arange(known[0], known[-1] + 1, dtype=np.int64)


def _hour(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(f"{text!r:.40} is no time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() // 3600)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _capacity(file: Path | None, names: tuple[str, ...]) -> Values:
    found: dict[str, float] = {}
    if file is not None:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            for row in csv.DictReader(opened):
                total = row.get("num_all") or row.get("capacity") or row.get("total") or ""
                found[row.get("place_id") or row.get("id") or ""] = _number(total)
    return np.array([found.get(name, np.nan) or np.nan for name in names])


def clean(values: Values, capacity: Values) -> Values:
    """Make missing what can't be, going by what came before only."""
    cleaned = values.copy()
    cleaned[~np.isfinite(cleaned) | (cleaned < 0)] = np.nan
    over = cleaned > 2 * np.where(capacity > 0, capacity, np.inf)
    cleaned[over] = np.nan
    for column in range(cleaned.shape[1]):
        _drop_leaps(cleaned[:, column])
    return cleaned


def _drop_leaps(series: Values) -> None:
    """Over three times what was ever seen: a sentinel. In place."""
    most, seen = 0.0, 0
    for at in range(len(series)):
        value = series[at]
        if np.isnan(value):
            continue
        if seen >= SEEN_MIN and value > 3 * most + 10:
            series[at] = np.nan
            continue
        most = max(most, value)
        seen += 1
