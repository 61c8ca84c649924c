# SPDX-License-Identifier: EUPL-1.2
"""The scope in time (CIM 009, 4.5.6, 4.18, C.5.16): each holds until the next one's moment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from poorter.city.entity import Instance
from poorter.city.query import Scopes
from poorter.city.scope import scope_pattern
from poorter.standards.ngsild.temporal.asking import Window
from poorter.store.evolving import Evolution

_FAR_US = 2**62
Span = tuple[int, int]


def spans_within(evolution: Evolution, scopes: Scopes, window: Window) -> list[Span]:
    """When, within the interval, the entity was in the scopes asked for."""
    return [
        span
        for one, span in _held(evolution, window)
        if one.deleted_at_us is None and _is_in(one, scopes)
    ]


def within(evolution: Evolution, spans: list[Span]) -> Evolution:
    """The instances whose moment lies in one of the spans."""
    kept = tuple(
        one
        for one in evolution.instances
        if any(start_us <= _moment(one) < end_us for start_us, end_us in spans)
    )
    return replace(evolution, instances=kept)


def scopes_shown(evolution: Evolution, window: Window) -> list[Instance]:
    """Those that held at any moment of the interval; of another temporal property than observedAt,
    those whose time lies in it."""
    if not window.relation and not window.stated:
        return list(evolution.scopes)
    if window.time == "observedAt":
        return [one for one, _ in _held(evolution, window)]
    return [one for one in evolution.scopes if window.covers(one)]


def _held(evolution: Evolution, window: Window) -> Iterator[tuple[Instance, Span]]:
    """Each scope with the part of the interval in which it held."""
    ordered = sorted(evolution.scopes, key=_since)
    start_us = -_FAR_US if window.from_us is None else window.from_us
    end_us = _FAR_US if window.until_us is None else window.until_us
    for place, one in enumerate(ordered):
        next_us = _since(ordered[place + 1]) if place + 1 < len(ordered) else _FAR_US
        span = (max(_since(one), start_us), min(next_us, end_us))
        if span[0] < span[1]:
            yield one, span


def _since(one: Instance) -> int:
    """One without a moment holds from the beginning."""
    if one.deleted_at_us is not None:
        return one.deleted_at_us
    observed_us = one.attribute.observed_at_us
    return -_FAR_US if observed_us is None else observed_us


def _moment(one: Instance) -> int:
    observed_us = one.attribute.observed_at_us
    return observed_us if observed_us is not None else one.attribute.created_at_us or 0


def _is_in(one: Instance, scopes: Scopes) -> bool:
    value = one.attribute.value
    text = " ".join(value) if isinstance(value, list) else str(value)
    return any(
        all(re.search(scope_pattern(pattern), text) for pattern in every)
        for every in scopes.alternatives
    )
