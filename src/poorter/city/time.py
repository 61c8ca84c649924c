# SPDX-License-Identifier: EUPL-1.2
"""Moments as integers: microseconds UTC since 1970, and their ISO 8601 form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from poorter.city.errors import Invalid

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MINUTES = tuple(f"T{minute // 60:02d}:{minute % 60:02d}" for minute in range(1440))
_SECONDS = tuple(f":{second:02d}" for second in range(60))


def parse_us(text: str) -> int:
    """ISO 8601 date-time with zone to microseconds UTC.

    NGSI-LD (CIM 009, 4.6.3) wants UTC with a trailing Z; an explicit offset is taken too, a
    time without zone is not: guessing a zone is how readings move by an hour.

    Raises: Invalid when it is no date-time, has no zone, or lies outside the years 1-9999.
    """
    if not isinstance(text, str) or len(text) > 40 or "T" not in text:
        raise Invalid(f"not an ISO 8601 date-time with zone: {str(text)[:40]!r}")
    return _parsed(text)


@lru_cache(maxsize=4096)  # what comes together was mostly observed together
def _parsed(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"not an ISO 8601 date-time with zone: {text!r}") from None
    if moment.tzinfo is None:
        raise Invalid(f"a date-time needs a zone, Z for UTC: {text!r}")
    try:
        return (moment - _EPOCH) // _MICROSECOND
    except OverflowError:
        raise Invalid(f"date-time out of range: {text!r}") from None


def format_us(at_us: int) -> str:
    """Microseconds UTC to ISO 8601 with Z; fractions only where there are any."""
    return _kept(at_us)


def format_once(at_us: int) -> str:
    """The same, for who has thousands of moments that don't come again: none of them is kept."""
    seconds, micro = divmod(at_us, SECOND_US)
    minutes, second = divmod(seconds, 60)
    days, minute = divmod(minutes, 1440)
    if micro:
        return f"{_day(days)}{_MINUTES[minute]}{_SECONDS[second]}.{micro:06d}".rstrip("0") + "Z"
    return f"{_day(days)}{_MINUTES[minute]}{_SECONDS[second]}Z"


_kept = lru_cache(maxsize=4096)(format_once)


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    """The date so many days after 1970; a series has many moments on each."""
    return (_EPOCH + timedelta(days=days)).date().isoformat()
