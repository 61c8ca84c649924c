# SPDX-License-Identifier: EUPL-1.2
"""Any city's table of counts, brought to one count by hour and place.

Wide (a column of times, then one a place) or long (time, place, count), by commas, semicolons, tabs
or bars; hourly, oftener, or only when something changed. What the header and the first rows don't
tell is said by `Hints`.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from poorter.city.errors import Invalid
from poorter.forecast.moments import Moments, looks_like_time
from poorter.forecast.table import Hours, Table, Values, carried, clean

log = logging.getLogger(__name__)
NO_TIME = "no time that can be read"
SEPARATORS = ",;\t|"
SAMPLE_ROWS = 2000
_EPOCHS = Moments(())
#: what tables say where they have no value
_NO_VALUE = frozenset(("nan", "na", "n/a", "null", "none", "-", "--", "?", ".", "missing"))
SPAN_HOURS_MAX = 24 * 366 * 20
_TIME = re.compile(r"time|date|stamp|hour|utc|datum|zeit|tijd|moment|fecha|updated|epoch", re.I)
_HOUR = re.compile(r"^(hour|uur|stunde|heure|hora|time|tijd|uhrzeit|zeit)$", re.I)
_PLACE = re.compile(
    r"place|parking|garage|sensor|station|facility|counter|lot\b|site|systemcode|parkhaus|location"
    r"|parkplatz|naam|name|(^|_)id$|code",
    re.I,
)
#: from the surest to the least
_COUNT = [
    re.compile(text, re.I)
    for text in (
        r"^(free|frei|vrij|libres?)",
        r"free|avail|vacan|frei|vrij",
        r"count|occup|bezet|belegt|aantal|anzahl",
        r"value|wert|waarde|volume|flow|total",
    )
]
_CAPACITY = re.compile(r"capacity|capacit|num_all|spaces_total|kapaz|total_spaces|^total$", re.I)


@dataclass(frozen=True, slots=True)
class Hints:
    """What the file itself does not tell. Columns by name; `local`: times without a zone are on
    the city's clock, not UTC; `time_format` as strptime has it."""

    time: str = ""
    place: str = ""
    count: str = ""
    time_format: str = ""
    local: bool = False


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which column is what. `place` None: each of `counts` is a place."""

    time: int
    hour: int | None
    place: int | None
    counts: tuple[int, ...]
    capacity: int | None


def read_table(
    file: Path, places_file: Path | None = None, zone: str = "UTC", hints: Hints | None = None
) -> Table:
    """Read a table. A count stands for its hour: the last one that was told in it.

    Raises: Invalid for a file in which no time or no count is found.
    """
    hints = hints or Hints()
    Moments((), zone)  # a zone that there isn't is said before anything is read
    text = _text(file)
    separator = _separator(text, file)
    header, sample = _start(text, separator, file)
    columns = _columns(header, sample, hints, file)
    moments = Moments(
        [_time_of(cells, columns) for cells in sample if len(cells) == len(header)],
        zone if hints.local and "utc" not in header[columns.time].lower() else "UTC",
        hints.time_format,
    )
    comma = separator == ";"
    capacities: dict[str, float] = {}
    left_out: Counter[str] = Counter()
    rows = _rows(text, separator, len(header), left_out)
    if columns.place is None:
        names = tuple(header[at] for at in columns.counts)
        found = _wide(rows, columns, moments, comma, left_out)
    else:
        names, found, capacities = _long(rows, columns, moments, comma, left_out)
    for why, number in left_out.items():
        log.warning("%s: %d rows left out: %s", file.name, number, why)
    hours, values = _gapless(found, len(names), file)
    if columns.place is not None:
        values = carried(values)
    told = _capacities(places_file) | capacities if places_file else capacities
    capacity = np.array([told.get(name, np.nan) for name in names], float)
    return Table(hours, names, clean(values, capacity), capacity)


def _text(file: Path) -> str:
    raw = file.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return raw.decode("utf-16", "replace")
        return raw.decode("cp1252", "replace")  # names only: digits are the same


def _separator(text: str, file: Path) -> str:
    first = text.partition("\n")[0]
    best = max(SEPARATORS, key=first.count)
    if not first.count(best):
        raise Invalid(f"{file.name}: its first line is no header of a table")
    return best


def _rows(text: str, separator: str, width: int, left_out: Counter[str]) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    next(reader, None)
    for cells in reader:
        if len(cells) == width:
            yield cells
        elif cells:
            left_out["not as many columns as the header"] += 1


def _start(text: str, separator: str, file: Path) -> tuple[list[str], list[list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = [name.strip() for name in next(reader, [])]
    sample = [cells for _, cells in zip(range(SAMPLE_ROWS), reader, strict=False)]
    sample = [cells for cells in sample if len(cells) == len(header)]
    if not sample:
        raise Invalid(f"{file.name} holds no rows under its header")
    return header, sample


def _columns(header: list[str], sample: list[list[str]], hints: Hints, file: Path) -> _Columns:
    filled = [
        [cells[at].strip() for cells in sample if cells[at].strip()] for at in range(len(header))
    ]
    number = [bool(own) and _share(own, _is_number) > 0.9 for own in filled]
    time = _named(header, hints.time, file)
    if time is None:
        able = [at for at, own in enumerate(filled) if own and _times(own, header[at])]
        named = [at for at in able if _TIME.search(header[at])]
        able = able or [at for at, own in enumerate(filled) if number[at] and _is_epoch(own)]
        if not able:
            raise Invalid(
                f"{file.name}: no column of times among {', '.join(header)[:300]}; "
                "say which by --time, and how they are written by --time-format"
            )
        time = (named or able)[0]
    hour = None
    if all(":" not in text for text in filled[time]) and not number[time]:
        others = [at for at, name in enumerate(header) if at != time and _HOUR.match(name)]
        hour = others[0] if others else None
    rest = [at for at in range(len(header)) if at not in (time, hour)]
    place = _named(header, hints.place, file)
    if place is None and not hints.count:
        place = _place(header, filled, number, rest, sample, time)
    count = _named(header, hints.count, file)
    if place is None:
        counts = [count] if count is not None else [a for a in rest if number[a] or not filled[a]]
        if not counts:
            raise Invalid(f"{file.name}: no column of counts among {', '.join(header)[:300]}")
        words = [header[at] for at in rest if at not in counts]
        if count is None and words:
            log.warning("%s: no counts in %s: left out", file.name, ", ".join(words)[:300])
        return _Columns(time, hour, None, tuple(counts), None)
    capacity = next((a for a in rest if number[a] and _CAPACITY.search(header[a])), None)
    if count is None:
        able = [a for a in rest if number[a] and a not in (place, capacity)]
        count = _count(header, able, file)
    return _Columns(time, hour, place, (count,), capacity)


def _times(texts: list[str], name: str) -> bool:
    named = bool(_TIME.search(name))
    return _share(texts, lambda text: looks_like_time(text, named)) > 0.9


def _is_epoch(texts: list[str]) -> bool:
    """Whether they are seconds or the like since 1970, whatever the column is called: counts don't
    rise from row to row, all of them to within a century."""
    read = [found for text in texts if (found := _EPOCHS.read(text)) is not None]
    return len(read) == len(texts) and len(set(read)) > 1 and read == sorted(read)


def _named(header: list[str], name: str, file: Path) -> int | None:
    if not name:
        return None
    if name not in header:
        raise Invalid(f"{file.name} has no column {name}; it has {', '.join(header)[:300]}")
    return header.index(name)


def _place(
    header: list[str],
    filled: list[list[str]],
    number: list[bool],
    rest: list[int],
    sample: list[list[str]],
    time: int,
) -> int | None:
    """The column that says which place a row is of; None in a wide table."""
    words = [at for at in rest if filled[at] and not number[at]]
    named = [at for at in words if _PLACE.search(header[at])]
    if named:
        return named[0]
    times = Counter(cells[time] for cells in sample)
    repeated = sum(times.values()) - len(times) > 0.3 * len(sample)
    numbered = [at for at in rest if number[at] and _PLACE.search(header[at])]
    if repeated and numbered and len(rest) <= 8:
        return numbered[0]
    few = len(rest) <= 3 and any(number[at] for at in rest)
    return words[0] if few and len(words) == 1 else None


def _count(header: list[str], able: list[int], file: Path) -> int:
    for pattern in _COUNT:
        for at in able:
            if pattern.search(header[at]):
                return at
    if len(able) != 1:
        raise Invalid(
            f"{file.name}: which column is the count? Say it by --count: {', '.join(header)[:300]}"
        )
    return able[0]


def _time_of(cells: list[str], columns: _Columns) -> str:
    if columns.hour is None:
        return cells[columns.time]
    hour = cells[columns.hour].strip()
    return f"{cells[columns.time].strip()} {hour}" + ("" if ":" in hour else ":00")


_Found = dict[int, dict[int, float]]  # hour -> column -> count


def _wide(
    rows: Iterator[list[str]],
    columns: _Columns,
    moments: Moments,
    comma: bool,
    left_out: Counter[str],
) -> _Found:
    found: _Found = {}
    latest: dict[int, float] = {}
    for cells in rows:
        at = moments.read(_time_of(cells, columns))
        if at is None:
            left_out[NO_TIME] += 1
            continue
        hour = int(at // 3600)
        later = at >= latest.get(hour, at)
        latest[hour] = max(at, latest.get(hour, at))
        own = found.setdefault(hour, {})
        for column, position in enumerate(columns.counts):
            value = to_number(cells[position], comma)
            if value is not None and (later or column not in own):
                own[column] = value
    return found


def _long(
    rows: Iterator[list[str]],
    columns: _Columns,
    moments: Moments,
    comma: bool,
    left_out: Counter[str],
) -> tuple[tuple[str, ...], _Found, dict[str, float]]:
    assert columns.place is not None
    (count,) = columns.counts
    found: dict[str, dict[int, tuple[float, float]]] = {}
    capacities: dict[str, float] = {}
    for cells in rows:
        at = moments.read(_time_of(cells, columns))
        name = cells[columns.place].strip()
        if at is None or not name:
            left_out[NO_TIME if at is None else "no place"] += 1
            continue
        if columns.capacity is not None and name not in capacities:
            total = to_number(cells[columns.capacity], comma)
            if total:
                capacities[name] = total  # the first one told: later ones are not known yet
        value = to_number(cells[count], comma)
        own, hour = found.setdefault(name, {}), int(at // 3600)
        if value is not None and (hour not in own or at >= own[hour][0]):
            own[hour] = (at, value)
    names = tuple(sorted(found))
    hourly: _Found = {}
    for column, name in enumerate(names):
        for hour, (_, value) in found[name].items():
            hourly.setdefault(hour, {})[column] = value
    return names, hourly, capacities


def _gapless(found: _Found, places: int, file: Path) -> tuple[Hours, Values]:
    """All hours from the first to the last; a stray one ten years from the rest is left out."""
    if not found:
        raise Invalid(f"{file.name}: no time in it could be read; say its format")
    known = np.array(sorted(found), dtype=np.int64)
    if known[-1] - known[0] > SPAN_HOURS_MAX:
        known = known[np.abs(known - np.median(known)) <= SPAN_HOURS_MAX / 2]
    hours = np.arange(known[0], known[-1] + 1, dtype=np.int64)
    values = np.full((len(hours), places), np.nan)
    for hour in known.tolist():
        for column, value in found[hour].items():
            values[hour - hours[0], column] = value
    return hours, values


def _capacities(file: Path) -> dict[str, float]:
    text = _text(file)
    separator = _separator(text, file)
    header, _ = _start(text, separator, file)
    total = next((at for at, name in enumerate(header) if _CAPACITY.search(name)), None)
    name = next((at for at, own in enumerate(header) if own in ("place_id", "id")), None)
    if name is None:
        name = next((at for at, own in enumerate(header) if _PLACE.search(own)), None)
    if total is None or name is None:
        raise Invalid(f"{file.name}: place_id and num_all are not among {', '.join(header)[:300]}")
    rows = _rows(text, separator, len(header), Counter())
    told = {cells[name]: to_number(cells[total], separator == ";") for cells in rows}
    return {place: value for place, value in told.items() if value}


def _is_number(text: str) -> bool:
    value = to_number(text, ";" in text or "," in text)
    return value is not None or text.lower() in _NO_VALUE


def to_number(text: str, comma: bool) -> float | None:
    """A cell as a number, None for any other. `comma`: it may be the decimal mark."""
    try:
        value = float(text.replace(",", ".") if comma else text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _share(texts: list[str], fits: Callable[[str], bool]) -> float:
    return sum(map(fits, texts)) / len(texts)
