# SPDX-License-Identifier: EUPL-1.2
"""Changes on their way to subscriptions. When more come than can be told they are folded: of each
entity what it was before and what it has become, so that nobody is left with what is not so any
more. What was left out between, or had no room even so, is said to those whom it may concern.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from poorter.city.limits import SUBSCRIBER_QUEUE_MAX
from poorter.store.contract import Changed


@dataclass(slots=True)
class Missed:
    """Of which entities and types something was not told, and how many changes that were."""

    urns: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    changes: int = 0
    beyond: bool = False  # more entities than `urns` names

    def add(self, change: Changed, most: int) -> None:
        """One change more."""
        self.changes += 1
        self.types.update(change.types)
        if len(self.urns) < most:
            self.urns.add(change.urn)
        elif change.urn not in self.urns:
            self.beyond = True


class Waiting:
    """A queue of bounded length. `folded` and `lost`: how many changes ever were."""

    def __init__(self, most: int = SUBSCRIBER_QUEUE_MAX) -> None:
        self._most = most
        self._queue: deque[Changed] = deque()
        self._later: dict[str, Changed] = {}  # of one entity after all of it in the queue
        self._missed = Missed()
        self.folded = self.lost = 0

    def __len__(self) -> int:
        return len(self._queue) + len(self._later)

    def put(self, changes: Iterable[Changed]) -> None:
        """Let these wait, in their order."""
        for change in changes:
            before = self._later.get(change.urn)
            if before is not None:
                self._later[change.urn] = change.after_all(before)
                self.folded += 1
                self._missed.add(change, self._most)
            elif len(self._queue) < self._most:
                self._queue.append(change)
            elif len(self._later) < self._most:
                self._later[change.urn] = change
            else:
                self.lost += 1
                self._missed.add(change, self._most)

    def take(self) -> Changed | None:
        """The next to be told, None when there is none."""
        if not self._queue:
            self._queue.extend(self._later.values())
            self._later.clear()
        return self._queue.popleft() if self._queue else None

    def missed(self) -> Missed | None:
        """What was left out, once nothing waits any more; and begin anew."""
        if not self._missed.changes or self:
            return None
        missed, self._missed = self._missed, Missed()
        return missed
