# SPDX-License-Identifier: EUPL-1.2
"""The quick forecast: a known course is found, gaps stay gaps, bounds hold."""

import numpy as np
import pytest

from poorter.forecast.seasonal import forecast, hourly, usual

WEEKS = 6


def course(noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    hours = np.arange(1000 * 168, (1000 + WEEKS) * 168, dtype=np.int64)
    random = np.random.default_rng(1)
    values = 100 + 50 * np.sin(hours % 24 / 24 * 2 * np.pi) + random.normal(0, noise, len(hours))
    return hours, values


def test_a_known_course_goes_on() -> None:
    hours, values = course()
    points = forecast(hours, values, range(1, 25))
    truth = 100 + 50 * np.sin((hours[-1] + np.arange(1, 25)) % 24 / 24 * 2 * np.pi)
    assert [p.mean for p in points] == pytest.approx(list(truth), abs=0.5)


def test_the_interval_covers_what_it_says() -> None:
    hours, values = course(noise=10)
    inside = total = 0
    for end in range(5 * 168, 6 * 168 - 3):
        (point,) = forecast(hours[:end], values[:end], range(3, 4))
        inside += point.low <= values[end + 2] <= point.high
        total += 1
    assert 0.7 < inside / total < 0.9


def test_a_departure_fades() -> None:
    hours, values = course(noise=1)
    steps = np.zeros(len(hours))
    for i in range(1, len(hours)):  # departures that last
        steps[i] = 0.9 * steps[i - 1] + np.random.default_rng(i).normal(0, 3)
    values = values + steps
    values[-3:] += 40
    near, far = forecast(hours, values, range(1, 2))[0], forecast(hours, values, range(20, 21))[0]
    profile = usual(hours, values)
    assert near.mean - profile[near.hour % 168] > 25
    assert far.mean - profile[far.hour % 168] < 15


def test_gaps_stay_gaps_and_nothing_comes_of_nothing() -> None:
    hours, values = hourly([(10, 1.0), (13, 4.0)])
    assert list(hours) == [10, 11, 12, 13]
    assert np.isnan(values[1:3]).all()
    assert forecast(*hourly([]), range(1, 3)) == []
    assert forecast(np.arange(5), np.full(5, np.nan), range(1, 3)) == []


def test_no_fewer_than_none_and_no_more_than_all() -> None:
    hours, values = course()
    for point in forecast(hours, values - 140, range(1, 25), lowest=0, highest=5):
        assert 0 <= point.low <= point.mean <= point.high <= 5
