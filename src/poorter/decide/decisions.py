# SPDX-License-Identifier: EUPL-1.2
"""Advice -> mandate -> decision -> action -> outcome. Each step is one change with its leaf.

The only place that asks the gate for a "command" permit. When the goal above a mandate's purpose
is rescinded the gate gives none any more, so nothing can be decided under it, by hand or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError, Conflict, Denied, Invalid, NotFound, Unsupported
from poorter.city.ids import mint
from poorter.city.text import Text
from poorter.city.time import DAY_US, SECOND_US
from poorter.decide.advice import Proposal, check_proposal, to_doc
from poorter.decide.mandate import Mandate, MandateState, Mode, check_bounds
from poorter.decide.safety import Rule, after_command, forbidden_by
from poorter.decide.stamp import Stamp, report
from poorter.gate.gate import Gate, together
from poorter.gate.genesis import RUN
from poorter.gate.lawful import reads_behind
from poorter.gate.permit import Permit
from poorter.ledger.leaf import LeafType, make_line
from poorter.store.contract import (
    AppendLeaf,
    Change,
    Op,
    PutRecord,
    Record,
    Require,
    SetAttributes,
    Store,
)

OWN = "internal:decide"
TRIES_MAX = 8
Choice = Literal["accept", "refuse", "amend"]


class Decisions:
    """Takes advice, and decides on it within the mandates of this city."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        clock: Clock,
        mandates: Sequence[Mandate],
        safety: Sequence[Rule],
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self.mandates: Mapping[str, Mandate] = {mandate.id: mandate for mandate in mandates}
        self._safety = tuple(safety)

    # -- mandates ----------------------------------------------------------------------------

    def state(self, mandate: Mandate) -> MandateState:
        """How the mandate stands; as registered until somebody turned it."""
        try:
            return MandateState.from_doc(self._record("mandate", mandate.id).doc)
        except NotFound:
            return MandateState(mandate.mode, mandate.office, "registered", 0)

    def runs(self, mandate: Mandate) -> bool:
        """Whether the goal above the mandate still holds."""
        return self._gate.allows(mandate.processor, mandate.purpose, "command")

    async def turn(self, mandate_id: str, mode: Mode, by: str, why: str) -> None:
        """The stop button, and the way back. Raises NotFound, or Invalid without a reason."""
        mandate = self.mandate(mandate_id)
        if not why.strip():
            raise Invalid(Text("zeg waarom", "say why"))
        if mode == "automatic" and self.stamp(mandate).rubber:
            raise Conflict(
                Text(
                    "met de hand is bijna elk advies ongezien gevolgd: hier besloot nog niemand",
                    "by hand nearly all advice was accepted unseen: nobody decided here yet",
                )
            )
        state = MandateState(mode, by, why.strip(), self._clock.now_us())
        record = PutRecord("mandate", mandate.id, state.to_doc())
        await self._commit(
            self._permit(), [record, self._leaf("action", mandate, f"mandate:{mode}", why)]
        )

    def mandate(self, mandate_id: str) -> Mandate:
        """The mandate, or NotFound."""
        found = self.mandates.get(mandate_id)
        if found is None:
            raise NotFound(
                Text(f"er is geen mandaat {mandate_id}", f"there is no mandate {mandate_id}")
            )
        return found

    def stamp(self, mandate: Mandate) -> Stamp:
        """How its decisions were taken lately: of the mandate, never of an employee."""
        permit = self._gate.permit(OWN, RUN, "read")
        decided = self._store.records(permit, "decision", {"mandate": mandate.id}, newest=True)
        return report(mandate.id, (record.doc for record in decided))

    # -- advice ------------------------------------------------------------------------------

    async def advise(self, proposal: Proposal, processor: str) -> str:
        """Put advice before its mandate; the advice's id. Decided at once where it may be.

        Raises: Denied when the goal is gone or the mandate is another's, Invalid, NotFound for an
        unknown thing, Conflict while the same advice waits.
        """
        check_proposal(proposal)
        mandate = self.mandate(proposal.mandate)
        if processor != mandate.processor or not self.runs(mandate):
            raise Denied
        if reads_behind(self._gate.policy, processor):
            raise Unsupported(
                Text(
                    "advies van achter een muur wordt nergens bewaard waar anderen het lezen",
                    "advice from behind a wall would be kept where others read it",
                )
            )
        if proposal.attribute != mandate.attribute:
            raise Invalid(f"{mandate.id} decides on {mandate.attribute} only")
        self._entity(mandate, proposal.urn)
        advice_id = mint("advice-")
        ops: list[Op] = []
        for older in self._waiting(proposal):
            if older.doc["value"] == proposal.value:
                raise Conflict(f"{older.id} says the same and waits")
            keys = _advice_keys(older.doc, "superseded")
            doc = older.doc | {"state": "superseded"}
            ops.append(PutRecord("advice", older.id, doc, older.version, keys))
        doc = to_doc(proposal, self._clock.now_us())
        ops.append(PutRecord("advice", advice_id, doc, 0, _advice_keys(doc, "waiting")))
        ops.append(self._leaf("advice", mandate, proposal.urn, proposal.algorithm))
        await self._commit(self._permit(), ops)
        if self.state(mandate).mode == "automatic":
            await self._decide_automatically(mandate, advice_id, proposal)
        return advice_id

    async def _decide_automatically(
        self, mandate: Mandate, advice_id: str, proposal: Proposal
    ) -> None:
        """Outside the bounds or against the safety table it waits for a person, saying why."""
        try:
            self._check_rest(mandate, proposal.urn)
            await self._enact(
                mandate, advice_id, proposal.value, f"mandate:{mandate.id}", "accept", "", None
            )
        except CityError as held_back:
            record = self._record("advice", advice_id)
            doc = record.doc | {"held_back": held_back.detail}
            keys = _advice_keys(doc, doc["state"])
            await self._commit(
                self._permit(), [PutRecord("advice", advice_id, doc, record.version, keys)]
            )

    def _check_rest(self, mandate: Mandate, urn: str) -> None:
        present = self._entity(mandate, urn).get(mandate.attribute)
        if present is None or present.modified_at_us is None:
            return
        rested_us = self._clock.now_us() - present.modified_at_us
        if rested_us < mandate.bounds.rest_s * SECOND_US:
            raise Conflict(f"decided less than {mandate.bounds.rest_s} s ago")

    # -- decisions ---------------------------------------------------------------------------

    async def decide(
        self,
        advice_id: str,
        officer: str,
        roles: Sequence[str],
        choice: Choice,
        reason: str,
        value: Any = None,
        seen_us: int | None = None,
    ) -> str:
        """A person decides on advice that waits; the decision's id. `seen_us`: page first shown.

        Raises: Denied for an officer without the mandate's role, Conflict when it was decided
        already or the safety table forbids it, Invalid without a reason or outside the bounds.
        """
        advice = self._record("advice", advice_id)
        mandate = self.mandate(advice.doc["mandate"])
        if mandate.role not in roles:
            raise Denied(
                Text(
                    "dit besluit hoort bij een ander mandaat",
                    "this decision belongs to another mandate",
                )
            )
        if choice != "accept" and not reason.strip():
            raise Invalid(
                Text("zeg waarom u afwijkt van het advies", "say why you depart from the advice")
            )
        if choice == "amend" and value is None:
            raise Invalid(Text("zeg welke waarde het moet zijn", "say which value it must be"))
        wanted = value if choice == "amend" else advice.doc["value"]
        by = f"officer:{officer}"
        return await self._enact(mandate, advice_id, wanted, by, choice, reason, seen_us)

    async def _enact(
        self,
        mandate: Mandate,
        advice_id: str,
        value: Any,
        by: str,
        choice: Choice,
        reason: str,
        seen_us: int | None,
    ) -> str:
        decision_id = mint("decision-")
        for attempt in range(TRIES_MAX):
            advice = self._record("advice", advice_id)
            if advice.doc["state"] != "waiting":
                raise Conflict(
                    Text(
                        f"over {advice_id} is al besloten",
                        f"{advice_id} is {advice.doc['state']} already",
                    )
                )
            entity = self._entity(mandate, advice.doc["urn"])
            now_us = self._clock.now_us()
            taken = (seen_us is not None and (now_us - seen_us) / SECOND_US) or None
            doc = _decision_doc(mandate, advice, entity, value, by, choice, reason, now_us)
            doc["seconds"] = taken
            ops: list[Op] = []
            permit = self._permit()
            if by.startswith("mandate:"):
                ops.append(self._still_automatic(mandate))
            if choice != "refuse":
                command = self._gate.permit(mandate.processor, mandate.purpose, "command")
                permit = together(permit, command)
                ops.append(self._command(mandate, entity, value))
            advice_doc = advice.doc | {"state": "decided", "decision": decision_id}
            keys = _advice_keys(advice_doc, "decided")
            ops += [
                PutRecord("advice", advice_id, advice_doc, advice.version, keys),
                PutRecord("decision", decision_id, doc, 0, _decision_keys(doc)),
                self._leaf("decision", mandate, entity.urn, f"{choice}: {value}", decision_id),
            ]
            try:
                await self._commit(permit, ops)
            except Conflict:
                if attempt == TRIES_MAX - 1:
                    raise
                continue  # the entity or the advice moved on: judge again what is there now
            return decision_id
        raise Conflict(f"{advice_id} changes faster than it can be decided")

    def _still_automatic(self, mandate: Mandate) -> Require:
        """The stop button comes first: what it overtakes is not decided any more."""
        try:
            record = self._record("mandate", mandate.id)
        except NotFound:
            return Require("mandate", mandate.id, 0)
        if MandateState.from_doc(record.doc).mode != "automatic":
            raise Conflict(Text("de automaat is gestopt", "the automation was stopped"))
        return Require("mandate", mandate.id, record.version)

    def _command(self, mandate: Mandate, entity: Entity, value: Any) -> SetAttributes:
        check_bounds(mandate.bounds, value, entity.value(mandate.attribute))
        rule = forbidden_by(self._safety, after_command(entity, mandate.attribute, value))
        if rule is not None:
            raise Conflict(
                Text(
                    f"de veiligheidstabel verbiedt het ({rule.id}): {rule.title.nl}",
                    f"the safety table forbids it ({rule.id}): {rule.title.en}",
                )
            )
        written = Attribute(mandate.attribute, value, observed_at_us=self._clock.now_us())
        return SetAttributes(entity.urn, (written,), expect=entity.version)

    # -- outcomes ----------------------------------------------------------------------------

    async def measure(self) -> int:
        """Record what decisions came to whose time has come; how many."""
        done = 0
        now_us = self._clock.now_us()
        for decision in self._records("decision", {"state": "acted"}):
            if decision.doc["measure_at_us"] > now_us:
                continue
            mandate = self.mandates.get(decision.doc["mandate"])
            if mandate is None or not self.runs(mandate):
                continue
            await self._measure_one(mandate, decision, now_us)
            done += 1
        return done

    async def _measure_one(self, mandate: Mandate, decision: Record, now_us: int) -> None:
        try:
            after = self._entity(mandate, decision.doc["urn"]).value(mandate.measure.attribute)
        except NotFound:
            after = None
        outcome = {
            "decision": decision.id,
            "mandate": mandate.id,
            "urn": decision.doc["urn"],
            "attribute": mandate.measure.attribute,
            "before": decision.doc["before"],
            "after": after,
            "at_us": now_us,
        }
        doc = decision.doc | {"state": "measured", "after": after}
        await self._commit(
            self._permit(),
            [
                PutRecord("outcome", decision.id, outcome, 0, {"mandate": mandate.id}),
                PutRecord("decision", decision.id, doc, decision.version, _decision_keys(doc)),
                self._leaf("outcome", mandate, doc["urn"], str(after), decision.id),
            ],
        )

    # -- what all of it rests on ---------------------------------------------------------------

    def _entity(self, mandate: Mandate, urn: str) -> Entity:
        permit = self._gate.permit(mandate.processor, mandate.purpose, "read")
        entity = self._store.decode(self._store.entity(permit, urn))
        if mandate.entity_type not in entity.types:
            raise NotFound(f"{urn} is not under {mandate.id}")
        return entity

    def _waiting(self, proposal: Proposal) -> list[Record]:
        target = f"{proposal.urn}|{proposal.attribute}"
        return self._records("advice", {"state": "waiting", "target": target})

    def _permit(self) -> Permit:
        return self._gate.permit(OWN, RUN, "decide")

    def _record(self, kind: str, record_id: str) -> Record:
        return self._store.record(self._gate.permit(OWN, RUN, "read"), kind, record_id)

    def _records(self, kind: str, where: Mapping[str, str]) -> list[Record]:
        return self._store.records(self._gate.permit(OWN, RUN, "read"), kind, where)

    def _leaf(
        self, kind: LeafType, mandate: Mandate, about: str, outcome: str, payload: str = ""
    ) -> AppendLeaf:
        line = make_line(
            kind,
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=mandate.processor,
            purpose=mandate.purpose,
            about=about,
            action=mandate.id,
            outcome=outcome[:200],
            payload=payload.encode(),
        )
        return AppendLeaf(line.leaf, line.payload, payload or None)

    async def _commit(self, permit: Permit, ops: Sequence[Op]) -> None:
        await self._store.commit_async(permit, Change(tuple(ops)))


