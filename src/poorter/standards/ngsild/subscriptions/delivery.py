# SPDX-License-Identifier: EUPL-1.2
"""Getting notifications to where they go: one queue a subscription, tries with growing pauses.

A receiver that is slow or gone holds up nobody else. What can't be delivered becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from poorter.city.clock import Clock
from poorter.city.errors import CityError
from poorter.standards.ngsild.subscriptions.model import Endpoint

log = logging.getLogger(__name__)
QUEUE_MAX = 1000
PAUSES_S = (1.0, 5.0, 25.0)
Send = Callable[[Endpoint, bytes, dict[str, str]], Awaitable[None]]
Bury = Callable[[str, bytes, str], Awaitable[None]]


@dataclass(slots=True)
class Counts:
    """What became of a subscription's notifications."""

    sent: int = 0
    failed: int = 0
    last_us: int | None = None
    success_us: int | None = None
    failure_us: int | None = None
    reason: str | None = None  # of the newest failure, None after a success
    changed: bool = False

    @property
    def status(self) -> str | None:
        """ok or failed; None while nothing was sent."""
        if self.last_us is None:
            return None
        return "ok" if self.reason is None else "failed"


@dataclass(slots=True)
class Letter:
    """One notification. `make` is called at each try: what the permit allows then, None if no
    more. Or none at all: `missing` says why there is a number without one."""

    make: Callable[[], Awaitable[tuple[bytes, dict[str, str]] | None]] | None
    missing: str = ""


@dataclass(slots=True)
class Box:
    """The queue of one subscription."""

    endpoint: Endpoint
    counts: Counts
    letters: deque[Letter] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    number: int = 0  # of the newest notification: a gap tells the receiver of a loss


class Delivery:
    """All queues of a city."""

    def __init__(self, send: Send, bury: Bury, clock: Clock) -> None:
        self._send = send
        self._bury = bury
        self._clock = clock
        self._boxes: dict[str, Box] = {}

    def open(self, sub_id: str, endpoint: Endpoint, counts: Counts | None = None) -> Box:
        """The queue of a subscription, made or given a new endpoint."""
        box = self._boxes.get(sub_id)
        if box is None:
            box = self._boxes[sub_id] = Box(endpoint, counts or Counts())
        box.endpoint = endpoint
        return box

    def close(self, sub_id: str) -> None:
        """Nothing more is sent."""
        box = self._boxes.pop(sub_id, None)
        if box is not None and box.task is not None:
            box.task.cancel()

    def counts(self, sub_id: str) -> Counts:
        """What became of it so far."""
        box = self._boxes.get(sub_id)
        return box.counts if box else Counts()

    def totals(self) -> tuple[int, int]:
        """Notifications sent and tries that failed, of all subscriptions there are."""
        boxes = self._boxes.values()
        return sum(b.counts.sent for b in boxes), sum(b.counts.failed for b in boxes)

    def put(self, sub_id: str, letter: Letter) -> None:
        """Queue a notification; the oldest is lost where too many wait, and counted as failed."""
        box = self._boxes.get(sub_id)
        if box is None:
            return
        if len(box.letters) >= QUEUE_MAX:
            box.letters.popleft()
            self._skip(box, f"over {QUEUE_MAX} notifications waited")
        if letter.make is None and not box.letters and (box.task is None or box.task.done()):
            self._skip(box, letter.missing)
            return
        box.letters.append(letter)
        if box.task is None or box.task.done():
            box.task = asyncio.create_task(self._empty(sub_id, box), name=f"notify {sub_id}")

    async def stop(self) -> None:
        """End all deliveries."""
        tasks = [box.task for box in self._boxes.values() if box.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _empty(self, sub_id: str, box: Box) -> None:
        while box.letters:
            await self._deliver(sub_id, box, box.letters.popleft())

    def _skip(self, box: Box, reason: str) -> None:
        """A number without a notification: the receiver sees that something is missing."""
        box.number += 1
        counts = box.counts
        counts.failed += 1
        counts.failure_us = counts.last_us = self._clock.now_us()
        counts.reason = reason
        counts.changed = True

    async def _deliver(self, sub_id: str, box: Box, letter: Letter) -> None:
        if letter.make is None:
            self._skip(box, letter.missing)
            return
        box.number += 1
        number = box.number
        body = b""
        for pause_s in (0.0, *PAUSES_S):
            await asyncio.sleep(pause_s)
            made = await letter.make()
            if made is None:
                return  # the permit does not let it out any more
            body, headers = made
            counts = box.counts
            counts.changed = True
            if pause_s == 0.0:
                counts.sent += 1
            counts.last_us = self._clock.now_us()
            try:
                await self._send(box.endpoint, body, {**headers, "Poorter-Sequence": str(number)})
            except CityError as wrong:
                counts.failed += pause_s == 0.0  # once a notification, however often it is tried
                counts.failure_us = self._clock.now_us()
                counts.reason = wrong.detail
                continue
            counts.success_us = self._clock.now_us()
            counts.reason = None
            return
        log.warning("a notification of %s is a dead letter: %s", sub_id, box.counts.reason)
        await self._bury(sub_id, body, box.counts.reason or "")
