# SPDX-License-Identifier: EUPL-1.2
"""Tables of any city: what a header and its rows tell is found, the rest is asked for."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from poorter.city.errors import Invalid
from poorter.forecast.moments import Moments
from poorter.forecast.reading import Hints, read_table
from poorter.forecast.table import clean

WIDE = (
    "hour_utc,a,b\n2026-01-01T00:00Z,1,\n2026-01-01T01:00Z,,2\n",
    "Zeit;a;b\n01.01.2026 00:00;1,0;\n01.01.2026 01:00;;2,0\n",
    "timestamp\ta\tb\n1767225600\t1\t\n1767229200\t\t2\n",
    "date|hour|a|b\n2026-01-01|0|1|\n2026-01-01|1||2\n",
    "time,a,b\n01/01/2026 12:10:00 AM,1,\n01/01/2026 01:59:00 AM,NA,2\n",
    "Date,a,b\n"
    + "".join(f"12/{d}/2025 1:00:00 PM,,\n" for d in range(13, 32))
    + "01/01/2026 12:00:00 AM,1,\n01/01/2026 01:00:00 AM,,2\n",
    # oftener than hourly, not in order: the last count of the hour
    "time,a,b\n2026-01-01T00:55Z,1,\n2026-01-01T00:05Z,9,\n2026-01-01T01:30Z,,2\n",
)


@pytest.mark.parametrize("text", WIDE)
def test_wide_tables_of_all_sorts_say_the_same(tmp_path: Path, text: str) -> None:
    found = read_table(_file(tmp_path, text))
    assert found.places == ("a", "b")
    assert found.hours[-2:].tolist() == [490896, 490897]
    assert np.array_equal(found.values[-2:], [[1, np.nan], [np.nan, 2]], equal_nan=True)


LONG = (
    "timestamp,place_id,free\n2026-01-01T00:05Z,a,1\n2026-01-01T01:00Z,b,2\n",
    "SystemCodeNumber,Capacity,Occupancy,LastUpdated\n"
    "a,10,1,2026-01-01 00:05:00\nb,20,2,2026-01-01 01:59:00\n",
    "Date,Day_of_week,Hour,SensorID,SensorName,Count\n"
    "01-JAN-2026,Thursday,0,4,a,1\n01-JAN-2026,Thursday,1,5,b,2\n",
    "id;naam;vrij;tijd\n1;a;1;2026-01-01T00:00:00+00:00\n2;b;2;2026-01-01T02:00:00+01:00\n",
)


@pytest.mark.parametrize("text", LONG)
def test_long_tables_of_all_sorts_say_the_same(tmp_path: Path, text: str) -> None:
    found = read_table(_file(tmp_path, text))
    assert found.places == ("a", "b")
    assert np.array_equal(found.values, [[1, np.nan], [1, 2]], equal_nan=True)


def test_numbers_as_places_and_a_capacity_beside_the_count(tmp_path: Path) -> None:
    rows = [f"2026-01-01T{h:02}:00Z,{p},{p * 10},{h}" for h in range(20) for p in (1, 2)]
    found = read_table(_file(tmp_path, "time,parking_id,capacity,free\n" + "\n".join(rows)))
    assert found.places == ("1", "2")
    assert found.capacity.tolist() == [10, 20]
    assert found.values[:3, 0].tolist() == [0, 1, 2]


def test_what_is_not_plain_is_asked_for_and_can_be_said(tmp_path: Path) -> None:
    text = "date_time,temp,rain,volume\n2026-01-01 00:00,1,2,3\n2026-01-01 01:00,1,2,4\n"
    assert read_table(_file(tmp_path, text)).places == ("temp", "rain", "volume")
    assert read_table(_file(tmp_path, text), hints=Hints(count="volume")).places == ("volume",)
    local = read_table(_file(tmp_path, text), None, "Europe/Berlin", Hints(local=True))
    assert local.hours[0] == 490895
    odd = "when,a\n2026.001.00,1\n2026.001.01,2\n"
    with pytest.raises(Invalid, match="no column of times"):
        read_table(_file(tmp_path, odd))
    said = read_table(_file(tmp_path, odd), hints=Hints(time="when", time_format="%Y.%j.%H"))
    assert said.values[:, 0].tolist() == [1, 2]
    two = "time,place,x,y\n2026-01-01T00:00Z,a,1,2\n"
    with pytest.raises(Invalid, match="which column is the count"):
        read_table(_file(tmp_path, two))
    with pytest.raises(Invalid, match="has no column z"):
        read_table(_file(tmp_path, two), hints=Hints(count="z"))
    with pytest.raises(Invalid, match="no time zone"):
        read_table(_file(tmp_path, two), zone="Mars/Olympus")
    for nothing in ("", "time\n", "a,b\n", "time,a\nsoon,1\n"):
        with pytest.raises(Invalid):
            read_table(_file(tmp_path, nothing))


def test_times_are_known_by_what_they_say_and_columns_left_out_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start = 1_767_225_600
    rows = [f"{start + n * 3600},{n % 5},{'n/a' if n % 3 else n},{n},dry" for n in range(50)]
    found = read_table(_file(tmp_path, "\n".join(["ts,a,b,c,weather", *rows])))
    assert found.places == ("a", "b", "c")
    assert np.nanmax(found.values[:, 1]) == 48
    assert "no counts in weather: left out" in caplog.text
    falling = [f"{900_000_000 - n},{n}" for n in range(50)]
    with pytest.raises(Invalid, match="say which by --time"):
        read_table(_file(tmp_path, "\n".join(["x,y", *falling])))


def test_a_stray_year_is_left_out_and_bytes_that_are_no_utf8_do_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    text = "time,café\n1899-01-01T00:00Z,1\n2026-01-01T00:00Z,1\n2026-01-01T01:00Z,2\n"
    file.write_bytes((text + "2026-01-01T02:00Z,3\n").encode("cp1252"))
    found = read_table(file)
    assert found.places == ("café",)
    assert found.values[:, 0].tolist() == [1, 2, 3]


def test_rows_that_can_not_be_read_are_counted_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"2026-01-01T{hour:02}:00Z,a,{hour}" for hour in range(20)]
    text = "\n".join(["time,place,free", *rows, "soon,a,1", "2026-01-02T00:00Z,a"])
    assert len(read_table(_file(tmp_path, text)).hours) == 20
    assert "1 rows left out: no time" in caplog.text
    assert "1 rows left out: not as many columns" in caplog.text


def test_day_or_month_first_is_seen_from_the_others() -> None:
    for sample, day in (("13/02/2026 00:00", 3), ("02/13/2026 00:00", 2)):
        moment = datetime.fromtimestamp(Moments([sample]).read("03/02/2026 00:00") or 0, UTC)
        assert (moment.day, moment.month) == (day, 5 - day)
    assert Moments([]).read("31/02/2026") is None
    assert Moments([]).read("1e999") is None


def test_a_place_that_has_grown_is_believed_after_a_week() -> None:
    values = np.full((1000, 2), 50.0)
    values[300:310, 0] = 9999  # a sentinel
    values[300:, 1] = 500  # a new floor
    cleaned = clean(values, np.array([60.0, 60.0]))
    assert np.isnan(cleaned[300:310, 0]).all()
    assert (cleaned[310:, 0] == 50).all()
    assert np.isnan(cleaned[300 : 300 + 168, 1]).all()
    assert (cleaned[300 + 168 :, 1] == 500).all()


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "t.csv"
    file.write_text(text, "utf-8")
    return file
