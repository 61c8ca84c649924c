# SPDX-License-Identifier: EUPL-1.2
"""Reading entities over HTTP (CIM 009, 5.7.1, 5.7.2; 6.4.3.2, 6.5.3.1, 6.23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

from poorter.city.errors import Invalid, NotFound, TooLarge
from poorter.city.limits import PAGE_MAX
from poorter.city.query import Query
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.encode import encode_entities, encode_entity, encode_plain
from poorter.standards.ngsild.face import Face, Wanted
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.linked import Links
from poorter.standards.ngsild.ordering import ORDERED_MAX, Order
from poorter.standards.ngsild.params import FORM, check_names, parse_form, types_of
from poorter.standards.ngsild.represent import represent
from poorter.standards.ngsild.selecting import (
    ORDER,
    PAGING,
    WHICH,
    Selection,
    from_body,
    parse_selection,
)
from poorter.store import contract as c

BASE = "/ngsi-ld/v1"
OFFSET_NEAR = 1000  # up to so many, skipping them costs less than a link that can't be read
_PLAIN_FORM = Form()
#: all that a query for entities may say in its URL
QUERY = WHICH | PAGING | ORDER | FORM | {"splitEntities"}
_IN_BODY = PAGING | {"options", "format", "sysAttrs", "geometryProperty", "local"}
_BODY_FORM = frozenset(("join", "joinLevel", "containedBy", "lang", "pick", "omit", "datasetId"))


async def retrieve(face: Face, request: Request, urn: str) -> Answer:
    """GET /entities/{id} (5.7.1)."""
    _, permit = face.permit(request, "read")
    context = await face.context(request)
    wanted = await face.wanted(request, context, geojson=True)
    form = _PLAIN_FORM
    if request.scope["query_string"] or not wanted.plain:
        form = _form(request.query(), context, wanted, FORM | {"type"})
    entity = face.store.entity(permit, urn)
    if form is _PLAIN_FORM:
        await face.before_leaving(request, permit, (entity,))
        return Answer(200, encode_plain(entity), wanted.headers)
    _check_there(entity, form, request.query().get("type"), context)
    links = await _recorded(face, request, permit, (entity,), form)
    return Answer(200, encode_entity(entity, form, links), wanted.headers)


def _form(given: dict[str, str], context: Context, wanted: Wanted, known: frozenset[str]) -> Form:
    check_names(given, known)
    form = parse_form(given, context, wanted.embed)
    if not wanted.geojson:
        if given.get("geometryProperty"):
            raise Invalid("geometryProperty is about GeoJSON: accept application/geo+json")
        return form
    return replace(form, geometry=context.expand(given.get("geometryProperty") or "location"))


def _check_there(entity: c.StoredEntity, form: Form, types: str | None, context: Context) -> None:
    """Raises NotFound when nothing of the entity is left of what was asked."""
    urn, have = entity.urn, set(entity.types)
    if types and not any(set(names) <= have for names in types_of(types, context)):
        raise NotFound(f"{urn} is not there as {types[:100]}")
    if form.only is not None and not any(a.name in form.only for a in entity.attributes):
        raise NotFound(f"{urn} has none of these attributes")
    if (form.pick or form.omit) and not represent(entity, form, form.pick, form.omit):
        raise NotFound(f"{urn} has none of these members")


async def _recorded(
    face: Face, request: Request, permit: Permit, entities: tuple[c.StoredEntity, ...], form: Form
) -> Links | None:
    """Record the use of all that will leave, linked entities too."""
    if form.join is None:
        await face.before_leaving(request, permit, entities)
        return None
    links = Links(face.store, permit, form.contained_by)
    await face.before_leaving(request, permit, (*entities, *links.gather(entities, form)))
    return links


async def query(face: Face, request: Request) -> Answer:
    """GET /entities (5.7.2). Pages by key: Link next carries `after`; offset is understood too."""
    _, permit = face.permit(request, "read")
    context = await face.context(request)
    given = request.query()
    check_names(given, QUERY)
    return await _answer(face, request, permit, context, given, parse_selection(given, context))


async def query_by_post(face: Face, request: Request) -> Answer:
    """POST /entityOperations/query (6.23): the same question in a body."""
    _, permit = face.permit(request, "read")
    in_url = request.query()
    check_names(in_url, _IN_BODY | _BODY_FORM)
    doc, context = await face.document(request)
    given, selectors = from_body(doc, context)
    given = {**in_url, **given}
    if "join" in given and "joinLevel" not in given:
        given["joinLevel"] = "1"
    selection = parse_selection(given, context, selectors)
    return await _answer(face, request, permit, context, given, selection)


async def _answer(
    face: Face,
    request: Request,
    permit: Permit,
    context: Context,
    given: dict[str, str],
    selection: Selection,
) -> Answer:
    wanted = await face.wanted(request, context, geojson=True)
    form = _form(given, context, wanted, QUERY)
    page, following = find(face, permit, selection)
    links = await _recorded(face, request, permit, page.entities, form)
    headers = list(wanted.headers)
    if page.count is not None:
        headers.append((b"ngsild-results-count", str(page.count).encode()))
    if request.method == "GET":
        page_of = (selection.query.limit, selection.passed, following)
        headers += page_links(f"{BASE}/entities", given, *page_of, wanted.media)
    return Answer(200, encode_entities(page.entities, form, links), tuple(headers))


def page_links(
    path: str,
    given: Mapping[str, str],
    limit: int,
    passed: int,
    following: dict[str, Any] | None,
    media: str,
) -> list[tuple[bytes, bytes]]:
    """Link headers to the page before and the next one (5.5.9.1): by offset, and far from the start
    by key, beside how many entities came before."""
    rest = {name: value for name, value in given.items() if name not in ("offset", "after", "past")}
    pages: dict[str, dict[str, Any]] = {}
    if passed and limit:
        pages["prev"] = {"offset": max(0, passed - limit)}
    if following is not None:
        pages["next"] = following
    links = []
    for rel, place in pages.items():
        every = sorted({**rest, **place}.items())  # the names are known ones, and safe
        asked = "&".join([f"{name}={quote_plus(str(value), ':*/,')}" for name, value in every])
        url = f"{path}?{asked}"
        links.append((b"link", f'<{url}>; rel="{rel}";type="{media}"'.encode()))
    return links


def find(face: Face, permit: Permit, selection: Selection) -> tuple[c.Page, dict[str, Any] | None]:
    """A page, and what a request for the next one says beside the same question."""
    if selection.order is not None:
        return _ordered(face, permit, selection, selection.order)
    page = _page(face, permit, selection.query, selection.offset)
    if page.after is None or not selection.query.limit:
        return page, None
    passed = selection.passed + len(page.entities)
    if passed <= OFFSET_NEAR:
        return page, {"offset": passed}
    return page, {"after": page.after, "past": passed}


def _page(face: Face, permit: Permit, asked: Query, offset: int) -> c.Page:
    """Skips `offset` entities page by page: what a standard client asks, at its own cost."""
    count = None
    while offset:
        skipped = face.store.query(permit, replace(asked, limit=min(offset, PAGE_MAX)))
        count = skipped.count if count is None else count
        asked = replace(asked, count=False)
        offset -= len(skipped.entities)
        if skipped.after is None:
            return c.Page((), count)
        asked = replace(asked, after=skipped.after)
    page = face.store.query(permit, asked)
    return page if count is None else replace(page, count=count)


def _ordered(
    face: Face, permit: Permit, selection: Selection, order: Order
) -> tuple[c.Page, dict[str, Any] | None]:
    """All matches, sorted: bounded, for an order other than that of ids has no index."""
    found: list[c.StoredEntity] = []
    asked = replace(selection.query, limit=PAGE_MAX, after=None, count=False)
    while True:
        page = face.store.query(permit, asked)
        found += page.entities
        if page.after is None:
            break
        if len(found) >= ORDERED_MAX:
            raise TooLarge(f"over {ORDERED_MAX} entities match: narrow it to have them ordered")
        asked = replace(asked, after=page.after)
    positions = order.sort([face.store.decode(entity) for entity in found])
    limit, offset = selection.query.limit, selection.offset
    chosen = tuple(found[at] for at in positions[offset : offset + limit])
    count = len(found) if selection.query.count else None
    following = {"offset": offset + limit} if offset + limit < len(found) and limit else None
    return c.Page(chosen, count), following
