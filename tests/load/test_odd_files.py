# SPDX-License-Identifier: EUPL-1.2
"""Files as they come: other encodings, lines without end, rows twice, loads broken off."""

from pathlib import Path
from typing import Any

import pytest
from tests.load.test_rows import Loading, long, things

from poorter.city.errors import CityError, Invalid
from poorter.load import run
from poorter.load.sources import separated, structured

T0 = "2026-01-01T00:00:00Z"
T1 = "2026-01-01T01:00:00Z"


@pytest.fixture
def loading(tmp_path: Path) -> Any:
    made = Loading(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252", "iso-8859-15"])
def test_other_encodings_are_read_when_the_map_says_so(
    loading: Loading, tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(f"place;at;n\ncafé;{T0};1.234,5\ncafé;{T1};7\nb;{T0};1.5\n".encode(encoding))
    more = f'separator = ";"\nencoding = "{encoding}"\ndecimal = ","'
    totals = loading(file, long("csv", more).replace("maximum = 100", "maximum = 2000"))
    assert (totals.new, totals.rejects) == (2, 1)
    assert loading.rejects == ["4,n,1.5,not a number with a decimal comma"]


@pytest.mark.parametrize(
    ("raw", "more", "words"),
    [
        ("place,at,n\n".encode("utf-16"), "", 'encoding = "utf-16"'),
        ("pläce,at,n\n".encode("latin-1"), "", "header is not UTF-8"),
        (b"place,at,n\n", 'encoding = "nope"', "no text encoding"),
        (b"place,at,n\n", 'encoding = "base64"', "no text encoding"),
        (f"place,at,n\na,{T0},1\n".encode(), 'encoding = "utf-16"', "is not utf-16"),
        (f"place,at,m\na,{T0},1\n".encode(), "", "has no column n; it has place, at, m"),
        (b"place,at,n,n\n", "", "two columns"),
    ],
)
def test_what_can_not_be_read_at_all_is_one_clear_error(
    loading: Loading, tmp_path: Path, raw: bytes, more: str, words: str
) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(raw)
    with pytest.raises(Invalid, match=words):
        loading(file, long("csv", more))


def test_only_numbers_are_numbers_and_ids_are_printable(loading: Loading, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"place,at,n\na,{T0},1_0\na,{T0},١٢\na\0,{T0},1\na,{T0},12\n")
    totals = loading(file, long())
    assert (totals.new, totals.rejects) == (1, 3)
    assert [line.split(",")[0] for line in loading.rejects] == ["2", "3", "4"]


def test_a_quote_that_nobody_closes_says_which_lines_it_took(
    loading: Loading, tmp_path: Path
) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f'place,at,n\na,{T0},1\nb,"{T0},2\nc,{T0},3\n')
    loading(file, long())
    assert len(loading.rejects) == 1
    assert loading.rejects[0].startswith("3,(row)")
    assert "lines 3 to 4 one record" in loading.rejects[0]


@pytest.mark.parametrize("format", ["csv", "json"])
def test_a_line_without_end_is_refused_and_the_next_one_read(
    loading: Loading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setattr(separated, "LINE_CHARS_MAX", 1000)
    monkeypatch.setattr(structured, "LINE_BYTES_MAX", 1000)
    file = tmp_path / ("x.csv" if format == "csv" else "x.ndjson")
    row = '{"place":"a","at":"%s","n":1,"x":"%s"}\n'
    if format == "csv":
        file.write_text(f"place,at,n\na,{T0},{'1,' * 3000}\nb,{T0},2\n")
    else:
        file.write_text(row % (T0, "y" * 5000) + row % (T1, ""))
    totals = loading(file, long(format))
    assert (totals.new, totals.rejects) == (1, 1)
    assert "a line of over 1000" in loading.rejects[0]


def test_a_thing_that_comes_twice_is_written_once_and_the_other_refused(
    loading: Loading, tmp_path: Path
) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text('{"id":1,"name":"a"}\n{"id":2,"name":"b"}\n{"id":1,"name":"c"}\n')
    for written in (2, 0):
        totals = loading(file, things("json"))
        assert (totals.things, totals.things_same, totals.rejects) == (written, 2 - written, 1)
    assert loading.rejects == ["3,(id),urn:x:1,row 1 has this id already"]
    assert totals.unseen == ["geometry"], "a column that no row has is said"


def test_a_load_broken_off_keeps_each_refusal_once(
    loading: Loading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH", 10)
    file = tmp_path / "x.csv"
    rows = [f"a,2026-01-01T{n // 60:02}:{n % 60:02}:00Z,{n if n % 3 else 'x'}" for n in range(95)]
    file.write_text("\n".join(["place,at,n", *rows]))
    commits = 0
    commit = loading.store.commit

    def breaking(*given: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == 4:
            raise CityError("the power went")
        return commit(*given)

    monkeypatch.setattr(loading.store, "commit", breaking)
    with pytest.raises(CityError, match="power"):
        loading(file, long())
    totals = loading(file, long())
    assert totals.resumed_at > 0
    refused = [f"{n + 2},n,x,not a number" for n in range(95) if n % 3 == 0]
    assert loading.rejects == refused
    assert totals.rejects == len(refused)
    commits = 0
    file.write_text("\n".join(["place,at,n", *rows, f"b,{T0},1"]))
    with pytest.raises(CityError, match="power"):
        loading(file, long())
    (tmp_path / "rejects.csv").unlink()
    assert loading(file, long()).resumed_at == 0, "refusals that are gone are made again"
    assert loading.rejects == refused
