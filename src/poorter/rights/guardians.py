# SPDX-License-Identifier: EUPL-1.2
"""Guardians: recorded at the desk on a document, until the child is sixteen. What is kept of the
child opens with the guardian's login only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poorter.city.clock import Clock
from poorter.city.errors import Denied, Invalid
from poorter.city.ids import mint
from poorter.city.text import Text
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.identity.persons import CITY_HALL, Persons
from poorter.identity.sealing import seal, unseal
from poorter.ledger.leaf import make_line
from poorter.rights.consents import OWN, Person, SubjectIn
from poorter.store.contract import AppendLeaf, Change, DeleteRecord, Op, PutRecord, Record, Store

KIND = "guardian"
CHILDREN_MAX = 50


@dataclass(frozen=True, slots=True)
class Child:
    """A child as its guardian meets it. `name`: as the guardian calls it, no more."""

    id: str
    name: str
    until_us: int


class Guardians:
    """Who acts for whom."""

    def __init__(
        self, store: Store, gate: Gate, clock: Clock, persons: Persons, pepper: bytes
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._persons = persons
        self._pepper = pepper

    async def record(self, guardian: bytes, child: bytes, name: str, until_us: int, by: str) -> str:
        """A guardian of a child, by their roots; `until_us`: the child's sixteenth birthday.

        Raises: Invalid for one's own guardian, a day that is over, too many children.
        """
        if guardian == child or not name.strip() or len(name) > 60:
            raise Invalid(
                Text("noem het kind, en niet de voogd zelf", "name the child, not the guardian")
            )
        if until_us <= self._clock.now_us():
            raise Invalid(Text("die dag is al voorbij", "that day is over already"))
        whose = self._persons.subject(guardian, CITY_HALL)
        minor = self._persons.subject(child, CITY_HALL)
        if len(self._records("guardian", whose)) >= CHILDREN_MAX:
            raise Invalid(Text("dat zijn te veel kinderen", "those are too many children"))
        kept = mint("guardian-", 12)
        said = name.strip().encode() + b"\0" + child
        doc = {"sealed": seal(self._pepper, whose, said), "until_us": until_us}
        keys = {"guardian": whose, "child": minor}
        await self._write(kept, "recorded", by, minor, PutRecord(KIND, kept, doc, 0, keys))
        return kept

    async def end(self, record_id: str, by: str) -> None:
        """No guardian any more, at once. Raises NotFound."""
        self._store.record(self._reading(), KIND, record_id)
        await self._write(record_id, "ended", by, None, DeleteRecord(KIND, record_id))

    def person(self, subject: SubjectIn) -> Person:
        """Somebody for themselves: a minor while a guardian is recorded."""
        mine = self._records("child", subject(CITY_HALL))
        return Person(subject, minor=bool(mine))

    def children(self, subject: SubjectIn) -> list[Child]:
        """The children of whoever is logged in."""
        whose = subject(CITY_HALL)
        found = []
        for record in self._records("guardian", whose):
            name, _, _ = unseal(self._pepper, whose, record.doc["sealed"]).partition(b"\0")
            found.append(Child(record.id, name.decode(), record.doc["until_us"]))
        return found

    def child(self, subject: SubjectIn, record_id: str) -> Person:
        """One of them, to act for. Raises Denied for anybody else's."""
        whose = subject(CITY_HALL)
        for record in self._records("guardian", whose):
            if record.id == record_id:
                sealed = unseal(self._pepper, whose, record.doc["sealed"])
                root = sealed.partition(b"\0")[2]
                until_us: int = record.doc["until_us"]
                return Person(self._of(root), "guardian", True, until_us)
        raise Denied

    def _of(self, root: bytes) -> Callable[[str], str]:
        return lambda wall: self._persons.subject(root, wall)

    def _records(self, key: str, subject: str) -> list[Record]:
        now_us = self._clock.now_us()
        found = self._store.records(self._reading(), KIND, {key: subject})
        return [record for record in found if now_us < record.doc["until_us"]]

    async def _write(self, about: str, outcome: str, by: str, subject: str | None, op: Op) -> None:
        line = make_line(
            "action",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=OWN,
            purpose=RUN,
            about=about,
            action=KIND,
            outcome=outcome,
            payload=by.encode(),
        )
        permit = self._gate.permit(OWN, RUN, "administer")
        leaf = AppendLeaf(line.leaf, line.payload, subject)
        await self._store.commit_async(permit, Change((op, leaf)))

    def _reading(self) -> Permit:
        return self._gate.permit(OWN, RUN, "read")
