# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions by what their q asks of one attribute: of many with a q of their own a change makes
few be looked at. What is left out can't be met; what is given may still not be."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from poorter.city.matching import OWN
from poorter.city.query import And, Compare, Condition
from poorter.standards.ngsild.subscriptions.model import Subscription
from poorter.store.contract import StoredEntity

_decode = msgspec.json.Decoder().decode
_UP, _DOWN = (">", ">="), ("<", "<=")


def hook_of(condition: Condition | None) -> Compare | None:
    """The comparison that a subscription can be found by: one that must hold in any case."""
    terms = condition.terms if isinstance(condition, And) else (condition,)
    found = [term for term in terms if isinstance(term, Compare) and _is_hook(term)]
    return min(found, key=lambda term: term.op != "==", default=None)


def _is_hook(term: Compare) -> bool:
    path = term.path
    if path.sub or path.keys or path.linked is not None or path.name in OWN:
        return False
    if len(term.values) != 1:
        return False
    value = term.values[0]
    if term.op == "==":
        return isinstance(value, str) or _is_number(value)
    return term.op in (*_UP, *_DOWN) and _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(slots=True)
class _Named:
    """Subscriptions by one attribute: by value, and by the bounds it must be over or under."""

    all: dict[str, Subscription] = field(default_factory=dict)
    equal: dict[Any, set[str]] = field(default_factory=dict)
    over: list[tuple[float, str]] = field(default_factory=list)
    under: list[tuple[float, str]] = field(default_factory=list)

    def meant(self, value: Any) -> Iterator[str]:
        yield from self.equal.get(value, ())
        if _is_number(value):
            for _, sub_id in self.over[: bisect_right(self.over, value, key=_bound)]:
                yield sub_id
            for _, sub_id in self.under[bisect_left(self.under, value, key=_bound) :]:
                yield sub_id


def _bound(entry: tuple[float, str]) -> float:
    return entry[0]


class Hooks:
    """Subscriptions of one type and one (processor, purpose)."""

    def __init__(self) -> None:
        self._named: dict[str, _Named] = {}

    def put(self, sub: Subscription, hook: Compare) -> None:
        """Add one."""
        named = self._named.setdefault(hook.path.name, _Named())
        named.all[sub.id] = sub
        value = hook.values[0]
        if hook.op == "==":
            named.equal.setdefault(value, set()).add(sub.id)
        else:
            insort(named.over if hook.op in _UP else named.under, (value, sub.id))

    def remove(self, sub: Subscription, hook: Compare) -> None:
        """Forget one."""
        named = self._named[hook.path.name]
        del named.all[sub.id]
        value = hook.values[0]
        if hook.op == "==":
            named.equal[value].discard(sub.id)
            if not named.equal[value]:
                del named.equal[value]
        else:
            (named.over if hook.op in _UP else named.under).remove((value, sub.id))
        if not named.all:
            del self._named[hook.path.name]

    def one(self) -> Subscription | None:
        """Any of them: all are of one owner."""
        return next((sub for named in self._named.values() for sub in named.all.values()), None)

    def hit(self, entity: StoredEntity) -> Iterator[Subscription]:
        """Those that an entity may meet."""
        for attribute in entity.attributes:
            named = self._named.get(attribute.name)
            if named is None:
                continue
            body = _decode(attribute.body)
            value = body.get("value", body.get("object"))
            if isinstance(value, str) or _is_number(value):
                yield from (named.all[sub_id] for sub_id in named.meant(value))
            else:  # a list is met by any of its members, words by those of any language
                yield from named.all.values()
