# SPDX-License-Identifier: EUPL-1.2
"""Consent and objection: given, withdrawn, lifted; each a record, a leaf and a signed receipt.

A step that takes away counts before it is written, one that opens only after: whatever happens in
between, nobody sees more than the person wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Invalid, NotFound
from poorter.city.text import Text
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.lawful import walls_of
from poorter.gate.permit import Permit
from poorter.gate.policy import Dataset, Purpose
from poorter.gate.rights import Choice, Rights
from poorter.identity.keys import KeyPair
from poorter.ledger.leaf import make_line
from poorter.rights.record import KIND, State, Step, choice_of, make_receipt, record_id, stepped
from poorter.store.contract import AppendLeaf, Change, PutRecord, Record, Store

OWN = "internal:rights"
Ask = Literal["consent", "objection", "none"]
#: subject of a person in a wall
SubjectIn = Callable[[str], str]
_FOR_GOOD = 100 * 366 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever acts, and for whom. `minor`: consent for them is a guardian's to give, and ends on
    `of_age_us`."""

    subject: SubjectIn
    by: Literal["self", "guardian"] = "self"
    minor: bool = False
    of_age_us: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One purpose as a person meets it: what it asks of them, and what they said."""

    purpose: Purpose
    wall: str
    asks: Ask
    items: tuple[str, ...]
    choice: Choice | None
    since_us: int | None


class Consents:
    """The choices of all persons of a city."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        rights: Rights,
        clock: Clock,
        key: KeyPair,
        controller: str,
        principal: Callable[[str, str], str],
    ) -> None:
        """`principal`: (purpose, subject) to what a receipt calls the person."""
        self._store = store
        self._gate = gate
        self._rights = rights
        self._clock = clock
        self._key = key
        self._controller = controller
        self._principal = principal
        self._one_by_one = asyncio.Lock()

    def load(self) -> None:
        """Take all choices from the store."""
        choices = []
        after: str | None = None
        while True:
            page = self._store.records(self._reading(), KIND, after=after)
            for record in page:
                subject, _, purpose = record.id.partition(".")
                choice = choice_of(record.doc, subject, purpose)
                if choice is not None:
                    choices.append(choice)
            if len(page) < 1000:
                break
            after = page[-1].id
        self._rights.replace(choices)

    def standings(self, person: Person) -> list[Standing]:
        """Every purpose that touches persons, and how this one stands towards it."""
        found = []
        policy = self._gate.policy
        for purpose in policy.purposes.values():
            walls = walls_of(policy, purpose.id)
            if len(walls) != 1:
                continue
            (wall,) = walls
            record = self._record(person.subject(wall), purpose.id)
            choice = None
            if record is not None:
                choice = choice_of(record.doc, person.subject(wall), purpose.id)
            if choice is not None and not choice.holds(self._clock.now_us()):
                choice = None
            since_us = None if record is None else record.modified_at_us
            items = self._items(purpose)
            found.append(Standing(purpose, wall, _asks(purpose), items, choice, since_us))
        return sorted(found, key=lambda one: (one.asks == "none", one.purpose.id))

    # -- steps -------------------------------------------------------------------------------

    async def give(
        self,
        person: Person,
        purpose_id: str,
        items: Sequence[str] = (),
        until_us: int | None = None,
        language: str = "nl",
    ) -> str:
        """Consent, to all or to named items, until a day or until withdrawn; the receipt.

        Raises: NotFound, Invalid where consent is no basis, for a minor alone, for items or an
        end that can't be.
        """
        purpose, wall = self._purpose(purpose_id)
        if purpose.consent_invalid or not purpose.on_consent:
            raise Invalid(
                Text(
                    "hier is toestemming geen grond: er wordt niet om gevraagd en ze telt niet",
                    "consent is no basis here: it is not asked for and does not count",
                )
            )
        if person.minor and person.by == "self":
            raise Invalid(
                Text(
                    "tot u 16 bent, geeft uw ouder of voogd toestemming; intrekken kunt u zelf",
                    "until you are 16 your guardian consents; you can withdraw yourself",
                )
            )
        now_us = self._clock.now_us()
        if until_us is not None and not now_us < until_us <= now_us + _FOR_GOOD:
            raise Invalid(Text("die dag is al voorbij", "that day is over, or too far off"))
        if person.of_age_us is not None:
            until_us = min(person.of_age_us, until_us or person.of_age_us)
        step = Step("given", now_us, person.by, self._chosen(purpose, items), until_us, language)
        return await self._step(person, purpose, wall, step)

    async def withdraw(self, person: Person, purpose_id: str, language: str = "nl") -> str:
        """Consent is over, at once; the receipt. Nothing is asked."""
        purpose, wall = self._purpose(purpose_id)
        step = Step("withdrawn", self._clock.now_us(), person.by, language=language)
        return await self._step(person, purpose, wall, step)

    async def object(
        self, person: Person, purpose_id: str, items: Sequence[str] = (), language: str = "nl"
    ) -> str:
        """Object, to all or to named items: it counts at once; the receipt.

        Raises: NotFound, Invalid where the law leaves nothing to object to (GDPR 21).
        """
        purpose, wall = self._purpose(purpose_id)
        if not purpose.objectionable:
            raise Invalid(
                Text(
                    "hiertegen kan geen bezwaar op grond van AVG 21; een klacht kan altijd",
                    "GDPR 21 gives no objection here; a complaint is always possible",
                )
            )
        chosen = self._chosen(purpose, items)
        step = Step("objected", self._clock.now_us(), person.by, chosen, language=language)
        return await self._step(person, purpose, wall, step)

    async def lift(self, person: Person, purpose_id: str, language: str = "nl") -> str:
        """Take an objection back; the receipt."""
        purpose, wall = self._purpose(purpose_id)
        step = Step("lifted", self._clock.now_us(), person.by, language=language)
        return await self._step(person, purpose, wall, step)

    async def _step(self, person: Person, purpose: Purpose, wall: str, step: Step) -> str:
        """One at a time, so that what counts is always what is written last."""
        async with self._one_by_one:
            return await self._stepped(person, purpose, wall, step)

    async def _stepped(self, person: Person, purpose: Purpose, wall: str, step: Step) -> str:
        subject = person.subject(wall)
        known = self._record(subject, purpose.id)
        if known is None and step.state in ("withdrawn", "lifted"):
            raise NotFound(Text("hier is niets gegeven", "nothing was given here"))
        datasets = self._datasets(purpose)
        doc = stepped(
            None if known is None else known.doc,
            step,
            subject,
            purpose,
            datasets,
            self._controller,
        )
        choice = choice_of(doc, subject, purpose.id)
        before = None if known is None else choice_of(known.doc, subject, purpose.id)
        closing = step.state in ("withdrawn", "objected")
        if closing:
            self._set(subject, purpose.id, choice)
        try:
            await self._write(subject, purpose, step.state, doc, known)
        except CityError:
            if closing:
                self._set(subject, purpose.id, before)
            raise
        self._set(subject, purpose.id, choice)
        principal = self._principal(purpose.id, subject)
        return make_receipt(doc, principal, step.at_us, self._key)

    def _set(self, subject: str, purpose: str, choice: Choice | None) -> None:
        if choice is None:
            self._rights.drop(subject, purpose)
        else:
            self._rights.put(choice)

    async def _write(
        self,
        subject: str,
        purpose: Purpose,
        state: State,
        doc: Mapping[str, Any],
        known: Record | None,
    ) -> None:
        line = make_line(
            "action",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=OWN,
            purpose=purpose.id,
            legal_basis=purpose.legal_basis,
            about=purpose.id,
            action=KIND,
            outcome=state,
            payload=subject.encode(),
        )
        keys = {"subject": subject, "purpose": purpose.id}
        expect = 0 if known is None else known.version
        put = PutRecord(KIND, record_id(subject, purpose.id), doc, expect, keys)
        leaf = AppendLeaf(line.leaf, line.payload, subject)
        permit = self._gate.permit(OWN, RUN, "administer")
        await self._store.commit_async(permit, Change((put, leaf)))

    # -- parts -------------------------------------------------------------------------------

    def _purpose(self, purpose_id: str) -> tuple[Purpose, str]:
        policy = self._gate.policy
        purpose = policy.purposes.get(purpose_id)
        walls = walls_of(policy, purpose_id)
        if purpose is None or len(walls) != 1:
            raise NotFound(
                Text("dit gebruik raakt geen personen", "there is no such use of data on persons")
            )
        (wall,) = walls
        return purpose, wall

    def _datasets(self, purpose: Purpose) -> list[Dataset]:
        policy = self._gate.policy
        names = {g.dataset for g in policy.grants.values() if g.purpose == purpose.id}
        return [d for d in policy.datasets.values() if d.id in names and d.walled]

    def _items(self, purpose: Purpose) -> tuple[str, ...]:
        named = {n for d in self._datasets(purpose) for names in d.types.values() for n in names}
        return tuple(sorted(named))

    def _chosen(self, purpose: Purpose, items: Sequence[str]) -> tuple[str, ...]:
        known = self._items(purpose)
        for item in items:
            if (known and item not in known) or not 0 < len(item) <= 256:
                raise Invalid(
                    Text("dat gegeven gebruikt dit doel niet", "this purpose uses no such item")
                )
        return tuple(dict.fromkeys(items))

    def _record(self, subject: str, purpose: str) -> Record | None:
        try:
            return self._store.record(self._reading(), KIND, record_id(subject, purpose))
        except NotFound:
            return None

    def _reading(self) -> Permit:
        return self._gate.permit(OWN, RUN, "read")


def _asks(purpose: Purpose) -> Ask:
    if purpose.on_consent and not purpose.consent_invalid:
        return "consent"
    return "objection" if purpose.objectionable else "none"
