# SPDX-License-Identifier: EUPL-1.2
"""Advice: what an algorithm proposes, with its reasons, inputs, version, confidence, dissent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from poorter.city.errors import Invalid
from poorter.city.limits import TEXT_CHARS_MAX
from poorter.city.text import Text

INPUT_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a system advises: set `attribute` of `urn` to `value`, and why.

    `inputs`: what it was reckoned from, name to value with its moment. `dissent`: counter-advice,
    (who, why), kept and shown beside the advice. `confidence`: 0 to 1, None when not known.
    What is said as `Text` people read in their own language. `expect`: the version of the
    entity that it was reckoned on.
    """

    mandate: str
    urn: str
    attribute: str
    value: Any
    reasons: tuple[Text | str, ...]
    inputs: Mapping[str, Any]
    algorithm: str
    confidence: float | None = None
    dissent: tuple[tuple[str, Text | str], ...] = ()
    expect: int | None = None


def check_proposal(proposal: Proposal) -> None:
    """Raises Invalid: advice without reasons or version is none, and it has limits."""
    if not any(said.strip() for reason in proposal.reasons for said in _said(reason)):
        raise Invalid("advice needs a reason")
    if not proposal.algorithm.strip():
        raise Invalid("advice names the algorithm and version that gave it")
    if proposal.confidence is not None and not 0 <= proposal.confidence <= 1:
        raise Invalid("confidence lies between 0 and 1")
    texts = (*proposal.reasons, *(why for _, why in proposal.dissent))
    if any(len(said) > TEXT_CHARS_MAX for text in texts for said in _said(text)) or len(texts) > 50:
        raise Invalid(f"reasons are at most 50, of {TEXT_CHARS_MAX} characters")
    try:
        size = len(msgspec.json.encode(dict(proposal.inputs)))
    except TypeError as wrong:
        raise Invalid(f"inputs must be plain JSON: {wrong}") from None
    if size > INPUT_BYTES_MAX:
        raise Invalid(f"inputs are at most {INPUT_BYTES_MAX} bytes")


def _said(text: Text | str) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else (text.nl, text.en)


def to_doc(proposal: Proposal, at_us: int) -> dict[str, Any]:
    """Waiting advice as a record's document."""
    doc: dict[str, Any] = msgspec.to_builtins(proposal)
    return doc | {"at_us": at_us, "state": "waiting", "decision": None, "held_back": None}
