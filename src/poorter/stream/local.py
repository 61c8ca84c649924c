# SPDX-License-Identifier: EUPL-1.2
"""Events within one process: from the writer's thread to bounded queues on the event loop.

A follower that is too slow loses its queue and is told with a gap: it asks the store for the
events after the last one it saw. The writer never waits for anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from poorter.city.limits import SUBSCRIBER_QUEUE_MAX
from poorter.store.contract import Event, Store

Wanted = Callable[[Event], bool]


class Gap(Exception):  # noqa: N818 - it is no error of the follower's, but a fact
    """Events were dropped; `after` is the last one that was handed out."""

    def __init__(self, after: int) -> None:
        super().__init__(f"events after {after} were dropped")
        self.after = after


class LocalStream:
    """Hands the store's events to followers. Make and use it on one event loop."""

    def __init__(self, store: Store) -> None:
        self._loop = asyncio.get_running_loop()
        self._followers: set[_Follower] = set()
        self._stop = store.on_commit(self._from_writer)

    def follow(self, wanted: Wanted, limit: int = SUBSCRIBER_QUEUE_MAX) -> _Follower:
        """Events that `wanted` lets through, from now on."""
        follower = _Follower(self, wanted, limit)
        self._followers.add(follower)
        return follower

    def close(self) -> None:
        """No more events; followers end."""
        self._stop()
        for follower in tuple(self._followers):
            follower.close()

    def drop(self, follower: _Follower) -> None:
        """The follower is done."""
        self._followers.discard(follower)

    def _from_writer(self, events: Sequence[Event]) -> None:
        if self._followers and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_out, events)

    def _hand_out(self, events: Sequence[Event]) -> None:
        for follower in tuple(self._followers):
            follower.take(events)


class _Follower(AsyncIterator[Event]):
    def __init__(self, stream: LocalStream, wanted: Wanted, limit: int) -> None:
        self._stream = stream
        self._wanted = wanted
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(limit + 1)
        self._limit = limit
        self._last = 0
        self._lost = False

    def take(self, events: Sequence[Event]) -> None:
        """Queue what is wanted; once full, drop all until the follower has read up."""
        for event in events:
            if self._wanted(event):
                if self._queue.qsize() >= self._limit:
                    self._lost = True
                    return
                self._queue.put_nowait(event)

    def close(self) -> None:
        """End the iteration."""
        self._stream.drop(self)
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def __anext__(self) -> Event:
        """The next event. Raises Gap once when events were dropped."""
        if self._lost and self._queue.empty():
            self._lost = False
            raise Gap(self._last)
        event = await self._queue.get()
        if event is None:
            raise StopAsyncIteration
        self._last = event.sequence
        return event
