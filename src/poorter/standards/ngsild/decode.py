# SPDX-License-Identifier: EUPL-1.2
"""JSON to entities: normalised and concise form (CIM 009, 4.5.1 to 4.5.5), checked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from poorter.city.entity import SEALED_MEMBERS, VALUE_KEY, Attribute, Entity, Kind
from poorter.city.errors import Invalid, TooLarge
from poorter.city.ids import check_name, check_uri
from poorter.city.limits import ENTITY_ATTRIBUTES_MAX, NAME_CHARS_MAX
from poorter.city.place import check_geometry
from poorter.city.scope import SCOPES_MAX, check_scope
from poorter.city.time import parse_us
from poorter.standards.http.asgi import check_depth
from poorter.standards.ngsild.context import Context

#: members of an entity that are no attributes
RESERVED = frozenset(
    ("id", "type", "scope", "@context", "createdAt", "modifiedAt", "deletedAt", "expiresAt")
)
#: members of an attribute that are no sub-attributes; some are the system's
_META = frozenset(VALUE_KEY.values()) | {
    "type",
    "observedAt",
    "unitCode",
    "datasetId",
    "createdAt",
    "modifiedAt",
    "instanceId",
    "deletedAt",
    "valueType",
    "objectType",
    "expiresAt",
}
_VALUE_KEYS = frozenset(VALUE_KEY.values())
_SCALARS = frozenset((int, float, str, bool))
#: what only stands inside an attribute (4.5.1), and what only answers say (4.5.18)
_NO_NAMES = frozenset(("datasetId", "instanceId", "observedAt", "unitCode"))
_ONLY_ANSWERED = frozenset(f"previous{key[0].upper()}{key[1:]}" for key in _VALUE_KEYS)
_PLACES = frozenset(("location", "observationSpace", "operationSpace"))
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?Z\Z")
_SUB_DEPTH_MAX = 5
#: a proof of integrity, and what it was made over
PROOF = "ngsildproof"
#: names of attributes that are no number or text
_NEVER_PLAIN = _PLACES | {PROOF}
#: NGSI-LD Null (4.5.0): JSON-LD itself drops null, so the standard spells it
NULL = "urn:ngsi-ld:null"
#: the kind of attribute that a bare value member makes (4.5.2.3)
KIND_OF: dict[str, Kind] = {
    "object": "Relationship",
    "languageMap": "LanguageProperty",
    "vocab": "VocabProperty",
    "json": "JsonProperty",
    "valueList": "ListProperty",
    "objectList": "ListRelationship",
    "value": "Property",
}


def parse_entity(doc: Any, context: Context) -> Entity:
    """A whole entity. Raises Invalid or TooLarge naming the member that is wrong."""
    if not isinstance(doc, dict):
        raise Invalid("an entity is a JSON object")
    doc = aliased(doc)
    urn = check_uri(doc.get("id"), "id")
    if urn == NULL:
        raise Invalid(f"{NULL} removes in an update, it is no id")
    return Entity(
        urn,
        parse_types(doc.get("type"), context),
        parse_attributes(doc, context),
        parse_scopes(doc.get("scope")),
        expires_at_us=parse_expiry("the entity", doc),
    )


def parse_expiry(name: str, doc: Mapping[str, Any]) -> int | None:
    """When an entity or attribute expires (4.22); None where nothing is said of it."""
    return parse_moment(name, doc["expiresAt"], "expiresAt") if "expiresAt" in doc else None


def aliased(doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """A document with id and type for JSON-LD's own words (4.4)."""
    if "@id" not in doc and "@type" not in doc:
        return doc
    return {_ALIASES.get(name, name): value for name, value in doc.items()}


_ALIASES = {"@id": "id", "@type": "type"}


def parse_types(value: Any, context: Context) -> tuple[str, ...]:
    """One type name, or a list of them."""
    if isinstance(value, str) and value not in RESERVED:
        return (context.expand(check_name(value, "type")),)
    names = value if isinstance(value, list) else [value]
    if not names or len(names) > 20:
        raise Invalid("type: an entity has 1 to 20 types")
    if any(name in ("id", "type", "scope") for name in names):
        raise Invalid("type: id, type and scope are no entity types")
    return tuple(dict.fromkeys(context.expand(check_name(name, "type")) for name in names))


