# SPDX-License-Identifier: EUPL-1.2
"""Entity maps (CIM 009, 5.14, 5.5.14): which entities a query found, and at which sources, kept a
while so that pages stay the same. In memory: what is lost is made again by the same query."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from poorter.city.clock import Clock
from poorter.city.errors import Invalid, NotFound, TooLarge
from poorter.city.ids import mint
from poorter.city.time import DAY_US, SECOND_US, format_us
from poorter.identity.caller import Caller

MAPS_MAX = 1000
IDS_MAX = 10_000
LIFETIME_US = 600 * SECOND_US
LIFETIME_US_MAX = 3600 * SECOND_US
HERE = "@none"


@dataclass(frozen=True, slots=True)
class EntityMap:
    """`ids`: each entity found, and by whom: registrations, or "@none" for this city."""

    id: str
    owner: tuple[str, str]  # processor and purpose: nobody sees another's
    ids: Mapping[str, tuple[str, ...]]
    expires_at_us: int

    def shown(self) -> dict[str, Any]:
        """As 5.2.39 has it."""
        return {
            "id": self.id,
            "type": "EntityMap",
            "expiresAt": format_us(self.expires_at_us),
            "entityMap": {urn: list(by) for urn, by in self.ids.items()},
            "linkedMaps": {},
        }


_DURATION = re.compile(r"P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(?:T(?=.)(\d+H)?(\d+M)?(\d+S)?)?\Z")
_UNITS_US = (365 * DAY_US, 30 * DAY_US, 7 * DAY_US, DAY_US, 3600 * SECOND_US, 60 * SECOND_US)


def lifetime_us(text: str) -> int:
    """A suggested lifetime, an ISO 8601 duration. Raises Invalid."""
    found = _DURATION.match(text) if len(text) < 50 else None
    if found is None:
        raise Invalid("entityMapLifetime is an ISO 8601 duration")
    counts = [int(part[:-1]) if part else 0 for part in found.groups()]
    return sum(n * unit for n, unit in zip(counts, (*_UNITS_US, SECOND_US), strict=True))


class Maps:
    """The maps of one city."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: dict[str, EntityMap] = {}

    def make(
        self, caller: Caller, ids: Mapping[str, tuple[str, ...]], lifetime_us: int
    ) -> EntityMap:
        """Keep a new one; the oldest goes where there are too many."""
        if len(ids) > IDS_MAX:
            raise TooLarge(f"an entity map holds at most {IDS_MAX} entities: narrow the query")
        self._sweep()
        until_us = self._clock.now_us() + min(lifetime_us, LIFETIME_US_MAX)
        owner = (caller.processor, caller.purpose)
        made = EntityMap(mint("urn:ngsi-ld:EntityMap:"), owner, dict(ids), until_us)
        while len(self._all) >= MAPS_MAX:
            self._all.pop(next(iter(self._all)))
        self._all[made.id] = made
        return made

    def get(self, caller: Caller, map_id: str) -> EntityMap:
        """The caller's. Raises NotFound, also for one that has expired."""
        found = self._all.get(map_id)
        if (
            found is None
            or found.owner != (caller.processor, caller.purpose)
            or found.expires_at_us <= self._clock.now_us()
        ):
            raise NotFound(f"{map_id} is not there")
        return found

    def extend(self, caller: Caller, map_id: str, until_us: int) -> None:
        """Another end, within what is allowed."""
        latest = self._clock.now_us() + LIFETIME_US_MAX
        self._all[map_id] = replace(self.get(caller, map_id), expires_at_us=min(until_us, latest))

    def prune(self, entity_map: EntityMap, gone: Iterable[str]) -> None:
        """Entities that the query doesn't find any more."""
        lost = set(gone)
        kept = {urn: by for urn, by in entity_map.ids.items() if urn not in lost}
        if lost and entity_map.id in self._all:
            self._all[entity_map.id] = replace(entity_map, ids=kept)

    def remove(self, caller: Caller, map_id: str) -> None:
        """Forget one. Raises NotFound."""
        self._all.pop(self.get(caller, map_id).id)

    def _sweep(self) -> None:
        now_us = self._clock.now_us()
        self._all = {key: one for key, one in self._all.items() if one.expires_at_us > now_us}
