# SPDX-License-Identifier: EUPL-1.2
"""q and temporal queries as the words of CIM 009 (4.9, 4.11) have them, on plain JSON, slowly. It
shares nothing with what it judges: no parser, no index, no class of the city's own.

A condition is made as data and spelt out as text, so that reading the text is judged too.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple


class Path(NamedTuple):
    """`name.sub.sub[key.key]`, or `name{Type:path}`."""

    name: str
    sub: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    link: Any = None  # a Path in what `name` leads to
    hint: str = ""

    def text(self) -> str:
        if self.link is not None:
            return f"{self.name}{{{self.hint + ':' if self.hint else ''}{self.link.text()}}}"
        keys = f"[{'.'.join(self.keys)}]" if self.keys else ""
        return ".".join((self.name, *self.sub)) + keys


class Moment(NamedTuple):
    """A DateTime that stands there without quotes."""

    text: str


class Range(NamedTuple):
    """Both ends are in it."""

    low: Any
    high: Any


class Has(NamedTuple):
    """The target is there."""

    path: Path


class Compared(NamedTuple):
    """The target against one of the values."""

    path: Path
    op: str
    values: tuple[Any, ...]


class Every(NamedTuple):
    """All of them."""

    terms: tuple[Any, ...]


class Some(NamedTuple):
    """Any of them."""

    terms: tuple[Any, ...]


# -- as text ---------------------------------------------------------------------------------------


def spelt(condition: Any) -> str:
    """The condition in q's own words; brackets only where they are needed."""
    if isinstance(condition, Has):
        return condition.path.text()
    if isinstance(condition, Compared):
        return condition.path.text() + condition.op + ",".join(map(_value, condition.values))
    sign, inner = (";", Some) if isinstance(condition, Every) else ("|", Every)
    parts = []
    for term in condition.terms:
        text = spelt(term)
        grouped = isinstance(term, type(condition)) or (inner is Some and isinstance(term, Some))
        parts.append(f"({text})" if grouped else text)
    return sign.join(parts)


def _value(value: Any) -> str:
    if isinstance(value, Range):
        return f"{_value(value.low)}..{_value(value.high)}"
    if isinstance(value, Moment):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


# -- judged ----------------------------------------------------------------------------------------


def met(entity: dict[str, Any], condition: Any, world: dict[str, Any]) -> bool:
    """Whether an entity in normalised form meets it; `world`: all entities by id."""
    if isinstance(condition, Every):
        return all(met(entity, term, world) for term in condition.terms)
    if isinstance(condition, Some):
        return any(met(entity, term, world) for term in condition.terms)
    found = list(_elements(entity, condition.path, world))
    if isinstance(condition, Has):
        return bool(found)
    return any(_compared(kind, value, condition) for kind, value in found)


