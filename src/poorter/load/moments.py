# SPDX-License-Identifier: EUPL-1.2
"""Times in files to microseconds UTC, local clocks and their two odd hours a year included."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from poorter.city.errors import Invalid
from poorter.city.limits import FUTURE_SKEW_S_MAX
from poorter.city.time import DAY_US, SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CACHE_MAX = 50_000


class Moments:
    """Reads one kind of time. A repeated local hour is told apart by the order of the rows.

    `now` gives microseconds UTC; what lies after it is refused, and what lies more than `late_us`
    before it, where that is given.
    """

    def __init__(
        self, time_format: str, zone: str, now: Callable[[], int], late_us: int | None = None
    ) -> None:
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise Invalid(f"there is no time zone {zone!r}") from None
        self._format = time_format
        self._now = now
        self._late_us = late_us
        #: what was read, where the text alone says it
        self.known: dict[str, int] = {}
        self._last: dict[str, datetime] = {}

    def read(self, value: object, key: str = "") -> int:
        """Microseconds UTC. `key`: whose rows are in order of time. Raises Invalid."""
        text = value if isinstance(value, str) else None
        if text is not None:
            known = self.known.get(text)
            if known is not None:
                return known
        at_us, certain = self._read(value, key)
        now_us = self._now()
        if at_us > now_us + FUTURE_SKEW_S_MAX * SECOND_US:
            raise Invalid(f"{value} lies in the future")
        if self._late_us is not None and at_us < now_us - self._late_us:
            raise Invalid(f"{value} lies more than {self._late_us // DAY_US} days back")
        if text is not None and certain:
            if len(self.known) >= _CACHE_MAX:
                self.known.clear()
            self.known[text] = at_us
        return at_us

    def _read(self, value: object, key: str) -> tuple[int, bool]:
        if self._format in ("unix", "unix-ms"):
            return self._unix(value), True
        moment = value if isinstance(value, datetime) else self._parse(str(value).strip())
        if moment.tzinfo is not None:
            return _us(moment), True
        return self._local(moment, key)

    def _unix(self, value: object) -> int:
        try:
            number = float(str(value))
            return round(number * (SECOND_US if self._format == "unix" else 1000))
        except (ValueError, OverflowError):
            raise Invalid(f"{value!r:.60} is no number of seconds") from None

    def _parse(self, text: str) -> datetime:
        try:
            if self._format == "iso":
                if len(text) < 10:
                    raise ValueError(text)
                return datetime.fromisoformat(text)
            return datetime.strptime(text, self._format)
        except ValueError:
            raise Invalid(f"{text!r:.60} is no time as the map has it ({self._format})") from None

    def _local(self, moment: datetime, key: str) -> tuple[int, bool]:
        early, late = (moment.replace(tzinfo=self._zone, fold=fold) for fold in (0, 1))
        if early.utcoffset() == late.utcoffset():
            if key:
                self._last[key] = moment
            return _us(early), True
        if _us(early) < _us(late):  # the hour that comes twice: the second time it comes second
            before = self._last.get(key)
            second = before is not None and moment <= before
            if key and not second:
                self._last[key] = moment
            return _us(late if second else early), False
        raise Invalid(f"{moment} does not exist in {self._zone}: the clock jumps over it")


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