def parse_attributes(doc: Mapping[str, Any], context: Context) -> tuple[Attribute, ...]:
    """All attribute instances of an entity or entity fragment."""
    found: list[Attribute] = []
    for term, value in doc.items():
        if term in RESERVED:
            continue
        name = attribute_name(term, context)
        found += parse_instances(name, value, context)
    if len(found) > ENTITY_ATTRIBUTES_MAX:
        raise TooLarge(f"an entity has at most {ENTITY_ATTRIBUTES_MAX} attribute instances")
    return tuple(found)


def attribute_name(term: str, context: Context) -> str:
    """A term as the name of an attribute. Raises Invalid."""
    if term in _NO_NAMES:
        raise Invalid(f"{term} stands inside an attribute, it is none")
    return context.expand(check_name(term, "attribute name"))


def parse_instances(name: str, value: Any, context: Context) -> list[Attribute]:
    """One instance, or a list of them told apart by datasetId (4.5.5)."""
    if not isinstance(value, list) or not value or not all(map(_is_instance, value)):
        return [_attribute(name, value, context, 0)]
    instances = [_attribute(name, one, context, 0) for one in value]
    if len({one.dataset_id for one in instances}) < len(instances):
        raise Invalid(f"{name}: two instances have the same datasetId")
    return instances


def plain_property(name: str, body: Any) -> Attribute | None:
    """A Property that says a number, a text or a truth, and perhaps when, and no more: most do.
    None for what has to be looked at more closely. Raises Invalid for a moment that is none."""
    if type(body) is not dict or body.get("type") != "Property" or name in _NEVER_PLAIN:
        return None
    value = body.get("value")
    if type(value) not in _SCALARS or value == NULL:
        return None
    if type(value) is float and not math.isfinite(value):
        return None
    if len(body) == 2:
        return Attribute(name, value)
    observed = body.get("observedAt")
    if len(body) != 3 or observed is None:
        return None
    return Attribute(name, value, "Property", parse_moment(name, observed))


def parse_attribute(name: str, value: Any, context: Context) -> Attribute:
    """One instance. Raises Invalid, TooLarge."""
    return _attribute(name, value, context, 0)


def is_null(value: Any) -> bool:
    """Whether an attribute instance holds NGSI-LD Null in the place of its value (4.5.0)."""
    if not isinstance(value, dict):
        return False
    found = [value[key] for key in _VALUE_KEYS if key in value]
    return bool(found) and found[0] in (NULL, [NULL], {"@none": NULL})


def parse_deletion(name: str, value: Mapping[str, Any]) -> Attribute:
    """An instance that records a deletion, in a temporal evolution (4.5.7, 5.5.4): no more of it
    than which attribute it was, and when. Raises Invalid."""
    body = aliased(value)
    kind = _kind(name, body)
    if kind is None or VALUE_KEY[kind] not in body:
        raise Invalid(f"{name}: a deletion names the kind of attribute that it was")
    observed = body.get("observedAt")
    return Attribute(
        name,
        body[VALUE_KEY[kind]],
        kind,
        observed_at_us=None if observed is None else parse_moment(name, observed),
        dataset_id=_dataset(name, body.get("datasetId")),
    )