def _elements(
    entity: dict[str, Any], path: Path, world: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """(kind, value) of each target there is."""
    given = entity.get(path.name)
    for instance in given if isinstance(given, list) else [given] if given else []:
        if path.link is not None:
            for urn in _objects(instance):
                other = world.get(urn)
                if other is not None and (not path.hint or path.hint in _types(other)):
                    yield from _elements(other, path.link, world)
            continue
        element: Any = instance
        for name in path.sub:
            element = element.get(name) if isinstance(element, dict) else None
        if isinstance(element, str) and not path.keys:
            yield "plain", element  # observedAt, unitCode
        elif isinstance(element, dict) and "type" in element:
            yield from _target(element, path.keys)


def _types(entity: dict[str, Any]) -> list[str]:
    return entity["type"] if isinstance(entity["type"], list) else [entity["type"]]


def _objects(instance: dict[str, Any]) -> list[str]:
    value = instance.get("object", instance.get("objectList", []))
    return value if isinstance(value, list) else [value]


def _target(element: dict[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    kind = element["type"]
    if kind in ("Relationship", "ListRelationship"):
        if not keys:
            yield "link", _objects(element)
    elif kind == "LanguageProperty":
        by_tag = element["languageMap"]
        chosen = (
            by_tag.values() if keys in ((), ("*",)) else [by_tag[k] for k in keys if k in by_tag]
        )
        words = [w for same in chosen for w in (same if isinstance(same, list) else [same])]
        if chosen:
            yield "words", words
    elif kind == "VocabProperty":
        yield "terms", element["vocab"]
    else:
        value = element[{"JsonProperty": "json", "ListProperty": "valueList"}.get(kind, "value")]
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return
            value = value[key]
        yield "plain", value


def _compared(kind: str, target: Any, condition: Compared) -> bool:
    op, values = condition.op, condition.values
    if kind == "link":
        equal = any(urn in values for urn in target)
        return equal if op == "==" else not equal if op == "!=" else False
    if kind == "terms":  # its IRI, which no text of these is
        return op == "!="
    if kind == "words":
        if op in ("!=", "!~="):
            return all(_scalar(word, op, values) for word in target)
        return any(_scalar(word, op, values) for word in target)
    if isinstance(target, list):
        equal = any(_scalar(part, "==", values) for part in target)
        return equal if op == "==" else not equal if op == "!=" else False
    return _scalar(target, op, values)


def _scalar(target: Any, op: str, values: tuple[Any, ...]) -> bool:
    if op == "==":
        return any(_equal(target, value) for value in values)
    if op == "!=":
        return not any(_equal(target, value) for value in values)
    (value,) = values
    if op in ("~=", "!~="):
        return isinstance(target, str) and bool(re.search(value, target)) == (op == "~=")
    pair = _alike(target, value)
    if pair is None:
        return False
    a, b = pair
    return {">": a > b, ">=": a >= b, "<": a < b, "<=": a <= b}[op]


def _equal(target: Any, value: Any) -> bool:
    if isinstance(value, Range):
        low, high = _alike(target, value.low), _alike(target, value.high)
        return low is not None and high is not None and low[0] >= low[1] and high[0] <= high[1]
    pair = _alike(target, value)
    return pair is not None and pair[0] == pair[1]


def _alike(target: Any, value: Any) -> tuple[Any, Any] | None:
    """The two as what can be compared; None where they are not of one kind."""
    if isinstance(value, Moment):
        try:
            return _moment(target), _moment(value.text)
        except (TypeError, ValueError):
            return None
    kinds = [_kind(target), _kind(value)]
    return (target, value) if kinds[0] == kinds[1] else None


def _moment(text: Any) -> datetime:
    if "T" not in text:
        raise ValueError
    return datetime.fromisoformat(text)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


# -- in time ---------------------------------------------------------------------------------------


class Window(NamedTuple):
    """before excludes its end, after includes its start (4.11)."""

    relation: str
    at: int
    end: int
    last: int | None

    def holds(self, hour: int) -> bool:
        if self.relation == "before":
            return hour < self.at
        return hour >= self.at and (self.relation == "after" or hour < self.end)

    def of(self, instances: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """Those within it, by time; only the newest `last`."""
        found = sorted(one for one in instances if self.holds(one[0]))
        return found if self.last is None else found[-self.last :]


def selected(
    evolutions: dict[str, dict[str, list[tuple[int, Any]]]], window: Window, condition: Any
) -> dict[str, dict[str, list[tuple[int, Any]]]]:
    """Which evolutions a temporal query finds, and what of them: attributes to (hour, value). The
    condition is met by instances within the window (5.7.4.4)."""
    found = {}
    for urn, attributes in evolutions.items():
        shown = {name: window.of(instances) for name, instances in attributes.items()}
        shown = {name: instances for name, instances in shown.items() if instances}
        entity: dict[str, Any] = {
            name: [{"type": "Property", "value": value} for _, value in instances]
            for name, instances in shown.items()
        }
        if shown and (condition is None or met(entity, condition, {})):
            found[urn] = shown
    return found
