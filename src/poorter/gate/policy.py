# SPDX-License-Identifier: EUPL-1.2
"""Policy as data: goals, purposes, datasets, processors, grants. Checked as a whole before use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, TypeVar

import msgspec

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.permit import ANY_TYPE, Action

#: no use stays hidden from the person for longer
DELAY_DAYS_MAX = 5 * 366
DataClass = Literal["open", "internal", "personal", "special"]
_ART6 = re.compile(r"\b6\s*\(1\)\s*\(([a-f])\)")
_ART9 = re.compile(r"\b9\s*\(2\)\s*\(([a-j])\)")


def _letter(pattern: re.Pattern[str], words: str) -> str:
    found = pattern.search(words)
    return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Target:
    """What a goal is measured by. `better` tells which way is forward."""

    name: str
    title: Text
    unit: Text
    baseline: float
    target: float
    by: str  # ISO date
    better: Literal["lower", "higher"] = "lower"


@dataclass(frozen=True, slots=True)
class Vote:
    """A recorded vote: for and against, which options were rejected, what the minority held."""

    body: str
    date: str
    votes_for: int
    votes_against: int
    rejected: tuple[Text, ...] = ()
    minority: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True)
class Goal:
    """What an elected body adopted. Without a vote, or once rescinded, nothing runs under it."""

    id: str
    title: Text
    for_whom: Text
    targets: tuple[Target, ...] = ()
    vote: Vote | None = None
    rescinded_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why data may be used. A new use is a new purpose.

    `disclose`: what the people whose data is used read of it, where the title would tell them of
    somebody else's affairs. `delay_days`: they read it only then (an investigation); until that
    day its lines are counted, not shown.

    `art6` and `art9`: letter of GDPR 6(1) and 9(2); empty: as `legal_basis` says it, in words with
    the national law. `assessment`: where the impact assessment (GDPR 35) is. `compatible_with`:
    purposes whose data, collected before `from_us`, it may use as well (GDPR 6(4)).
    `glass`: for emergencies; it sees a person only while two people opened that one person's data.
    `consent_invalid`: the person is not free to refuse, so consent is no basis for it.
    """

    id: str
    goal: str
    title: Text
    legal_basis: str
    office: str
    retention_days: int | None = None
    disclose: Text | None = None
    delay_days: int | None = None
    art6: str = ""
    art9: str = ""
    assessment: str = ""
    compatible_with: tuple[str, ...] = ()
    consent_invalid: bool = False
    enforcement: bool = False
    glass: bool = False
    from_us: int = 0

    @property
    def article6(self) -> str:
        """The letter of GDPR 6(1), empty when no basis there is named."""
        return self.art6 or _letter(_ART6, self.legal_basis)

    @property
    def article9(self) -> str:
        """The letter of GDPR 9(2), empty when no exception there is named."""
        return self.art9 or _letter(_ART9, self.legal_basis)

    @property
    def on_consent(self) -> bool:
        """Whether it rests on the consent of each person."""
        return self.article6 == "a" or self.article9 == "a"

    @property
    def objectionable(self) -> bool:
        """Whether a person may object to it (GDPR 21): public task and legitimate interest."""
        return self.article6 in ("e", "f")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Entity types (or "record:KIND") with their attributes (none named = all), in one wall.

    `commands`: attributes that take writes from decisions only. `about`: the attribute that says
    whom an entity is about; one without it is itself about the person that it names.
    `minimum_group`: persons in the smallest group of which a figure may leave the wall.
    """

    id: str
    title: Text
    wall: str
    data_class: DataClass
    controller: str
    types: Mapping[str, tuple[str, ...]]
    commands: tuple[str, ...] = ()
    retention_days: int | None = None
    minimum_group: int = 10
    about: str = "resident"

    @property
    def personal(self) -> bool:
        """Whether it is about persons."""
        return self.data_class in ("personal", "special")

    @property
    def walled(self) -> bool:
        """Whether its rows are kept behind a wall: about persons, and not the city's own books."""
        return self.personal and bool(self.entity_types)

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The entity types in it, without records."""
        return tuple(t for t in self.types if t != ANY_TYPE and not t.startswith("record:"))


@dataclass(frozen=True, slots=True)
class Processor:
    """Who handles: a role, an app, a supplier, a device, a system, the public.

    A supplier has an `agreement` (GDPR 28) that holds through `agreement_until`, an ISO date, and
    the `duties` that it was given; `due`: by which date, for those that have one. It may let
    `sub_processors` work for it and nobody else. `exit`: what becomes of the data when it ends.
    """

    id: str
    title: Text
    organisation: str
    kind: Literal["own", "supplier", "research"] = "own"
    agreement: str = ""
    duties: tuple[str, ...] = ()
    agreement_until: str = ""
    due: Mapping[str, str] = field(default_factory=dict)
    sub_processors: tuple[str, ...] = ()
    exit: str = ""

    def overdue(self, day: str) -> tuple[str, ...]:
        """Duties that were to be done before this ISO date."""
        return tuple(duty for duty in self.duties if duty in self.due and self.due[duty] < day)


@dataclass(frozen=True, slots=True)
class Grant:
    """A processor may do `actions` on a dataset for a purpose in [from, until): two approved it.

    `vital`: a life may depend on it, so it goes on while the ledger can't write (design 2, rule 2).
    Obligations: `mask`, attributes that do not exist under it; `max_rows` in one answer.
    """

    id: str
    processor: str
    purpose: str
    dataset: str
    actions: tuple[Action, ...]
    approvals: tuple[str, str]
    from_us: int = 0
    until_us: int | None = None
    vital: bool = False
    mask: tuple[str, ...] = ()
    max_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """All that is in force, under one version that only rises."""

    version: int = 0
    goals: Mapping[str, Goal] = field(default_factory=dict)
    purposes: Mapping[str, Purpose] = field(default_factory=dict)
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    processors: Mapping[str, Processor] = field(default_factory=dict)
    grants: Mapping[str, Grant] = field(default_factory=dict)


#: record kind of each part of a policy
KINDS: dict[str, type] = {
    "goal": Goal,
    "purpose": Purpose,
    "dataset": Dataset,
    "processor": Processor,
    "grant": Grant,
}
Part = Goal | Purpose | Dataset | Processor | Grant
P = TypeVar("P")


def to_doc(part: object) -> dict[str, Any]:
    """A part of a policy as a record's document."""
    doc: dict[str, Any] = msgspec.to_builtins(part)
    return doc


