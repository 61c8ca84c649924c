# SPDX-License-Identifier: EUPL-1.2
"""Writing temporal evolutions over HTTP (CIM 009, 5.6.11 to 5.6.16; 6.18 to 6.22)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Invalid
from poorter.city.ids import check_name, check_uri
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import (
    RESERVED,
    attribute_name,
    is_null,
    parse_attribute,
    parse_deletion,
    parse_expiry,
    parse_scopes,
    parse_types,
)
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.params import check_names, flag
from poorter.store.evolving import AddInstances, DeleteInstances, ReplaceInstance

BASE = "/ngsi-ld/v1/temporal/entities"
_LOCAL = frozenset(("local",))
SCOPE = "scope"


async def create(face: Face, request: Request) -> Answer:
    """POST /temporal/entities (5.6.11): a new evolution, or more of one that is there."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), _LOCAL)
    doc, context = await face.document(request)
    if not isinstance(doc, dict):
        raise Invalid("a temporal evolution is a JSON object")
    urn = check_uri(doc.get("id"), "id")
    types, expires_us = parse_types(doc.get("type"), context), parse_expiry("it", doc)
    attributes, scopes, gone = _content(doc, context)
    entity = Entity(urn, types, attributes, scopes, expires_at_us=expires_us)
    committed = await face.commit(request, caller, permit, AddInstances(entity, gone=gone))
    if not committed.results[0]:
        return NO_CONTENT
    location = f"{BASE}/{quote(urn, safe=':')}".encode()
    return Answer(201, b"", ((b"location", location),))


async def append(face: Face, request: Request, urn: str) -> Answer:
    """POST /temporal/entities/{id}/attrs (5.6.12)."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), _LOCAL)
    doc, context = await face.document(request)
    if not isinstance(doc, dict):
        raise Invalid("a fragment of a temporal evolution is a JSON object")
    if doc.get("id", urn) != urn:
        raise Invalid("the id in the body is not that in the path")
    types = parse_types(doc["type"], context) if "type" in doc else ()
    attributes, scopes, gone = _content(doc, context)
    if not attributes and not types and not scopes and not gone:
        raise Invalid("there are no attributes in this body")
    op = AddInstances(Entity(urn, types, attributes, scopes), must_exist=True, gone=gone)
    await face.commit(request, caller, permit, op)
    return NO_CONTENT


async def replace(face: Face, request: Request, urn: str, term: str, instance_id: str) -> Answer:
    """PATCH /temporal/entities/{id}/attrs/{attr}/{instance} (5.6.14)."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), _LOCAL)
    doc, context = await face.document(request)
    name = _name(term, context)
    check_uri(instance_id, "the instance id")
    if not isinstance(doc, dict):
        raise Invalid("a fragment of a temporal evolution is a JSON object")
    given = [key for key in doc if key not in RESERVED and context.expand(key) == name]
    if given:
        parts = _parts(doc[given[0]])
        instances = [parse_attribute(name, one, context) for one in parts]
    else:  # the instance alone, as brokers take it too
        body = {key: value for key, value in doc.items() if key != "@context"}
        instances = [parse_attribute(name, body, context)]
    if len(instances) != 1:
        raise Invalid("one instance replaces one instance")
    op = ReplaceInstance(urn, name, instance_id, instances[0])
    await face.commit(request, caller, permit, op)
    return NO_CONTENT


async def delete(face: Face, request: Request, urn: str) -> Answer:
    """DELETE /temporal/entities/{id} (5.6.16)."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), _LOCAL)
    await face.commit(request, caller, permit, DeleteInstances(urn))
    return NO_CONTENT


async def delete_attribute(face: Face, request: Request, urn: str, term: str) -> Answer:
    """DELETE /temporal/entities/{id}/attrs/{attr} (5.6.13)."""
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, _LOCAL | {"datasetId", "deleteAll"})
    context = await face.context(request)
    dataset = given.get("datasetId") or None
    if dataset is not None:
        check_uri(dataset, "datasetId")
    every = bool(given.get("deleteAll")) and flag(given, "deleteAll")
    name = SCOPE if term == SCOPE else _name(term, context)
    op = DeleteInstances(urn, name, dataset, every)
    await face.commit(request, caller, permit, op)
    return NO_CONTENT


async def delete_instance(
    face: Face, request: Request, urn: str, term: str, instance_id: str
) -> Answer:
    """DELETE /temporal/entities/{id}/attrs/{attr}/{instance} (5.6.15)."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), _LOCAL)
    context = await face.context(request)
    name = SCOPE if term == SCOPE else _name(term, context)
    check_uri(instance_id, "the instance id")
    op = DeleteInstances(urn, name, instance_id=instance_id)
    await face.commit(request, caller, permit, op)
    return NO_CONTENT


def _content(
    doc: dict[str, Any], context: Context
) -> tuple[tuple[Attribute, ...], tuple[str, ...], tuple[Attribute, ...]]:
    """(instances of all attributes, the scope in time among them; a scope without a time; those
    that record a deletion)."""
    found: list[Attribute] = []
    gone: list[Attribute] = []
    scopes: tuple[str, ...] = ()
    given = doc.get(SCOPE)
    if given is not None:
        parts = given if isinstance(given, list) else [given]
        if parts and all(isinstance(part, dict) for part in parts):
            for part in parts:
                instance = parse_attribute(SCOPE, part, context)
                parse_scopes(instance.value)
                found.append(instance)
        else:
            scopes = parse_scopes(given)
    for term, value in doc.items():
        if term not in RESERVED:
            name = attribute_name(term, context)
            parts = _parts(value)
            gone += [parse_deletion(name, one) for one in parts if is_null(one)]
            found += [parse_attribute(name, one, context) for one in parts if not is_null(one)]
    return tuple(found), scopes, tuple(gone)


def _parts(value: Any) -> list[Any]:
    """Any number of instances of an attribute, in an array or one alone (4.5.7)."""
    whole = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    return value if whole else [value]


def _name(term: str, context: Context) -> str:
    if term in RESERVED:
        raise Invalid(f"{term} is no attribute")
    return context.expand(check_name(term, "the attribute name"))
