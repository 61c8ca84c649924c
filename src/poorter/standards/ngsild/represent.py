# SPDX-License-Identifier: EUPL-1.2
"""Entities in every form that the standard knows (CIM 009, 4.5): pure, as plain data.

The common case, normalised under the core @context, never comes here: `encode` joins stored bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from poorter.city.entity import VALUE_KEY
from poorter.city.time import format_us
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.language import choose
from poorter.standards.ngsild.projection import Projection
from poorter.store.contract import StoredAttribute, StoredEntity

_decode = msgspec.json.Decoder().decode
_META = frozenset(("type", "observedAt", "unitCode", "datasetId", "valueType", "lang", "expiresAt"))
#: what a relationship leads to; None when it is not there for the caller
Follow = Callable[[str], StoredEntity | None]


def represent(
    entity: StoredEntity,
    form: Form,
    pick: Projection | None = None,
    omit: Projection | None = None,
    follow: Follow | None = None,
    level: int = 0,
) -> dict[str, Any]:
    """One entity as JSON data. `follow`: put linked entities in the place of relationships,
    `level` links from where it began. What pick and omit leave may be nothing at all."""
    shown = _Shown(pick, omit)
    members = _head(entity, form, shown)
    only = form.only if level == 0 else None  # attrs is about the linking entity
    for name, instances in _by_name(entity, only, shown).items():
        below = (pick.under(name) if pick else None, omit.under(name) if omit else None)
        docs = [
            _instance(one, form, follow, level, below)
            for one in instances
            if form.datasets is None or one.dataset_id in form.datasets
        ]
        if docs:
            members[form.context.compact(name)] = _together(docs, instances, form)
    return members


class _Shown:
    """Whether a member is to be seen."""

    def __init__(self, pick: Projection | None, omit: Projection | None) -> None:
        self._pick = pick
        self._omit = omit

    def __call__(self, name: str) -> bool:
        if self._pick is not None and name not in self._pick:
            return False
        # a link that only leaves out something behind it stays itself
        return self._omit is None or name not in self._omit or self._omit.under(name) is not None


def _head(entity: StoredEntity, form: Form, shown: _Shown) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if shown("id"):
        members["id"] = entity.urn
    if shown("type"):
        types = [form.context.compact(name) for name in entity.types]
        members["type"] = types[0] if len(types) == 1 else types
    if entity.scopes and shown("scope"):
        members["scope"] = entity.scopes[0] if len(entity.scopes) == 1 else list(entity.scopes)
    if form.times:
        members["createdAt"] = format_us(entity.created_at_us)
        members["modifiedAt"] = format_us(entity.modified_at_us)
        if entity.expires_at_us is not None:
            members["expiresAt"] = format_us(entity.expires_at_us)
    return members


def _by_name(
    entity: StoredEntity, only: frozenset[str] | None, shown: _Shown
) -> dict[str, list[StoredAttribute]]:
    found: dict[str, list[StoredAttribute]] = {}
    for attribute in entity.attributes:
        if (only is None or attribute.name in only) and shown(attribute.name):
            found.setdefault(attribute.name, []).append(attribute)
    return found


def _together(docs: list[Any], instances: list[StoredAttribute], form: Form) -> Any:
    datasets = [
        one.dataset_id
        for one in instances
        if form.datasets is None or one.dataset_id in form.datasets
    ]
    if form.simplified and (len(docs) > 1 or datasets[0] is not None):
        return {"dataset": {d or "@none": doc for d, doc in zip(datasets, docs, strict=True)}}
    return docs[0] if len(docs) == 1 else docs


def _instance(
    attribute: StoredAttribute,
    form: Form,
    follow: Follow | None,
    level: int,
    below: tuple[Projection | None, Projection | None],
) -> Any:
    doc = normalised(_decode(attribute.body), form.context)
    if follow is not None and level < form.join_level:
        linked = _linked(doc, form, follow, level + 1, below)
        if linked is not None and form.simplified:
            return linked
        if linked is not None:
            doc["entityList" if doc["type"] == "ListRelationship" else "entity"] = linked
    if form.languages is not None:
        doc = in_language(doc, form.languages)
    if form.simplified:
        return simple(doc)
    if form.times:
        doc["createdAt"] = format_us(attribute.created_at_us)
        doc["modifiedAt"] = format_us(attribute.modified_at_us)
    elif attribute.expires_at_us is not None:
        doc = without_expiry(doc)
    return concise(doc) if form.concise else doc


def _linked(
    doc: dict[str, Any],
    form: Form,
    follow: Follow,
    level: int,
    below: tuple[Projection | None, Projection | None],
) -> Any:
    """The entities behind a relationship as data: one, a list, or None."""
    if doc["type"] not in ("Relationship", "ListRelationship"):
        return None
    value = objects_in(doc[VALUE_KEY[doc["type"]]])
    found = [
        represent(entity, form, *below, follow, level)
        for urn in (value if isinstance(value, list) else [value])
        if (entity := follow(urn)) is not None
    ]
    if not found:
        return None
    return found if isinstance(value, list) else found[0]


def normalised(doc: dict[str, Any], context: Context) -> dict[str, Any]:
    """A stored instance in the words of a context."""
    value_key = VALUE_KEY[doc["type"]]
    renamed: dict[str, Any] = {}
    for key, value in doc.items():
        if key == value_key:
            renamed[key] = _valued(key, value, context)
        elif key == "entityIdSealed":
            renamed[key] = value
        elif key in ("objectType", "entityTypeSealed"):
            renamed[key] = _words(value, context)
        elif key in _META:
            renamed[key] = value
        else:
            renamed[context.compact(key)] = normalised(value, context)
    return renamed


def without_expiry(doc: dict[str, Any]) -> dict[str, Any]:
    """An instance as data without expiresAt, a system attribute, in it or in any part of it."""
    key = VALUE_KEY[doc["type"]]
    return {
        name: without_expiry(part)
        if name != key and isinstance(part, dict) and part.get("type") in VALUE_KEY
        else part
        for name, part in doc.items()
        if name != "expiresAt" or name == key
    }


def _valued(key: str, value: Any, context: Context) -> Any:
    if key == "vocab":
        return _words(value, context)
    return [{"object": urn} for urn in value] if key == "objectList" else value


def objects_in(value: Any) -> Any:
    """What a relationship of any kind leads to: ids, or one."""
    if isinstance(value, list):
        return [one["object"] if isinstance(one, dict) else one for one in value]
    return value


def _words(value: Any, context: Context) -> Any:
    if isinstance(value, list):
        return [context.compact(word) for word in value]
    return context.compact(value)


def in_language(doc: dict[str, Any], languages: tuple[str, ...]) -> dict[str, Any]:
    """A LanguageProperty as a Property in the best of `languages` (4.15); others as they are."""
    if doc["type"] != "LanguageProperty" or not doc["languageMap"]:
        return doc
    words, tag = choose(doc["languageMap"], languages)
    rest = {key: value for key, value in doc.items() if key not in ("type", "languageMap")}
    return {"type": "Property", "value": words, "lang": tag, **rest}


def simple(doc: dict[str, Any]) -> Any:
    """Values only (4.5.4)."""
    kind = doc["type"]
    value = doc[VALUE_KEY[kind]]
    if kind in ("LanguageProperty", "JsonProperty", "VocabProperty"):
        return {VALUE_KEY[kind]: value}
    return objects_in(value) if kind == "ListRelationship" else value


def concise(doc: dict[str, Any]) -> Any:
    """4.5.2.3: no type, and a Property that has nothing but a value is that value."""
    kind = doc.pop("type")
    key = VALUE_KEY[kind]
    for name, value in doc.items():
        inner = name != key and name not in _META and name not in ("entity", "entityList")
        if inner and isinstance(value, dict) and value.get("type") in VALUE_KEY:
            doc[name] = concise(value)
    if len(doc) == 1 and kind in ("Property", "GeoProperty"):
        value = doc[key]
        if not (kind == "Property" and isinstance(value, dict)):
            return value
    return doc
