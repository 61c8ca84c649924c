# SPDX-License-Identifier: EUPL-1.2
"""A free question about persons as it comes over HTTP: POST /api/city/analyses."""

from __future__ import annotations

from typing import Any

import msgspec

from poorter.city.errors import Invalid
from poorter.city.limits import QUERY_CHARS_MAX
from poorter.gate.atoms import Bounds
from poorter.rights.analysing import Question
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.grammar import parse_q

_TEXT_MAX = 100


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    dataset: str
    type: str
    period: str
    q: str = ""
    measure: str = ""
    low: str = ""
    high: str = ""
    step: str = "1"


def parse_question(purpose: str, doc: Any) -> Question:
    """`dataset`, `type` and `period`; `q` as in NGSI-LD; a `measure` with `low`, `high` and `step`,
    numbers as text. Raises Invalid."""
    try:
        said = msgspec.convert(doc, _Asked)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"this is no question: {wrong}") from None
    named = (said.dataset, said.type, said.period, said.measure, said.low, said.high, said.step)
    if len(said.q) > QUERY_CHARS_MAX or max(map(len, named)) > _TEXT_MAX or not said.period:
        raise Invalid("a part of the question is missing, or too long")
    if not said.period.isascii() or not said.period.replace("-", "").isalnum():
        raise Invalid("period reads as in 2027 or 2027-Q1")
    return Question(
        purpose,
        said.dataset,
        said.type,
        said.period,
        parse_q(said.q, CORE) if said.q else None,
        said.q,
        said.measure or None,
        _bounds(said) if said.measure else None,
    )


def _bounds(said: _Asked) -> Bounds:
    try:
        return Bounds.read(said.low, said.high, said.step)
    except ValueError as wrong:
        raise Invalid(f"low, high and step: {wrong}") from None
