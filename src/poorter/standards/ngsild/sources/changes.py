# SPDX-License-Identifier: EUPL-1.2
"""What a notification of a source says of before (CIM 009, 5.2.5 to 5.2.7, 5.8.6): values that
changed, attributes that are gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.entity import VALUE_KEY, Attribute, Kind
from poorter.city.errors import CityError
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import KIND_OF, NULL, RESERVED, is_null, parse_attribute
from poorter.standards.ngsild.subscriptions.message import previous

Key = tuple[str, str | None]
TIMES = frozenset(("createdAt", "modifiedAt", "deletedAt"))
_PREVIOUS = {previous(key): key for key in VALUE_KEY.values()}


@dataclass(frozen=True, slots=True)
class Changes:
    """An entity as it is (`doc`), the kinds of attributes that it lost, by name, and what changed
    ones were, by name and datasetId."""

    doc: dict[str, Any]
    lost: dict[str, Kind]
    was: dict[Key, Attribute]


def changes_in(doc: Mapping[str, Any], context: Context) -> Changes:
    """What is said of before, taken apart from what is."""
    found = Changes({}, {}, {})
    for term, value in doc.items():
        if term in RESERVED or term in TIMES:
            found.doc[term] = value
            continue
        name = context.expand(term)
        several = isinstance(value, list) and bool(value) and all(map(_is_object, value))
        left = []
        for one in value if several else [value]:
            now = _now(name, one, context, found.was) if isinstance(one, dict) else one
            if now == NULL or is_null(now):
                found.lost[name] = _kind_of(now)
            else:
                left.append(now)
        if left:
            found.lost.pop(name, None)  # some instances of it are still there
            found.doc[term] = left if several else left[0]
    return found


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _now(
    name: str, instance: dict[str, Any], context: Context, was: dict[Key, Attribute]
) -> dict[str, Any]:
    """An instance without what it was, which is noted; what can't be read is not told."""
    for member in _PREVIOUS.keys() & instance.keys():
        key = _PREVIOUS[member]
        kind = instance.get("type")
        if not isinstance(kind, str) or VALUE_KEY.get(kind) != key:
            kind = KIND_OF[key]
        dataset = instance.get("datasetId")
        try:
            old = parse_attribute(name, {"type": kind, key: instance[member]}, context)
        except CityError:
            continue
        was[name, None if dataset == "@none" else dataset] = old
    return {member: value for member, value in instance.items() if member not in _PREVIOUS}


def _kind_of(value: Any) -> Kind:
    if not isinstance(value, dict):
        return "Property"
    stated = value.get("type")
    if isinstance(stated, str) and stated in VALUE_KEY:
        return stated  # type: ignore[return-value]
    return next((kind for key, kind in KIND_OF.items() if key in value), "Property")
