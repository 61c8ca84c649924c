# SPDX-License-Identifier: EUPL-1.2
"""Aggregated temporal representation (CIM 009, 4.5.19): methods over instances, by period."""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from poorter.city.errors import Invalid, TooLarge
from poorter.city.time import SECOND_US, format_once, format_us
from poorter.standards.ngsild.params import listed
from poorter.standards.ngsild.problem import Misplaced
from poorter.store.contract import Bucket

PERIODS_MAX = 100_000
_DURATION = re.compile(
    r"P(?:(\d{1,3})W|(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,6})D)?"
    r"(?:T(?=\d)(?:(\d{1,7})H)?(?:(\d{1,8})M)?(?:(\d{1,9})(?:\.(\d{1,6}))?S)?)?)\Z"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """An ISO 8601 duration: whole months, and microseconds. Nothing: all of the time asked for."""

    months: int
    us: int

    def after(self, start_us: int, times: int) -> int:
        """The moment so many periods after `start_us`; months count by the calendar (UTC)."""
        if not self.months:
            return start_us + times * self.us
        start = _EPOCH + timedelta(microseconds=start_us)
        year, month = divmod(start.year * 12 + start.month - 1 + times * self.months, 12)
        if not 1 <= year <= 9999:
            raise Invalid("aggrPeriodDuration leads out of the calendar")
        day = min(start.day, calendar.monthrange(year, month + 1)[1])
        moved = start.replace(year=year, month=month + 1, day=day)
        return (moved - _EPOCH) // timedelta(microseconds=1) + times * self.us


@dataclass(frozen=True, slots=True)
class Aggregation:
    """Which methods, over periods how long."""

    methods: tuple[str, ...]
    period: Period

    @property
    def width_us(self) -> int | None:
        """Of periods that all take the same time; None for others."""
        return self.period.us if self.period.us and not self.period.months else None


def parse_aggregation(given: Mapping[str, str]) -> Aggregation:
    """aggrMethods and aggrPeriodDuration. Raises Invalid."""
    methods = listed(given.get("aggrMethods") or None)
    if not methods or any(method not in METHODS for method in methods):
        raise Invalid(f"aggrMethods is a list of {', '.join(METHODS)}")
    return Aggregation(
        tuple(dict.fromkeys(methods)), parse_period(given.get("aggrPeriodDuration") or "PT0S")
    )


def parse_period(text: str) -> Period:
    """P[n]Y[n]M[n]DT[n]H[n]M[n]S or P[n]W. Raises Invalid."""
    found = _DURATION.match(text)
    if found is None or text == "P":
        raise Invalid("aggrPeriodDuration is an ISO 8601 duration such as PT1H, P1D or P1M")
    weeks, years, months, days, hours, minutes, seconds = (int(g or 0) for g in found.groups()[:7])
    part = int((found.group(8) or "").ljust(6, "0") or 0)
    time_s = (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds
    return Period(years * 12 + months, time_s * SECOND_US + part)


# -- methods over values (tables 4.5.19.1-1 to -3) ---------------------------------------------


def _numbers(values: list[Any]) -> list[float]:
    """What a calculation runs over: numbers, booleans as 1 and 0, of arrays their sizes.

    Raises: Misplaced (InvalidRequest, 5.7.4.4) for what nothing can be calculated of.
    """
    found: list[float] = []
    for value in values:
        if isinstance(value, bool | int | float):
            found.append(value)
        elif isinstance(value, list):
            found.append(len(value))
        else:
            raise Misplaced("aggrMethods: this can't be calculated of texts or objects")
    return found


def _best(pick: Callable[[Any], Any]) -> Callable[[list[Any]], Any]:
    def best(values: list[Any]) -> Any:
        if all(isinstance(value, str) for value in values):
            return pick(values)
        return pick(_numbers(values))

    return best


def _deviation(values: list[Any]) -> float:
    numbers = _numbers(values)
    mean = math.fsum(numbers) / len(numbers)
    return math.sqrt(math.fsum((n - mean) ** 2 for n in numbers) / len(numbers))


def _distinct(values: list[Any]) -> int:
    return len({msgspec.json.encode(value) for value in values})


METHODS: dict[str, Callable[[list[Any]], Any]] = {
    "avg": lambda values: math.fsum(_numbers(values)) / len(values),
    "distinctCount": _distinct,
    "max": _best(max),
    "min": _best(min),
    "stddev": _deviation,
    "sum": lambda values: math.fsum(_numbers(values)),
    "sumsq": lambda values: math.fsum(n * n for n in _numbers(values)),
    "totalCount": len,
}
#: what a bucket of the store knows already
_BUCKET: dict[str, Callable[[Bucket], Any]] = {
    "totalCount": lambda b: b.count,
    "avg": lambda b: b.mean,
    "min": lambda b: b.minimum,
    "max": lambda b: b.maximum,
    "sum": lambda b: b.total,
}


def from_buckets(methods: tuple[str, ...]) -> bool:
    """Whether the store's own buckets can answer."""
    return all(method in _BUCKET for method in methods)


def of_buckets(buckets: list[Bucket], methods: tuple[str, ...], width_us: int) -> dict[str, Any]:
    """Each method over buckets, as 4.5.19 writes it."""
    spans = []
    end_us, end = None, ""
    for bucket in buckets:
        start = end if bucket.start_us == end_us else format_once(bucket.start_us)
        end_us = bucket.start_us + width_us
        end = format_once(end_us)
        spans.append((start, end))
    found = {}
    for method in methods:
        value_of = _BUCKET[method]
        found[method] = [
            [value_of(bucket), start, end]
            for bucket, (start, end) in zip(buckets, spans, strict=True)
        ]
    return found


def of_values(
    points: list[tuple[int, Any]], wanted: Aggregation, start_us: int, end_us: int
) -> dict[str, Any]:
    """Each method over values by period, from (moment, value) in the order of time; `end_us` ends
    the one period that a duration of nothing makes. Raises Misplaced, TooLarge."""
    found: dict[str, list[list[Any]]] = {method: [] for method in wanted.methods}
    for first_us, last_us, values in _periods(points, wanted.period, start_us, end_us):
        for method in wanted.methods:
            row = [METHODS[method](values), format_us(first_us), format_us(last_us)]
            found[method].append(row)
    return found


def _periods(
    points: list[tuple[int, Any]], period: Period, start_us: int, end_us: int
) -> Iterator[tuple[int, int, list[Any]]]:
    """(start, end, values) of each period that has any."""
    if not period.us and not period.months:
        if points:
            yield start_us, end_us, [value for _, value in points]
        return
    place = times = 0
    while place < len(points):
        if not period.months:  # straight to the period of the next point
            times = (points[place][0] - start_us) // period.us
        first_us, last_us = period.after(start_us, times), period.after(start_us, times + 1)
        values = []
        while place < len(points) and points[place][0] < last_us:
            values.append(points[place][1])
            place += 1
        if values:
            yield first_us, last_us, values
        times += 1
        if times > PERIODS_MAX and period.months:
            raise TooLarge(f"over {PERIODS_MAX} periods: ask for longer ones")
