# SPDX-License-Identifier: EUPL-1.2
"""What each person has said of each purpose: consent, with items and period, and objection.

Kept in memory for the check of each row, by (subject, purpose); the records are the truth. A
change counts from the call of `put` on, for every permit that is out already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FOREVER_US = 2**62
#: basis of a purpose for which nobody's rows exist until two people opened them
GLASS = "glass"
Said = Literal["consent", "objection"]
ALL: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """One standing choice. `items`: attributes that it is about, none named is all of them."""

    subject: str
    purpose: str
    said: Said
    items: frozenset[str] = ALL
    from_us: int = 0
    until_us: int = FOREVER_US

    def holds(self, now_us: int) -> bool:
        """Whether it counts at this moment."""
        return self.from_us <= now_us < self.until_us


@dataclass(frozen=True, slots=True)
class Opening:
    """The glass broken for one person and purpose, until a moment."""

    subject: str
    purpose: str
    until_us: int


class Rights:
    """The choices that stand. One lookup a row."""

    def __init__(self) -> None:
        self._choices: dict[tuple[str, str], Choice] = {}
        self._restricted: frozenset[str] = frozenset()
        self._openings: dict[tuple[str, str], int] = {}

    def replace(self, choices: Iterable[Choice]) -> None:
        """Exactly these from now on."""
        self._choices = {(choice.subject, choice.purpose): choice for choice in choices}

    def put(self, choice: Choice) -> None:
        """A person chose; what they chose before for this purpose is over."""
        self._choices[(choice.subject, choice.purpose)] = choice

    def drop(self, subject: str, purpose: str) -> None:
        """They take it back: consent is withdrawn, an objection is lifted."""
        self._choices.pop((subject, purpose), None)

    def restrict(self, subjects: Iterable[str]) -> None:
        """Persons whose data is kept for a dispute only (GDPR 18): no purpose sees it."""
        self._restricted = frozenset(subjects)

    def open(self, opening: Opening) -> None:
        """Two people broke the glass: until its end this person's rows exist for the purpose."""
        key = (opening.subject, opening.purpose)
        self._openings[key] = max(self._openings.get(key, 0), opening.until_us)

    def close(self, subject: str, purpose: str) -> None:
        """An opening is over before its time."""
        self._openings.pop((subject, purpose), None)

    def covered(
        self, subject: str, purpose: str, basis: str, now_us: int
    ) -> tuple[frozenset[str] | None, frozenset[str]] | None:
        """(attributes that exist, None for all; attributes that do not), or None when the row is
        hidden. With consent as basis nothing exists without it; an objection takes away."""
        if subject in self._restricted:
            return None
        if self._openings and now_us < self._openings.get((subject, purpose), 0):
            return None, ALL
        if basis == GLASS:
            return None
        choice = self._choices.get((subject, purpose))
        if choice is None or not choice.holds(now_us):
            return None if basis == "a" else (None, ALL)
        if choice.said == "consent":
            return (choice.items or None, ALL) if basis == "a" else (None, ALL)
        if basis == "a" or not choice.items:
            return None
        return None, choice.items
