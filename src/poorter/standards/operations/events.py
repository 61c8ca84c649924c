# SPDX-License-Identifier: EUPL-1.2
"""Events asked for by number: what came after one, and waiting for the first of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from poorter.city.limits import PAGE_MAX
from poorter.gate.inside import open_types
from poorter.gate.permit import Permit
from poorter.store.contract import Event, Store
from poorter.stream.local import Gap, LocalStream

#: who asks to wait while so many do is answered at once
WAITING_MAX = 1000


class Waiting:
    """Hands out events by number. Sequences have no gaps, so a page always says how far it goes,
    whatever of it the permit hides."""

    def __init__(self, store: Store, stream: LocalStream) -> None:
        self._store = store
        self._stream = stream
        self._count = 0

    def events(
        self, permit: Permit, after: int | None, types: frozenset[str]
    ) -> tuple[list[Event], int]:
        """Events of these types (none = all) after a number, and the number looked up to.

        That is below `after` when the city went back to an older copy.
        """
        newest = self._store.sequence()
        if after is None or after >= newest:
            return [], newest
        last = min(newest, after + PAGE_MAX)
        found = self._store.events(permit, after, PAGE_MAX)
        return [e for e in found if e.sequence <= last and _of(e, types)], last

    async def until_after(
        self,
        permit: Permit,
        after: int,
        types: frozenset[str],
        wait_s: float,
        told: Callable[[Event], bool],
    ) -> None:
        """Return when something of these types that the asker is told was committed after a
        number, or time is up. What the asker is not told ends no wait, whenever it came."""
        if self._count >= WAITING_MAX:
            return

        def new(event: Event) -> bool:
            return event.sequence > after and _of(event, types) and told(event)

        self._count += 1
        follower = self._stream.follow(new, 1)
        try:
            found, last = self.events(permit, after, types)  # after it follows: none in between
            if not found and last < after + PAGE_MAX:
                async with asyncio.timeout(wait_s):
                    with suppress(Gap, StopAsyncIteration):
                        await anext(follower)
        except TimeoutError:
            pass
        finally:
            self._count -= 1
            follower.close()


def _of(event: Event, types: frozenset[str]) -> bool:
    return not types or not types.isdisjoint(open_types(event.types))
