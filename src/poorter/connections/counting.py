# SPDX-License-Identifier: EUPL-1.2
"""What became of what came in. Nothing goes uncounted; examples of what was refused are kept."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field

EXAMPLES_MAX = 50
DEVICES_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Refused:
    """One example: who sent what, and why it was refused."""

    at_us: int
    device: str
    what: str
    reason: str


@dataclass(slots=True)
class Seen:
    """One device: when it last brought something, how much was taken and refused, and whether the
    broker said that it is gone."""

    last_us: int = 0
    taken: int = 0
    known: int = 0
    refused: int = 0
    silent: bool = False


@dataclass(slots=True)
class Counts:
    """Of one connection since the city started. Threads add to it; `lock` is held meanwhile."""

    messages: int = 0
    new: int = 0
    corrections: int = 0
    known: int = 0
    missing: int = 0
    things: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: deque[Refused] = field(default_factory=lambda: deque(maxlen=EXAMPLES_MAX))
    devices: dict[str, Seen] = field(default_factory=dict)
    newest_us: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, sort: str, example: Refused, number: int = 1) -> None:
        """Count as refused: `sort` is one of a few words, the example says it in full."""
        with self.lock:
            self.refused[sort] += number
            self.examples.append(example)
            seen = self._seen(example.device)
            if seen is not None:
                seen.refused += number

    def take(self, device: str, at_us: int, new: int, corrections: int, known: int) -> None:
        """Count what the store made of readings."""
        with self.lock:
            self.new += new
            self.corrections += corrections
            self.known += known
            if new + corrections:
                self.newest_us = at_us
            seen = self._seen(device)
            if seen is not None:
                seen.last_us = at_us
                seen.taken += new + corrections
                seen.known += known
                seen.silent = False

    def take_thing(self, at_us: int) -> None:
        """Count a thing that was written."""
        with self.lock:
            self.things += 1
            self.newest_us = at_us

    def is_silent(self, device: str, silent: bool) -> bool:
        """Note what the broker says of a device; whether that is news."""
        with self.lock:
            seen = self._seen(device)
            if seen is None or seen.silent == silent:
                return False
            seen.silent = silent
            return True

    def refusals(self) -> list[tuple[str, int]]:
        """How many were refused, by sort."""
        with self.lock:
            return sorted(self.refused.items())

    def latest(self) -> list[Refused]:
        """Examples of what was refused, the last one first."""
        with self.lock:
            return list(reversed(self.examples))

    def _seen(self, device: str) -> Seen | None:
        if not device:
            return None
        found = self.devices.get(device)
        if found is None and len(self.devices) < DEVICES_MAX:
            found = self.devices[device] = Seen()
        return found
