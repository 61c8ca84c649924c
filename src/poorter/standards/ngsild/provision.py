# SPDX-License-Identifier: EUPL-1.2
"""Writing whole entities over HTTP (CIM 009, 5.6.1, 5.6.6, 5.6.17, 5.6.18; 6.4, 6.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from poorter.city.entity import Entity
from poorter.city.errors import Conflict, Invalid, NotFound
from poorter.gate.gate import for_update
from poorter.gate.permit import Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import parse_entity
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.fragment import Fragment, merged_into, parse_fragment, removals
from poorter.standards.ngsild.params import check_names, types_of
from poorter.store import contract as c

BASE = "/ngsi-ld/v1"
TRIES = 5
_ONE = frozenset(("type", "local", "lang", "options", "format"))


async def create(face: Face, request: Request) -> Answer:
    """POST /entities (5.6.1)."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), frozenset(("local",)))
    entity = parse_entity(*await face.document(request))
    done = await face.commit(request, caller, permit, c.Create(entity))
    given = done.minted.get(entity.urn, entity.urn)
    location = f"{BASE}/entities/{quote(given, safe=':')}".encode()
    return Answer(201, b"", ((b"location", location),))


async def replace(face: Face, request: Request, urn: str) -> Answer:
    """PUT /entities/{id} (5.6.18)."""
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, _ONE)
    doc, context = await face.document(request)
    if not isinstance(doc, dict):
        raise Invalid("an entity is a JSON object")
    if doc.get("id", urn) != urn:
        raise Invalid("the id in the body is not that in the path")
    if "type" not in doc or given.get("type"):
        present = face.store.entity(for_update(permit), urn)
        check_type(present.types, given.get("type"), context, urn)
        if "type" not in doc:
            doc = {**doc, "type": [context.compact(name) for name in present.types]}
    await face.commit(request, caller, permit, c.Replace(parse_entity({**doc, "id": urn}, context)))
    return NO_CONTENT


async def merge(face: Face, request: Request, urn: str) -> Answer:
    """PATCH /entities/{id} (5.6.17): what is given is merged in, NGSI-LD Null removes."""
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, _ONE | {"observedAt"})
    doc, context = await face.document(request)
    fragment = parse_fragment(doc, context)
    if isinstance(doc, dict) and doc.get("id", urn) != urn:
        raise Invalid("the id in the body is not that in the path")

    def ops(present: Entity) -> list[c.Op]:
        check_type(present.types, given.get("type"), context, urn)
        return merge_ops(fragment, present, context)

    await update(face, request, caller, permit, urn, ops)
    return NO_CONTENT


def merge_ops(fragment: Fragment, present: Entity, context: Context) -> list[c.Op]:
    """A merge as one change, on the version that it was worked out for."""
    merged = merged_into(fragment, present, context)
    return [
        c.SetAttributes(
            present.urn,
            merged,
            expect=present.version,
            add_types=fragment.types,
            scopes=fragment.scopes,
            expires_at_us=fragment.expires_at_us,
        ),
        *removals(fragment, present, present.urn),
    ]


async def update(
    face: Face,
    request: Request,
    caller: Caller,
    permit: Permit,
    urn: str,
    ops: Callable[[Entity], list[c.Op]],
    part: str = "",
) -> tuple[Entity, list[Any]]:
    """Commit what `ops` makes of the entity as it is; again with what it has become when somebody
    else wrote in between. (The entity it was worked out for, the results.)"""
    reading = for_update(permit)
    for attempt in range(TRIES):
        present = face.store.decode(face.store.entity(reading, urn))
        try:
            committed = await face.commit(request, caller, permit, *ops(present), part=part)
        except Conflict:
            if attempt == TRIES - 1:
                raise
            continue
        break
    return present, list(committed.results)


async def delete(face: Face, request: Request, urn: str) -> Answer:
    """DELETE /entities/{id} (5.6.6)."""
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, frozenset(("type", "local")))
    if given.get("type"):
        context = await face.context(request)
        present = face.store.entity(for_update(permit), urn)
        check_type(present.types, given["type"], context, urn)
    await face.commit(request, caller, permit, c.Delete(urn))
    return NO_CONTENT


def check_type(present: tuple[str, ...], asked: str | None, context: Context, urn: str) -> None:
    """Raises NotFound when the entity is of another type than the request selects (4.17)."""
    if asked and not any(set(names) <= set(present) for names in types_of(asked, context)):
        raise NotFound(f"{urn} is not there as {asked[:100]}")
