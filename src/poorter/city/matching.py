# SPDX-License-Identifier: EUPL-1.2
"""Whether an entity meets a condition: the plain meaning of q (CIM 009, 4.9), no index used."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Invalid
from poorter.city.pattern import occurs
from poorter.city.query import And, Compare, Condition, Exists, Iri, Moment, Or, Path, Range
from poorter.city.time import format_us, parse_us


class _Word:
    """A term of a vocabulary: like its IRI, and like no other text."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Words(list[str]):
    """The words of a LanguageProperty, in one language or in all."""


class _Object(str):
    """What a Relationship leads to. It has no order, so that it is in no range."""

    __slots__ = ()


_NOTHING = object()
_LINKS = ("Relationship", "ListRelationship")


#: finds the entity that a Relationship leads to; None when it does not exist for the caller
Linked = Callable[[str], Entity | None]


def _alone(_: str) -> Entity | None:
    return None


def matches(entity: Entity, condition: Condition, linked: Linked = _alone) -> bool:
    """True when the entity meets it. What is absent meets nothing, not even `!=`."""
    if isinstance(condition, And):
        return all(matches(entity, term, linked) for term in condition.terms)
    if isinstance(condition, Or):
        return any(matches(entity, term, linked) for term in condition.terms)
    # of what a relationship leads to, only likeness can be asked (4.9)
    links = isinstance(condition, Exists) or condition.op in ("==", "!=")
    targets = targets_of(entity, condition.path, linked, links)
    if isinstance(condition, Exists):
        return next(targets, _NOTHING) is not _NOTHING
    return any(meets(target, condition) for target in targets)


def targets_of(
    entity: Entity, path: Path, linked: Linked = _alone, links: bool = True
) -> Iterator[Any]:
    """The values a path leads to, one per instance of the attribute that has it; `links`: also the
    objects of relationships."""
    if path.name in OWN and path.linked is None:
        yield from _own(entity, path)
        return
    for attribute in entity.named(path.name):
        if path.linked is not None:
            yield from _beyond(attribute, path, linked, links)
            continue
        found = _descend(attribute, path.sub)
        if isinstance(found, Attribute):
            if not links and found.kind in _LINKS:
                continue
            yield from _values(found, path.keys)
        elif found is not _NOTHING and not path.keys:
            yield found


#: what an entity says of itself can be asked for as an attribute can
OWN = frozenset(("id", "type", "scope", "createdAt", "modifiedAt", "expiresAt"))


def only_own(condition: Condition) -> bool:
    """Whether a condition asks only what every entity says of itself."""
    if isinstance(condition, And | Or):
        return all(map(only_own, condition.terms))
    return condition.path.linked is None and condition.path.name in OWN


def links_in(condition: Condition) -> int:
    """Over how many links, one after the other, a condition goes on."""
    if isinstance(condition, And | Or):
        return max(map(links_in, condition.terms))
    path, links = condition.path, 0
    while path.linked is not None:
        path, links = path.linked, links + 1
    return links


def _own(entity: Entity, path: Path) -> Iterator[Any]:
    if path.sub or path.keys:
        return
    if path.name == "id":
        yield entity.urn
    elif path.name == "type":
        yield from entity.types
    elif path.name == "scope":
        yield from entity.scopes
    else:
        moments = {
            "createdAt": entity.created_at_us,
            "modifiedAt": entity.modified_at_us,
            "expiresAt": entity.expires_at_us,
        }
        moment = moments[path.name]
        if moment is not None:
            yield format_us(moment)


def _beyond(attribute: Attribute, path: Path, linked: Linked, links: bool) -> Iterator[Any]:
    if attribute.kind not in _LINKS or path.linked is None:
        return
    urns = attribute.value if isinstance(attribute.value, list) else [attribute.value]
    for urn in urns:
        found = linked(urn)
        if found is None or (path.linked_types and not set(path.linked_types) & set(found.types)):
            continue
        yield from targets_of(found, path.linked, linked, links)