def _is_instance(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    stated = value.get("type")
    known = isinstance(stated, str) and stated in VALUE_KEY
    return known or any(key in value for key in KIND_OF)


def _attribute(name: str, body: Any, context: Context, depth: int) -> Attribute:
    plain = plain_property(name, body)
    if plain is not None:
        return plain
    if not isinstance(body, dict):
        return Attribute(name, _plain(name, body))  # concise: a bare value
    body = aliased(body)
    kind = _kind(name, body)
    if kind is None:  # concise: a bare geometry or a bare object
        if "coordinates" in body:
            return Attribute(name, _geometry(name, body), "GeoProperty")
        return Attribute(name, _plain(name, body))
    key = VALUE_KEY[kind]
    if key not in body:
        raise Invalid(f"{name}: a {kind} needs {key}")
    if kind == "Property" and name in _PLACES:
        raise Invalid(f"{name} is a GeoProperty")
    value = _value(name, kind, body[key], context)
    if name == PROOF and not isinstance(value, dict):
        raise Invalid(f"{name}: its value is the object of a proof (4.5.2.2)")
    observed = body.get("observedAt")
    if "type" in body and len(body) == 2 + ("observedAt" in body):  # nothing but what most say
        moment_us = None if observed is None else parse_moment(name, observed)
        return Attribute(name, value, kind, moment_us)
    for other in _VALUE_KEYS & body.keys():
        if other != key:
            raise Invalid(f"{name}: a {kind} has no {other}")
    dataset = body.get("datasetId")
    unit = body.get("unitCode")
    if unit is not None and kind not in ("Property", "ListProperty"):
        raise Invalid(f"{name}: a {kind} has no unitCode")
    if not _ONLY_ANSWERED.isdisjoint(body):
        raise Invalid(f"{name}: what it was before is said in answers only")
    if unit is not None and (not isinstance(unit, str) or len(unit) > NAME_CHARS_MAX):
        raise Invalid(f"{name}: unitCode is a short text")
    return Attribute(
        name,
        value,
        kind,
        observed_at_us=None if observed is None else parse_moment(name, observed),
        dataset_id=_dataset(name, dataset),
        unit_code=unit,
        sub=tuple(_subs(name, body, context, depth)),
        value_type=_value_type(name, kind, body.get("valueType")),
        object_types=_object_types(body, context),
        expires_at_us=parse_expiry(name, body),
    )


def _dataset(name: str, value: Any) -> str | None:
    """@none is the default instance (4.5.5)."""
    return None if value in (None, "@none") else check_uri(value, f"{name}: datasetId")


def _value_type(name: str, kind: Kind, value: Any) -> str | None:
    if value is not None and kind == "LanguageProperty" and value != "langString":
        raise Invalid(f"{name}: the valueType of a LanguageProperty is langString")
    if value is not None and (not isinstance(value, str) or len(value) > NAME_CHARS_MAX):
        raise Invalid(f"{name}: valueType is a short text")
    return value


def _object_types(body: Mapping[str, Any], context: Context) -> tuple[str, ...]:
    if "objectType" not in body:
        return ()
    return parse_types(body["objectType"], context)


def _subs(name: str, body: Mapping[str, Any], context: Context, depth: int) -> Iterable[Attribute]:
    if body.keys() <= _META:
        return
    for term, value in body.items():
        if term in SEALED_MEMBERS:
            yield _sealed(name, term, value, context)
        elif term not in _META:
            if depth >= _SUB_DEPTH_MAX:
                raise TooLarge(f"{name}: sub-attributes are nested at most {_SUB_DEPTH_MAX} deep")
            yield _attribute(context.expand(check_name(term)), value, context, depth + 1)


def _sealed(name: str, term: str, value: Any, context: Context) -> Attribute:
    """What a proof was made over: bare texts, in a proof only (4.5.2.2)."""
    if name != PROOF:
        raise Invalid(f"{name}: {term} stands in {PROOF} only")
    if term == "entityIdSealed":
        return Attribute(term, check_uri(value, term))
    if not isinstance(value, str):
        raise Invalid(f"{name}: {term} is a text")
    return Attribute(term, context.expand(check_name(value, term)))


def _kind(name: str, body: Mapping[str, Any]) -> Kind | None:
    stated = body.get("type")
    if isinstance(stated, str) and stated in VALUE_KEY:
        return stated  # type: ignore[return-value]
    for key, kind in KIND_OF.items():
        if key in body:
            if stated is not None:
                raise Invalid(f"{name}: {stated!r:.60} is no attribute type")
            geometry = kind == "Property" and _looks_like_geometry(body[key])
            return "GeoProperty" if geometry else kind
    if isinstance(stated, str) and "coordinates" not in body:
        raise Invalid(f"{name}: {stated!r:.60} is no attribute type")
    return None


def _looks_like_geometry(value: Any) -> bool:
    return isinstance(value, dict) and "coordinates" in value and "type" in value


def _value(name: str, kind: Kind, value: Any, context: Context) -> Any:
    if kind == "GeoProperty":
        return _geometry(name, value)
    if kind in ("Relationship", "ListRelationship"):
        return _objects(name, kind, value)
    if kind == "LanguageProperty":
        if value == {"@none": NULL}:
            raise Invalid(f"{name}: {NULL} removes an attribute in an update, it is no text")
        if not isinstance(value, dict) or not all(map(_is_words, value.values())) or "" in value:
            raise Invalid(f"{name}: languageMap holds texts by language")
        return value
    if kind == "VocabProperty":
        words = value if isinstance(value, list) else [value]
        if not words or not all(isinstance(word, str) for word in words):
            raise Invalid(f"{name}: vocab is a term or a list of them")
        expanded = [context.expand(word) for word in words]
        return expanded if isinstance(value, list) else expanded[0]
    if kind == "ListProperty" and not isinstance(value, list):
        raise Invalid(f"{name}: valueList is a list")
    if kind == "JsonProperty":
        if not isinstance(value, dict | list):
            raise Invalid(f"{name}: json is an object, or a list of them")
        check_depth(value)
        return value
    return _plain(name, value)


def _is_words(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(word, str) for word in value)
    )


