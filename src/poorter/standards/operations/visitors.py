# SPDX-License-Identifier: EUPL-1.2
"""How much each visitor has running, in memory and as hashes only: nobody can look up who it was,
a restart forgets it, and so does the moment at which the thing ends."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from poorter.city.clock import Clock
from poorter.city.errors import TooMany
from poorter.city.text import Text
from poorter.city.time import MINUTE_US, SECOND_US
from poorter.systems.shape import Runs

#: an act that takes longer than this to answer does not keep its place
_PENDING_US = MINUTE_US
#: how often what is over is looked for among all visitors
_SWEEP_US = MINUTE_US


class Visitors:
    """Counts what runs, by visitor and sort of thing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._salt = secrets.token_bytes(32)
        self._running: dict[bytes, dict[bytes, int]] = {}
        self._swept_us = clock.now_us()

    def __len__(self) -> int:
        """How many visitors have something running."""
        self._sweep(self._clock.now_us())
        return len(self._running)

    @contextmanager
    def place(self, visitor: str, limit: int) -> Iterator[list[Runs]]:
        """A place among those of the visitor, before the act: two at once can't both be the last.
        Put into the list what the act leaves running.

        Raises: TooMany with the time until the first of them ends.
        """
        now_us = self._clock.now_us()
        if now_us - self._swept_us >= _SWEEP_US:
            self._sweep(now_us)
        who, pending = self._hash(visitor), secrets.token_bytes(16)
        own = self._running.setdefault(who, {})
        for key in [key for key, until_us in own.items() if until_us <= now_us]:
            del own[key]
        if len(own) >= limit > 0:
            wait_s = max(1, -(-(min(own.values()) - now_us) // SECOND_US))
            said = Text(
                f"u hebt er al {limit} lopen; zeg er een af, of wacht tot er een voorbij is",
                f"you have {limit} running already: cancel one, or wait until one is over",
            )
            raise TooMany(said, wait_s)
        own[pending] = now_us + _PENDING_US
        left: list[Runs] = []
        try:
            yield left
        finally:
            own = self._running.setdefault(who, {})
            own.pop(pending, None)
            for runs in left:
                own[self._hash(runs.key)] = runs.until_us
            if not own:
                del self._running[who]

    def note(self, runs: Runs) -> None:
        """Something that ran goes on until another moment, under another key, or has ended;
        whoever says so, it stays with the visitor who began it."""
        before = self._hash(runs.ended or runs.key)
        for who, own in list(self._running.items()):
            if own.pop(before, None) is not None:
                if runs.until_us > self._clock.now_us():
                    own[self._hash(runs.key)] = runs.until_us
                if not own:
                    del self._running[who]

    def _sweep(self, now_us: int) -> None:
        self._swept_us = now_us
        for who, own in list(self._running.items()):
            for key in [key for key, until_us in own.items() if until_us <= now_us]:
                del own[key]
            if not own:
                del self._running[who]

    def _hash(self, text: str) -> bytes:
        raw = text.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(raw, key=self._salt, digest_size=16).digest()
