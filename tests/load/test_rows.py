# SPDX-License-Identifier: EUPL-1.2
"""Rows to readings and things, and every file format, in words where they are refused."""

import gzip
import json
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.permits import permit

from poorter.city.clock import ManualClock
from poorter.city.errors import CityError, Invalid, NotFound
from poorter.gate.permit import ANY_TYPE, TypeRule
from poorter.load.mapping import parse_map, read_map, shipped_maps
from poorter.load.moments import Moments
from poorter.load.rows import read_value
from poorter.load.run import Load, Totals
from poorter.store.sqlite import SqliteStore, open_store

LONG = """
title = "t"
[source]
format = "{format}"
{more}
[readings]
type = "T"
id = "urn:x:{{place}}"
time = "at"
[[readings.values]]
column = "n"
attribute = "n"
minimum = 0
maximum = 100
missing = ["-"]
"""
THINGS = """
title = "t"
[source]
format = "{format}"
{more}
[things]
type = "T"
id = "urn:x:{{id}}"
[[things.parts]]
attribute = "name"
column = "name"
[[things.parts]]
attribute = "location"
column = "geometry"
kind = "geometry"
"""
T0 = "2026-01-01T00:00:00Z"


class Loading:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(1_767_312_000_000_000)
        self.store: SqliteStore = open_store(folder / "city", self.clock)

    def __call__(self, file: Path, map_text: str) -> Totals:
        kinds = {ANY_TYPE: TypeRule(), "record:load": TypeRule(), "record:leaf": TypeRule()}
        permits = {action: permit(action, kinds) for action in ("read", "write")}
        rejects = self.folder / "rejects.csv"
        load = Load(self.store, permits.__getitem__, self.clock, parse_map(map_text), file, rejects)
        return load.run()

    @property
    def rejects(self) -> list[str]:
        file = self.folder / "rejects.csv"
        return file.read_text().splitlines()[1:] if file.exists() else []


@pytest.fixture
def loading(tmp_path: Path) -> Any:
    made = Loading(tmp_path)
    yield made
    made.store.close()


def long(format: str = "csv", more: str = "") -> str:
    return LONG.format(format=format, more=more)


def things(format: str, more: str = "") -> str:
    return THINGS.format(format=format, more=more)


CSV = f"""place,at,n
a,{T0},1
a,{T0},1
a,{T0},2
b,2026-01-01T00:00:00,5
b,{T0},-
b,{T0},
c,{T0},nan
c,{T0},1e400
c,{T0},101
c,{T0},-1
c,{T0},many
c,2999-01-01T00:00:00Z,1
c,soon,1
,{T0},1
c,{T0}
c,{T0},1,2
d é,{T0},7
"""


def test_every_cell_is_counted_once_and_refusals_name_line_column_and_reason(
    loading: Loading, tmp_path: Path
) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(CSV.encode() + b"e\xff," + T0.encode() + b",1\n")
    totals = loading(file, long())
    assert (totals.new, totals.known, totals.corrections) == (3, 1, 1)
    assert totals.missing == 2
    assert totals.rejects == len(loading.rejects) == 11
    assert totals.rows == 18
    counted = totals.new + totals.known + totals.corrections + totals.missing + totals.rejects
    assert counted == totals.rows
    refused = "\n".join(loading.rejects)
    for line, reason in (
        ("8,n,nan", "not a finite number"),
        ("10,n,101", "over the maximum of 100"),
        ("11,n,-1", "under the minimum of 0"),
        ("12,n,many", "not a number"),
        ("13,(row)", "lies in the future"),
        ("15,(row)", "place is empty"),
        ("16,(row)", "2 columns where the header has 3"),
        ("19,(row)", "not UTF-8"),
    ):
        assert any(r.startswith(line) and reason in r for r in loading.rejects), (line, refused)
    again = loading(file, long())
    assert (again.new, again.known) == (0, 5)


