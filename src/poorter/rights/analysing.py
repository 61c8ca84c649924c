# SPDX-License-Identifier: EUPL-1.2
"""Free questions about persons, answered with noise: differential privacy with one budget.

Whoever asks chooses the predicate, so no group is too small to be asked for; what protects people
is the noise on each answer and that the answers end. The budget is one for all users and all
releases of a dataset in a period; what an answer costs is written down before it leaves, and a
refusal depends on the budget alone. The same question again gets the same answer, at no cost.

Noise: discrete Gaussian, exact (`gate.atoms`); rho-zero-concentrated differential privacy with
respect to one person, whatever number of rows they have.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from poorter.city.errors import Invalid
from poorter.city.matching import matches
from poorter.city.query import And, Condition, Or
from poorter.city.text import Text
from poorter.gate.atoms import Bounds, Lattice, Seen, noisy_counts, noisy_sums
from poorter.rights.releases import RHO_PERIOD, Releases
from poorter.store.contract import StoredEntity

#: privacy loss of one number of an answer: a count, or a sum
RHO_ASKED = Fraction(1, 100)
_ALL = ("all",)


@dataclass(frozen=True, slots=True)
class Question:
    """How many persons have a row of this type that meets `where` (all when None); with a
    `measure`, also its sum within the bounds. `text`: the predicate as it was asked."""

    purpose: str
    dataset: str
    type: str
    period: str
    where: Condition | None
    text: str
    measure: str | None = None
    bounds: Bounds | None = None

    @property
    def rho(self) -> Fraction:
        """What it costs."""
        return RHO_ASKED if self.measure is None else 2 * RHO_ASKED

    @property
    def id(self) -> str:
        """The same for the same question, however it was spelled."""
        said = (self.purpose, self.dataset, self.type, self.period, self.where, self.measure)
        return "asked." + hashlib.sha256(repr((said, self.bounds)).encode()).hexdigest()[:32]


class Analyses:
    """Answers them."""

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

    async def ask(self, question: Question, by: str) -> dict[str, Any]:
        """The answer: noisy `persons`, `total`, `deviation` of each, and what is `left` of the
        budget, from 0 to 1.

        Raises: Denied without a grant for `internal:release`, NotFound for no such data, Invalid
        for a predicate over links, or once the budget is spent.
        """
        if question.where is not None and _links(question.where):
            raise Invalid("a question is about the row itself, not about what it leads to")
        async with self._releases.one_by_one:
            known = self._releases.kept(question.id)
            if known is not None:
                return self._told(question, known)
            permit = self._releases.permit(question.purpose)
            self._releases.check_data(question.dataset, question.type)
            left = RHO_PERIOD - self._releases.spent(question.dataset, question.period)
            if left < question.rho:
                raise Invalid(
                    Text(
                        "over deze gegevens is deze periode genoeg gevraagd",
                        "enough was asked of this data in this period",
                    )
                )
            entities = self._releases.rows(permit, question.type)
            await self._releases.recorded(permit, entities)
            answer = self._count(question, entities)
            doc = {"rho": str(question.rho), "by": [by], "asked": question.text, "answer": answer}
            await self._releases.keep(question.id, question.dataset, question.period, doc)
            return self._told(question, doc)

    def _count(self, question: Question, entities: Iterable[StoredEntity]) -> dict[str, Any]:
        """Over all rows alike: which of them meet the predicate takes no time of its own."""
        seen = []
        for stored in entities:
            entity = self._releases.decode(stored)
            value = 0.0 if question.measure is None else entity.value(question.measure)
            meets = question.where is None or matches(entity, question.where, lambda _: None)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if meets and number and math.isfinite(float(value)):
                seen.append(Seen(_ALL, stored.subject or stored.urn, "", float(value)))
        whole = Lattice(0, ((_ALL,),))
        (persons,) = noisy_counts(whole, seen, RHO_ASKED, secrets.randbelow)
        counted = 1 / (2 * RHO_ASKED)
        answer: dict[str, Any] = {"persons": persons, "deviation": {"persons": math.sqrt(counted)}}
        bounds = question.bounds
        if question.measure is not None and bounds is not None:
            (apart,) = noisy_sums(whole, seen, bounds, RHO_ASKED, secrets.randbelow)
            answer["total"] = float((apart + persons * bounds.middle) * bounds.step)
            noise = bounds.variance(RHO_ASKED) + bounds.middle**2 * counted
            answer["deviation"]["total"] = float(bounds.step) * math.sqrt(noise)
        return answer

    def _told(self, question: Question, doc: dict[str, Any]) -> dict[str, Any]:
        left = 1 - self._releases.spent(question.dataset, question.period) / RHO_PERIOD
        return {**doc["answer"], "rho": doc["rho"], "left": float(max(left, Fraction(0)))}


def _links(condition: Condition) -> bool:
    if isinstance(condition, And | Or):
        return any(map(_links, condition.terms))
    return condition.path.linked is not None
