# SPDX-License-Identifier: EUPL-1.2
"""Writes of temporal evolutions, spread over sources (CIM 009, 5.6.11 to 5.6.16): as writes of
entities are, to those that offer the operation; they stand in no group of operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from poorter.city.ids import check_name, check_uri
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import RESERVED, parse_types
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.params import flag
from poorter.standards.ngsild.sources import outcome
from poorter.standards.ngsild.sources.forwarding import Said
from poorter.standards.ngsild.sources.held import Held, hold
from poorter.standards.ngsild.sources.outcome import Outcome
from poorter.standards.ngsild.sources.planning import Target, known_types
from poorter.standards.ngsild.sources.writing import Write, names_of, spread
from poorter.standards.ngsild.temporal import writing as evolving

PATH = "/temporal/entities"


async def create(face: Face, request: Request) -> Answer:
    """POST /temporal/entities (5.6.11)."""
    held = await hold(request)
    _, permit = face.permit(held, "write")
    doc, context = await face.document(held)
    if not isinstance(doc, dict) or flag(held.query(), "local"):
        return await evolving.create(face, held)
    urn = check_uri(doc.get("id"), "id")
    target = Target(urn, parse_types(doc.get("type"), context), names_of(doc, context))
    write = Write("upsertTemporal", "POST", lambda _: PATH, {}, Said(doc, context))
    location = f"/ngsi-ld/v1{PATH}/{quote(urn, safe=':')}".encode()
    good = Answer(201, b"", ((b"location", location),))

    def combine(outcomes: list[Outcome]) -> Answer:
        return outcome.of_entity(urn, outcomes, good)

    def local(part: Held) -> Awaitable[Answer]:
        return evolving.create(face, part)

    return await spread(face, held, permit, context, target, write, local, combine)


async def append(face: Face, request: Request, urn: str) -> Answer:
    """POST /temporal/entities/{id}/attrs (5.6.12)."""
    held = await hold(request)
    _, permit = face.permit(held, "write")
    doc, context = await face.document(held)
    if not isinstance(doc, dict) or flag(held.query(), "local"):
        return await evolving.append(face, held, urn)
    types = parse_types(doc["type"], context) if "type" in doc else known_types(face, permit, urn)
    target = Target(urn, types, names_of(doc, context))
    path = f"{PATH}/{quote(urn, safe=':')}/attrs"
    write = Write("appendAttrsTemporal", "POST", lambda _: path, {}, Said(doc, context))

    def combine(outcomes: list[Outcome]) -> Answer:
        return outcome.of_attributes(outcomes, NO_CONTENT)

    def local(part: Held) -> Awaitable[Answer]:
        return evolving.append(face, part, urn)

    return await spread(face, held, permit, context, target, write, local, combine)


async def delete(face: Face, request: Request, urn: str) -> Answer:
    """DELETE /temporal/entities/{id} (5.6.16)."""
    held = await hold(request)
    _, permit = face.permit(held, "write")
    if flag(held.query(), "local"):
        return await evolving.delete(face, held, urn)
    context = await face.context(held)
    target = Target(urn, known_types(face, permit, urn), None)
    path = f"{PATH}/{quote(urn, safe=':')}"
    write = Write("deleteTemporal", "DELETE", lambda _: path, {}, None)

    def combine(outcomes: list[Outcome]) -> Answer:
        return outcome.of_entity(urn, outcomes, NO_CONTENT)

    def local(part: Held) -> Awaitable[Answer]:
        return evolving.delete(face, part, urn)

    return await spread(face, held, permit, context, target, write, local, combine)


async def delete_attribute(face: Face, request: Request, urn: str, term: str) -> Answer:
    """DELETE /temporal/entities/{id}/attrs/{attr} (5.6.13)."""
    return await _one(
        face,
        request,
        (urn, term, None),
        ("deleteAttrsTemporal", "DELETE"),
        lambda part: evolving.delete_attribute(face, part, urn, term),
    )


async def replace(face: Face, request: Request, urn: str, term: str, instance_id: str) -> Answer:
    """PATCH /temporal/entities/{id}/attrs/{attr}/{instance} (5.6.14)."""
    return await _one(
        face,
        request,
        (urn, term, instance_id),
        ("updateAttrInstanceTemporal", "PATCH"),
        lambda part: evolving.replace(face, part, urn, term, instance_id),
    )


async def delete_instance(
    face: Face, request: Request, urn: str, term: str, instance_id: str
) -> Answer:
    """DELETE /temporal/entities/{id}/attrs/{attr}/{instance} (5.6.15)."""
    return await _one(
        face,
        request,
        (urn, term, instance_id),
        ("deleteAttrInstanceTemporal", "DELETE"),
        lambda part: evolving.delete_instance(face, part, urn, term, instance_id),
    )


async def _one(
    face: Face,
    request: Request,
    what: tuple[str, str, str | None],
    how: tuple[str, str],
    local: Callable[[Held], Awaitable[Answer]],
) -> Answer:
    """A write of one attribute, or of one instance of it."""
    urn, term, instance_id = what
    operation, method = how
    held = await hold(request)
    _, permit = face.permit(held, "write")
    given = held.query()
    if term in RESERVED or flag(given, "local"):
        return await local(held)
    said: Said | None = None
    if method == "DELETE":
        context = await face.context(held)
    else:
        doc, context = await face.document(held)
        said = Said(doc, context)
    name = context.expand(check_name(term, "the attribute name"))
    target = Target(urn, known_types(face, permit, urn), frozenset((name,)))
    end = "" if instance_id is None else "/" + quote(instance_id, safe=":")

    def path(spoken: Context) -> str:
        attribute = quote(spoken.compact(name), safe=":")
        return f"{PATH}/{quote(urn, safe=':')}/attrs/{attribute}{end}"

    def combine(outcomes: list[Outcome]) -> Answer:
        return outcome.of_attributes(outcomes, NO_CONTENT)

    write = Write(operation, method, path, given, said, one=True)
    return await spread(face, held, permit, context, target, write, local, combine)
