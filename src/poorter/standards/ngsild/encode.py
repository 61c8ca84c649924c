# SPDX-License-Identifier: EUPL-1.2
"""Entities to JSON: the common form by joining stored bytes, all others through `represent`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from poorter.city.time import format_us
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.linked import Links
from poorter.standards.ngsild.represent import normalised, represent, without_expiry
from poorter.store.contract import StoredAttribute, StoredEntity

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


#: a list of links is shown in another form than it is kept in (4.5.22.2)
_LINKS = b'{"type":"ListRelationship"'


@lru_cache(maxsize=8192)
def _member(name: str) -> bytes:
    """The beginning of a member: a name as the core @context says it."""
    return b"," + _encode(CORE.compact(name)) + b":"


@lru_cache(maxsize=1024)
def _type(types: tuple[str, ...]) -> bytes:
    return b',"type":' + _encode(types[0] if len(types) == 1 else types)


def encode_entity(entity: StoredEntity, form: Form, links: Links | None = None) -> bytes:
    """One entity as JSON; with join=flat a list of it and those it is linked to."""
    if form.stored:
        return _joined(entity, form)
    if form.join == "flat":
        return encode_entities((entity,), form, links)
    return _encode(_with_context(_document(entity, form, links), form))


def encode_entities(
    entities: tuple[StoredEntity, ...], form: Form, links: Links | None = None
) -> bytes:
    """A list of entities as JSON, or a GeoJSON FeatureCollection."""
    if form.stored:
        return b"[" + b",".join([_joined(entity, form) for entity in entities]) + b"]"
    docs = [_document(entity, form, links) for entity in entities]
    if links is not None and form.join == "flat":
        docs += links.flat(entities, form)
    docs = [doc for doc in docs if doc]
    if form.geometry is not None:
        return _encode(_with_context({"type": "FeatureCollection", "features": docs}, form))
    return _encode([_with_context(doc, form) for doc in docs])


def _document(entity: StoredEntity, form: Form, links: Links | None) -> dict[str, Any]:
    follow = links.follow if links is not None and form.join == "inline" else None
    doc = represent(entity, form, form.pick, form.omit, follow)
    if form.geometry is None:
        return doc
    return feature({**doc, "id": entity.urn}, _geometry(entity, form.geometry))


def _geometry(entity: StoredEntity, name: str) -> Any:
    """That of the default instance, or of any; None where there is none."""
    found = [a for a in entity.attributes if a.name == name]
    found.sort(key=lambda attribute: attribute.dataset_id is not None)
    body = _decode(found[0].body) if found else {}
    return body.get("value") if body.get("type") == "GeoProperty" else None


def feature(doc: dict[str, Any], geometry: Any) -> dict[str, Any]:
    """An entity as a GeoJSON Feature (4.5.16)."""
    properties = {name: value for name, value in doc.items() if name != "id"}
    return {"id": doc["id"], "type": "Feature", "geometry": geometry, "properties": properties}


def _with_context(doc: dict[str, Any], form: Form) -> dict[str, Any]:
    if form.embed is not None and doc:
        doc["@context"] = msgspec.Raw(form.embed)
    return doc


_PLAIN_FORM = Form()


def encode_plain(entity: StoredEntity) -> bytes:
    """The normalised form under the core context, which most requests want."""
    return _joined(entity, _PLAIN_FORM)


# -- stored bytes --------------------------------------------------------------------------------


def _joined(entity: StoredEntity, form: Form) -> bytes:
    scopes = entity.scopes
    parts = [b'{"id":', _encode(entity.urn), _type(entity.types)]
    if scopes:
        parts.append(b',"scope":' + _encode(scopes[0] if len(scopes) == 1 else scopes))
    if form.times:
        parts.append(b',"createdAt":"' + format_us(entity.created_at_us).encode() + b'"')
        parts.append(b',"modifiedAt":"' + format_us(entity.modified_at_us).encode() + b'"')
        if entity.expires_at_us is not None:
            parts.append(b',"expiresAt":"' + format_us(entity.expires_at_us).encode() + b'"')
    parts += _attributes(entity.attributes, form)
    if form.embed is not None:
        parts.append(b',"@context":' + form.embed)
    parts.append(b"}")
    return b"".join(parts)


def _attributes(attributes: tuple[StoredAttribute, ...], form: Form) -> list[bytes]:
    if form.only is not None:
        attributes = tuple(a for a in attributes if a.name in form.only)
    parts: list[bytes] = []
    if len({attribute.name for attribute in attributes}) == len(attributes):
        for attribute in attributes:
            parts += (_member(attribute.name), _one(attribute, form))
        return parts
    by_name: dict[str, list[StoredAttribute]] = {}
    for attribute in attributes:
        by_name.setdefault(attribute.name, []).append(attribute)
    for name, same in by_name.items():
        one = b",".join([_one(attribute, form) for attribute in same])
        parts += (_member(name), one if len(same) == 1 else b"[" + one + b"]")
    return parts


def _one(attribute: StoredAttribute, form: Form) -> bytes:
    if not form.times:
        if attribute.expires_at_us is None and not attribute.body.startswith(_LINKS):
            return attribute.body
        return _encode(without_expiry(normalised(_decode(attribute.body), form.context)))
    body = attribute.body
    if body.startswith(_LINKS):
        body = _encode(normalised(_decode(body), form.context))
    created, modified = map(format_us, (attribute.created_at_us, attribute.modified_at_us))
    return body[:-1] + f',"createdAt":"{created}","modifiedAt":"{modified}"}}'.encode()