def test_the_same_rows_from_every_format(loading: Loading, tmp_path: Path) -> None:
    rows = [{"place": p, "at": T0, "n": n} for p, n in (("a", 1), ("b", 2))]
    csv_file = tmp_path / "x.csv"
    csv_file.write_text(
        "place,at,n\n" + "\n".join(f"{r['place']},{r['at']},{r['n']}" for r in rows)
    )
    zipped = tmp_path / "x.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(csv_file, "inner.csv")
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(csv_file.read_bytes()))
    plain = tmp_path / "x.json"
    plain.write_text(json.dumps({"data": {"rows": rows}}))
    lines = tmp_path / "x.ndjson"
    lines.write_text("\n".join(map(json.dumps, rows)))
    features = [{"type": "Feature", "properties": r, "geometry": None} for r in rows]
    geo = tmp_path / "x.geojson"
    geo.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    xml = tmp_path / "x.xml"
    body = "".join(
        f"<r><place>{r['place']}</place><at>{r['at']}</at><n>{r['n']}</n></r>" for r in rows
    )
    xml.write_text(f'<d xmlns="urn:d">{body}</d>')
    assert loading(csv_file, long()).new == 2
    for file, map_text in (
        (zipped, long()),
        (packed, long()),
        (plain, long("json", 'records = "data.rows"')),
        (lines, long("json")),
        (geo, long("geojson")),
        (xml, long("xml", 'records = "r"')),
    ):
        totals = loading(file, map_text)
        assert (totals.new, totals.known, totals.rejects) == (0, 2, 0), file


def test_wide_tables(loading: Loading, tmp_path: Path) -> None:
    file = tmp_path / "w.csv"
    file.write_text(f"at,a,b\n{T0},1,\n2026-01-01T01:00:00Z,2,3\n")
    wide = (
        'title="t"\n[source]\nformat="csv"\n[readings]\ntype="T"\nid="urn:x:{column}"\ntime="at"\n'
    )
    wide += '[readings.wide]\ncolumn="*"\nattribute="n"\nkind="integer"\n'
    totals = loading(file, wide)
    assert (totals.new, totals.missing, totals.rows) == (3, 1, 2)


def test_a_geopackage(loading: Loading, tmp_path: Path) -> None:
    file = tmp_path / "x.gpkg"
    connection = apsw.Connection(str(file))
    for sql in (
        "CREATE TABLE gpkg_geometry_columns (table_name, column_name, srs_id)",
        "INSERT INTO gpkg_geometry_columns VALUES ('t', 'geom', 4326)",
        "CREATE TABLE t (id, name, geom)",
    ):
        list(connection.execute(sql))
    shape = shapely.Point(5.1, 52.2)
    blob = b"GP\x00\x01" + (4326).to_bytes(4, "little") + shapely.to_wkb(shape)
    list(connection.execute("INSERT INTO t VALUES (1, 'one', ?)", (blob,)))
    list(connection.execute("INSERT INTO t VALUES (2, 'two', ?)", (b"no geometry",)))
    connection.close()
    totals = loading(file, things("geopackage"))
    assert (totals.things, totals.rejects) == (1, 1)
    stored = loading.store.entity(permit("read"), "urn:x:1")
    found = loading.store.decode(stored).value("location")
    assert found == {"type": "Point", "coordinates": [5.1, 52.2]}


def test_things_at_nowhere_are_refused_and_the_same_ones_not_rewritten(
    loading: Loading, tmp_path: Path
) -> None:
    def feature(number: int, point: list[float]) -> dict[str, Any]:
        return {
            "type": "Feature",
            "properties": {"id": number, "name": f"n{number}"},
            "geometry": {"type": "Point", "coordinates": point},
        }

    file = tmp_path / "x.geojson"
    features = [feature(1, [5, 52]), feature(2, [0, 0]), feature(3, [500, 52])]
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    totals = loading(file, things("geojson"))
    assert (totals.things, totals.rejects) == (1, 2)
    again = loading(file, things("geojson"))
    assert (again.things, again.things_same) == (0, 1)
    rd = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::28992"}}}
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features, **rd}))
    with pytest.raises(Invalid, match="28992"):
        loading(file, things("geojson"))


