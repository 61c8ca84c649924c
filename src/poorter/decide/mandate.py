# SPDX-License-Identifier: EUPL-1.2
"""Mandates: who may decide what, within which bounds, and how its outcome is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from poorter.city.errors import Invalid
from poorter.city.text import Text

Mode = Literal["by-hand", "automatic"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a decision under the mandate may be. None or empty: no such bound.

    `step`: most that a number may differ from the present one. `rest_s`: least time between two
    automatic decisions on one thing, so that a sign doesn't flicker.
    """

    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    step: float | None = None
    rest_s: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """Which attribute of the same entity tells what a decision came to, and how much later."""

    attribute: str
    after_s: int


@dataclass(frozen=True, slots=True)
class Mandate:
    """A mandate as registered. `processor` and `purpose` hold the command grant it works by.

    `role`: officers with it may decide by hand. `mode` is where it starts; the stop button turns
    it to by hand. `objection_days`: how long somebody affected may contest a decision.
    """

    id: str
    title: Text
    office: str
    role: str
    processor: str
    purpose: str
    entity_type: str
    attribute: str
    bounds: Bounds
    measure: Measure
    mode: Mode = "by-hand"
    objection_days: int = 42


def check_bounds(bounds: Bounds, value: Any, now: Any) -> None:
    """Raises Invalid naming the bound that `value` passes; `now` is the present value, if any."""
    if isinstance(value, bool):
        raise Invalid("a flag is not within the bounds of this mandate")
    if isinstance(value, int | float):
        _check_number(bounds, value, now)
    elif not isinstance(value, str):
        raise Invalid("a decision sets a number or a text")
    elif bounds.choices and value not in bounds.choices:
        raise Invalid(
            Text(
                f"{value!r} is niet een van {', '.join(bounds.choices)}",
                f"{value!r} is not among {', '.join(bounds.choices)}",
            )
        )
    elif not bounds.choices:
        raise Invalid("this mandate sets numbers, not text")


def _check_number(bounds: Bounds, value: float, now: Any) -> None:
    if not isfinite(value):
        raise Invalid("the value is not a number")
    if bounds.choices and str(value) not in bounds.choices and bounds.minimum is None:
        raise Invalid(
            Text(
                f"{value} is niet een van {', '.join(bounds.choices)}",
                f"{value} is not among {', '.join(bounds.choices)}",
            )
        )
    if bounds.minimum is not None and value < bounds.minimum:
        raise Invalid(
            Text(
                f"{value} ligt onder de {bounds.minimum:g} van het mandaat",
                f"{value} is under the mandate's {bounds.minimum:g}",
            )
        )
    if bounds.maximum is not None and value > bounds.maximum:
        raise Invalid(
            Text(
                f"{value} ligt boven de {bounds.maximum:g} van het mandaat",
                f"{value} is over the mandate's {bounds.maximum:g}",
            )
        )
    number = isinstance(now, int | float) and not isinstance(now, bool)
    if bounds.step is not None and number and abs(value - now) > bounds.step:
        raise Invalid(
            Text(
                f"van {now} naar {value} is meer dan de stap van {bounds.step:g} in het mandaat",
                f"from {now} to {value} is more than the mandate's step of {bounds.step:g}",
            )
        )


@dataclass(frozen=True, slots=True)
class MandateState:
    """How a mandate stands now: by hand or automatic, who turned it there, why, and when."""

    mode: Mode
    by: str
    why: str
    at_us: int

    def to_doc(self) -> dict[str, Any]:
        """As a record's document."""
        return {"mode": self.mode, "by": self.by, "why": self.why, "at_us": self.at_us}

    @staticmethod
    def from_doc(doc: Mapping[str, Any]) -> MandateState:
        """From a record's document."""
        return MandateState(doc["mode"], doc["by"], doc["why"], doc["at_us"])
