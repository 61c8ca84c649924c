# SPDX-License-Identifier: EUPL-1.2
"""Answers in the form of an earlier version of the standard, for whoever prefers one (CIM 009,
4.3.6.8; 6.3.6): what that version did not have yet is written as it had it, or left out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec

from poorter.city.entity import VALUE_KEY
from poorter.standards.http.asgi import Answer, Request

NEWEST = (1, 9)
#: RFC 7240: a list of preferences; a value is a token or quoted; parameters may follow
_PREFERRED = re.compile(r'(?:^|,)\s*ngsi-ld\s*=\s*"?(\d{1,3})\.(\d{1,3})"?\s*(?=[;,]|$)', re.I)
#: kinds that a version brought, and what they are before it
_KINDS = {
    "LanguageProperty": ((1, 4), "Property"),
    "JsonProperty": ((1, 8), "Property"),
    "VocabProperty": ((1, 8), "Property"),
    "ListProperty": ((1, 8), "Property"),
    "ListRelationship": ((1, 8), "Relationship"),
}
_MEMBERS = {
    "datasetId": (1, 3),
    "observedAt": (1, 3),
    "unitCode": (1, 3),
    "objectType": (1, 8),
    "valueType": (1, 9),
    "expiresAt": (1, 9),
}
_ENTITY = {"scope": (1, 4), "expiresAt": (1, 9)}
_SEVERAL = (1, 3)  # types of an entity, instances of an attribute
_APPLIED = b"preference-applied"
_JSON = (b"application/json", b"application/ld+json")
Version = tuple[int, int]


def preferred(request: Request) -> Version | None:
    """The version that a request prefers, as far as there is one; None when it says nothing."""
    header = request.header(b"prefer")
    found = None if header is None else _PREFERRED.search(header)
    return None if found is None else min((int(found[1]), int(found[2])), NEWEST)


def conforming(answer: Answer, version: Version, entities: bool) -> Answer:
    """The answer in the form of a version, which it names; 203 where that changed anything.
    `entities`: what it holds are entities, and nothing else has earlier forms."""
    if answer.status >= 300:
        return answer
    named = (_APPLIED, f"ngsi-ld={version[0]}.{version[1]}".encode())
    answer = replace(answer, headers=(*answer.headers, named))
    media = answer.headers[0][1] if answer.headers else b""
    if not entities or not answer.body or media not in _JSON or version >= NEWEST:
        return answer
    docs = msgspec.json.decode(answer.body)
    shown = [_entity(doc, version) for doc in docs] if isinstance(docs, list) else None
    found = _entity(docs, version) if shown is None else shown
    if found == docs:
        return answer
    return replace(answer, status=203, body=msgspec.json.encode(found))


def _entity(doc: dict[str, Any], version: Version) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in doc.items():
        if version < _ENTITY.get(name, (0, 0)):
            continue
        if name in ("id", "@context", "scope", "createdAt", "modifiedAt", "expiresAt"):
            found[name] = value
        elif name == "type":
            several = isinstance(value, list) and version < _SEVERAL
            found[name] = value[0] if several else value
        else:
            found[name] = _attribute(value, version)
    return found


def _attribute(value: Any, version: Version) -> Any:
    if isinstance(value, list) and value and all(map(_is_instance, value)):
        if version < _SEVERAL:
            return _instance(min(value, key=lambda one: "datasetId" in one), version)
        return [_instance(one, version) for one in value]
    return _instance(value, version) if _is_instance(value) else value


def _is_instance(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") in VALUE_KEY


def _instance(doc: dict[str, Any], version: Version) -> dict[str, Any]:
    kind = doc["type"]
    since, before = _KINDS.get(kind, ((0, 0), kind))
    if version >= since:
        before = kind
    found: dict[str, Any] = {}
    for name, value in doc.items():
        if name == "type":
            found[name] = before
        elif name == VALUE_KEY[kind]:
            found[VALUE_KEY[before]] = value
        elif version >= _MEMBERS.get(name, (0, 0)):
            found[name] = _instance(value, version) if _is_instance(value) else value
    return found
