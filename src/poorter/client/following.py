# SPDX-License-Identifier: EUPL-1.2
"""Following a remote city: by the numbers of its events, or by comparing what it says now with
what it said before. Pure; who waits and asks stands elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from poorter.city.entity import Entity
from poorter.city.errors import Unavailable
from poorter.systems.city import Changed, Missed


def read_events(answer: Any, after: int) -> tuple[list[Changed], int]:
    """A page of events and the number it goes up to.

    The numbers of a city have no gaps and only rise, so a page that ends before it begins, or
    holds what lies outside it, means that the city went back or something was lost: Missed.
    Raises Unavailable for what is no page.
    """
    try:
        last = answer["last"]
        found = [
            Changed(e["sequence"], e["urn"], tuple(e["types"]), tuple(e["names"]))
            for e in answer["events"]
        ]
        numbers = [after, *(one.sequence for one in found), last]
        if not all(isinstance(number, int) for number in numbers):
            raise TypeError
    except (KeyError, TypeError):
        raise Unavailable("the city answers no events") from None
    rising = all(a < b for a, b in pairwise(numbers[:-1]))
    if last < numbers[-2] or not rising:
        raise Missed(after)
    return found, last


def differences(
    before: Mapping[str, Entity], now: Mapping[str, Entity]
) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(id, types, names of attributes) of each entity that came, went or says something else."""
    for urn in sorted(before.keys() | now.keys()):
        old, new = before.get(urn), now.get(urn)
        if new is None or old is None:
            one = new or old
            assert one is not None
            yield urn, one.types, tuple(sorted({a.name for a in one.attributes}))
            continue
        if old == new:
            continue
        then, here = set(map(repr, old.attributes)), set(map(repr, new.attributes))
        names = {a.name for a in old.attributes if repr(a) not in here}
        names |= {a.name for a in new.attributes if repr(a) not in then}
        yield urn, new.types, tuple(sorted(names))
