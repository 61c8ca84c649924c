# SPDX-License-Identifier: EUPL-1.2
"""The snapshots of one city, or of one tenant: in memory, each for whoever made it, for a while.
What is lost is made again by the same queries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Invalid, NotFound, TooLarge
from poorter.city.ids import check_uri, mint
from poorter.city.time import HOUR_US, format_us
from poorter.identity.caller import Caller
from poorter.standards.ngsild.sources.maps import lifetime_us
from poorter.standards.ngsild.subscriptions.model import Endpoint, parse_endpoint
from poorter.store.contract import StoredEntity
from poorter.store.evolving import Evolution

SNAPSHOTS_MAX = 20  # of one (processor, purpose)
ENTITIES_MAX = 10_000  # in one
INSTANCES_MAX = 100_000  # of evolutions in one; ten of them count as an entity
KEPT_MAX = 20_000  # in those of one (processor, purpose)
KEPT_ALL_MAX = 60_000
QUERIES_MAX = 20
LIFETIME_US = 1 * HOUR_US
LIFETIME_US_MAX = 24 * HOUR_US
PRIORITY = 5
#: what a client says of a snapshot once it is there
CHANGEABLE = frozenset(("snapshotPriority", "snapshotLifetime", "endpoint", "receiverInfo"))
#: what it is made of
QUERIES = ("snapshotQueries", "snapshotTemporalQueries")
MEMBERS = CHANGEABLE | frozenset(("id", "type", *QUERIES))
READ_ONLY = frozenset(
    ("createdAt", "modifiedAt", "lastUsedAt", "expiresAt", "snapshotStatus")
) | frozenset(("snapshotQueriesDetails", "snapshotTemporalQueriesDetails"))


@dataclass(slots=True)
class Snapshot:
    """One of them (5.2.41)."""

    id: str
    owner: tuple[str, str]  # processor and purpose: nobody sees another's
    doc: dict[str, Any]
    created_us: int
    expires_us: int
    modified_us: int = 0
    used_us: int = 0
    status: str = "preparing"
    details: list[dict[str, Any]] = field(default_factory=list)
    temporal_details: list[dict[str, Any]] = field(default_factory=list)
    entities: Mapping[str, StoredEntity] = field(default_factory=dict)
    evolutions: Mapping[str, Evolution] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    @property
    def priority(self) -> int:
        """From 1, the first to go where there are too many, to 10."""
        return int(self.doc.get("snapshotPriority", PRIORITY))

    @property
    def endpoint(self) -> Endpoint | None:
        """Who is told how it goes."""
        return endpoint_of(self.doc)

    @property
    def weight(self) -> int:
        """How much it holds, in entities."""
        return _weight(self.entities, self.evolutions)

    def shown(self) -> dict[str, Any]:
        """As 5.2.41 has it."""
        times = {
            "createdAt": self.created_us,
            "modifiedAt": self.modified_us,
            "lastUsedAt": self.used_us,
            "expiresAt": self.expires_us,
        }
        return {
            "id": self.id,
            "type": "Snapshot",
            **{name: value for name, value in self.doc.items() if name not in ("id", "type")},
            "snapshotPriority": self.priority,
            "snapshotStatus": self.status,
            **({"snapshotQueriesDetails": self.details} if self.details else {}),
            **(
                {"snapshotTemporalQueriesDetails": self.temporal_details}
                if self.temporal_details
                else {}
            ),
            **{name: format_us(at_us) for name, at_us in times.items()},
        }

    def as_entity(self) -> Entity:
        """Its members as attributes, for a q about them."""
        told = self.shown()
        members = {n: v for n, v in told.items() if n not in ("id", "type", *QUERIES)}
        attributes = tuple(Attribute(name, value) for name, value in members.items())
        return Entity(self.id, ("Snapshot",), attributes)


def endpoint_of(doc: Mapping[str, Any]) -> Endpoint | None:
    """Where a snapshot's notifications go. Raises Invalid."""
    if "endpoint" not in doc:
        return None
    told = {"uri": doc["endpoint"], "receiverInfo": doc.get("receiverInfo", [])}
    return parse_endpoint({"endpoint": told})


def check_members(doc: Any, allowed: frozenset[str]) -> dict[str, Any]:
    """What a client says of a snapshot. Raises Invalid naming the member."""
    if not isinstance(doc, dict) or doc.get("type", "Snapshot") != "Snapshot":
        raise Invalid("a snapshot is a JSON object of type Snapshot")
    told = {name: value for name, value in doc.items() if name != "@context"}
    for name in told:
        if name not in allowed and name not in ("id", "type"):
            raise Invalid(f"{name!r:.60} is none of a snapshot's members that can be said here")
    priority = told.get("snapshotPriority", PRIORITY)
    if not isinstance(priority, int) or isinstance(priority, bool) or not 1 <= priority <= 10:
        raise Invalid("snapshotPriority lies between 1 and 10")
    if "snapshotLifetime" in told:
        _lifetime(told)
    if "receiverInfo" in told and "endpoint" not in told:
        raise Invalid("receiverInfo goes with an endpoint")
    endpoint_of(told)
    return told


