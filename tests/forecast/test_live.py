# SPDX-License-Identifier: EUPL-1.2
"""The learnt forecast as a library: it comes back from its file, and its intervals hold."""

from pathlib import Path

import numpy as np
import pytest
from tests.forecast.test_backtest import town

from poorter.city.errors import Invalid
from poorter.forecast import asrun
from poorter.forecast.boosted import Kind
from poorter.forecast.live import expect, learn, packed, read_learnt, unpacked, write_learnt
from poorter.forecast.table import Table


def cut(table: Table, end: int) -> Table:
    return Table(table.hours[:end], table.places, table.values[:end], table.capacity)


@pytest.mark.parametrize("kind", ["numpy", "boosted"])
def test_what_is_read_back_expects_the_same(tmp_path: Path, kind: Kind) -> None:
    table = town(hours=24 * 60, places=3)
    table.capacity[1] = np.nan
    learnt = learn(table, range(1, 2), kind, "Europe/Amsterdam")
    write_learnt(tmp_path / "models" / "m.json", learnt)
    again = read_learnt(tmp_path / "models" / "m.json")
    assert expect(again, unpacked(packed(table))) == expect(learnt, table)
    assert set(expect(learnt, table)) == {"p0", "p1", "p2"}
    other = Table(table.hours, ("x", "p1"), table.values[:, :2], table.capacity[:2])
    assert set(expect(learnt, other)) == {"p1"}, "places that were not learnt are not guessed"


def test_intervals_hold_on_what_comes_after() -> None:
    table = town(hours=24 * 110)
    end = 24 * 90
    learnt = learn(cut(table, end), range(3, 4), "numpy", "UTC")
    inside = total = 0
    error = stay = 0.0
    for now in range(end, end + 24 * 12, 5):
        for place, points in expect(learnt, cut(table, now)).items():
            column = table.places.index(place)
            truth = table.values[now - 1 + 3, column]
            inside += points[0].low <= truth <= points[0].high
            error += abs(points[0].mean - truth)
            stay += abs(table.values[now - 1, column] - truth)
            total += 1
    assert total > 250
    assert 0.7 < inside / total < 0.9
    assert error < 0.7 * stay


def test_too_little_and_rubbish_are_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="too few"):
        learn(town(hours=500), range(1, 2), "numpy", "UTC")
    with pytest.raises(Invalid, match="no table"):
        unpacked(b"rubbish")
    file = tmp_path / "m.json"
    for text in ("{}", "no", '{"format": 9}', "[]"):
        file.write_text(text)
        with pytest.raises(Invalid):
            read_learnt(file)


def test_what_a_running_city_makes_is_judged_place_by_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = town(hours=24 * 150, places=2)
    found = asrun.judge(table, [1, 3], 2, 6, 2, "numpy", "UTC")
    for horizon in (1, 3):
        assert [r.place for r in found[horizon]] == ["p0", "p1"]
        assert all(r.points > 40 for r in found[horizon])
        assert all(r.ratio < 0.9 for r in found[horizon])
    assert np.mean([r.covered for r in found[3]]) > 0.65
    file = tmp_path / "t.csv"
    file.write_text("hour,a\n2026-01-01T00:00Z,1\n2026-01-01T01:00Z,1\n")
    assert asrun.main(["--hourly", str(file), "--model", "numpy"]) == 1
    assert "too few" in capsys.readouterr().err
