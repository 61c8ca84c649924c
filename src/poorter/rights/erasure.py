# SPDX-License-Identifier: EUPL-1.2
"""Erasure, retention and legal hold over rows of persons.

The key goes first: from that moment nothing about the person can be read, in no copy either. Then
the rows go, what was kept beside them, and the pages of the file. What a restored backup brings
back has no key, and a tombstone by which it is erased again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import Invalid, NotFound
from poorter.city.limits import PAGE_MAX
from poorter.city.query import Compare, Path, Query
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.inside import ABOUT, keeping
from poorter.gate.lawful import walls_of
from poorter.gate.permit import SEALED, Action, Permit
from poorter.gate.policy import Policy
from poorter.ledger.leaf import make_line
from poorter.rights.consents import OWN
from poorter.rights.record import KIND as CONSENT
from poorter.rights.requests import KIND as REQUEST
from poorter.rights.requests import settled
from poorter.store.contract import (
    AppendLeaf,
    Change,
    DeleteRecord,
    Erase,
    Op,
    Prune,
    PutRecord,
    Record,
    StoredEntity,
)
from poorter.store.walls.rows import own_value
from poorter.store.walls.sealing import forget
from poorter.store.walls.store import WalledStore

HOLD, ASKED = "legal-hold", "erasure"
BATCH = 200


@dataclass(frozen=True, slots=True)
class Erased:
    """What came of it: rows that went, or that it waits for the end of a legal hold."""

    rows: int
    waits: bool = False


class Erasing:
    """Takes out what is kept of persons."""

    def __init__(self, store: WalledStore, gate: Gate, clock: Clock) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock

    # -- one person --------------------------------------------------------------------------

    async def erase(self, subject: str, wall: str, by: str, why: str) -> Erased:
        """All of a person in a wall. Under a legal hold it is hidden from everybody, and erased
        when that ends. Raises Invalid without a reason."""
        if not why.strip():
            raise Invalid(Text("zeg waarom", "say why"))
        now_us = self._clock.now_us()
        if self._held(subject):
            doc = {"wall": wall, "by": by, "why": why.strip()[:1000], "at_us": now_us}
            told = settled(self._records(REQUEST, {"subject": subject}), "held", now_us)
            await self._write(subject, "erasure asked", PutRecord(ASKED, subject, doc), *told)
            self.restrict()
            return Erased(0, waits=True)
        return Erased(await self._erase(subject, wall, by))

    async def _erase(self, subject: str, wall: str, by: str) -> int:
        self._store.rows.vault.destroy(subject, self._clock.now_us())
        forget()
        kept = list(self.rows_of(subject))
        ops: list[Op] = [Erase(row.urn) for row in kept]
        ops += [
            DeleteRecord(CONSENT, f"{subject}.{purpose}") for purpose in self._gate.policy.purposes
        ]
        ops.append(DeleteRecord(ASKED, subject))
        for start in range(0, len(ops), BATCH):
            await self._commit(ops[start : start + BATCH])
        answers = [DeleteRecord("replay", name) for name in self._answers(wall, kept)]
        uses = self._gate.permit("internal:uses", RUN, "administer")
        if answers:
            await self._store.commit_async(uses, Change(tuple(answers)))
        for purpose in self._gate.policy.purposes:
            self._store.rows.rights.drop(subject, purpose)
        requests = self._records(REQUEST, {"subject": subject})
        told = settled(requests, "erased", self._clock.now_us())
        await self._write(subject, "erased", *told, payload=by.encode())
        self._store.scrub(self._permit("read"))
        return len(kept)

    def _answers(self, wall: str, kept: Iterable[StoredEntity]) -> list[str]:
        """Kept answers to repeated requests in which one of these rows is named."""
        pseudonyms = self._store.rows.pseudonyms
        purposes = [p for p in self._gate.policy.purposes if wall in walls_of(self._gate.policy, p)]
        shown = {
            name.encode()
            for row in kept
            for purpose in purposes
            for name in pseudonyms.spellings(purpose, wall, row.urn)
        }
        if not shown:
            return []
        reading = self._gate.permit("internal:uses", RUN, "read")
        found = []
        for record in self._store.records(reading, "replay"):
            text = msgspec.json.encode(record.doc)
            if any(name in text for name in shown):
                found.append(record.id)
        return found

    # -- legal hold --------------------------------------------------------------------------

    async def hold(self, subject: str, by: str, why: str) -> None:
        """Nothing of a person is erased until `release`. Raises Invalid without a reason."""
        if not why.strip():
            raise Invalid(Text("zeg waarom", "say why"))
        doc = {"by": by, "why": why.strip()[:1000], "at_us": self._clock.now_us()}
        await self._write(subject, "held", PutRecord(HOLD, subject, doc))

    async def release(self, subject: str, by: str) -> Erased:
        """The dispute is over; an erasure that waited happens now. Raises NotFound."""
        self._store.record(self._permit("read"), HOLD, subject)
        await self._write(subject, "released", DeleteRecord(HOLD, subject), payload=by.encode())
        try:
            waiting = self._store.record(self._permit("read"), ASKED, subject).doc
        except NotFound:
            return Erased(0)
        gone = await self._erase(subject, waiting["wall"], by)
        self.restrict()
        return Erased(gone)

    def _held(self, subject: str) -> bool:
        return subject in self.held()

    def held(self) -> frozenset[str]:
        """Persons under a legal hold."""
        return frozenset(record.id for record in self._records(HOLD))

    def restrict(self) -> None:
        """Hide those whose erasure waits for the end of a hold."""
        self._store.rows.rights.restrict(record.id for record in self._records(ASKED))

    # -- all persons -------------------------------------------------------------------------

    def due(self) -> bool:
        """Whether anybody was ever erased here."""
        return bool(self._store.rows.vault.tombstones())

    async def sweep(self) -> int:
        """Erase again what a restored backup brought back; how many rows."""
        again = 0
        for subject, erased_us in self._store.rows.vault.tombstones().items():
            old = [row for row in self.rows_of(subject) if row.created_at_us <= erased_us]
            if old:
                await self._commit([Erase(row.urn) for row in old])
                again += len(old)
            choices = [
                DeleteRecord(CONSENT, record.id)
                for record in self._records(CONSENT, {"subject": subject})
                if record.modified_at_us <= erased_us
            ]
            if choices:
                await self._commit(choices)
                for gone in choices:
                    self._store.rows.rights.drop(subject, gone.id.partition(".")[2])
        if again:
            self._store.scrub(self._permit("read"))
        return again

    async def expire(self) -> int:
        """What is past its retention goes, also where nobody reads it; how many whole rows."""
        held, gone = self.held(), 0
        for name, days in retentions(self._gate.policy).items():
            before_us = self._clock.now_us() - days * DAY_US
            ops: list[Op] = []
            for row in self._rows_of_type(SEALED + name):
                if own_value(row, ABOUT) in held:
                    continue
                if row.modified_at_us < before_us:
                    ops.append(Erase(row.urn))
                    gone += 1
                elif row.created_at_us < before_us:
                    ops.append(Prune(row.urn, before_us))
            for start in range(0, len(ops), BATCH):
                await self._commit(ops[start : start + BATCH])
        return gone

    # -- parts -------------------------------------------------------------------------------

    def rows_of(self, subject: str) -> Iterator[StoredEntity]:
        """The rows of a person, as they are kept."""
        types = tuple(SEALED + name for name in retentions(self._gate.policy))
        if types:
            about = Compare(Path(ABOUT), "==", (subject,))
            yield from self._pages(Query(types=types, condition=about, limit=PAGE_MAX))

    def _rows_of_type(self, name: str) -> Iterator[StoredEntity]:
        yield from self._pages(Query(types=(name,), limit=PAGE_MAX))

    def _pages(self, query: Query) -> Iterator[StoredEntity]:
        after: str | None = None
        while True:
            asked = replace(query, after=after)
            page = self._store.inner.query(self._permit("read"), asked)
            yield from page.entities
            if page.after is None:
                return
            after = page.after

    def _records(self, kind: str, where: Mapping[str, str] | None = None) -> list[Record]:
        found: list[Record] = []
        while True:
            after = found[-1].id if found else None
            page = self._store.records(self._permit("read"), kind, where, after=after)
            found += page
            if len(page) < PAGE_MAX:
                return found

    async def _write(
        self, subject: str, outcome: str, *ops: Op, payload: bytes | None = None
    ) -> None:
        line = make_line(
            "action",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=OWN,
            purpose=RUN,
            about="rights",
            action="erasure",
            outcome=outcome,
            payload=subject.encode() if payload is None else payload,
        )
        await self._commit([*ops, AppendLeaf(line.leaf, line.payload, subject)])

    async def _commit(self, ops: Sequence[Op]) -> None:
        await self._store.inner.commit_async(self._permit("administer"), Change(tuple(ops)))

    def _permit(self, action: Action) -> Permit:
        return keeping(self._gate.permit(OWN, RUN, action), self._gate.policy)


def retentions(policy: Policy) -> dict[str, int]:
    """Each type of persons and the days that its rows are kept."""
    found: dict[str, int] = {}
    for dataset in policy.datasets.values():
        if dataset.walled and dataset.retention_days is not None:
            for name in dataset.entity_types:
                found[name] = min(found.get(name, dataset.retention_days), dataset.retention_days)
    return found