def _objects(name: str, kind: Kind, value: Any) -> Any:
    if kind == "ListRelationship":
        if not isinstance(value, list):
            raise Invalid(f"{name}: objectList is a list")
        return [_object(name, o.get("object") if isinstance(o, dict) else o) for o in value]
    if isinstance(value, list):
        return [_object(name, one) for one in value]
    return _object(name, value)


def _object(name: str, value: Any) -> str:
    if value == NULL:
        raise Invalid(f"{name}: {NULL} removes an attribute in an update, it is no object")
    return check_uri(value, f"{name}: object")


def _plain(name: str, value: Any) -> Any:
    if value is None:
        raise Invalid(f"{name}: null is no value; leave the attribute out, or delete it")
    if value == NULL:
        raise Invalid(f"{name}: {NULL} removes an attribute in an update, it is no value")
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"{name}: a number must be finite")
    if isinstance(value, dict | list):
        check_depth(value)
        if holds_null(value):
            raise Invalid(f"{name}: {NULL} removes in an update, it is no value")
    return value


def holds_null(value: Any) -> bool:
    """Whether NGSI-LD Null stands anywhere in a value."""
    if isinstance(value, dict):
        return any(map(holds_null, value.values()))
    return any(map(holds_null, value)) if isinstance(value, list) else bool(value == NULL)


def _geometry(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):  # GeoJSON as text (4.7.1)
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Invalid(f"{name}: this text is no GeoJSON") from None
    try:
        return check_geometry(value)
    except Invalid as wrong:
        raise Invalid(f"{name}: {wrong.detail}") from None


def parse_moment(name: str, value: Any, member: str = "observedAt") -> int:
    """A DateTime (4.6.3). Raises Invalid."""
    if not isinstance(value, str):
        raise Invalid(f"{name}: {member} is an ISO 8601 date-time")
    if not _MOMENT.match(value):
        raise Invalid(f"{name}: {member} is a date-time in UTC, with Z at its end (4.6.3)")
    try:
        return parse_us(value)
    except Invalid as wrong:
        raise Invalid(f"{name}: {member}: {wrong.detail}") from None


def parse_scopes(value: Any) -> tuple[str, ...]:
    """One scope or a list of them (4.18)."""
    if value is None:
        return ()
    if value == NULL:
        raise Invalid(f"{NULL} removes in an update, it is no scope")
    scopes = value if isinstance(value, list) else [value]
    if len(scopes) > SCOPES_MAX:
        raise TooLarge(f"an entity has at most {SCOPES_MAX} scopes")
    return tuple(dict.fromkeys(map(check_scope, scopes)))
