# SPDX-License-Identifier: EUPL-1.2
"""Writes of one entity, spread over sources (CIM 009, 5.6.1 to 5.6.6, 5.6.17 to 5.6.19, 5.6.21).
The part of this city goes through the same handler as a write that is not spread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from poorter.city.errors import CityError, Invalid, NotFound
from poorter.city.ids import check_name, check_uri
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild import attributes, provision, purge
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import RESERVED, parse_types
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.params import flag, types_of
from poorter.standards.ngsild.sources import outcome
from poorter.standards.ngsild.sources.asking import Way, all_within
from poorter.standards.ngsild.sources.forwarding import Said, forward, part_of
from poorter.standards.ngsild.sources.held import Held, hold
from poorter.standards.ngsild.sources.outcome import Outcome
from poorter.standards.ngsild.sources.planning import Plan, Target, known_types, plan
from poorter.standards.ngsild.sources.purging import purge_sources

Local = Callable[[Held], Awaitable[Answer]]
Combine = Callable[[list[Outcome]], Answer]


@dataclass(frozen=True, slots=True)
class Write:
    """A write as it goes to each source: method, path of its own @context, parameters, body."""

    operation: str
    method: str
    path: Callable[[Context], str]
    params: Mapping[str, str]
    said: Said | None
    one: bool = False  # the body is one attribute, not an entity with some

    @property
    def temporal(self) -> bool:
        """Whether it is about an evolution: those operations are named so (4.20)."""
        return self.operation.endswith("Temporal")


async def create(face: Face, request: Request) -> Answer:
    """POST /entities (5.6.1)."""
    held = await hold(request)
    _, permit = face.permit(held, "write")
    doc, context = await face.document(held)
    if not isinstance(doc, dict) or _local(held):
        return await provision.create(face, held)
    urn = check_uri(doc.get("id"), "id")
    target = Target(urn, parse_types(doc.get("type"), context), names_of(doc, context))
    write = Write("createEntity", "POST", lambda _: "/entities", {}, Said(doc, context))
    location = f"{provision.BASE}/entities/{quote(urn, safe=':')}".encode()
    good = Answer(201, b"", ((b"location", location),))

    def combine(outcomes: list[Outcome]) -> Answer:
        return outcome.of_entity(urn, outcomes, good)

    def local(part: Held) -> Awaitable[Answer]:
        return provision.create(face, part)

    return await spread(face, held, permit, context, target, write, local, combine)


async def replace(face: Face, request: Request, urn: str) -> Answer:
    """PUT /entities/{id} (5.6.18)."""
    return await _whole(face, request, urn, "replaceEntity", "PUT", provision.replace)


async def merge(face: Face, request: Request, urn: str) -> Answer:
    """PATCH /entities/{id} (5.6.17)."""
    return await _whole(face, request, urn, "mergeEntity", "PATCH", provision.merge)


async def append(face: Face, request: Request, urn: str) -> Answer:
    """POST /entities/{id}/attrs (5.6.3)."""
    return await _whole(face, request, urn, "appendAttrs", "POST", attributes.append, "/attrs/")


async def change(face: Face, request: Request, urn: str) -> Answer:
    """PATCH /entities/{id}/attrs (5.6.2)."""
    return await _whole(face, request, urn, "updateEntity", "PATCH", attributes.change, "/attrs/")


async def _whole(
    face: Face,
    request: Request,
    urn: str,
    operation: str,
    method: str,
    handler: Callable[[Face, Request, str], Awaitable[Answer]],
    below: str = "",
) -> Answer:
    """A write whose body holds attributes of one entity."""
    held = await hold(request)
    _, permit = face.permit(held, "write")
    doc, context = await face.document(held)
    if not isinstance(doc, dict) or _local(held):
        return await handler(face, held, urn)
    given = held.query()
    types = parse_types(doc["type"], context) if "type" in doc else None
    types = _types_asked(given, context) or known_types(face, permit, urn) or types
    target = Target(urn, types, names_of(doc, context))
    path = f"/entities/{quote(urn, safe=':')}{below}"
    write = Write(operation, method, lambda _: path, given, Said(doc, context))

    def combine(outcomes: list[Outcome]) -> Answer:
        if below:
            return outcome.of_attributes(outcomes, NO_CONTENT)
        return outcome.of_entity(urn, outcomes, NO_CONTENT)

    def local(part: Held) -> Awaitable[Answer]:
        return handler(face, part, urn)

    return await spread(face, held, permit, context, target, write, local, combine)


async def change_one(face: Face, request: Request, urn: str, term: str) -> Answer:
    """PATCH /entities/{id}/attrs/{attr} (5.6.4)."""
    return await _one(face, request, urn, term, "updateAttrs", "PATCH", attributes.change_one)


async def replace_one(face: Face, request: Request, urn: str, term: str) -> Answer:
    """PUT /entities/{id}/attrs/{attr} (5.6.19)."""
    return await _one(face, request, urn, term, "replaceAttrs", "PUT", attributes.replace_one)


async def delete_one(face: Face, request: Request, urn: str, term: str) -> Answer:
    """DELETE /entities/{id}/attrs/{attr} (5.6.5)."""
    return await _one(face, request, urn, term, "deleteAttrs", "DELETE", attributes.delete)


async def _one(
    face: Face,
    request: Request,
    urn: str,
    term: str,
    operation: str,
    method: str,
    handler: Callable[[Face, Request, str, str], Awaitable[Answer]],
) -> Answer:
    """A write of one attribute."""
    held = await hold(request)
    _, permit = face.permit(held, "write")
    if term in RESERVED or _local(held):
        return await handler(face, held, urn, term)
    said: Said | None = None
    if method == "DELETE":
        context = await face.context(held)
    else:
        doc, context = await face.document(held)
        said = Said(doc, context)
    name = context.expand(check_name(term, "the attribute name"))
    given = held.query()
    types = _types_asked(given, context) or known_types(face, permit, urn)
    target = Target(urn, types, frozenset((name,)))
    start = f"/entities/{quote(urn, safe=':')}/attrs/"
    write = Write(
        operation, method, lambda c: start + quote(c.compact(name), safe=":"), given, said, one=True
    )

    def combine(outcomes: list[Outcome]) -> Answer:
        return outcome.of_attributes(outcomes, NO_CONTENT)

    def local(part: Held) -> Awaitable[Answer]:
        return handler(face, part, urn, term)

    return await spread(face, held, permit, context, target, write, local, combine)


async def delete(face: Face, request: Request, urn: str) -> Answer:
    """DELETE /entities/{id} (5.6.6)."""
    held = await hold(request)
    _, permit = face.permit(held, "write")
    if _local(held):
        return await provision.delete(face, held, urn)
    context = await face.context(held)
    given = held.query()
    types = _types_asked(given, context) or known_types(face, permit, urn)
    target = Target(urn, types, None)
    path = f"/entities/{quote(urn, safe=':')}"
    write = Write("deleteEntity", "DELETE", lambda _: path, given, None)

    def combine(outcomes: list[Outcome]) -> Answer:
        return outcome.of_entity(urn, outcomes, NO_CONTENT)

    def local(part: Held) -> Awaitable[Answer]:
        return provision.delete(face, part, urn)

    return await spread(face, held, permit, context, target, write, local, combine)


async def spread(
    face: Face,
    held: Held,
    permit: Permit,
    context: Context,
    target: Target,
    write: Write,
    local: Local,
    combine: Combine,
) -> Answer:
    """Each its part, all at the same time, one answer."""
    way = Way(face.sources, held, context)
    planned = plan(face, way, permit, (write.operation,), target, write.temporal)
    if not planned.legs:
        return await local(held)
    here: asyncio.Task[Outcome] | None = None
    if planned.here:
        here = asyncio.ensure_future(
            _here(_part(held, write.said, target, planned), planned, local)
        )
    going = [leg for leg in planned.legs if leg.fault is None]
    replies = iter(
        await all_within(
            [
                forward(
                    way,
                    leg.registration,
                    write.method,
                    write.path(await way.spoken(leg.registration)),
                    write.params,
                    write.said
                    if write.said is None or write.one
                    else part_of(write.said, leg.names),
                )
                for leg in going
            ]
        )
    )
    outcomes = [
        outcome.there(leg, leg.fault if leg.fault is not None else next(replies))
        for leg in planned.legs
    ]
    if here is not None:
        own = await here
        # what a source holds alone need not be known here as well
        missing = isinstance(own.error, NotFound) and planned.proxied
        if not (missing and any(one.error is None for one in outcomes)):
            outcomes.insert(0, own)
    return combine(outcomes)


def _part(held: Held, said: Said | None, target: Target, planned: Plan) -> Held:
    """The request as it is for this city."""
    if said is None or planned.names is None or planned.names == target.names:
        return held
    return held.with_body(part_of(said, planned.names).doc)


async def _here(part: Held, planned: Plan, local: Local) -> Outcome:
    try:
        return outcome.here(await local(part), planned.names)
    except CityError as error:
        return Outcome(error, planned.names)


async def purge_all(face: Face, request: Request) -> Answer:
    """DELETE /entities (5.6.21): here, and at sources that offer it, as far as they are meant."""
    held = await hold(request)
    if _local(held):
        return await purge.purge(face, held)
    answer = await purge.purge(face, held)
    return await purge_sources(face, held, answer)


def names_of(doc: Mapping[str, Any], context: Context) -> frozenset[str]:
    """The attributes in an entity or a fragment of one."""
    return frozenset(
        context.expand(check_name(term, "attribute name")) for term in doc if term not in RESERVED
    )


def _local(request: Request) -> bool:
    return flag(request.query(), "local")


def _types_asked(given: Mapping[str, str], context: Context) -> tuple[str, ...] | None:
    if not given.get("type"):
        return None
    found = types_of(given["type"], context)
    if len(found) != 1:
        raise Invalid("type names the type of one entity here")
    return found[0]
