# SPDX-License-Identifier: EUPL-1.2
"""Rows taken column by column come to exactly what they come to one by one."""

import csv
import io
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poorter.city.errors import CityError
from poorter.load.columns import make_block_taker
from poorter.load.mapping import Map, parse_map
from poorter.load.rows import Reject, make_taker
from poorter.load.sources.separated import read_csv, read_table
from poorter.store.contract import Reading
from poorter.store.series import InSeries

NOW_US = 1_767_312_000_000_000
WIDE = """
title = "t"
[source]
format = "csv"
decimal = "{decimal}"
separator = ";"
[readings]
type = "T"
id = "urn:x:{{column}}"
time = "at"
time_format = "{time}"
time_zone = "Europe/Amsterdam"
without = ["note"]
[readings.wide]
column = "*"
attribute = "n"
kind = "{kind}"
unit = "CEL"
minimum = -5
maximum = 1e16
missing = ["-", "NA"]
"""
LONG = WIDE.split("without", maxsplit=1)[0].replace("{{column}}", "{{a}}-{{b}}") + "".join(
    f"""
[[readings.values]]
column = "{name}"
attribute = "{name}"
kind = "{{kind}}"
{more}
"""
    for name, more in (("c", 'minimum = 0\nmissing = ["-"]'), ("note", "maximum = 7"))
)
HEADER = ["at", "a", "b", "c", "note"]
PLAIN = [*map(str, range(7)), ""]
ODD = [
    *("-", " NA ", "3.5", " 4", "5.0", "1e3", "nan", "-inf", "1_0", "x", "é", "٣", "1001", "1,5"),
    *(
        "1.234,5",
        "9" * 25,
        "-7",
        "12",
        "9007199254740993",
        "-0",
        "0.1",
        "\ufeff1",
        "a\tb",
        "1e400",
        "+6",
    ),
]
TIMES = [
    *("2025-10-26 02:30", "2025-10-26 02:45", "2025-10-26 01:00", "2025-03-30 02:30"),
    *("2025-06-01 12:00", "2025-06-01 13:00", "2999-01-01 00:00", "soon", ""),
]
cells = st.sampled_from(PLAIN)
rows = st.tuples(st.sampled_from(TIMES), cells, cells, cells, cells)


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """Rows in which few cells are odd: else a column of plain ones is rare."""
    lines = [list(row) for row in draw(st.lists(rows, max_size=14))]
    for row, column, cell in draw(
        st.lists(st.tuples(st.integers(0, 13), st.integers(1, 4), st.sampled_from(ODD)), max_size=4)
    ):
        if row < len(lines):
            lines[row][column] = cell
    return [tuple(line) for line in lines]


def as_file(lines: list[tuple[str, ...]]) -> bytes:
    made = io.StringIO()
    writer = csv.writer(made, delimiter=";")
    writer.writerow(HEADER)
    writer.writerows(lines)
    return made.getvalue().encode()


def one_by_one(map_: Map, raw: bytes) -> tuple[list[Reading], int, list[Reject]]:
    take = make_taker(map_, lambda: NOW_US)
    readings, missing, rejects = [], 0, []
    for line, row in read_csv(Path("x"), io.BufferedReader(io.BytesIO(raw)), map_.source):  # type: ignore[arg-type]
        if isinstance(row, str):
            rejects.append(Reject(line, "(row)", "", row))
            continue
        taken = take(line, row)
        readings += taken.readings
        missing += taken.missing
        rejects += taken.rejects
    return readings, missing, rejects


def together(map_: Map, raw: bytes, size: int) -> tuple[list[Reading], int, list[Reject]]:
    records = read_table(Path("x"), io.BufferedReader(io.BytesIO(raw)), map_.source)  # type: ignore[arg-type]
    (_, header), *rest = records
    taker = make_block_taker(map_, header, lambda: NOW_US)
    readings: list[Reading] = []
    missing, rejects = 0, []
    for start in range(0, len(rest), size):
        block = taker.take(rest[start : start + size])
        readings += InSeries(block.series)
        missing += block.missing
        rejects += block.rejects
    return readings, missing, rejects


def by_instance(readings: list[Reading]) -> dict[Any, list[Any]]:
    """Readings of each instance in their order, values told apart by their type."""
    found: dict[Any, list[Any]] = {}
    for one in readings:
        of_one = found.setdefault((one.urn, one.name), [])
        of_one.append((one, type(one.value)))
    return found


@pytest.mark.parametrize("text", [WIDE, LONG], ids=["wide", "long"])
@settings(max_examples=100, deadline=None)
@given(
    lines=tables(),
    kind=st.sampled_from(["number", "integer", "text"]),
    decimal=st.sampled_from([".", ","]),
    size=st.integers(1, 20),
)
def test_columns_come_to_what_rows_come_to(
    text: str, lines: list[tuple[str, ...]], kind: str, decimal: str, size: int
) -> None:
    map_ = parse_map(text.format(kind=kind, decimal=decimal, time="%Y-%m-%d %H:%M"))
    raw = as_file(lines)
    expected = one_by_one(map_, raw)
    found = together(map_, raw, size)
    assert by_instance(found[0]) == by_instance(expected[0])
    assert found[1:] == expected[1:]


@pytest.mark.parametrize("text", [WIDE, LONG], ids=["wide", "long"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("kind", ["number", "integer", "text"])
def test_one_odd_cell_among_plain_ones(text: str, kind: str, decimal: str) -> None:
    map_ = parse_map(text.format(kind=kind, decimal=decimal, time="%Y-%m-%d %H:%M"))
    for odd, plain in product(ODD, ("3", "0.5")):
        lines = [(f"2025-06-01 1{n}:00", "1", "2", odd if n == 2 else plain, "4") for n in range(4)]
        raw = as_file(lines)
        expected, found = one_by_one(map_, raw), together(map_, raw, 4)
        assert by_instance(found[0]) == by_instance(expected[0]), odd
        assert found[1:] == expected[1:], odd


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(rows, min_size=1, max_size=12), data=st.data())
def test_skipped_rows_tell_the_hour_that_comes_twice_and_nothing_else(
    lines: list[tuple[str, ...]], data: st.DataObject
) -> None:
    skip = data.draw(st.integers(0, len(lines)))
    map_ = parse_map(WIDE.format(kind="number", decimal=".", time="%Y-%m-%d %H:%M"))
    records = list(enumerate([list(line) for line in lines], 2))
    whole = make_block_taker(map_, HEADER, lambda: NOW_US).take(records)  # type: ignore[arg-type]
    rest = make_block_taker(map_, HEADER, lambda: NOW_US).take(records, skip)  # type: ignore[arg-type]
    assert rest.rejects == [one for one in whole.rejects if one.line >= skip + 2]
    for urn, all_of_it in by_instance(list(InSeries(whole.series))).items():
        left = by_instance(list(InSeries(rest.series))).get(urn, [])
        assert left == all_of_it[len(all_of_it) - len(left) :]


def test_a_map_that_makes_no_id_of_a_column_is_refused_at_once() -> None:
    map_ = parse_map(WIDE.format(kind="number", decimal=".", time="iso"))
    with pytest.raises(CityError, match="can't be printed"):
        make_block_taker(map_, ["at", "a\0"], lambda: NOW_US)
