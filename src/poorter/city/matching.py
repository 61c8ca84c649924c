# SPDX-License-Identifier: EUPL-1.2
"""Whether an entity meets a condition: the plain meaning of q (CIM 009, 4.9), no index used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Invalid
from poorter.city.query import And, Compare, Condition, Exists, Moment, Or, Path, Range
from poorter.city.time import format_us, parse_us

_NOTHING = object()


def matches(entity: Entity, condition: Condition) -> bool:
    """True when the entity meets it. What is absent meets nothing, not even `!=`."""
    if isinstance(condition, And):
        return all(matches(entity, term) for term in condition.terms)
    if isinstance(condition, Or):
        return any(matches(entity, term) for term in condition.terms)
    targets = targets_of(entity, condition.path)
    if isinstance(condition, Exists):
        return next(targets, _NOTHING) is not _NOTHING
    return any(_meets(target, condition) for target in targets)


def targets_of(entity: Entity, path: Path) -> Iterator[Any]:
    """The values a path leads to, one per instance of the attribute that has it."""
    for attribute in entity.named(path.name):
        found = _descend(attribute, path.sub)
        for key in path.keys:
            found = found.get(key, _NOTHING) if isinstance(found, Mapping) else _NOTHING
        if found is not _NOTHING:
            yield found


def _descend(attribute: Attribute, names: tuple[str, ...]) -> Any:
    for position, name in enumerate(names):
        sub = next((part for part in attribute.sub if part.name == name), None)
        if sub is None:
            last = position == len(names) - 1
            return _meta(attribute, name) if last else _NOTHING
        attribute = sub
    return attribute.value


def _meta(attribute: Attribute, name: str) -> Any:
    moments = {
        "observedAt": attribute.observed_at_us,
        "createdAt": attribute.created_at_us,
        "modifiedAt": attribute.modified_at_us,
    }
    if moments.get(name) is not None:
        return format_us(moments[name])  # type: ignore[arg-type]
    if name == "unitCode" and attribute.unit_code is not None:
        return attribute.unit_code
    if name == "datasetId" and attribute.dataset_id is not None:
        return attribute.dataset_id
    return _NOTHING


def _meets(target: Any, condition: Compare) -> bool:
    if isinstance(target, list):
        return any(_meets(part, condition) for part in target)
    if condition.op == "!=":
        return all(not _equal(target, value) for value in condition.values)
    if condition.op == "!~=":
        return all(not _like(target, value) for value in condition.values)
    test = _TESTS[condition.op]
    return any(test(target, value) for value in condition.values)


def _equal(target: Any, value: Any) -> bool:
    if isinstance(value, Range):
        return _ordered(target, value.low, lambda a, b: a >= b) and _ordered(
            target, value.high, lambda a, b: a <= b
        )
    return _ordered(target, value, lambda a, b: a == b)


def _ordered(target: Any, value: Any, test: Callable[[Any, Any], bool]) -> bool:
    if isinstance(value, Moment):
        try:
            return test(parse_us(target), value.at_us)
        except Invalid:
            return False
    if isinstance(target, bool) or isinstance(value, bool):
        return isinstance(target, bool) and isinstance(value, bool) and test(target, value)
    if isinstance(target, int | float) and isinstance(value, int | float):
        return test(target, value)
    return isinstance(target, str) and isinstance(value, str) and test(target, value)


def _like(target: Any, value: Any) -> bool:
    return isinstance(target, str) and re.search(str(value), target) is not None


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    ">": lambda t, v: _ordered(t, v, lambda a, b: a > b),
    ">=": lambda t, v: _ordered(t, v, lambda a, b: a >= b),
    "<": lambda t, v: _ordered(t, v, lambda a, b: a < b),
    "<=": lambda t, v: _ordered(t, v, lambda a, b: a <= b),
    "~=": _like,
}
