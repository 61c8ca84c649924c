# SPDX-License-Identifier: EUPL-1.2
"""A person asks to be erased behind a wall (GDPR 17): an office owns it, has a month, and answers.

What they write is kept until it is answered; that they asked, and what came of it, stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from poorter.city.clock import Clock
from poorter.city.errors import Conflict, Invalid, NotFound
from poorter.city.ids import mint
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.policy import Dataset
from poorter.ledger.leaf import make_line
from poorter.rights.consents import OWN, Person
from poorter.store.contract import AppendLeaf, Change, PutRecord, Record, Store

KIND = "erasure-request"
#: GDPR 12(3)
TERM_DAYS = 30
WORDS_MAX = 1000
State = Literal["received", "held", "erased", "refused"]
OPEN: tuple[State, ...] = ("received", "held")


@dataclass(frozen=True, slots=True)
class Request:
    """One, as both sides read it. `subject`: what the wall calls the person."""

    id: str
    subject: str
    wall: str
    office: str
    asked_us: int
    answer_by_us: int
    state: State
    why: str
    answer: str
    answered_us: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where something may be kept of a person: what it is, who keeps it, and the newest request;
    `held`: it is kept for a dispute and not erased before that ends."""

    wall: str
    datasets: tuple[Dataset, ...]
    office: str
    request: Request | None
    held: bool


class Requests:
    """Those of all persons."""

    def __init__(self, store: Store, gate: Gate, clock: Clock) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock

    def places(self, person: Person, held: frozenset[str]) -> list[Place]:
        """Every wall, as a person meets it."""
        found = []
        for wall, datasets in sorted(self._walls().items()):
            subject = person.subject(wall)
            known = max(self._of(subject), key=lambda one: one.asked_us, default=None)
            office = datasets[0].controller
            found.append(Place(wall, tuple(datasets), office, known, subject in held))
        return found

    def open(self) -> list[Request]:
        """All that wait, the first to be answered first."""
        permit = self._gate.permit(OWN, RUN, "read")
        waiting = [
            _request(record)
            for state in OPEN
            for record in self._store.records(permit, KIND, {"state": state})
        ]
        return sorted(waiting, key=lambda one: (one.answer_by_us, one.id))

    def one(self, request_id: str) -> Request:
        """Raises NotFound."""
        return _request(self._record(request_id))

    async def ask(self, person: Person, wall: str, why: str = "") -> Request:
        """Ask for it; nobody need say why.

        Raises: NotFound for no wall, Conflict while one is being handled, Invalid.
        """
        datasets = self._walls().get(wall)
        if datasets is None:
            raise NotFound(Text("die muur is er niet", "there is no such wall"))
        if len(why) > WORDS_MAX:
            raise Invalid(
                Text(f"in hoogstens {WORDS_MAX} tekens", f"in at most {WORDS_MAX} characters")
            )
        subject = person.subject(wall)
        if any(one.state in OPEN for one in self._of(subject)):
            raise Conflict(Text("dat vroeg u al", "you asked for that already"))
        now_us = self._clock.now_us()
        doc = {
            "wall": wall,
            "subject": subject,
            "by": person.by,
            "office": datasets[0].controller,
            "asked_us": now_us,
            "answer_by_us": now_us + TERM_DAYS * DAY_US,
            "state": "received",
            "why": why.strip(),
            "answer": "",
            "answered_us": None,
        }
        put = PutRecord(KIND, mint("erasure-", 12), doc, 0, _keys(doc))
        await self._write(put, "requested")
        return self.one(put.id)

    async def refuse(self, request_id: str, answer: str, by: str) -> None:
        """The law keeps it (GDPR 17(3)). Raises NotFound, Conflict when it was answered, Invalid
        without reasons."""
        if not 0 < len(answer.strip()) <= WORDS_MAX:
            raise Invalid(Text("een antwoord geeft redenen", "an answer gives its reasons"))
        record = self._record(request_id)
        if record.doc["state"] not in OPEN:
            raise Conflict(Text("dit is al beantwoord", "this was answered already"))
        put = _answered(record, "refused", self._clock.now_us(), answer.strip())
        await self._write(put, f"refused by {by}")

    # -- parts -------------------------------------------------------------------------------

    def _walls(self) -> dict[str, list[Dataset]]:
        found: dict[str, list[Dataset]] = {}
        for dataset in self._gate.policy.datasets.values():
            if dataset.walled:
                found.setdefault(dataset.wall, []).append(dataset)
        return found

    def _of(self, subject: str) -> list[Request]:
        permit = self._gate.permit(OWN, RUN, "read")
        return [_request(one) for one in self._store.records(permit, KIND, {"subject": subject})]

    def _record(self, request_id: str) -> Record:
        return self._store.record(self._gate.permit(OWN, RUN, "read"), KIND, request_id)

    async def _write(self, put: PutRecord, outcome: str) -> None:
        subject = str(put.doc["subject"])
        line = make_line(
            "action",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=OWN,
            purpose=RUN,
            about="rights",
            action=KIND,
            outcome=outcome.partition(" ")[0],
            payload=outcome.encode(),
        )
        permit = self._gate.permit(OWN, RUN, "administer")
        leaf = AppendLeaf(line.leaf, line.payload, subject)
        await self._store.commit_async(permit, Change((put, leaf)))


def settled(records: Iterable[Record], state: State, now_us: int) -> list[PutRecord]:
    """Open requests of a person, once what they ask for is done, or waits for a hold to end."""
    return [
        _answered(record, state, now_us, "")
        for record in records
        if record.doc["state"] in OPEN and record.doc["state"] != state
    ]


def _answered(record: Record, state: State, now_us: int, answer: str) -> PutRecord:
    doc = {**record.doc, "state": state, "answered_us": now_us, "answer": answer}
    if state not in OPEN:
        doc["why"] = ""
    return PutRecord(KIND, record.id, doc, record.version, _keys(doc))


def _request(record: Record) -> Request:
    doc = record.doc
    return Request(
        record.id,
        doc["subject"],
        doc["wall"],
        doc["office"],
        doc["asked_us"],
        doc["answer_by_us"],
        doc["state"],
        doc["why"],
        doc["answer"],
        doc["answered_us"],
    )


def _keys(doc: Mapping[str, Any]) -> dict[str, str]:
    return {"subject": str(doc["subject"]), "state": str(doc["state"])}
