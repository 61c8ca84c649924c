# SPDX-License-Identifier: EUPL-1.2
"""What is known at an hour about the hours to come: one row a (place, hour), for one horizon.

Row t uses values up to and including hour t, never later ones: all shifts look back. A test turns
the future upside down and finds the same rows.
"""

from __future__ import annotations

import warnings
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
    level = values / scale
    columns: dict[str, Values] = {"level": level, "log_scale": np.log(scale)}
    for lag in LAGS:
        columns[f"change_{lag}"] = (values - shifted(values, lag)) / scale
    for days in DAYS_BACK:
        back = 24 * days
        came = shifted(values, back - horizon)  # what then came `horizon` hours later
        then = shifted(values, back)
        columns[f"course_{days}"] = (came - then) / scale
        columns[f"gap_{days}"] = (values - then) / scale
    weekly = np.stack(
        [
            (shifted(values, WEEK * k - horizon) - shifted(values, WEEK * k)) / scale
            for k in range(1, WEEKS_BACK + 1)
        ]
    )
    daily = np.stack([columns[f"course_{days}"] for days in (1, 2, 3, 4, 5)])
    levels = np.stack(
        [shifted(values, WEEK * k - horizon) / scale for k in range(1, WEEKS_BACK + 1)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-missing slots stay NaN
        columns["week_course"] = np.nanmedian(weekly, axis=0)
        columns["week_spread"] = np.nanstd(weekly, axis=0)
        columns["day_course"] = np.nanmedian(daily, axis=0)
        columns["week_level"] = np.nanmedian(levels, axis=0)
        columns["from_week_level"] = columns["week_level"] - level
        town = {
            "town_change": np.nanmean(columns["change_1"], axis=1),
            "town_change_3": np.nanmean(columns["change_3"], axis=1),
            "town_gap_week": np.nanmean(columns["gap_7"], axis=1),
            "town_gap_day": np.nanmean(columns["gap_1"], axis=1),
            "town_from_week": np.nanmean(columns["from_week_level"], axis=1),
        }
    share = values / np.where(table.capacity > 0, table.capacity, np.nan)
    columns["share"] = share
    columns["still"] = still(values)
    everywhere = {**town, **_calendar(table.hours, horizon, zone)}
    for name, column in everywhere.items():
        columns[name] = np.broadcast_to(column[:, None], values.shape)
    place = np.arange(values.shape[1], dtype=np.float64)
    columns["place"] = np.broadcast_to(place, values.shape)
    names = list(columns)
    rows = np.empty((*values.shape, len(names)), np.float32)
    for position, name in enumerate(names):
        rows[:, :, position] = columns[name]
    return rows, names


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