@pytest.mark.parametrize(
    ("name", "format", "content"),
    [
        ("x.zip", "csv", b"PK\x03\x04 not a zip"),
        ("x.csv", "csv", b""),
        ("x.json", "json", b'{"a": [1, 2'),
        ("x.json", "json", b"[" * 3000),
        ("x.geojson", "geojson", b'{"type": "Point"}'),
        ("x.xlsx", "excel", b"not a workbook"),
        ("x.gpkg", "geopackage", b"not a database at all, but long enough to look at" * 9),
        ("x.gz", "csv", gzip.compress(b"place,at,n\n" + b"a," * 9000, mtime=0)[:60]),
    ],
    ids=["zip", "empty", "json", "deep", "geojson", "excel", "geopackage", "gzip"],
)
def test_damaged_files_are_one_clear_error(
    loading: Loading, tmp_path: Path, name: str, format: str, content: bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(CityError) as wrong:
        loading(file, long(format))
    assert name in wrong.value.detail


def test_a_cut_off_xml_keeps_what_was_whole(loading: Loading, tmp_path: Path) -> None:
    row = f"<r><place>a</place><at>{T0}</at><n>1</n></r>"
    file = tmp_path / "x.xml"
    file.write_text(f"<d>{row}<r><place>b")
    with pytest.raises(Invalid, match="well-formed"):
        loading(file, long("xml", 'records = "r"'))


def test_xml_from_outside_reads_no_files_and_swells_to_nothing(
    loading: Loading, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    file = tmp_path / "x.xml"
    file.write_text(
        f'<!DOCTYPE d [<!ENTITY e SYSTEM "file://{secret}">]>'
        f"<d><r><place>a&e;</place><at>{T0}</at><n>1</n></r></d>"
    )
    with suppress(CityError):
        loading(file, long("xml", 'records = "r"'))
    events = loading.store.events(permit("read"), 0)
    assert not any("hidden" in event.urn for event in events)


def test_the_hour_that_comes_twice_and_the_one_that_never_comes() -> None:
    moments = Moments("%Y-%m-%d %H:%M", "Europe/Amsterdam", lambda: 2**60)
    first = moments.read("2025-10-26 02:30", "a")
    moments.read("2025-10-26 02:45", "a")
    second = moments.read("2025-10-26 02:30", "a")
    assert second - first == 3600 * 1_000_000
    with pytest.raises(Invalid, match="does not exist"):
        moments.read("2025-03-30 02:30", "a")
    unix = Moments("unix", "UTC", lambda: 2**60)
    assert unix.read("1767225600") == 1_767_225_600_000_000
    iso = Moments("iso", "UTC", lambda: 2**60)
    assert iso.read(datetime(2026, 1, 1, tzinfo=UTC)) == 1_767_225_600_000_000


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.binary()))
def test_a_cell_is_a_finite_number_or_refused(cell: Any) -> None:
    try:
        value = read_value(cell, "number")
    except Invalid:
        return
    assert abs(value) < float("inf")


def test_maps_that_come_with_it_are_whole_and_wrong_ones_named() -> None:
    names = [name for name, _ in shipped_maps()]
    assert len(names) >= 15
    for name in names:
        assert read_map(name).title
    with pytest.raises(NotFound):
        read_map("no-such-map")
    for text, why in (
        ("title = 1", "title"),
        ('title="t"\n[source]\nformat="pdf"', "pdf"),
        ('title="t"\n[source]\nformat="csv"', "readings or things"),
        ('title="t"\nwhat="x"\n[source]\nformat="csv"', "what"),
    ):
        with pytest.raises(Invalid, match=why):
            parse_map(text)
