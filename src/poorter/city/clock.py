# SPDX-License-Identifier: EUPL-1.2
"""The one injected clock. Everything that asks for the time gets one of these."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in microseconds UTC since 1970."""

    def now_us(self) -> int:
        """The present moment, microseconds UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_us(self) -> int:
        """The present moment, microseconds UTC."""
        return time.time_ns() // 1000


class ManualClock:
    """A clock that stands still until told otherwise: tests and simulation."""

    def __init__(self, now_us: int = 1_767_225_600_000_000) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """The moment last set, microseconds UTC."""
        return self._now_us

    def set_us(self, now_us: int) -> None:
        """Jump to a moment, also backwards: that is what real clocks do."""
        self._now_us = now_us

    def forward_s(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now_us += round(seconds * 1_000_000)


class CommittedClock:
    """Never earlier than the last committed time: a clock set back revives nothing expired."""

    def __init__(self, clock: Clock, committed_us: int = 0) -> None:
        self._clock = clock
        self._committed_us = committed_us

    def now_us(self) -> int:
        """max(wall clock, last committed time), the time expiry is judged by."""
        now_us = self._clock.now_us()
        return now_us if now_us > self._committed_us else self._committed_us

    @property
    def committed_us(self) -> int:
        """The last committed time: whatever carries it, or an earlier one, is committed."""
        return self._committed_us

    def committed(self, at_us: int) -> None:
        """Note that a commit carried the time `at_us`."""
        self._committed_us = max(self._committed_us, at_us)

    def follow(self, other: CommittedClock) -> None:
        """Commits are another's from here on. `other` was made over this one: now it is the other
        way round, so that whoever has this one sees what it sees."""
        other._clock, self._clock = self._clock, other
