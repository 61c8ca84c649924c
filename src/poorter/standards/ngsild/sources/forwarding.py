# SPDX-License-Identifier: EUPL-1.2
"""A part of a write on its way to a source (CIM 009, 4.3.6.6): in the words and media type that
were used here, unless the registration says in which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.entity import VALUE_KEY
from poorter.city.errors import CityError
from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import RESERVED
from poorter.standards.ngsild.sources.asking import Fault, Way
from poorter.standards.ngsild.sources.model import Registration

_KEPT = frozenset(VALUE_KEY.values()) - {"vocab"}
_META = frozenset(
    ("id", "type", "scope", "observedAt", "unitCode", "datasetId", "valueType", "lang", "expiresAt")
) | frozenset(("createdAt", "modifiedAt", "deletedAt", "instanceId"))


@dataclass(frozen=True, slots=True)
class Said:
    """A document with the @context that its terms are in."""

    doc: Any
    context: Context


def part_of(said: Said, names: frozenset[str] | None) -> Said:
    """Only these attributes of an entity, with what says which entity it is."""
    if names is None or not isinstance(said.doc, dict):
        return said
    kept = {
        term: value
        for term, value in said.doc.items()
        if term in RESERVED or said.context.expand(term) in names
    }
    return Said(kept, said.context)


async def forward(
    way: Way,
    registration: Registration,
    method: str,
    path: str,
    params: Mapping[str, str],
    said: Said | list[Said] | None,
) -> Reply | Fault:
    """Send it on. A list goes as a batch, in JSON-LD where its parts differ in @context."""
    given = {name: value for name, value in params.items() if name != "local"}
    if registration.local_only:
        given["local"] = "true"
    try:
        spoken, body, media = await _written(way, registration, said)
    except CityError as wrong:
        return Fault(199, wrong.detail[:100], 502)
    return await way.ask(registration, method, path, given, spoken, body, media)


async def _written(
    way: Way, registration: Registration, said: Said | list[Said] | None
) -> tuple[Context, Any, str]:
    """(the @context for the Link header, the body, its media type)."""
    spoken = await way.spoken(registration)
    if said is None:
        return spoken, None, "application/json"
    listed = said if isinstance(said, list) else [said]
    asked = registration.speaking.get("contentType")
    own = "jsonldContext" in registration.speaking
    common = listed[0].context if all(one.context is listed[0].context for one in listed) else None
    if not own and common is not None and common.url:
        spoken = common
    if asked == "application/ld+json" or not (own or asked or common is spoken):
        media = "application/ld+json"
        bodies = [
            {"@context": one.context.source, **one.doc} if isinstance(one.doc, dict) else one.doc
            for one in listed
        ]
    else:
        media = "application/json"
        bodies = [translated(one.doc, one.context, spoken) for one in listed]
    return spoken, bodies if isinstance(said, list) else bodies[0], media


def translated(doc: Any, known: Context, spoken: Context) -> Any:
    """The same document in the terms of another @context, without any inside."""
    if not isinstance(doc, dict):
        return doc
    if known is spoken:
        return {term: value for term, value in doc.items() if term != "@context"}
    changed: dict[str, Any] = {}
    for term, value in doc.items():
        if term == "@context":
            continue
        if term in ("type", "objectType", "vocab"):
            changed[term] = _words(value, known, spoken, entity="id" in doc or term != "type")
        elif term in _META or term in _KEPT:
            changed[term] = value
        else:
            name = spoken.compact(known.expand(term))
            changed[name] = (
                [translated(one, known, spoken) for one in value]
                if isinstance(value, list)
                else translated(value, known, spoken)
            )
    return changed


def _words(value: Any, known: Context, spoken: Context, entity: bool) -> Any:
    """Types of entities and vocabulary are terms; types of attributes are the standard's own."""
    if isinstance(value, list):
        return [_words(one, known, spoken, entity) for one in value]
    if not isinstance(value, str) or (not entity and value in VALUE_KEY):
        return value
    return spoken.compact(known.expand(value))
