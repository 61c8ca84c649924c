# SPDX-License-Identifier: EUPL-1.2
"""Fragments of entities (CIM 009, 5.4): what an update or a merge gives, adds and takes away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from poorter.city.entity import VALUE_KEY, Attribute, Entity
from poorter.city.errors import Invalid
from poorter.city.ids import check_uri
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import (
    NULL,
    RESERVED,
    aliased,
    attribute_name,
    holds_null,
    parse_attribute,
    parse_expiry,
    parse_scopes,
    parse_types,
    plain_property,
)
from poorter.store import contract as c

_VALUES = dict.fromkeys(VALUE_KEY.values())
_NULLS = (NULL, {"@none": NULL}, [NULL])


@dataclass(slots=True)
class Fragment:
    """`patches`: (name, datasetId, JSON, what it comes to where it is whole) of each instance
    given; `gone`: those to remove."""

    types: tuple[str, ...]
    scopes: tuple[str, ...] | None
    patches: tuple[tuple[str, str | None, Any, Attribute | None], ...]
    gone: tuple[tuple[str, str | None], ...]
    expires_at_us: int | None = None  # as SetAttributes has it

    @property
    def empty(self) -> bool:
        """Nothing is asked for."""
        told = self.types or self.patches or self.gone
        return not told and self.scopes is None and self.expires_at_us is None


def parse_fragment(doc: Any, context: Context) -> Fragment:
    """An entity fragment, NGSI-LD Nulls apart. Raises Invalid naming the member."""
    if not isinstance(doc, dict):
        raise Invalid("an entity fragment is a JSON object")
    doc = aliased(doc)
    if "id" in doc:
        check_uri(doc["id"], "id")
    patches: list[tuple[str, str | None, Any, Attribute | None]] = []
    gone: list[tuple[str, str | None]] = []
    for term, value in doc.items():
        if term in RESERVED:
            continue
        name = attribute_name(term, context)
        plain = plain_property(name, value)
        if plain is not None:
            patches.append((name, None, value, plain))
            continue
        for one in value if isinstance(value, list) and _instances(value) else (value,):
            dataset = one.get("datasetId") if isinstance(one, dict) else None
            dataset = None if dataset == "@none" else dataset
            if dataset is not None:
                check_uri(dataset, f"{name}: datasetId")
            if is_null(one):
                gone.append((name, dataset))
            else:
                patches.append((name, dataset, one, _whole(name, one, context)))
    if len(patches) + len(gone) > 1:
        keys = [(name, dataset) for name, dataset, _, _ in patches] + gone
        if len(set(keys)) < len(keys):
            raise Invalid("two instances of an attribute have the same datasetId")
    return Fragment(
        types=parse_types(doc["type"], context) if "type" in doc else (),
        scopes=_scopes(doc),
        patches=tuple(patches),
        gone=tuple(gone),
        expires_at_us=_expiry(doc) if "expiresAt" in doc else None,
    )


def _expiry(doc: Mapping[str, Any]) -> int | None:
    return c.NEVER_US if is_null(doc["expiresAt"]) else parse_expiry("it", doc)


def _scopes(doc: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "scope" not in doc:
        return None
    return () if doc["scope"] == NULL else parse_scopes(doc["scope"])


def _whole(name: str, doc: Any, context: Context) -> Attribute | None:
    """What is whole can be judged before it is known what it is merged with."""
    if not isinstance(doc, dict):
        return parse_attribute(name, doc, context)
    if "type" not in doc or not _has_value(doc):
        return None
    if _is_flat(doc):
        return parse_attribute(name, doc, context)
    kept = without_nulls(doc)
    emptied = _emptied(kept)
    parsed = parse_attribute(name, emptied, context)
    return parsed if emptied is kept and len(kept) == len(doc) else None


def _is_flat(doc: dict[str, Any]) -> bool:
    """Whether it holds nothing that NGSI-LD Null could be in, nor that itself."""
    for value in doc.values():
        if isinstance(value, dict | list) or value == NULL:
            return False
    return "@context" not in doc


def _instances(value: list[Any]) -> bool:
    return bool(value) and all(
        isinstance(one, dict) and ("type" in one or _has_value(one)) for one in value
    )


def _has_value(value: dict[str, Any]) -> bool:
    return not _VALUES.keys().isdisjoint(value)


def is_null(value: Any) -> bool:
    """Whether this removes what it stands for (4.5.0)."""
    if isinstance(value, dict):
        for key in _VALUES:
            if key in value:
                return value[key] in _NULLS
        return False
    return bool(value == NULL)


def written(fragment: Fragment, context: Context) -> tuple[Attribute, ...]:
    """The instances as they replace those that are there (5.5.8)."""
    return tuple(
        [
            parsed if parsed is not None else parse_attribute(name, doc, context)
            for name, _, doc, parsed in fragment.patches
        ]
    )


def merged_into(fragment: Fragment, present: Entity, context: Context) -> tuple[Attribute, ...]:
    """The instances as they stand after a merge to any depth (5.5.12)."""
    return tuple(
        merged(present.get(name, dataset), name, doc, context)
        for name, dataset, doc, _ in fragment.patches
    )


def removals(fragment: Fragment, present: Entity, urn: str) -> list[c.Op]:
    """What of `gone` is there."""
    return [
        c.DeleteAttribute(urn, name, dataset)
        for name, dataset in fragment.gone
        if present.get(name, dataset) is not None
    ]


def patched(present: Attribute, name: str, doc: Any, context: Context) -> Attribute:
    """An attribute after a partial update: members given replace those it has (5.6.4)."""
    return _after(present, name, doc, context, deep=False)


def merged(present: Attribute | None, name: str, doc: Any, context: Context) -> Attribute:
    """An attribute after a merge (5.5.12)."""
    if present is None:
        return parse_attribute(name, _emptied(without_nulls(doc)), context)
    return _after(present, name, doc, context, deep=True)


def _after(present: Attribute, name: str, doc: Any, context: Context, deep: bool) -> Attribute:
    key = VALUE_KEY[present.kind]
    if not isinstance(doc, dict) or not ("type" in doc or _has_value(doc) or not deep):
        concise = not isinstance(doc, dict) or present.kind in ("Property", "GeoProperty")
        doc = {key: doc} if concise else doc
    if doc.get("type", present.kind) != present.kind:
        if not deep:
            raise Invalid(f"{name} is a {present.kind}")
        return parse_attribute(name, without_nulls(doc), context)
    if key in doc and deep:
        doc = {**doc, key: _merge_value(present.value, doc[key])}
    given = parse_attribute(
        name,
        {"type": present.kind, key: _spelt(present, context), **without_nulls(doc)},
        context,
    )
    members = {context.expand(term): value for term, value in doc.items()}
    subs = [
        merged(sub, sub.name, members[sub.name], context)
        if deep and sub.name in members
        else next((one for one in given.sub if one.name == sub.name), sub)
        for sub in present.sub
        if not is_null(members.get(sub.name))
    ]
    added = [one for one in given.sub if all(one.name != sub.name for sub in present.sub)]
    return replace(
        given,
        observed_at_us=_kept(doc, "observedAt", given.observed_at_us, present.observed_at_us),
        unit_code=_kept(doc, "unitCode", given.unit_code, present.unit_code),
        value_type=_kept(doc, "valueType", given.value_type, present.value_type),
        object_types=_kept(doc, "objectType", given.object_types, present.object_types),
        expires_at_us=_kept(doc, "expiresAt", given.expires_at_us, present.expires_at_us),
        dataset_id=present.dataset_id,
        sub=(*subs, *added),
    )


def _kept(doc: Mapping[str, Any], member: str, given: Any, present: Any) -> Any:
    return given if member in doc else present


def _spelt(present: Attribute, context: Context) -> Any:
    """The present value in the words of this context, to be parsed again."""
    if present.kind != "VocabProperty":
        return present.value
    value = present.value
    return (
        [context.compact(w) for w in value] if isinstance(value, list) else context.compact(value)
    )


def without_nulls(doc: Any) -> Any:
    """A document without the members that NGSI-LD Null takes away."""
    if not isinstance(doc, dict):
        return doc
    return {
        member: value
        for member, value in doc.items()
        if member != "@context" and not (member not in _VALUES and is_null(value))
    }


def _emptied(doc: Any) -> Any:
    """A document without what NGSI-LD Null takes away inside its value."""
    value = doc.get("value") if isinstance(doc, dict) else None
    if isinstance(value, dict) and holds_null(value):
        return {**doc, "value": _merge_value(None, value)}
    return doc


def _merge_value(present: Any, patch: Any) -> Any:
    """RFC 7396 on objects; geometries and all else are replaced as a whole."""
    if not isinstance(patch, Mapping) or "coordinates" in patch:
        return patch
    result = dict(present) if isinstance(present, Mapping) else {}
    for key, value in patch.items():
        if value == NULL or value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_value(result.get(key), value)
    return result
