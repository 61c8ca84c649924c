# SPDX-License-Identifier: EUPL-1.2
"""Objections: who owns one, by when it is answered, and which step may follow which.

Filed without an account. The tracking code is shown once and kept as a hash, so that nobody who
reads the records can follow an objector. Terms: Awb 7:10 (objection) and 9:11 (complaint), six
weeks; GDPR 12(3) (privacy objection), one month.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from poorter.city.clock import Clock
from poorter.city.errors import Conflict, Denied, Invalid, NotFound
from poorter.city.ids import mint
from poorter.city.limits import TEXT_CHARS_MAX
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.ledger.leaf import make_line
from poorter.store.contract import AppendLeaf, Change, PutRecord, Record, Store

OWN = "internal:decide"
ObjectionKind = Literal["objection", "complaint", "privacy"]
State = Literal["received", "in-review", "upheld", "rejected", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Sort:
    """One kind of contest: its name for people, its term, the office when no other owns it."""

    title: Text
    term_days: int
    office: str


SORTS: Mapping[ObjectionKind, Sort] = {
    "objection": Sort(Text("Bezwaar tegen een besluit", "Objection to a decision"), 42, "Griffie"),
    "complaint": Sort(
        Text("Klacht over hoe het ging", "Complaint about how it went"), 42, "Ombudsloket"
    ),
    "privacy": Sort(
        Text("Bezwaar tegen gebruik van gegevens", "Objection to a use of data"), 30, "Privacyloket"
    ),
}

#: Which states may follow which, and who may go there.
STEPS: Mapping[State, Mapping[State, str]] = {
    "received": {"in-review": "officer", "withdrawn": "objector"},
    "in-review": {"upheld": "officer", "rejected": "officer", "withdrawn": "objector"},
    "upheld": {},
    "rejected": {},
    "withdrawn": {},
}


@dataclass(frozen=True, slots=True)
class Filed:
    """What the objector takes home: the code, the office that owns it, and the last day."""

    code: str
    office: str
    answer_by_us: int
    leaf: int


class Objections:
    """Takes objections, and their answers."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        clock: Clock,
        office_of: Callable[[str], str | None],
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._office_of = office_of

    async def file(
        self,
        kind: ObjectionKind,
        about: str,
        text: str,
        idempotency_key: str | None = None,
    ) -> Filed:
        """File one about a decision, a use or a register entry.

        Raises: NotFound when there is no such decision, Conflict after its term, Invalid without
        words or with too many.
        """
        sort = SORTS.get(kind)
        if sort is None:
            raise Invalid(
                Text("kies wat voor bezwaar het is", f"kind is one of {', '.join(SORTS)}")
            )
        text = text.strip()
        if not text or len(text) > TEXT_CHARS_MAX:
            raise Invalid(
                Text(
                    f"zeg in 1 tot {TEXT_CHARS_MAX} tekens wat er niet klopt",
                    f"say in 1 to {TEXT_CHARS_MAX} characters what is wrong",
                )
            )
        now_us = self._clock.now_us()
        office = self._owner(kind, about, now_us) or sort.office
        code = mint("", 16)
        doc = {
            "kind": kind,
            "about": about,
            "text": text,
            "office": office,
            "filed_us": now_us,
            "answer_by_us": now_us + sort.term_days * DAY_US,
            "state": "received",
            "answer": None,
            "steps": [{"state": "received", "at_us": now_us, "by": "objector"}],
        }
        record = PutRecord("objection", _hash(code), doc, 0, _keys(doc))
        change = Change((record, self._leaf(doc)), idempotency_key)
        committed = await self._store.commit_async(self._permit(), change)
        if committed.replayed:
            raise Conflict(
                Text(
                    "dit bezwaar is al ingediend; de code is één keer getoond",
                    "this objection was filed already; its code was shown once",
                )
            )
        answer_by_us = now_us + sort.term_days * DAY_US
        return Filed(code, office, answer_by_us, committed.results[1])

    def follow(self, code: str) -> Record:
        """How it stands, for who has the code. NotFound for any other text."""
        return self._record(_hash(code.strip().lower()))

    def open(self) -> list[Record]:
        """All that wait for an office."""
        permit = self._gate.permit(OWN, RUN, "read")
        return [
            record
            for state in ("received", "in-review")
            for record in self._store.records(permit, "objection", {"state": state})
        ]

    async def withdraw(self, code: str) -> None:
        """The objector takes it back."""
        await self._step(self.follow(code), "withdrawn", "objector", "")

    async def step(self, record_id: str, state: State, officer: str, answer: str = "") -> None:
        """An officer takes it up or answers it. Raises Invalid for an answer without reasons."""
        if state in ("upheld", "rejected") and not answer.strip():
            raise Invalid(Text("een antwoord geeft redenen", "an answer gives its reasons"))
        await self._step(self._record(record_id), state, f"officer:{officer}", answer)

    async def _step(self, record: Record, state: State, by: str, answer: str) -> None:
        doc = record.doc
        who = STEPS[doc["state"]].get(state)
        if who is None:
            raise Conflict(
                Text(
                    "deze stap past niet bij hoe het bezwaar ervoor staat",
                    f"what is {doc['state']} cannot become {state}",
                )
            )
        if who != by.split(":", maxsplit=1)[0]:
            raise Denied(Text("dit is aan iemand anders", f"only an {who} can do this"))
        step = {"state": state, "at_us": self._clock.now_us(), "by": by}
        doc = doc | {
            "state": state,
            "answer": answer.strip() or doc["answer"],
            "steps": [*doc["steps"], step],
        }
        put = PutRecord("objection", record.id, doc, record.version, _keys(doc))
        await self._store.commit_async(self._permit(), Change((put, self._leaf(doc))))

    def _owner(self, kind: ObjectionKind, about: str, now_us: int) -> str | None:
        """The office of the decision or register entry; Conflict when its term is over."""
        if not about.startswith("decision-"):
            office = self._office_of(about)
            if office is None:
                raise NotFound(Text(f"{about} is er niet", f"there is no {about}"))
            return office
        permit = self._gate.permit(OWN, RUN, "read")
        decision = self._store.record(permit, "decision", about)
        if kind == "objection" and now_us >= decision.doc["object_until_us"]:
            raise Conflict(
                Text(
                    "de termijn voor dit bezwaar is voorbij; een klacht kan nog",
                    "the term for this objection is over; a complaint is still possible",
                )
            )
        return str(decision.doc["office"])

    def _record(self, record_id: str) -> Record:
        return self._store.record(self._gate.permit(OWN, RUN, "read"), "objection", record_id)

    def _permit(self) -> Permit:
        return self._gate.permit(OWN, RUN, "decide")

    def _leaf(self, doc: Mapping[str, Any]) -> AppendLeaf:
        line = make_line(
            "objection",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=OWN,
            purpose=RUN,
            about=doc["about"],
            action=doc["kind"],
            outcome=doc["state"],
            payload=doc["text"].encode(),
        )
        return AppendLeaf(line.leaf, line.payload)


def _hash(code: str) -> str:
    salted = b"poorter objection " + code.encode("utf-8", "surrogateescape")
    return hashlib.sha256(salted).hexdigest()


def _keys(doc: Mapping[str, Any]) -> dict[str, str]:
    return {"state": doc["state"], "about": doc["about"], "office": doc["office"]}
