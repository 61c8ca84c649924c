# SPDX-License-Identifier: EUPL-1.2
"""Single entities and queries over HTTP (CIM 009, 6.4 to 6.7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from poorter.city.entity import VALUE_KEY, Attribute, Entity
from poorter.city.errors import Conflict, Invalid, NotFound, TooLarge
from poorter.city.ids import check_uri
from poorter.city.limits import PAGE_MAX
from poorter.city.query import Query
from poorter.gate.gate import for_update
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import CORE, Context
from poorter.standards.ngsild.decode import (
    parse_attributes,
    parse_entity,
    parse_instances,
    parse_types,
)
from poorter.standards.ngsild.encode import Form, encode_entities, encode_entity, encode_plain
from poorter.standards.ngsild.face import NO_CONTENT, Face, json_answer
from poorter.standards.ngsild.merge import merged, nulls
from poorter.standards.ngsild.params import check_names, flag, parse_form, parse_query
from poorter.store import contract as c

BASE = "/ngsi-ld/v1"
_PLAIN_FORM = Form()
_MERGE_TRIES = 5


async def create(face: Face, request: Request) -> Answer:
    """POST /entities (5.6.1)."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), frozenset(("local",)))
    entity = parse_entity(*await face.document(request))
    await face.commit(request, caller, permit, c.Create(entity))
    location = f"{BASE}/entities/{quote(entity.urn, safe=':')}".encode()
    return Answer(201, b"", ((b"location", location),))


async def retrieve(face: Face, request: Request, urn: str) -> Answer:
    """GET /entities/{id} (5.7.1)."""
    _, permit = face.permit(request, "read")
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    form = _PLAIN_FORM
    if request.scope["query_string"] or wanted.embed or context is not CORE:
        query = request.query()
        check_names(query, frozenset(("attrs", "options", "format", "sysAttrs", "type", "local")))
        form = parse_form(query, context, wanted.embed)
    entity = face.store.entity(permit, urn)
    if form.only is not None and not any(a.name in form.only for a in entity.attributes):
        raise NotFound(f"{urn} has none of these attributes")
    await face.before_leaving(permit, (entity,))
    body = encode_plain(entity) if form is _PLAIN_FORM else encode_entity(entity, form)
    return Answer(200, body, wanted.headers)


async def query(face: Face, request: Request) -> Answer:
    """GET /entities (5.7.2). Pages by key: Link next carries `after`; offset is understood too."""
    _, permit = face.permit(request, "read")
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    given = request.query()
    asked, offset = parse_query(given, context)
    form = parse_form(given, context, wanted.embed)
    page = _page(face, permit, asked, offset)
    await face.before_leaving(permit, page.entities)
    headers = list(wanted.headers)
    if page.count is not None:
        headers.append((b"ngsild-results-count", str(page.count).encode()))
    if page.after is not None and asked.limit:
        given.pop("offset", None)
        following = urlencode({**given, "after": page.after})
        headers.append((b"link", f'<{BASE}/entities?{following}>; rel="next"'.encode()))
    return Answer(200, encode_entities(page.entities, form), tuple(headers))


def _page(face: Face, permit: Permit, asked: Query, offset: int) -> c.Page:
    """Skips `offset` entities page by page: what a standard client asks, at its own cost."""
    if asked.limit == 0:
        counted = face.store.query(permit, replace(asked, limit=1))
        return c.Page((), counted.count)
    while offset > 0:
        step = min(offset, PAGE_MAX)
        skipped = face.store.query(permit, replace(asked, limit=step, count=False))
        offset -= step
        if skipped.after is None:
            count = face.store.query(permit, asked).count if asked.count else None
            return c.Page((), count)
        asked = replace(asked, after=skipped.after)
    return face.store.query(permit, asked)


async def replace_entity(face: Face, request: Request, urn: str) -> Answer:
    """PUT /entities/{id} (5.6.18)."""
    caller, permit = face.permit(request, "write")
    doc, context = await face.document(request)
    await face.commit(request, caller, permit, c.Replace(_named(doc, urn, context)))
    return NO_CONTENT


def _named(doc: Any, urn: str, context: Context) -> Entity:
    """An entity whose id is in the path; the body may repeat it, not contradict it."""
    if not isinstance(doc, dict):
        raise Invalid("an entity is a JSON object")
    if doc.get("id", urn) != urn:
        raise Invalid("the id in the body is not that in the path")
    return parse_entity({**doc, "id": urn}, context)


async def merge(face: Face, request: Request, urn: str) -> Answer:
    """PATCH /entities/{id} (5.6.17): what is given replaces, Null removes."""
    caller, permit = face.permit(request, "write")
    doc, context = await face.document(request)
    if not isinstance(doc, dict) or doc.get("id", urn) != urn:
        raise Invalid("a merge is a JSON object about this entity")
    if "type" in doc:
        parse_types(doc["type"], context)
    gone, kept = nulls(doc, context)
    patches = parse_attributes(kept, context)
    reading = for_update(permit)
    for attempt in range(_MERGE_TRIES):
        present = face.store.decode(face.store.entity(reading, urn))
        written = tuple(merged(present.get(p.name, p.dataset_id), p) for p in patches)
        ops: list[c.Op] = [c.SetAttributes(urn, written, expect=present.version)]
        ops += [c.DeleteAttribute(urn, name, every_instance=True) for name in gone]
        try:
            await face.commit(request, caller, permit, *ops)
        except Conflict:
            if attempt == _MERGE_TRIES - 1:
                raise
            continue  # somebody else wrote in between: merge with what is there now
        break
    return NO_CONTENT