def _values(attribute: Attribute, keys: tuple[str, ...]) -> Iterator[Any]:
    """The value, or what lies under `keys` in it; of a languageMap any language's words."""
    found = attribute.value
    if attribute.kind == "LanguageProperty":
        chosen = list(found.values()) if keys in ((), ("*",)) else [found.get(*keys[:1], _NOTHING)]
        if chosen != [_NOTHING] and len(keys) < 2:
            words = (w if isinstance(w, list) else [w] for w in chosen)
            yield _Words(word for same in words for word in same)
        return
    if attribute.kind == "VocabProperty" and not keys:
        yield list(map(_Word, found)) if isinstance(found, list) else _Word(found)
        return
    if attribute.kind in _LINKS and not keys:
        yield list(map(_Object, found)) if isinstance(found, list) else _Object(found)
        return
    for key in keys:
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
    return attribute


def _meta(attribute: Attribute, name: str) -> Any:
    moments = {
        "observedAt": attribute.observed_at_us,
        "createdAt": attribute.created_at_us,
        "modifiedAt": attribute.modified_at_us,
        "expiresAt": attribute.expires_at_us,
    }
    if moments.get(name) is not None:
        return format_us(moments[name])  # type: ignore[arg-type]
    if name == "unitCode" and attribute.unit_code is not None:
        return attribute.unit_code
    if name == "datasetId" and attribute.dataset_id is not None:
        return attribute.dataset_id
    return _NOTHING


def meets(target: Any, condition: Compare) -> bool:
    """Whether one value that a path leads to meets a comparison."""
    if isinstance(target, _Words):  # any of them; but unlike is what none of them is like
        every = condition.op in ("!=", "!~=")
        return (all if every else any)(meets(word, condition) for word in target)
    if isinstance(target, list):  # only of likeness it is said what an array is (4.9)
        if condition.op not in ("==", "!="):
            return False
        like = any(_equal(part, value) for part in target for value in condition.values)
        return like if condition.op == "==" else not like
    if condition.op == "!=":
        return all(not _equal(target, value) for value in condition.values)
    if condition.op == "!~=":  # what is no text is neither in a pattern nor out of it (4.9)
        return isinstance(target, str) and not any(_like(target, v) for v in condition.values)
    test = _TESTS[condition.op]
    return any(test(target, value) for value in condition.values)


def number_test(condition: Compare) -> Callable[[Any], bool]:
    """`meets` for many values, most of which are numbers: for those the comparison is made once."""
    (value,) = condition.values if len(condition.values) == 1 else (None,)
    test = _OF_NUMBERS.get(condition.op)
    if test is None or type(value) not in (int, float):
        return lambda target: meets(target, condition)

    def holds(target: Any) -> bool:
        if type(target) is float or type(target) is int:
            return bool(test(target, value))
        return meets(target, condition)

    return holds


_OF_NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _equal(target: Any, value: Any) -> bool:
    if isinstance(value, Range):
        if isinstance(target, _Object):
            return False
        return _ordered(target, value.low, lambda a, b: a >= b) and _ordered(
            target, value.high, lambda a, b: a <= b
        )
    return _ordered(target, value, lambda a, b: a == b)


def _ordered(target: Any, value: Any, test: Callable[[Any, Any], bool]) -> bool:
    if isinstance(target, _Word):
        return isinstance(value, Iri) and test(target.name, value.name)
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
    return isinstance(target, str) and occurs(str(value), target)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    ">": lambda t, v: _ordered(t, v, lambda a, b: a > b),
    ">=": lambda t, v: _ordered(t, v, lambda a, b: a >= b),
    "<": lambda t, v: _ordered(t, v, lambda a, b: a < b),
    "<=": lambda t, v: _ordered(t, v, lambda a, b: a <= b),
    "~=": _like,
}
