# SPDX-License-Identifier: EUPL-1.2
"""The extension point: what a city system declares. All else is derived from it.

A frozen `SYSTEM = System(...)` in `poorter/systems/NAME/__init__.py`, or the same object behind the
entry point group `poorter.systems`, is all that it takes. Routes, menus, CLI verbs, register
entries, the docs page and the contract tests follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from poorter.city.text import Text
from poorter.decide.mandate import Mandate
from poorter.decide.safety import Rule
from poorter.gate.permit import Action
from poorter.gate.policy import Dataset, Goal, Purpose
from poorter.systems.city import City

API_VERSION = 1

FieldKind = Literal["text", "number", "integer", "moment", "uri", "flag", "place"]


@dataclass(frozen=True, slots=True)
class Field:
    """One input of an operation. `place` is "longitude,latitude"; `moment` ISO 8601 with zone."""

    name: str
    kind: FieldKind
    title: Text
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    default: Any = None


@dataclass(frozen=True, slots=True)
class Runs:
    """What an act leaves running for whoever did it: `key`, until then, and no longer. `ended`
    runs no more. Neither is kept beyond that moment, or written down at all."""

    key: str
    until_us: int
    ended: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """Something one may ask of, or do in, a system: a route, a form and a line in the OpenAPI.

    `run(city, inputs)` gets checked inputs and gives plain JSON data. `ask` answers to GET and
    changes nothing; `act` answers to POST, honours Idempotency-Key and leaves a record.

    `runs(inputs, result)`: what the act leaves running. `per_visitor` and `per_key` name the
    settings that say how many of those one visitor, or one app with a key, may have at once (0:
    any number); the act that would be one too many is refused. A visitor is an address: there are
    no accounts.
    """

    name: str
    kind: Literal["ask", "act"]
    title: Text
    fields: tuple[Field, ...]
    run: Callable[[City, Mapping[str, Any]], Awaitable[dict[str, Any]]]
    runs: Callable[[Mapping[str, Any], Mapping[str, Any]], Runs] | None = None
    per_visitor: str = ""
    per_key: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A grant that the system asks for; two officers of the city approve it, or don't.

    `processor` "" is the system itself; others are "public" and "staff".
    """

    purpose: str
    dataset: str
    actions: tuple[Action, ...]
    processor: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """Work that comes back: `run(city)` each `every_s` seconds; a slow run is not overtaken."""

    name: str
    every_s: float
    run: Callable[[City], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Indicator:
    """What tells whether a goal comes nearer. `measure` gives None while it can't be known."""

    goal: str
    name: str
    title: Text
    unit: Text
    measure: Callable[[City], Awaitable[float | None]]


@dataclass(frozen=True, slots=True)
class Feed:
    """A source of readings and when it counts as old or silent."""

    name: str
    title: Text
    entity_type: str
    attribute: str
    old_after_s: int
    silent_after_s: int


@dataclass(frozen=True, slots=True)
class Setting:
    """A number or text that a city may set in city.toml under [systems.NAME]; of `choices` only,
    where there are any."""

    name: str
    default: Any
    title: Text
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that asks for somebody: `owner` office, the `next_step`, and by when."""

    key: str
    urn: str
    severity: Literal["high", "medium", "low"]
    title: Text
    detail: Text
    owner: str
    next_step: Text
    since_us: int
    deadline_us: int


@dataclass(frozen=True, slots=True)
class System:
    """One city system, declared. Ids inside are global: prefix them with the system's name."""

    name: str
    version: str
    title: Text
    question: Text  # the question it answers, in one sentence
    never: Text  # what it must never do
    office: str  # the accountable office
    goals: tuple[Goal, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    asks: tuple[Ask, ...] = ()
    mandates: tuple[Mandate, ...] = ()
    safety: tuple[Rule, ...] = ()
    feeds: tuple[Feed, ...] = ()
    operations: tuple[Operation, ...] = ()
    jobs: tuple[Job, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    incidents: Callable[[City], Awaitable[list[Incident]]] | None = None
    settings: tuple[Setting, ...] = ()
    api_version: int = API_VERSION

    @property
    def processor(self) -> str:
        """The system as a processor in the policy."""
        return f"system:{self.name}"

    @property
    def purpose(self) -> str:
        """The purpose that the system works under: its first."""
        return self.purposes[0].id
