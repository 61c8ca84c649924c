# SPDX-License-Identifier: EUPL-1.2
"""Aggregates over opened observations: what a store computes by itself where nothing is sealed."""

from __future__ import annotations

from collections.abc import Iterable

from poorter.city.entity import Observation
from poorter.store.contract import Bucket

BAD = 3


def buckets_of(observations: Iterable[Observation], width_us: int) -> dict[str, list[Bucket]]:
    """Buckets of `width_us` per attribute over good numbers; empty ones are absent."""
    values: dict[str, dict[int, list[float]]] = {}
    for one in observations:
        number = one.value
        if one.quality >= BAD or isinstance(number, bool) or not isinstance(number, int | float):
            continue
        start_us = one.observed_at_us // width_us * width_us
        values.setdefault(one.name, {}).setdefault(start_us, []).append(number)
    return {
        name: [_bucket(start_us, found) for start_us, found in sorted(starts.items())]
        for name, starts in values.items()
    }


def _bucket(start_us: int, values: list[float]) -> Bucket:
    total = sum(values)
    return Bucket(start_us, len(values), total / len(values), min(values), max(values), total)
