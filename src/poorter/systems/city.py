# SPDX-License-Identifier: EUPL-1.2
"""The city handle: all that a system knows of the city. In process or over HTTP, the same calls.

Capabilities a broker may lack ("command", "hold", "advise") are declared in `capabilities`; a
system that needs one it does not find says so and runs its reading half only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity, Observation
from poorter.city.errors import CityError
from poorter.city.query import HistoryQuery, Query
from poorter.decide.advice import Proposal

#: what a Poorter offers beyond what any NGSI-LD broker does
CAPABILITIES = frozenset({"command", "hold", "advise"})


class Missed(CityError):  # noqa: N818 - a fact about the follower, not an error of the city
    """Changes were lost on the way; `after` is the last that was handed out. Who follows reads
    the state anew and follows again."""

    status = 410
    title = "Changes were missed"

    def __init__(self, after: int) -> None:
        super().__init__(f"changes after {after} were lost: read the state and follow again")
        self.after = after


@dataclass(frozen=True, slots=True)
class Changed:
    """Something changed: ids only, values are fetched under the permit of that moment."""

    sequence: int
    urn: str
    types: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mean:
    """A bucket of history: start, how many good readings, their mean (None: no numbers)."""

    start_us: int
    count: int
    mean: float | None


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of a pool at this moment: units, and (id, units, until) of each hold."""

    units: int
    holds: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Own:
    """What a system is given for itself: its settings, the city's time zone, and a folder for what
    it learnt (None: nowhere to keep it). What lies there may be lost; it is learnt again."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    time_zone: str = "UTC"
    folder: Path | None = None


class City(Protocol):
    """The city as one (processor, purpose) may know it. Every call passes the gate."""

    clock: Clock
    capabilities: frozenset[str]
    own: Own

    async def entity(self, urn: str) -> Entity | None:
        """One entity, None when absent or hidden."""
        ...

    async def entities(self, query: Query) -> list[Entity]:
        """Entities that match, one page of at most `query.limit`, by ascending id."""
        ...

    async def history(self, query: HistoryQuery) -> list[Observation]:
        """Observations by attribute, then event time."""
        ...

    async def means(self, urn: str, name: str, from_us: int, width_us: int) -> list[Mean]:
        """Means of one attribute since `from_us`, in buckets of `width_us`; empty ones absent."""
        ...

    async def put(self, entity: Entity) -> None:
        """Write an entity as a whole, new or not."""
        ...

    async def set(
        self, urn: str, attributes: Sequence[Attribute], expect: int | None = None
    ) -> None:
        """Set attributes of an entity; Conflict when `expect` is not its version."""
        ...

    async def remove(self, urn: str) -> None:
        """Take an entity out of the state; nothing happens when it is gone already."""
        ...

    async def hold(
        self,
        pool: str,
        hold_id: str,
        *,
        capacity: int,
        taken: int,
        until_us: int,
        entity: Entity | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Take one unit of a pool and write `entity` in the same transaction, or Conflict."""
        ...

    async def extend_hold(
        self, pool: str, hold_id: str, until_us: int, entity: Entity | None = None
    ) -> None:
        """Move the end of a running hold and write `entity` with it; NotFound when it is over."""
        ...

    async def end_hold(self, pool: str, hold_id: str, entity: Entity | None = None) -> None:
        """Give a unit back and write `entity` with it; NotFound when it is over."""
        ...

    async def held(self, pool: str) -> Held:
        """The running holds of a pool."""
        ...

    async def advise(self, proposal: Proposal) -> str:
        """Put advice before its mandate; the id of the advice. It may be decided at once where
        the mandate says so. Conflict while the same advice already waits."""
        ...

    def changes(self, types: Sequence[str]) -> AsyncIterator[Changed]:
        """Changes of entities of these types as they are committed; ends when the permit does.
        Raises Missed where some were lost."""
        ...
