# SPDX-License-Identifier: EUPL-1.2
"""What is known at an hour about the hours to come: one row a (place, hour), for one horizon.

Row t uses values up to and including hour t, never later ones: all shifts look back. A test turns
the future upside down and finds the same rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from poorter.forecast.table import Hours, Table, Values

Rows = NDArray[np.float32]
WEEKS_BACK = 6
WEEK = 168
LAGS = (1, 2, 3, 4, 6, 12, 24)
DAYS_BACK = (1, 2, 3, 4, 5, 6, 7, 14, 21, 28)
DEPARTURES = (1, 2, 3, 6, 12, 24)
#: of these the mean over all places counts too
TOWN = (
    "change_1",
    "change_3",
    "gap_7",
    "gap_1",
    "from_week_level",
    "departure",
    "course_missed",
)
SCALE_HOURS = 24 * 56
STILL_MAX = 48


def shifted(values: Values, hours: int) -> Values:
    """values[t - hours], missing before the beginning. `hours` must not be negative."""
    if hours < 0:
        raise ValueError("a shift that looks ahead")
    if hours == 0:
        return values
    moved = np.full_like(values, np.nan)
    moved[hours:] = values[:-hours]
    return moved


def scales(values: Values) -> Values:
    """How large a place is, by hour: the most seen in the eight weeks before, at least 1.

    NaN where nothing was seen in them: there is no forecast to make there.

    Known at each hour from what came before; a rolling maximum by blocks of a day.
    """
    days = -(-len(values) // 24)
    padded = np.full((days * 24, values.shape[1]), np.nan)
    padded[: len(values)] = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # days without any value stay NaN
        daily = np.nanmax(padded.reshape(days, 24, -1), axis=1)
    most = np.full_like(daily, np.nan)
    back = SCALE_HOURS // 24
    for day in range(1, days):
        window = daily[max(0, day - back) : day]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            most[day] = np.nanmax(window, axis=0)
    most = np.maximum(most, 1.0)
    return np.repeat(most, 24, axis=0)[: len(values)]


def make_rows(table: Table, horizon: int, zone: str = "UTC") -> tuple[Rows, list[str]]:
    """(rows[hour, place, feature], names of the features) for forecasts `horizon` hours ahead."""
    values = table.values
    scale = scales(values)
    names: list[str] = []
    columns: list[NDArray[np.float32]] = []

    def add(name: str, column: Values) -> Values:
        names.append(name)
        columns.append(np.broadcast_to(column, values.shape).astype(np.float32))
        return column

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-missing slots stay NaN
        _add_own(add, values, scale, horizon)
        _add_usual(add, values, scale, horizon)
        share = values / np.where(table.capacity > 0, table.capacity, np.nan)
        add("share", share)
        add("still", still(values))
        for name in TOWN:
            everywhere = np.asarray(np.nanmean(columns[names.index(name)], axis=1))
            add(f"town_{name}", everywhere[:, None])
    for name, hourly in _calendar(table.hours, horizon, zone).items():
        add(name, hourly[:, None])
    add("place", np.arange(values.shape[1], dtype=np.float64))
    return np.stack(columns, axis=2), names


Add = Callable[[str, Values], Values]


def _add_own(add: Add, values: Values, scale: Values, horizon: int) -> None:
    """Where the count is, how it moved, and how it moved at this hour of earlier days."""
    add("level", values / scale)
    add("log_scale", np.log(scale))
    for lag in LAGS:
        add(f"change_{lag}", (values - shifted(values, lag)) / scale)
    courses = []
    for days in DAYS_BACK:
        came = shifted(values, 24 * days - horizon)  # what then came `horizon` hours later
        then = shifted(values, 24 * days)
        courses.append(add(f"course_{days}", (came - then) / scale))
        add(f"gap_{days}", (values - then) / scale)
    add("day_course", np.nanmedian(np.stack(courses[:5]), axis=0))


def _add_usual(add: Add, values: Values, scale: Values, horizon: int) -> None:
    """What is usual at this hour of the week, and how far today departs from it."""
    weeks = range(1, WEEKS_BACK + 1)
    then = np.stack([shifted(values, WEEK * k) for k in weeks])
    came = np.stack([shifted(values, WEEK * k - horizon) for k in weeks])
    course = add("week_course", np.nanmedian(came - then, axis=0) / scale)
    add("week_spread", np.nanstd((came - then) / scale, axis=0))
    level = add("week_level", np.nanmedian(came, axis=0) / scale)
    add("from_week_level", level - values / scale)
    departure = add("departure", (values - np.nanmedian(then, axis=0)) / scale)
    for lag in DEPARTURES:
        add(f"departure_{lag}", shifted(departure, lag))
    add("departure_day", shifted(departure, 24 - horizon))
    add("departure_week", shifted(departure, WEEK - horizon))
    missed = (values - shifted(values, horizon)) / scale - shifted(course, horizon)
    add("course_missed", missed)  # how wrong what is usual was lately
    add("course_missed_day", shifted(missed, 24 - horizon))


def still(values: Values) -> Values:
    """For how many hours the count has not moved, at most two days.

    Beyond that nothing is learnt any more, and no move is forecast: a place that is closed, or a
    counter that hangs.
    """
    found = np.zeros_like(values)
    for at in range(1, len(values)):
        same = values[at] == values[at - 1]
        found[at] = np.where(same, np.minimum(found[at - 1] + 1, STILL_MAX), 0)
    return found


def _calendar(hours: Hours, horizon: int, zone: str) -> dict[str, Values]:
    """Where in the day, week and year the forecast hour lies, on the city's own clock."""
    local = ZoneInfo(zone)
    start = datetime(1970, 1, 1, tzinfo=UTC)
    found = np.empty((len(hours), 4))
    for at, hour in enumerate(hours):
        moment = (start + timedelta(hours=int(hour) + horizon)).astimezone(local)
        found[at] = (
            moment.hour,
            moment.weekday(),
            moment.timetuple().tm_yday,
            moment.weekday() * 24 + moment.hour,
        )
    return {
        "hour": found[:, 0],
        "weekday": found[:, 1],
        "day_of_year": found[:, 2],
        "hour_of_week": found[:, 3],
    }
