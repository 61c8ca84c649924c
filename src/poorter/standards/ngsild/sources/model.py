# SPDX-License-Identifier: EUPL-1.2
"""A context source registration (CIM 009, 5.2.8 to 5.2.11, 5.2.34): from JSON, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from poorter.city.entity import Entity
from poorter.city.errors import Invalid, TooLarge
from poorter.city.ids import check_name, check_uri
from poorter.city.pattern import occurs
from poorter.city.place import check_geometry
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import (
    parse_instances,
    parse_moment,
    parse_scopes,
    parse_types,
)
from poorter.standards.ngsild.params import id_pattern
from poorter.standards.ngsild.sources.operations import (
    AUXILIARY,
    DEFAULT_GROUP,
    GROUPS,
    NAMES,
    expanded,
)

Mode = Literal["inclusive", "exclusive", "redirect", "auxiliary"]
MODES = ("inclusive", "exclusive", "redirect", "auxiliary")
TYPE = "ContextSourceRegistration"
#: what a permit must name to register, or to look at what is registered
RULE = "record:registration"
INFORMATION_MAX = 100
#: members that are the system's own: ignored when they are given (5.2.9-2)
READ_ONLY = frozenset(
    ("status", "timesSent", "timesFailed", "lastSuccess", "lastFailure", "createdAt", "modifiedAt")
)
_TEXTS = ("registrationName", "description", "contextSourceAlias", "tenant", "refreshRate")
_PLACES = ("location", "observationSpace", "operationSpace")
_INTERVALS = ("observationInterval", "managementInterval")
_MEMBERS = (
    frozenset(("id", "type", "@context", "information", "endpoint", "mode", "operations"))
    | frozenset(("expiresAt", "datasetId", "scope", "contextSourceInfo", "management"))
    | frozenset((*_TEXTS, *_PLACES, *_INTERVALS, "localOnly"))
)
_DURATION = re.compile(
    r"P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?\Z"
)
#: keys of contextSourceInfo that say how to speak to the source (4.3.6.6); no secrets
SPEAKING = ("accept", "contentType", "jsonldContext", "ngsildConformance")
#: what a connection or the standard itself sets; never taken from contextSourceInfo (4.3.6.5)
_OWN_HEADERS = frozenset(
    ("host", "connection", "content-length", "content-type", "transfer-encoding", "via", "te")
) | frozenset(("ngsild-tenant", "upgrade", "trailer", "keep-alive", "expect", "link", "prefer"))
TIMEOUT_S, TIMEOUT_S_MAX = 5.0, 10.0


@dataclass(frozen=True, slots=True)
class EntityInfo:
    """Entities of a source: all of one of `types` (none: of any), an id or a pattern of ids."""

    types: tuple[str, ...] = ()
    id: str | None = None
    pattern: str | None = None

    def covers(self, urn: str, types: Iterable[str] | None) -> bool:
        """Whether an entity is among these; `types` None: not known, so it may be."""
        if self.types and types is not None and not set(self.types) & set(types):
            return False
        if self.id is not None:
            return urn == self.id
        return self.pattern is None or occurs(self.pattern, urn)


@dataclass(frozen=True, slots=True)
class Information:
    """What a source has (5.2.10): entities (none: any), attributes (none: all there are)."""

    entities: tuple[EntityInfo, ...]
    names: frozenset[str]

    def covers(self, urn: str, types: Iterable[str] | None) -> bool:
        """Whether an entity may be among what the source has."""
        return not self.entities or any(one.covers(urn, types) for one in self.entities)


@dataclass(frozen=True, slots=True)
class Registration:
    """One source. `processor` and `purpose` registered it: it gives and gets what they may."""

    id: str
    doc: Mapping[str, Any]  # as given, without what is the system's
    context: Context
    processor: str
    purpose: str
    endpoint: str
    information: tuple[Information, ...]
    mode: Mode = "inclusive"
    operations: frozenset[str] = frozenset()
    alias: str | None = None
    tenant: str | None = None
    datasets: frozenset[str | None] | None = None
    scopes: tuple[str, ...] = ()
    expires_at_us: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    speaking: Mapping[str, str] = field(default_factory=dict)
    own: Entity = field(default_factory=lambda: Entity("urn:x", ()))  # its own properties, for csf
    temporal: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    local_only: bool = False
    timeout_s: float = TIMEOUT_S
    cooldown_s: float | None = None

    @property
    def proxied(self) -> bool:
        """Whether this city itself holds none of it (4.3.6.3)."""
        return self.mode in ("exclusive", "redirect")

    def runs(self, now_us: int) -> bool:
        """Whether it has not expired."""
        return self.expires_at_us is None or now_us < self.expires_at_us

    def names_of(self, urn: str, types: Iterable[str] | None) -> frozenset[str] | None:
        """The attributes that the source has of an entity; empty: all there are, None: it has
        nothing of it."""
        parts = [one for one in self.information if one.covers(urn, types)]
        if not parts:
            return None
        if any(not one.names for one in parts):
            return frozenset()
        return frozenset(name for one in parts for name in one.names)


def parse_registration(
    doc: Any,
    context: Context,
    reg_id: str,
    processor: str,
    purpose: str,
    now_us: int | None,
) -> Registration:
    """A whole registration; `now_us`: refuse one that is over already. Raises Invalid."""
    if not isinstance(doc, dict):
        raise Invalid("a registration is a JSON object")
    if doc.get("type") != TYPE:
        raise Invalid(f'type must be "{TYPE}"')
    for member in _TEXTS:
        if member in doc and (not isinstance(doc[member], str) or not doc[member]):
            raise Invalid(f"{member} is a text that is not empty")
    if "refreshRate" in doc:
        _duration("refreshRate", doc["refreshRate"])
    mode = doc.get("mode", "inclusive")
    if mode not in MODES:
        raise Invalid(f"mode is one of {', '.join(MODES)}")
    operations = _operations(doc)
    management = _management(doc)
    headers, speaking = _source_info(doc.get("contextSourceInfo", []))
    registration = Registration(
        id=reg_id,
        doc={k: v for k, v in doc.items() if k not in READ_ONLY and k not in ("@context", "id")},
        context=context,
        processor=processor,
        purpose=purpose,
        endpoint=_endpoint(doc.get("endpoint")),
        information=_information(doc.get("information"), context),
        mode=mode,
        operations=expanded(operations),
        alias=doc.get("contextSourceAlias"),
        tenant=doc.get("tenant"),
        datasets=_datasets(doc),
        scopes=parse_scopes(doc.get("scope")),
        expires_at_us=_expiry(doc, now_us),
        headers=headers,
        speaking=speaking,
        own=_own_properties(doc, context),
        temporal={name: _interval(name, doc[name]) for name in _INTERVALS if name in doc},
        local_only=_flag(management, "localOnly") or _flag(doc, "localOnly"),
        timeout_s=min(management.get("timeout", TIMEOUT_S * 1000) / 1000, TIMEOUT_S_MAX),
        cooldown_s=management["cooldown"] / 1000 if "cooldown" in management else None,
    )
    if mode == "auxiliary" and not AUXILIARY.issuperset(operations):
        raise Invalid(f"an auxiliary source offers some of {', '.join(sorted(AUXILIARY))}")
    return registration


def check_exclusive(registration: Registration) -> None:
    """What can be held by one source alone: attributes of entities by id (4.3.6.3). Raises
    Invalid."""
    if registration.mode != "exclusive":
        return
    for one in registration.information:
        if not one.names:
            raise Invalid("an exclusive registration names attributes")
        if not one.entities or any(entity.id is None for entity in one.entities):
            raise Invalid("an exclusive registration names entities by id, not by type or pattern")


def _endpoint(value: Any) -> str:
    url = check_uri(value, "endpoint")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid("endpoint is an http URL")
    if parts.username is not None or parts.query or parts.fragment:
        raise Invalid("endpoint is a URL without user, query and fragment")
    return url.rstrip("/").removesuffix("/ngsi-ld/v1")


def _information(value: Any, context: Context) -> tuple[Information, ...]:
    if not isinstance(value, list) or not value:
        raise Invalid("information is a list that is not empty")
    if len(value) > INFORMATION_MAX:
        raise TooLarge(f"information has at most {INFORMATION_MAX} parts")
    return tuple(_one_information(one, context) for one in value)


def _one_information(value: Any, context: Context) -> Information:
    if not isinstance(value, dict) or not value.keys() & {
        "entities",
        "propertyNames",
        "relationshipNames",
    }:
        raise Invalid("information names entities, propertyNames or relationshipNames")
    entities = value.get("entities", [])
    if not isinstance(entities, list) or ("entities" in value and not entities):
        raise Invalid("information.entities is a list that is not empty")
    if len(entities) > INFORMATION_MAX:
        raise TooLarge(f"information.entities has at most {INFORMATION_MAX} parts")
    names: list[str] = []
    for member in ("propertyNames", "relationshipNames"):
        given = value.get(member, [])
        if not isinstance(given, list) or len(given) > INFORMATION_MAX:
            raise Invalid(f"information.{member} is a list of names")
        names += [context.expand(check_name(name, member)) for name in given]
    return Information(
        tuple(_entity_info(one, context) for one in entities),
        frozenset(names),
    )


def _entity_info(value: Any, context: Context) -> EntityInfo:
    if not isinstance(value, dict):
        raise Invalid("information.entities holds JSON objects")
    urn, pattern = value.get("id"), value.get("idPattern")
    if pattern is not None and not isinstance(pattern, str):
        raise Invalid("idPattern is a text")
    if not value.keys() & {"type", "id", "idPattern"}:
        raise Invalid("information.entities: a type is missing")
    return EntityInfo(  # 5.2.8 asks for a type; an id alone says as much, and peers send that
        parse_types(value["type"], context) if "type" in value else (),
        None if urn is None else check_uri(urn, "information.entities.id"),
        id_pattern(pattern),
    )


def _operations(doc: Mapping[str, Any]) -> tuple[str, ...]:
    given = doc.get("operations")
    if given is None:
        return ("retrieveOps",) if doc.get("mode") == "auxiliary" else (DEFAULT_GROUP,)
    if not isinstance(given, list) or not given or len(given) > len(NAMES) + len(GROUPS):
        raise Invalid("operations is a list of names of operations")
    for name in given:
        if not isinstance(name, str) or (name not in NAMES and name not in GROUPS):
            raise Invalid(f"there is no operation {name!r:.60}")
    return tuple(given)


def _datasets(doc: Mapping[str, Any]) -> frozenset[str | None] | None:
    given = doc.get("datasetId")
    if given is None:
        return None
    listed = given if isinstance(given, list) else [given]
    if not listed or len(listed) > INFORMATION_MAX:
        raise Invalid("datasetId is a list of URIs")
    return frozenset(None if one == "@none" else check_uri(one, "datasetId") for one in listed)


def _expiry(doc: Mapping[str, Any], now_us: int | None) -> int | None:
    given = doc.get("expiresAt")
    if given is None:
        return None
    at_us = parse_moment("the registration", given, "expiresAt")
    if now_us is not None and at_us <= now_us:
        raise Invalid("expiresAt lies in the past")
    return at_us


def _interval(name: str, value: Any) -> tuple[int, int | None]:
    if not isinstance(value, dict) or "startAt" not in value:
        raise Invalid(f"{name} has a startAt")
    start = parse_moment(name, value["startAt"], "startAt")
    end = parse_moment(name, value["endAt"], "endAt") if "endAt" in value else None
    if end is not None and end < start:
        raise Invalid(f"{name} ends before it starts")
    return start, end


def _management(doc: Mapping[str, Any]) -> dict[str, Any]:
    given = doc.get("management", {})
    if not isinstance(given, dict):
        raise Invalid("management is a JSON object")
    if "cacheDuration" in given:
        _duration("management.cacheDuration", given["cacheDuration"])
    for member in ("cooldown", "timeout"):
        value = given.get(member, 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise Invalid(f"management.{member} is a number of milliseconds above 0")
    return given


def _duration(member: str, value: Any) -> None:
    if not isinstance(value, str) or not _DURATION.match(value):
        raise Invalid(f"{member} is an ISO 8601 duration")


def _flag(doc: Mapping[str, Any], member: str) -> bool:
    value = doc.get(member, False)
    if not isinstance(value, bool):
        raise Invalid(f"{member} is true or false")
    return value


def _source_info(given: Any) -> tuple[tuple[tuple[str, str], ...], dict[str, str]]:
    """(headers to send, how to speak): what is set by the connection is left out (4.3.6.5)."""
    if not isinstance(given, list) or len(given) > INFORMATION_MAX:
        raise Invalid("contextSourceInfo is a list of pairs of key and value")
    headers: list[tuple[str, str]] = []
    speaking: dict[str, str] = {}
    for pair in given:
        if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
            raise Invalid("contextSourceInfo holds pairs of key and value")
        key, value = pair["key"], pair.get("value")
        if not isinstance(value, str):
            raise Invalid(f"contextSourceInfo: the value of {key:.60} is a text")
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", key):
            raise Invalid(f"contextSourceInfo: {key!r:.60} can't be a header")
        if not value.isascii() or not value.isprintable() or len(value) > 4000:
            raise Invalid(f"contextSourceInfo: the value of {key} can't be sent")
        if key in SPEAKING:
            speaking[key] = _spoken(key, value)
        elif key.lower() not in _OWN_HEADERS:
            headers.append((key, value))
    return tuple(headers), speaking


def _spoken(key: str, value: str) -> str:
    if key in ("accept", "contentType"):
        known: tuple[str, ...] = ("application/json", "application/ld+json")
        if value not in known:
            raise Invalid(f"contextSourceInfo: {key} is one of {', '.join(known)}")
    elif key == "ngsildConformance" and not re.fullmatch(r"\d{1,2}\.\d{1,2}", value):
        raise Invalid("contextSourceInfo: ngsildConformance reads like 1.8")
    elif key == "jsonldContext":
        check_uri(value, "contextSourceInfo.jsonldContext")
    return value


def _own_properties(doc: Mapping[str, Any], context: Context) -> Entity:
    """What a csf or geoquery is held against: members beside those of the standard, and texts."""
    attributes = []
    for member, value in doc.items():
        if member in _PLACES:
            place = {"type": "GeoProperty", "value": check_geometry(value)}
            attributes += parse_instances(member, place, context)
        elif member in (*_TEXTS, "endpoint", "mode"):
            attributes += parse_instances(member, {"type": "Property", "value": value}, context)
        elif member not in _MEMBERS and member not in READ_ONLY:
            if value is None:
                raise Invalid(f"{member}: null is no value")
            attributes += parse_instances(context.expand(check_name(member)), value, context)
    return Entity("urn:ngsi-ld:source", (TYPE,), tuple(attributes))