async def delete(face: Face, request: Request, urn: str) -> Answer:
    """DELETE /entities/{id} (5.6.6)."""
    caller, permit = face.permit(request, "write")
    await face.commit(request, caller, permit, c.Delete(check_uri(urn)))
    return NO_CONTENT


async def append_attributes(face: Face, request: Request, urn: str) -> Answer:
    """POST /entities/{id}/attrs (5.6.3); options=noOverwrite keeps what is there."""
    mode = "keep" if request.query().get("options") == "noOverwrite" else "append"
    return await _set_attributes(face, request, urn, mode)


async def update_attributes(face: Face, request: Request, urn: str) -> Answer:
    """PATCH /entities/{id}/attrs (5.6.2): overwrites what is there, adds nothing."""
    return await _set_attributes(face, request, urn, "update")


async def _set_attributes(face: Face, request: Request, urn: str, mode: Any) -> Answer:
    caller, permit = face.permit(request, "write")
    doc, context = await face.document(request)
    if not isinstance(doc, dict):
        raise Invalid("attributes come as a JSON object")
    attributes = parse_attributes(doc, context)
    if not attributes and "type" not in doc and "scope" not in doc:
        raise Invalid("there are no attributes in this body")
    op = c.SetAttributes(urn, attributes, mode)
    committed = await face.commit(request, caller, permit, op)
    updated, left = committed.results[0]
    if not left:
        return NO_CONTENT
    why = "not there" if mode == "update" else "there already, and noOverwrite was asked"
    return json_answer(
        {
            "updated": [context.compact(name) for name in updated],
            "notUpdated": [
                {"attributeName": context.compact(name), "reason": why} for name in left
            ],
        },
        207,
    )


async def update_attribute(face: Face, request: Request, urn: str, term: str) -> Answer:
    """PATCH /entities/{id}/attrs/{attr} (5.6.4): a part of one attribute."""
    caller, permit = face.permit(request, "write")
    doc, context = await face.document(request)
    name = context.expand(term)
    if not isinstance(doc, dict):
        raise Invalid("an attribute fragment is a JSON object")
    present = face.store.decode(face.store.entity(for_update(permit), urn))
    instance = present.get(name, doc.get("datasetId"))
    if instance is None:
        raise NotFound(f"{urn} has no such attribute")
    patch = _fragment(name, doc, instance, context)
    op = c.SetAttributes(urn, (merged(instance, patch),), "update", expect=present.version)
    await face.commit(request, caller, permit, op)
    return NO_CONTENT


def _fragment(name: str, doc: dict[str, Any], present: Attribute, context: Context) -> Attribute:
    """A fragment may leave out type and value: those of the present instance stand then."""
    if "@context" in doc:
        doc = {key: value for key, value in doc.items() if key != "@context"}
    if doc.get("type", present.kind) != present.kind:
        raise Invalid(f"{name} is a {present.kind}")
    from_present = {"type": present.kind, VALUE_KEY[present.kind]: present.value}
    return parse_instances(name, {**from_present, **doc}, context)[0]


async def replace_attribute(face: Face, request: Request, urn: str, term: str) -> Answer:
    """PUT /entities/{id}/attrs/{attr} (5.6.19)."""
    caller, permit = face.permit(request, "write")
    doc, context = await face.document(request)
    if isinstance(doc, dict):
        doc = {key: value for key, value in doc.items() if key != "@context"}
    written = tuple(parse_instances(context.expand(term), doc, context))
    committed = await face.commit(request, caller, permit, c.SetAttributes(urn, written, "update"))
    if committed.results[0][1]:
        raise NotFound(f"{urn} has no such attribute")
    return NO_CONTENT


async def delete_attribute(face: Face, request: Request, urn: str, term: str) -> Answer:
    """DELETE /entities/{id}/attrs/{attr} (5.6.5)."""
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, frozenset(("datasetId", "deleteAll")))
    name = (await face.context(request)).expand(term)
    op = c.DeleteAttribute(urn, name, given.get("datasetId"), flag(given, "deleteAll"))
    await face.commit(request, caller, permit, op)
    return NO_CONTENT


async def types(face: Face, request: Request) -> Answer:
    """GET /types (5.7.5): the types that exist for this caller."""
    _, permit = face.permit(request, "read")
    check_names(request.query(), frozenset(("details", "local", "csf")))
    context = await face.context(request)
    names = [context.compact(name) for name, _ in face.store.types(permit)]
    if len(names) > PAGE_MAX:
        raise TooLarge(f"there are more than {PAGE_MAX} types")
    await face.before_leaving(permit, ())
    return json_answer(
        {"id": "urn:ngsi-ld:EntityTypeList:1", "type": "EntityTypeList", "typeList": sorted(names)}
    )
