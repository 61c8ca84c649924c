# SPDX-License-Identifier: EUPL-1.2
"""Writing attributes of an entity over HTTP (CIM 009, 5.6.2 to 5.6.5, 5.6.19; 6.6, 6.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poorter.city.entity import Entity
from poorter.city.errors import Invalid, NotFound
from poorter.city.ids import check_name, check_uri
from poorter.gate.gate import for_update
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context, external
from poorter.standards.ngsild.decode import NULL, RESERVED, parse_instances
from poorter.standards.ngsild.face import NO_CONTENT, Face, plain_json
from poorter.standards.ngsild.fragment import (
    is_null,
    parse_fragment,
    patched,
    removals,
    written,
)
from poorter.standards.ngsild.params import check_names, flag, options
from poorter.standards.ngsild.provision import check_type, update
from poorter.store import contract as c

_QUERY = frozenset(("type", "local"))
_APPEND = _QUERY | {"options"}


async def append(face: Face, request: Request, urn: str) -> Answer:
    """POST /entities/{id}/attrs (5.6.3); options=noOverwrite keeps what is there."""
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, _APPEND)
    mode: Any = "keep" if given and "noOverwrite" in options(given, ("noOverwrite",)) else "append"
    doc, context = await face.document(request)
    fragment = parse_fragment(doc, context)
    if fragment.gone:
        raise Invalid("NGSI-LD Null removes in an update; here attributes are added")
    if fragment.empty:
        raise Invalid("there are no attributes in this body")
    _check_selected(face, permit, given, context, urn)
    op = c.SetAttributes(
        urn,
        written(fragment, context),
        mode,
        add_types=fragment.types,
        scopes=fragment.scopes,
        expires_at_us=fragment.expires_at_us,
    )
    committed = await face.commit(request, caller, permit, op)
    done, left = committed.results[0]
    return _result(done, left, "there already, and noOverwrite was asked")


async def change(face: Face, request: Request, urn: str) -> Answer:
    """PATCH /entities/{id}/attrs (5.6.2): replaces, adds, and removes by NGSI-LD Null."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), _QUERY)
    doc, context = await face.document(request)
    fragment = parse_fragment(doc, context)
    if fragment.empty:
        raise Invalid("there are no attributes in this body")
    replaced = written(fragment, context)

    def ops(present: Entity) -> list[c.Op]:
        check_type(present.types, request.query().get("type"), context, urn)
        scopes = fragment.scopes if present.scopes else None
        return [
            c.SetAttributes(
                urn,
                replaced,
                expect=present.version,
                add_types=fragment.types,
                scopes=scopes,
                expires_at_us=fragment.expires_at_us,
            ),
            *removals(fragment, present, urn),
        ]

    present, _ = await update(face, request, caller, permit, urn, ops)
    left = ["scope"] if fragment.scopes is not None and not present.scopes else []
    return _result([a.name for a in replaced], left, "not there")


def _result(done: list[str], left: list[str], why: str) -> Answer:
    """UpdateResult (5.2.18) when not all was done, in whole names: no @context goes with it."""
    if not left:
        return NO_CONTENT
    updated = [external(name) for name in done]
    missed = [{"attributeName": external(name), "reason": why} for name in left]
    return plain_json({"updated": updated, "notUpdated": missed}, 207)


async def change_one(face: Face, request: Request, urn: str, term: str) -> Answer:
    """PATCH /entities/{id}/attrs/{attr} (5.6.4): a part of one attribute."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), _QUERY)
    doc, context = await face.document(request)
    name = _name(term, context)
    if not isinstance(doc, dict):
        raise Invalid("an attribute fragment is a JSON object")
    doc = {member: value for member, value in doc.items() if member != "@context"}
    dataset = doc.get("datasetId")
    if dataset == NULL:
        raise Invalid("a datasetId can't be removed (5.5.8)")
    if dataset is not None:
        check_uri(dataset, "datasetId")

    def ops(present: Entity) -> list[c.Op]:
        check_type(present.types, request.query().get("type"), context, urn)
        instance = present.get(name, dataset)
        if instance is None:
            raise NotFound(f"{urn} has no such attribute")
        if is_null(doc):
            return [
                c.SetAttributes(urn, (), expect=present.version),
                c.DeleteAttribute(urn, name, dataset),
            ]
        after = patched(instance, name, doc, context)
        return [c.SetAttributes(urn, (after,), "update", expect=present.version)]

    await update(face, request, caller, permit, urn, ops)
    return NO_CONTENT


async def replace_one(face: Face, request: Request, urn: str, term: str) -> Answer:
    """PUT /entities/{id}/attrs/{attr} (5.6.19)."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), _QUERY)
    doc, context = await face.document(request)
    name = _name(term, context)
    if isinstance(doc, dict):
        doc = {member: value for member, value in doc.items() if member != "@context"}
    new = tuple(parse_instances(name, doc, context))
    committed = await face.commit(request, caller, permit, c.SetAttributes(urn, new, "update"))
    if committed.results[0][1]:
        raise NotFound(f"{urn} has no such attribute")
    return NO_CONTENT


async def delete(face: Face, request: Request, urn: str, term: str) -> Answer:
    """DELETE /entities/{id}/attrs/{attr} (5.6.5); "scope" goes as an attribute does."""
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, _QUERY | {"datasetId", "deleteAll"})
    context = await face.context(request)
    if term == "scope":
        await update(face, request, caller, permit, urn, _without_scope)
        return NO_CONTENT
    dataset = given.get("datasetId")
    if dataset is not None:
        check_uri(dataset, "datasetId")
    op = c.DeleteAttribute(urn, _name(term, context), dataset, flag(given, "deleteAll"))
    _check_selected(face, permit, given, context, urn)
    await face.commit(request, caller, permit, op)
    return NO_CONTENT


def _without_scope(present: Entity) -> list[c.Op]:
    if not present.scopes:
        raise NotFound(f"{present.urn} has no scope")
    return [c.SetAttributes(present.urn, (), expect=present.version, scopes=())]


def _check_selected(
    face: Face, permit: Permit, given: Mapping[str, str], context: Context, urn: str
) -> None:
    """Raises NotFound when the request selects a type that the entity is not of (4.17)."""
    if given and given.get("type"):
        check_type(face.store.entity(for_update(permit), urn).types, given["type"], context, urn)


def _name(term: str, context: Context) -> str:
    if term in RESERVED:
        raise Invalid(f"{term} is no attribute")
    return context.expand(check_name(term, "the attribute name"))
