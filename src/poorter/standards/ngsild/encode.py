# SPDX-License-Identifier: EUPL-1.2
"""Entities to JSON: normalised by joining stored bytes, simplified by taking the values out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from poorter.city.entity import VALUE_KEY
from poorter.city.time import format_us
from poorter.standards.ngsild.context import CORE, Context
from poorter.store.contract import StoredAttribute, StoredEntity

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_META = frozenset(("type", "observedAt", "unitCode", "datasetId"))


@dataclass(frozen=True, slots=True)
class Form:
    """How entities are written: `simplified` keeps values only, `times` adds system times."""

    simplified: bool = False
    concise: bool = False
    times: bool = False
    context: Context = CORE
    only: frozenset[str] | None = None  # attrs: these attributes, None for all
    embed: bytes | None = None  # "@context" to write into each entity (ld+json)


@lru_cache(maxsize=8192)
def _key(name: str) -> bytes:
    return _encode(name) + b":"


def encode_entity(entity: StoredEntity, form: Form) -> bytes:
    """One entity as JSON."""
    compact = form.context.compact
    types = [compact(name) for name in entity.types]
    parts = [
        b'{"id":' + _encode(entity.urn),
        b'"type":' + _encode(types[0] if len(types) == 1 else types),
    ]
    if entity.scopes:
        scopes = entity.scopes
        parts.append(b'"scope":' + _encode(scopes[0] if len(scopes) == 1 else scopes))
    if form.times and not form.simplified:
        parts.append(b'"createdAt":"' + format_us(entity.created_at_us).encode() + b'"')
        parts.append(b'"modifiedAt":"' + format_us(entity.modified_at_us).encode() + b'"')
    parts += _attributes(entity.attributes, form)
    if form.embed is not None:
        parts.append(b'"@context":' + form.embed)
    return b",".join(parts) + b"}"


_plain: dict[int, tuple[StoredEntity, bytes]] = {}
_PLAIN_MAX = 20_000
_PLAIN_FORM = Form()


def encode_plain(entity: StoredEntity) -> bytes:
    """The normalised form under the core context. A store hands out the very same object while
    nothing has changed; then the bytes are the same too."""
    known = _plain.get(id(entity))
    if known is not None and known[0] is entity:
        return known[1]
    body = encode_entity(entity, _PLAIN_FORM)
    if len(_plain) >= _PLAIN_MAX:
        _plain.clear()
    _plain[id(entity)] = (entity, body)
    return body


def encode_entities(entities: tuple[StoredEntity, ...], form: Form) -> bytes:
    """A list of entities as JSON."""
    return b"[" + b",".join([encode_entity(entity, form) for entity in entities]) + b"]"


def _attributes(attributes: tuple[StoredAttribute, ...], form: Form) -> list[bytes]:
    if form.only is not None:
        attributes = tuple(a for a in attributes if a.name in form.only)
    names = [attribute.name for attribute in attributes]
    compact = form.context.compact
    if len(set(names)) == len(names) and all(a.dataset_id is None for a in attributes):
        return [_key(compact(a.name)) + _one(a, form) for a in attributes]
    by_name: dict[str, list[StoredAttribute]] = {}
    for attribute in attributes:
        by_name.setdefault(attribute.name, []).append(attribute)
    return [_key(compact(name)) + _several(same, form) for name, same in by_name.items()]


def _several(same: list[StoredAttribute], form: Form) -> bytes:
    if form.simplified and (len(same) > 1 or same[0].dataset_id is not None):
        pairs = [_key(a.dataset_id or "@none") + _one(a, form) for a in same]
        return b'{"dataset":{' + b",".join(pairs) + b"}}"
    if len(same) == 1:
        return _one(same[0], form)
    return b"[" + b",".join([_one(a, form) for a in same]) + b"]"


def _one(attribute: StoredAttribute, form: Form) -> bytes:
    """One instance. Bytes are handed on as stored wherever the form allows it."""
    if not (form.simplified or form.concise) and form.context is CORE:
        body = attribute.body
        if not form.times:
            return body
        created, modified = map(format_us, (attribute.created_at_us, attribute.modified_at_us))
        return body[:-1] + f',"createdAt":"{created}","modifiedAt":"{modified}"}}'.encode()
    doc = _decode(attribute.body)
    if form.simplified:
        return _encode(_simple(doc, form.context))
    doc = _renamed(doc, form.context)
    if form.times:
        doc["createdAt"] = format_us(attribute.created_at_us)
        doc["modifiedAt"] = format_us(attribute.modified_at_us)
    if form.concise:
        doc = _concise(doc)
    return _encode(doc)


def _simple(doc: dict[str, Any], context: Context) -> Any:
    kind = doc["type"]
    value = doc[VALUE_KEY[kind]]
    if kind == "LanguageProperty":
        return {"languageMap": value}
    if kind == "JsonProperty":
        return {"json": value}
    if kind == "VocabProperty":
        return {"vocab": _words(value, context)}
    return value


def _words(value: Any, context: Context) -> Any:
    return (
        [context.compact(w) for w in value] if isinstance(value, list) else context.compact(value)
    )


def _renamed(doc: dict[str, Any], context: Context) -> dict[str, Any]:
    value_key = VALUE_KEY[doc["type"]]
    renamed: dict[str, Any] = {}
    for key, value in doc.items():
        if key == value_key:
            vocab = key == "vocab"
            renamed[key] = _words(value, context) if vocab else value
        elif key in _META:
            renamed[key] = value
        else:
            renamed[context.compact(key)] = _renamed(value, context)
    return renamed


def _concise(doc: dict[str, Any]) -> Any:
    """4.5.2.3: no type, and a Property that has nothing but a value is that value."""
    kind = doc.pop("type")
    key = VALUE_KEY[kind]
    for name, value in doc.items():
        if name != key and name not in _META and isinstance(value, dict):
            doc[name] = _concise(value)
    if len(doc) == 1 and kind in ("Property", "GeoProperty"):
        value = doc[key]
        if not (kind == "Property" and isinstance(value, dict)):
            return value
    return doc
