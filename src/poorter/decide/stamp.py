# SPDX-License-Identifier: EUPL-1.2
"""Rubber-stamping, per mandate and never per employee: who is watched here is the automation.

A mandate whose advice is nearly always accepted unchanged, within seconds, has nobody deciding.
What is stopped then is the automatic mode of that mandate, not a clerk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

DECISIONS_MIN = 20
UNCHANGED_SHARE = 0.95
SECONDS_MEDIAN = 10.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """By hand: how many decisions, the share that left advice unchanged, median seconds taken.

    `automatic` counts what the mandate decided by itself, `departed` where a person did not
    follow the advice. `rubber` is None while there are too few decisions to tell.
    """

    mandate: str
    by_hand: int
    automatic: int
    departed: int
    unchanged_share: float | None
    median_s: float | None
    rubber: bool | None


def report(mandate: str, decisions: Iterable[Mapping[str, Any]]) -> Stamp:
    """The report over the documents of a mandate's decisions."""
    docs = list(decisions)
    by_hand = [doc for doc in docs if str(doc["by"]).startswith("officer:")]
    unchanged = [doc for doc in by_hand if doc["choice"] == "accept"]
    times_s = [doc["seconds"] for doc in by_hand if doc.get("seconds") is not None]
    share = len(unchanged) / len(by_hand) if by_hand else None
    middle_s = median(times_s) if times_s else None
    rubber = None
    if len(by_hand) >= DECISIONS_MIN and share is not None and middle_s is not None:
        rubber = share >= UNCHANGED_SHARE and middle_s < SECONDS_MEDIAN
    return Stamp(
        mandate,
        len(by_hand),
        len(docs) - len(by_hand),
        len(by_hand) - len(unchanged),
        share,
        middle_s,
        rubber,
    )
