# SPDX-License-Identifier: EUPL-1.2
"""The backtest: nothing looks ahead, odd data is no trouble, intervals keep their word."""

from pathlib import Path

import numpy as np
import pytest

from poorter.forecast import backtest
from poorter.forecast.blend import counts_whole, follow, possible, whole
from poorter.forecast.boosted import available, fit
from poorter.forecast.features import make_rows, scales, shifted, still
from poorter.forecast.interval import track
from poorter.forecast.reading import read_table
from poorter.forecast.table import Table, carried, clean

HOURS = 24 * 7 * 30


def town(seed: int = 1, places: int = 5, hours: int = HOURS) -> Table:
    dice = np.random.default_rng(seed)
    at = np.arange(450_000, 450_000 + hours, dtype=np.int64)
    columns = []
    for place in range(places):
        daily = np.sin((at % 24 + place) / 24 * 2 * np.pi)
        drift = np.zeros(hours)
        for i in range(1, hours):
            drift[i] = 0.8 * drift[i - 1] + dice.normal(0, 4)
        columns.append(np.round(np.clip(150 + 80 * daily + drift, 0, 300)))
    values = np.stack(columns, axis=1)
    values[500:520, 0] = np.nan
    names = tuple(f"p{i}" for i in range(places))
    return Table(at, names, values, np.full(places, 300.0))


@pytest.mark.parametrize("horizon", [1, 3])
def test_rows_know_nothing_of_later_hours(horizon: int) -> None:
    table = town()
    cut = 2000
    other = table.values.copy()
    other[cut + 1 :] = 7.0
    changed = Table(table.hours, table.places, other, table.capacity)
    one, _ = make_rows(table, horizon)
    two, _ = make_rows(changed, horizon)
    assert np.array_equal(one[: cut + 1], two[: cut + 1], equal_nan=True)
    assert not np.array_equal(one[cut + 1 :], two[cut + 1 :], equal_nan=True)
    now, then = scales(table.values)[: cut + 1], scales(other)[: cut + 1]
    assert np.array_equal(now, then, equal_nan=True)


def test_forecasts_do_not_change_when_the_future_does() -> None:
    table = town()
    cut = HOURS - 300
    other = table.values.copy()
    other[cut + 1 :] = 3.0
    changed = Table(table.hours, table.places, other, table.capacity)
    results = []
    for one in (table, changed):
        middle, low, high, start = backtest.forecast_year(one, 3, 1, "numpy", "UTC")
        results.append(np.stack([middle, low, high])[:, : cut + 1 - start])
    assert results[0].shape[1] > 300
    assert np.array_equal(results[0], results[1], equal_nan=True)


def test_a_shift_never_looks_ahead() -> None:
    with pytest.raises(ValueError, match="ahead"):
        shifted(np.zeros((3, 1)), -1)


def test_sentinels_go_by_what_came_before_only() -> None:
    values = np.full((400, 2), 50.0)
    values[300, 0] = 24726
    values[301, 1] = -1
    values[:100, 1] = np.nan
    cleaned = clean(values, np.array([np.nan, 60.0]))
    assert np.isnan(cleaned[300, 0])
    assert np.isnan(cleaned[301, 1])
    assert cleaned[299, 0] == cleaned[301, 0] == 50


def test_intervals_keep_their_word_whatever_the_model_is_worth() -> None:
    dice = np.random.default_rng(2)
    truth = dice.normal(0, [1, 10, 100], (6000, 3))
    low, high = track(np.zeros_like(truth), np.ones_like(truth), truth, 3)
    covered = ((truth >= low) & (truth <= high))[2000:].mean(axis=0)
    assert np.all(np.abs(covered - 0.8) < 0.02)


def test_the_numpy_model_beats_both_baselines_and_covers() -> None:
    results = backtest.evaluate(town(), 3, 1, "numpy", "UTC")
    assert len(results) == 5
    assert np.median([r.ratio for r in results]) < 0.85
    assert 0.75 < np.mean([r.covered for r in results]) < 0.85


def test_boosted_trees_beat_both_baselines_and_cover() -> None:
    assert available() == "boosted", "tools/need brings what it takes"
    results = backtest.evaluate(town(places=3, hours=24 * 7 * 22), 1, 1, "boosted", "UTC")
    assert np.median([r.ratio for r in results]) < 0.95
    assert 0.7 < np.mean([r.covered for r in results]) < 0.9


def test_a_place_that_stands_still_is_forecast_to() -> None:
    table = town()
    table.values[:, 2] = 44.0
    found = {r.place: r for r in backtest.evaluate(table, 1, 1, "numpy", "UTC")}
    assert found["p2"].error == 0
    assert found["p2"].ratio == 1
    assert not found["p2"].live
    assert still(table.values)[100, 2] == 48


def test_wide_and_long_tables_say_the_same(tmp_path: Path) -> None:
    wide, long = tmp_path / "wide.csv", tmp_path / "long.csv"
    wide.write_text("hour,a,b\n2026-01-01T00:00Z,1,\n2026-01-01T01:00Z,1,\n2026-01-01T02:00Z,3,4\n")
    long.write_text(
        "timestamp,place,free\n2026-01-01T00:05:00+00:00,a,9\n2026-01-01T00:55:00+00:00,a,1\n"
        "2026-01-01T02:00:00+00:00,a,3\n2026-01-01T02:10:00+00:00,b,4\n"
    )
    one, two = read_table(wide), read_table(long)
    assert one.places == two.places == ("a", "b")
    assert np.array_equal(one.values, two.values, equal_nan=True)
    assert one.values.shape == (3, 2)


