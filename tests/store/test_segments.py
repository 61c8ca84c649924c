# SPDX-License-Identifier: EUPL-1.2
"""A segment gives back exactly what went in, whatever it is, in few bytes."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poorter.city.time import HOUR_US
from poorter.store.history import choosing, write
from poorter.store.history.plan import Segment, Window, folds, merge
from poorter.store.history.read import NUMBERS, Segments
from poorter.store.history.rows import Row, Rows, make_rows
from poorter.store.history.scan import rows_in, sums_in, whole_moments

T0 = 1_767_225_600_000_000
ALL = (-(2**62), 2**62)
MOMENTS = st.integers(-(2**55), 2**55) | st.integers(0, 400).map(lambda n: T0 + n * 1_000_000)
VALUES = (
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(0, 300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-900, 900).map(lambda n: n / 10)
    | st.text(max_size=8)
    | st.sampled_from((b"true", b'{"a":[1,2]}'))
)
ROWS = st.lists(
    st.tuples(st.integers(1, 9), MOMENTS, st.integers(0, 3), MOMENTS, st.integers(0, 3), VALUES),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row[:3],
).map(lambda rows: sorted(rows, key=lambda row: row[:3]))


def write_rows(folder: Path, rows: list[Row], chunk: int = 1 << 30) -> Segment:
    """In chunks of whole instances, of at least `chunk` rows."""

    def chunks() -> Iterator[Rows]:
        part: list[Row] = []
        for row in rows:
            if len(part) >= chunk and part[-1][0] != row[0]:
                yield make_rows(part)
                part = []
            part.append(row)
        yield make_rows(part)

    written = write.write_segment(folder, "one", T0, chunks)
    return Segment("one", *ALL, written.rows, written.size, written.hours_size, 0)


def exactly(rows: list[Row]) -> list[tuple[object, ...]]:
    """With what equality overlooks: the type of a number, the sign of a zero."""
    return [(*row[:5], type(row[5]), repr(row[5])) for row in rows]


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, chunk=st.integers(1, 50))
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    segment = write_rows(folder, rows, chunk)
    files = Segments(folder)
    back = [row for part in rows_in(files, segment, None, *ALL) for row in part.tuples()]
    assert exactly(back) == exactly(rows)
    instance = rows[0][0]
    wanted = np.array([instance, 77], np.int64)
    back = [row for part in rows_in(files, segment, wanted, *ALL) for row in part.tuples()]
    assert exactly(back) == exactly([row for row in rows if row[0] == instance])


def sensors(number: int, per: int, dice: random.Random) -> list[Row]:
    """Each fifteen minutes, at a second of its own, received within two seconds by tens."""
    rows: list[Row] = []
    for sensor in range(1, number + 1):
        phase = dice.randrange(900)
        for n in range(per):
            moment = T0 + (n * 900 + phase) * 1_000_000
            received = (moment // 10_000_000 + 1) * 10_000_000 + dice.randrange(9) * 1000
            value = round(15 + n % 7 + dice.gauss(0, 0.5), 1)
            rows.append((sensor, moment, 0, received, 0, value))
    return rows


def test_many_row_groups_and_few_bytes(tmp_path: Path) -> None:
    rows = sensors(900, 40, random.Random(1))
    segment = write_rows(tmp_path, rows, chunk=5000)
    assert pq.ParquetFile(tmp_path / "one.parquet").num_row_groups == 3
    assert segment.size / len(rows) < 5
    files = Segments(tmp_path)
    wanted = np.array([17, 500], np.int64)
    back = [row for part in rows_in(files, segment, wanted, *ALL) for row in part.tuples()]
    assert exactly(back) == exactly([row for row in rows if row[0] in (17, 500)])
    window = (T0 + 2 * HOUR_US, T0 + 4 * HOUR_US)
    back = [row for part in rows_in(files, segment, wanted, *window) for row in part.tuples()]
    assert back == [r for r in rows if r[0] in (17, 500) and window[0] <= r[1] < window[1]]


def test_a_chunk_that_does_not_fit_the_layout_widens_it(tmp_path: Path) -> None:
    tidy = [(1, T0 + n * HOUR_US, 0, T0 + n * HOUR_US, 0, n / 10) for n in range(20_000)]
    wild: list[Row] = [(2, T0 + 1, 0, T0 + 3, 0, 0.1 + 0.2), (2, T0 + 2, 0, T0 + 3, 0, -0.0)]
    segment = write_rows(tmp_path, tidy + wild, chunk=1)
    files = Segments(tmp_path)
    back = [row for part in rows_in(files, segment, None, *ALL) for row in part.tuples()]
    assert exactly(back) == exactly(tidy + wild)


def test_corrections_stay_together_where_row_groups_end(tmp_path: Path) -> None:
    cut = choosing.GROUP_ROWS
    rows: list[Row] = [(1, T0 + n * 1_000_000, 0, T0, 0, 1) for n in range(cut)]
    rows += [(1, rows[-1][1], 1, T0, 0, 5), (1, rows[-1][1], 2, T0, 3, 9)]
    rows += [(1, rows[-1][1] + 60_000_000 * n, 0, T0, 0, 2) for n in range(1, 5)]
    segment = write_rows(tmp_path, rows)
    assert segment.hours_size
    files = Segments(tmp_path)
    parts = rows_in(files, segment, None, *ALL, (), NUMBERS)
    assert [len(part) for part in whole_moments(parts)] == [cut - 1, 6, 1]
    late = make_rows(())
    one = np.array([1], np.int64)
    for width in (HOUR_US, HOUR_US // 2):  # from the sums by hour, and from the readings
        sums = list(sums_in(files, segment, one, *ALL, width, late, ()))
        assert sum(int(part.count.sum()) for part in sums) == cut - 1 + 4
        assert sum(float(part.total.sum()) for part in sums) == cut - 1 + 8


def test_stretches_never_overlap_and_leave_nothing_out() -> None:
    dice = random.Random(3)
    for _ in range(200):
        starts = sorted(dice.sample(range(200), 6))
        segments = [
            Segment(str(n), a * HOUR_US, b * HOUR_US, dice.randrange(1, 400_000), 1, 0, 0)
            for n, (a, b) in enumerate(zip(starts[::2], starts[1::2], strict=True))
        ]
        waiting = {dice.randrange(220): dice.randrange(1, 200_000) for _ in range(30)}
        found = list(folds(waiting, segments, 0, all_of_it=True))
        left = [s for s in segments if all(s not in w.sources for w in found)]
        spans = sorted((x.from_us, x.until_us) for x in [*found, *left])
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        hours = [h for w in found for h in range(w.from_us // HOUR_US, w.until_us // HOUR_US)]
        assert set(waiting) <= set(hours)


def test_few_late_rows_wait_for_a_day() -> None:
    segment = Segment("a", 0, 10 * HOUR_US, 1600, 1, 0, 0)
    whole = Window(0, 10 * HOUR_US, (segment,))
    assert list(folds({3: 99}, [segment], HOUR_US)) == []
    assert list(folds({3: 100}, [segment], HOUR_US)) == [whole]
    assert list(folds({3: 1}, [segment], 25 * HOUR_US)) == [whole]


def test_segments_become_few() -> None:
    segments: list[Segment] = []
    for hour in range(2000):
        segments.append(Segment(str(hour), hour, hour + 1, 3000, 1, 0, 0))
        while (window := merge(segments)) is not None:
            rows = sum(source.rows for source in window.sources)
            at = segments.index(window.sources[0])
            segments[at : at + 2] = [Segment("m", window.from_us, window.until_us, rows, 1, 0, 0)]
    assert len(segments) < 12
    assert sum(segment.rows for segment in segments) == 2000 * 3000