def from_doc(kind: type[P], doc: Mapping[str, Any]) -> P:
    """The part again. Raises Invalid naming the field that is wrong."""
    try:
        return msgspec.convert(doc, kind)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"{kind.__name__}: {wrong}") from None


def with_parts(policy: Policy, parts: Iterable[Part]) -> Policy:
    """The policy one version on, with these parts added or replaced, checked as a whole."""
    merged: dict[str, dict[str, Any]] = {
        f"{kind}s": dict(getattr(policy, f"{kind}s")) for kind in KINDS
    }
    for part in parts:
        merged[f"{type(part).__name__.lower()}s"][part.id] = part
    new = Policy(policy.version + 1, **merged)
    check_policy(new)
    return new


def check_policy(policy: Policy) -> None:
    """Raises Invalid with every reference, approval, interval or look-alike id that is wrong."""
    wrong = [*_look_alikes(policy), *_purposes(policy), *_datasets(policy)]
    wrong += [*_processors(policy), *_grants(policy)]
    if wrong:
        raise Invalid("; ".join(wrong))


def _purposes(policy: Policy) -> Iterable[str]:
    for purpose in policy.purposes.values():
        if purpose.goal not in policy.goals:
            yield f"purpose {purpose.id} serves no known goal ({purpose.goal})"
        if not purpose.legal_basis.strip():
            yield f"purpose {purpose.id} has no legal basis"
        if purpose.delay_days is not None and not 1 <= purpose.delay_days <= DELAY_DAYS_MAX:
            yield f"purpose {purpose.id} may be kept from people 1 to {DELAY_DAYS_MAX} days"


def _datasets(policy: Policy) -> Iterable[str]:
    for dataset in policy.datasets.values():
        if not dataset.types:
            yield f"dataset {dataset.id} holds nothing"
        if dataset.data_class in ("personal", "special") and dataset.retention_days is None:
            yield f"dataset {dataset.id} is {dataset.data_class} and has no retention"


def _processors(policy: Policy) -> Iterable[str]:
    for processor in policy.processors.values():
        for day in (processor.agreement_until, *processor.due.values()):
            if day and not is_day(day):
                yield f"processor {processor.id}: {day!r:.40} is no date, as in 2026-09-15"
        if set(processor.due) - set(processor.duties):
            yield f"processor {processor.id} has a date for what is no duty"


def is_day(text: str) -> bool:
    """Whether it is a date as in 2026-09-15."""
    try:
        return len(text) == len("2026-09-15") and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _grants(policy: Policy) -> Iterable[str]:
    for grant in policy.grants.values():
        for name in ("processor", "purpose", "dataset"):
            if getattr(grant, name) not in getattr(policy, f"{name}s"):
                yield f"grant {grant.id}: no known {name} {getattr(grant, name)}"
        first, second = grant.approvals
        if not first.strip() or not second.strip() or skeleton(first) == skeleton(second):
            yield f"grant {grant.id} needs two approvals, by two people"
        if not grant.actions:
            yield f"grant {grant.id} allows nothing"
        if grant.until_us is not None and grant.until_us <= grant.from_us:
            yield f"grant {grant.id} ends before it begins"
        if grant.max_rows is not None and grant.max_rows < 1:
            yield f"grant {grant.id} allows no rows"


def _look_alikes(policy: Policy) -> Iterable[str]:
    """Ids are plain ASCII; two of one kind may not differ by case or separators alone."""
    for kind in KINDS:
        seen: dict[str, str] = {}
        for name in getattr(policy, f"{kind}s"):
            if not name.isascii() or not name or any(c.isspace() or ord(c) < 33 for c in name):
                yield f"{kind} id {name!r} must be ASCII without spaces"
                continue
            other = seen.setdefault(skeleton(name), name)
            if other != name:
                yield f"{kind} ids {other} and {name} look alike"


#: letters of other scripts that look like Latin ones: Cyrillic, Greek
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458"
    "\u0455\u0501\u04bb\u04cf\u043a\u043c\u0442\u0432\u043d"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4"
    "\u03c5\u03c7\u03b3\u03b2\u03b7\u03b5",
    "aeopcyxijsdhlkmtbhaopviktuxybhe",
)


def skeleton(name: str) -> str:
    """What is left of a name for the eye: two names with the same one look alike."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    seen = "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    for char in "-_. ":
        seen = seen.replace(char, "")
    return seen.translate(_ALIKE).replace("0", "o").replace("1", "l").replace("i", "l")