def _lifetime(doc: Mapping[str, Any]) -> int:
    text = doc.get("snapshotLifetime")
    if text is None:
        return LIFETIME_US
    if not isinstance(text, str) or lifetime_us(text) <= 0:
        raise Invalid("snapshotLifetime is an ISO 8601 duration")
    return min(lifetime_us(text), LIFETIME_US_MAX)


def _kept(snapshots: Iterable[Snapshot]) -> int:
    return sum(one.weight for one in snapshots)


def _weight(entities: Mapping[str, StoredEntity], evolutions: Mapping[str, Evolution]) -> int:
    instances = sum(len(one.instances) for one in evolutions.values())
    return len(entities) + max(len(evolutions), instances // 10)


class Snapshots:
    """Those there are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: dict[str, Snapshot] = {}

    def make(self, caller: Caller, doc: dict[str, Any]) -> Snapshot:
        """A new one, with nothing in it yet. Raises Conflict when the id is taken."""
        self._sweep()
        urn = check_uri(doc.get("id", mint("urn:ngsi-ld:Snapshot:")), "id")
        if urn in self._all:
            raise Conflict(f"{urn} is there already")
        owner = (caller.processor, caller.purpose)
        if len(self._of(owner)) >= SNAPSHOTS_MAX:
            self._forget_least(owner, 10)
        now_us = self._clock.now_us()
        made = Snapshot(urn, owner, doc, now_us, now_us + _lifetime(doc), now_us, now_us)
        self._all[urn] = made
        return made

    def get(self, caller: Caller, urn: str) -> Snapshot:
        """The caller's. Raises NotFound, also for one that has expired."""
        found = self._all.get(check_uri(urn, "the snapshot's id"))
        if (
            found is None
            or found.owner != (caller.processor, caller.purpose)
            or found.expires_us <= self._clock.now_us()
        ):
            raise NotFound(f"{urn} is not there")
        return found

    def of(self, caller: Caller) -> list[Snapshot]:
        """All of the caller's."""
        self._sweep()
        return self._of((caller.processor, caller.purpose))

    def change(self, snapshot: Snapshot, told: Mapping[str, Any]) -> None:
        """Members become these."""
        snapshot.doc |= told
        snapshot.modified_us = self._clock.now_us()
        if "snapshotLifetime" in told:
            snapshot.expires_us = snapshot.created_us + _lifetime(snapshot.doc)

    def fill(
        self,
        snapshot: Snapshot,
        entities: Mapping[str, StoredEntity],
        evolutions: Mapping[str, Evolution],
    ) -> None:
        """What it holds from now on. Where that is too much, others of the same owner go, of no
        higher priority. Raises TooLarge when there is no room for it."""
        self._sweep()
        weight = _weight(entities, evolutions)
        while _kept(self._of(snapshot.owner)) + weight > KEPT_MAX:
            self._forget_least(snapshot.owner, snapshot.priority, snapshot)
        if _kept(self._all.values()) + weight > KEPT_ALL_MAX:
            raise TooLarge("there is no room for another snapshot now")
        snapshot.entities, snapshot.evolutions = entities, evolutions

    def used(self, snapshot: Snapshot) -> None:
        """It was read."""
        snapshot.used_us = self._clock.now_us()

    def remove(self, snapshot: Snapshot) -> None:
        """Forget one."""
        if snapshot.task is not None:
            snapshot.task.cancel()
        self._all.pop(snapshot.id, None)

    def _of(self, owner: tuple[str, str]) -> list[Snapshot]:
        return [one for one in self._all.values() if one.owner == owner]

    def _forget_least(
        self, owner: tuple[str, str], priority: int, but: Snapshot | None = None
    ) -> None:
        """The one of least priority goes, and of those the one not used for longest (5.5.15); it is
        the owner's own: nobody makes room with what is another's."""
        least = min(
            (one for one in self._of(owner) if one is not but and one.priority <= priority),
            key=lambda one: (one.priority, one.used_us),
            default=None,
        )
        if least is None:
            raise TooLarge("there is no room for another snapshot: delete one, or ask for less")
        self.remove(least)

    def _sweep(self) -> None:
        now_us = self._clock.now_us()
        for one in [one for one in self._all.values() if one.expires_us <= now_us]:
            self.remove(one)