def _advice_keys(doc: Mapping[str, Any], state: str) -> dict[str, str]:
    target = f"{doc['urn']}|{doc['attribute']}"
    return {"state": state, "target": target, "mandate": doc["mandate"]}


def _decision_keys(doc: Mapping[str, Any]) -> dict[str, str]:
    return {"state": doc["state"], "mandate": doc["mandate"], "urn": doc["urn"]}


def _decision_doc(
    mandate: Mandate,
    advice: Record,
    entity: Entity,
    value: Any,
    by: str,
    choice: Choice,
    reason: str,
    now_us: int,
) -> dict[str, Any]:
    return {
        "advice": advice.id,
        "mandate": mandate.id,
        "office": mandate.office,
        "urn": entity.urn,
        "attribute": mandate.attribute,
        "choice": choice,
        "value": None if choice == "refuse" else value,
        "advised": advice.doc["value"],
        "by": by,
        "reasons": advice.doc["reasons"] if choice != "refuse" else [],
        "reason": reason.strip(),
        "dissent": advice.doc["dissent"],
        "at_us": now_us,
        "state": "refused" if choice == "refuse" else "acted",
        "replaced": entity.value(mandate.attribute),
        "before": entity.value(mandate.measure.attribute),
        "after": None,
        "measure_at_us": now_us + mandate.measure.after_s * SECOND_US,
        "object_until_us": now_us + mandate.objection_days * DAY_US,
    }
