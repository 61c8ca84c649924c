# SPDX-License-Identifier: EUPL-1.2
"""The registered sources of one city, in memory and as records; what became of asking them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Denied, NotFound, Unavailable
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.identity.sealing import seal, unseal
from poorter.standards.ngsild.contexts import Contexts
from poorter.standards.ngsild.sources.matching import overlaps
from poorter.standards.ngsild.sources.model import Registration, parse_registration
from poorter.store.contract import Change, DeleteRecord, PutRecord, Record, Store

log = logging.getLogger(__name__)
RECORD = "registration"
_SECRETS = "contextSourceInfo"
REGISTRATIONS_MAX = 1000
FAILURES_MAX = 3  # in a row, before a source is left alone for a while
COOLDOWN_S, COOLDOWN_S_MAX = 10.0, 300.0
_RETRY_S = 30.0
#: (before, after): None where it did not exist, or no longer does
Listener = Callable[[Registration | None, Registration | None], None]


@dataclass(slots=True)
class Tally:
    """What became of asking one source (5.2.9-2), since this city started."""

    sent: int = 0
    failed: int = 0
    success_us: int | None = None
    failure_us: int | None = None
    in_a_row: int = 0  # failures
    resting_until_us: int = 0

    @property
    def status(self) -> str | None:
        """ok or failed; None while it was never asked."""
        if self.sent == 0:
            return None
        return "failed" if self.in_a_row else "ok"


class Registry:
    """Holds registrations. `any` is all that a request without federation looks at."""

    def __init__(
        self, store: Store, gate: Gate, clock: Clock, contexts: Contexts, pepper: bytes
    ) -> None:
        self._pepper = pepper
        self._store = store
        self._gate = gate
        self._clock = clock
        self._contexts = contexts
        self._all: dict[str, Registration] = {}
        self._tallies: dict[str, Tally] = {}
        self._listeners: list[Listener] = []
        self._missing: list[Record] = []
        self._task: asyncio.Task[None] | None = None
        self.any = False

    async def start(self) -> None:
        """Take them from the store; those whose @context can't be had are tried again later."""
        permit = self._gate.permit("internal:ngsi-ld", RUN, "read")
        after: str | None = None
        while records := self._store.records(permit, RECORD, after=after):
            self._missing += [record for record in records if not await self._load(record)]
            after = records[-1].id
        self._task = asyncio.create_task(self._retry(), name="registrations that wait")

    async def stop(self) -> None:
        """No longer try those that wait."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _retry(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            waiting, self._missing = self._missing, []
            self._missing += [record for record in waiting if not await self._load(record)]

    async def _load(self, record: Record) -> bool:
        doc = record.doc
        try:
            context = await self._contexts.of(doc["context"])
            said = dict(doc["doc"])
            if _SECRETS in said:
                said[_SECRETS] = msgspec.json.decode(
                    unseal(self._pepper, record.id, said[_SECRETS])
                )
            found = parse_registration(
                said, context, record.id, doc["processor"], doc["purpose"], None
            )
        except CityError as wrong:
            log.warning("registration %s waits: %s", record.id, wrong.detail)
            return False
        self._hold(found)
        return True

    # -- what is there -------------------------------------------------------------------------

    def get(self, reg_id: str) -> Registration:
        """One that has not expired. Raises NotFound."""
        found = self._all.get(reg_id)
        if found is None or not found.runs(self._clock.now_us()):
            raise NotFound(f"{reg_id} is not there")
        return found

    def waits(self, reg_id: str) -> bool:
        """Whether it is there, but its @context can't be had."""
        return any(record.id == reg_id for record in self._missing)

    def running(self) -> list[Registration]:
        """Those that have not expired, by id."""
        now_us = self._clock.now_us()
        return [self._all[key] for key in sorted(self._all) if self._all[key].runs(now_us)]

    def has_room(self) -> None:
        """Raises Unavailable when there are as many as there may be."""
        if len(self._all) >= REGISTRATIONS_MAX:
            now_us = self._clock.now_us()
            self._all = {key: one for key, one in self._all.items() if one.runs(now_us)}
        if len(self._all) >= REGISTRATIONS_MAX:
            raise Unavailable(f"there are {REGISTRATIONS_MAX} registrations already")

    def overlapping(self, new: Registration) -> Registration | None:
        """A registration that leaves no place for a new one beside it (4.3.6.3)."""
        return next((r for r in self.running() if r.id != new.id and overlaps(new, r)), None)

    def on_change(self, listener: Listener) -> None:
        """Call `listener` for each registration that comes, changes or goes."""
        self._listeners.append(listener)

    async def put(self, registration: Registration, new: bool) -> None:
        """Keep one; durable when this returns. Raises Conflict for a new one whose id is taken."""
        said = dict(registration.doc)
        if _SECRETS in said:  # a copy of the data is no copy of the keys to sources
            plain = msgspec.json.encode(said[_SECRETS])
            said[_SECRETS] = seal(self._pepper, registration.id, plain)
        doc = {
            "doc": said,
            "context": registration.context.source,
            "processor": registration.processor,
            "purpose": registration.purpose,
        }
        await self._commit(PutRecord(RECORD, registration.id, doc, 0 if new else None))
        before = self._all.get(registration.id)
        self._hold(registration)
        self._tell(before, registration)

    async def remove(self, registration: Registration) -> None:
        """Forget one."""
        await self._commit(DeleteRecord(RECORD, registration.id))
        self._all.pop(registration.id, None)
        self._tallies.pop(registration.id, None)
        self.any = bool(self._all)
        self._tell(registration, None)

    async def drop_expired(self, reg_id: str) -> None:
        """Make room for a new one under an id whose old one has expired."""
        old = self._all.get(reg_id)
        if old is not None and not old.runs(self._clock.now_us()):
            await self.remove(old)

    def _hold(self, registration: Registration) -> None:
        self._all[registration.id] = registration
        self.any = True

    def _tell(self, before: Registration | None, after: Registration | None) -> None:
        for listener in self._listeners:
            listener(before, after)

    async def _commit(self, op: Any) -> None:
        own = self._gate.permit("internal:ngsi-ld", RUN, "administer")
        await self._store.commit_async(own, Change((op,)))

    # -- what a source may give and get --------------------------------------------------------

    def may(self, registration: Registration) -> Permit | None:
        """What the one who registered a source may write here, now: a source gives no more than
        that, and is told no more. None when that is nothing at all."""
        try:
            return self._gate.permit(registration.processor, registration.purpose, "write")
        except (Denied, Unavailable):
            return None

    def may_see(self, registration: Registration) -> Permit | None:
        """What the one who registered a source may read here: personal data goes to and comes
        from no one else."""
        try:
            return self._gate.permit(registration.processor, registration.purpose, "read")
        except (Denied, Unavailable):
            return None

    # -- what became of it ---------------------------------------------------------------------

    def tally(self, reg_id: str) -> Tally:
        """What became of asking a source."""
        return self._tallies.setdefault(reg_id, Tally())

    def rests(self, registration: Registration) -> bool:
        """Whether a source failed so often that it is left alone for now."""
        tally = self._tallies.get(registration.id)
        return tally is not None and self._clock.now_us() < tally.resting_until_us

    def note(self, registration: Registration, well: bool) -> None:
        """One request to a source is over. A source that fails rests, longer each time."""
        tally = self.tally(registration.id)
        now_us = self._clock.now_us()
        tally.sent += 1
        if well:
            tally.success_us, tally.in_a_row, tally.resting_until_us = now_us, 0, 0
            return
        tally.failed += 1
        tally.failure_us = now_us
        tally.in_a_row += 1
        over = tally.in_a_row - FAILURES_MAX
        if registration.cooldown_s is not None:
            rest_s = min(registration.cooldown_s, COOLDOWN_S_MAX)
        elif over >= 0:
            rest_s = min(COOLDOWN_S * 2.0 ** min(over, 10), COOLDOWN_S_MAX)
        else:
            return
        tally.resting_until_us = now_us + round(rest_s * 1_000_000)
