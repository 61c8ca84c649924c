# SPDX-License-Identifier: EUPL-1.2
"""Times as tables have them, to seconds since 1970: ISO, day or month first, am and pm, epoch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from poorter.city.errors import Invalid

_PARTS = re.compile(
    r"(\d{1,4})[-/. ](\d{1,2}|[A-Za-z]{3})[-/. ](\d{1,4})"
    r"(?:[ T,]+(\d{1,2})(?::(\d{2}))?(?::(\d{2})(?:\.\d+)?)?\s*([AaPp][Mm])?)?"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
#: 1990 to 2100, in seconds
_EPOCH_MIN, _EPOCH_MAX = 631_152_000, 4_102_444_800
_CACHE_MAX = 200_000


class Moments:
    """Reads the times of one table. `sample`: some of them, to see whether day or month leads."""

    def __init__(self, sample: Sequence[str], zone: str = "UTC", time_format: str = "") -> None:
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise Invalid(f"there is no time zone {zone!r}") from None
        self._format = time_format
        self._month_first = _month_first(sample)
        self._cache: dict[str, float | None] = {}

    def read(self, text: str) -> float | None:
        """Seconds since 1970; None for what is no time."""
        if text in self._cache:
            return self._cache[text]
        found = self._read(text.strip())
        if len(self._cache) >= _CACHE_MAX:
            self._cache.clear()
        self._cache[text] = found
        return found

    def _read(self, text: str) -> float | None:
        moment = self._parse(text)
        if isinstance(moment, float) or moment is None:
            return moment
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
        try:
            return moment.timestamp()
        except (OverflowError, ValueError):
            return None

    def _parse(self, text: str) -> datetime | float | None:
        try:
            if self._format:
                return datetime.strptime(text, self._format)
            if text.replace(".", "", 1).isdigit() and len(text.partition(".")[0]) >= 9:
                return _epoch(float(text))
            return datetime.fromisoformat(text) if text[:4].isdigit() else self._written(text)
        except ValueError:
            return self._written(text) if not self._format else None

    def _written(self, text: str) -> datetime | None:
        found = _PARTS.match(text)
        if found is None:
            return None
        one, two, three, hour, minute, second, half = found.groups()
        try:
            if not two.isdigit():
                day, month, year = int(one), _MONTHS.index(two.lower()) + 1, int(three)
            elif len(one) == 4:
                year, month, day = int(one), int(two), int(three)
            else:
                first, then, year = int(one), int(two), int(three)
                month, day = (first, then) if self._month_first else (then, first)
            year += 2000 if year < 100 else 0
            clock = int(hour or 0)
            if half:
                clock = clock % 12 + (12 if half.lower() == "pm" else 0)
            return datetime(year, month, day, clock, int(minute or 0), int(second or 0))
        except ValueError:
            return None


def _epoch(number: float) -> float | None:
    for size in (1.0, 1e3, 1e6, 1e9):
        if _EPOCH_MIN <= number / size <= _EPOCH_MAX:
            return number / size
    return None


def _month_first(sample: Sequence[str]) -> bool:
    """Whether the second number of some date can only be a day."""
    for text in sample:
        found = _PARTS.match(text.strip())
        if found and found[2].isdigit() and len(found[1]) <= 2:
            if int(found[1]) > 12:
                return False
            if int(found[2]) > 12:
                return True
    return bool(sample) and any(text.strip()[-2:].lower() in ("am", "pm") for text in sample)


def looks_like_time(text: str, named: bool) -> bool:
    """Whether a cell may be a time; a bare number only in a column that is `named` like one."""
    if text.replace(".", "", 1).isdigit() and not (named and len(text.partition(".")[0]) >= 8):
        return False
    return any(Moments([leads]).read(text) is not None for leads in ("31/1/2000", "1/31/2000"))