def test_a_table_of_changes_stands_until_the_next_one() -> None:
    values = np.full((60, 2), np.nan)
    values[0] = (5, 7)
    values[range(3, 40, 3), 1] = 8
    filled = carried(values)
    assert filled[24, 0] == 5  # a day at most
    assert np.isnan(filled[25, 0])
    assert filled[45, 1] == 8  # the source has been silent for six hours
    assert np.isnan(filled[46, 1])


def test_too_little_history_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.csv"
    file.write_text("hour;a;b;c\n2026-01-01T00:00Z;1;2;3\n2026-01-02T00:00Z;1;2;3\n")
    assert backtest.main(["--hourly", str(file), "--model", "numpy"]) == 1
    assert "too few to judge by" in capsys.readouterr().err


def test_of_a_record_of_weeks_the_last_third_is_judged() -> None:
    table = town(places=3).last(24 * 77)
    middle, _, _, start = backtest.forecast_year(table, 1, 12, "numpy", "UTC")
    assert start == 24 * 77 * 2 // 3
    assert len(middle) == 24 * 77 - start
    assert all(r.ratio < 1 for r in backtest.evaluate(table, 1, 12, "numpy", "UTC"))


def test_the_command_prints_every_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = town(places=3)
    lines = ["hour,a,b,c"]
    for hour, row in zip(table.hours, table.values, strict=True):
        moment = np.datetime64(int(hour) * 3600, "s")
        cells = ",".join("" if np.isnan(v) else f"{v:.0f}" for v in row)
        lines.append(f"{moment}+00:00,{cells}")
    file = tmp_path / "town.csv"
    file.write_text("\n".join(lines))
    arguments = ["--hourly", str(file), "--months", "1", "--horizon", "1", "--model", "numpy"]
    assert backtest.main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in printed for name in "abc")
    assert "median ratio over all 3 places" in printed


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit("numpy", np.zeros((5, 2), np.float32), np.zeros(5), ["a", "place"])


def test_gaps_of_months_new_places_and_odd_ones_are_no_trouble() -> None:
    table = town(places=6)
    half = HOURS // 2
    table.values[half - 24 * 50 : half, :] = np.nan  # nobody counted for seven weeks
    table.values[: HOURS - 24 * 20, 1] = np.nan  # new three weeks ago
    table.values[:, 2] = 7.0
    table.values[:, 3] = np.nan
    table.values[: HOURS - 24 * 40, 4] = 7.0  # began to move after it was learnt
    table.capacity[5] = np.nan
    found = {r.place: r for r in backtest.evaluate(table, 3, 1, "numpy", "UTC")}
    assert set(found) == {"p0", "p1", "p2", "p4", "p5"}
    assert found["p0"].ratio < 0.9
    assert found["p1"].ratio < 1.1
    assert found["p2"].ratio == 1
    assert found["p4"].ratio < 1.4
    said = list(backtest.lines(list(found.values()), 3, table.places))
    assert any(line.startswith("p3 ") and "no count now" in line for line in said)


def test_with_too_little_to_learn_from_what_is_usual_is_forecast() -> None:
    table = town(places=2)
    table.values[: HOURS - 24 * 45] = np.nan
    results = backtest.evaluate(table, 1, 1, "numpy", "UTC")
    assert [r.place for r in results] == ["p0", "p1"]
    assert all(np.isfinite(r.ratio) and r.ratio < 1.2 for r in results)


def test_each_place_follows_what_was_best_there_lately() -> None:
    dice = np.random.default_rng(3)
    truth = dice.normal(0, 1, (3000, 3))
    moves = truth + dice.normal(0, 0.1, truth.shape)
    moves[:, 1] = dice.normal(0, 1, 3000)  # the model knows nothing of this one
    usual = np.full_like(truth, np.nan)
    usual[:, 2] = truth[:, 2]  # and here what is usual is all there is
    chosen = follow(moves, usual, truth, 3)
    assert np.abs(chosen - truth)[500:, 0].mean() < 0.1
    assert np.abs(chosen)[500:, 1].mean() < 0.05
    assert np.abs(chosen - truth)[500:, 2].mean() < 0.01
    later = truth.copy()
    later[2000:] = 9.0
    assert np.array_equal(follow(moves, usual, later, 3)[:2003], chosen[:2003])


def test_a_place_may_count_what_it_did_lately_whatever_its_capacity() -> None:
    values = np.array([[-3.0, 90.0, 90.0, 90.0]])
    capacity = np.array([np.nan, 50.0, 50.0, 100.0])
    most = np.array([[100.0, 40.0, 95.0, np.nan]])
    assert possible(values, capacity, most).tolist() == [[0.0, 50.0, 90.0, 90.0]]


def test_whole_counts_are_forecast_whole_and_the_interval_reaches_to_them() -> None:
    middle = np.array([[1.4, 1.4, 1.4]])
    half = np.array([1.0, 0.1, 1.0])
    low, high = middle - half, middle + half
    told, lower, upper = whole(middle, low, high, np.array([True, True, False]))
    assert told.tolist() == [[1.0, 1.0, 1.4]]
    assert np.allclose(lower, [[0.4, 1.0, 0.4]])
    assert np.allclose(upper, [[2.4, 1.5, 2.4]])
    past = np.array([[1.0, np.nan, 0.5], [2.0, 3.0, 1.0]])
    assert counts_whole(past).tolist() == [True, True, False]
