# SPDX-License-Identifier: EUPL-1.2
"""Entity maps over HTTP (CIM 009, 5.14.1 to 5.14.4, 5.5.9.3; 6.4.3.2, 6.34, 6.35)."""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote, unquote, urlencode

from poorter.city.errors import Invalid, NotFound
from poorter.city.limits import PAGE_DEFAULT, PAGE_MAX
from poorter.city.query import Query, Selector
from poorter.gate.permit import Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild import consumption
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import parse_moment
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.params import check_names, flag, number
from poorter.standards.ngsild.selecting import from_body, parse_which
from poorter.standards.ngsild.sources.gathered import Gathered
from poorter.standards.ngsild.sources.held import hold
from poorter.standards.ngsild.sources.maps import HERE, IDS_MAX, LIFETIME_US, EntityMap, lifetime_us
from poorter.standards.ngsild.sources.reading import gather, question_of
from poorter.store.contract import Page, Store

BASE = "/ngsi-ld/v1/entityMaps/"
HEADER = b"ngsild-entitymap"
#: what a query says of its map
OWN = ("entityMap", "entityMapLifetime")
_IDS_AT_ONCE = 500


def asked_for(request: Request) -> bool:
    """Whether a query is to make or to use an entity map."""
    return b"entityMap" in request.scope["query_string"] or request.header(HEADER) is not None


async def create(face: Face, request: Request) -> Answer:
    """GET /entityMaps (5.14.4): the entities that a query finds, not the entities themselves."""
    caller, permit = face.permit(request, "read")
    given = request.query()
    check_names(given, consumption.QUERY | set(OWN))
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    over, made = await _made(face, request, caller, permit, context, given)
    answer = wanted.answer(made.shown())
    headers = (*answer.headers, *over.warnings, (HEADER, location(made)))
    return replace(answer, status=201, headers=headers)


async def create_by_post(face: Face, request: Request) -> Answer:
    """POST /entityMaps: the same question in a body (6.34.3.2)."""
    held = await hold(request)
    caller, permit = face.permit(held, "read")
    in_url = held.query()
    check_names(in_url, frozenset(OWN))
    doc, context = await face.document(held)
    wanted = await face.wanted(held, context)
    given, selectors = from_body(doc, context)
    given = {**in_url, **given}
    over, made = await _made(face, held, caller, permit, context, given, selectors)
    answer = wanted.answer(made.shown())
    headers = (*answer.headers, *over.warnings, (HEADER, location(made)))
    return replace(answer, status=201, headers=headers)


async def _made(
    face: Face,
    request: Request,
    caller: Caller,
    permit: Permit,
    context: Context,
    given: dict[str, str],
    selectors: tuple[Selector, ...] = (),
) -> tuple[Gathered, EntityMap]:
    lasts_us = lifetime_us(given["entityMapLifetime"]) if "entityMapLifetime" in given else None
    asked = parse_which(given, context, selectors)
    over = await gather(face, request, permit, context, question_of(face, asked, given, context))
    found = _all(over.face.store, face.renewed(permit), asked)
    ids = {urn: over.by.get(urn, (HERE,)) for urn in found}
    return over, face.maps.make(caller, ids, lasts_us or LIFETIME_US)


def _all(store: Store, permit: Permit, asked: Query) -> list[str]:
    """The ids of all that match, one more than a map may hold at most."""
    found: list[str] = []
    after: str | None = None
    while len(found) <= IDS_MAX:
        page = store.query(permit, replace(asked, limit=PAGE_MAX, after=after))
        found += [entity.urn for entity in page.entities]
        after = page.after
        if after is None:
            break
    return found


async def retrieve_mapped(face: Face, request: Request, handler: Any, urn: str) -> Answer:
    """Retrieving one entity or evolution with entityMap=true, which makes a map of it, or with
    NGSILD-EntityMap, which names one; where that is not there any more it is made (5.7.1.4)."""
    held = await hold(request)
    caller, _ = face.permit(held, "read")
    given = held.query()
    header = held.header(HEADER)
    rest = {name: value for name, value in given.items() if name not in OWN}
    lasts_us = lifetime_us(given["entityMapLifetime"]) if "entityMapLifetime" in given else None
    answer: Answer = await handler(face, held.with_params(rest), urn)
    if answer.status not in (200, 206) or (header is None and not flag(given, "entityMap")):
        return answer
    known: EntityMap | None = None
    if header is not None:
        with suppress(NotFound):
            known = face.maps.get(caller, unquote(header.rsplit("/", 1)[-1]))
    if known is None:
        known = face.maps.make(caller, {urn: (HERE,)}, lasts_us or LIFETIME_US)
    return replace(answer, headers=(*answer.headers, (HEADER, location(known))))


async def query(face: Face, request: Request) -> Answer:
    """GET /entities with entityMap=true (makes one), or with NGSILD-EntityMap (pages by one)."""
    held = await hold(request)
    caller, permit = face.permit(held, "read")
    given = held.query()
    context = await face.context(held)
    header = held.header(HEADER)
    rest = {name: value for name, value in given.items() if name not in OWN}
    if header is not None:
        try:
            known = face.maps.get(caller, unquote(header.rsplit("/", 1)[-1]))
        except NotFound:
            known = None  # a new one takes its place (5.7.1.4)
        if known is not None:
            return await _paged(face, held, caller, permit, context, rest, known)
    elif not flag(given, "entityMap"):
        return await consumption.query(face, held.with_params(rest))
    over, made = await _made(face, held, caller, permit, context, given)
    answer = await consumption.query(over.face, held.with_params(rest))
    headers = (*answer.headers, *over.warnings, (HEADER, location(made)))
    return replace(answer, status=201, headers=headers)


async def _paged(
    face: Face,
    held: Any,
    caller: Caller,
    permit: Permit,
    context: Context,
    given: dict[str, str],
    known: EntityMap,
) -> Answer:
    """A page of those in the map that the query still finds; the others leave the map."""
    limit = number(given, "limit", PAGE_DEFAULT, 0, PAGE_MAX)
    offset = number(given, "offset", 0, 0, 1_000_000)
    counted = flag(given, "count")
    if given.get("orderBy"):
        raise Invalid("an entity map has an order of its own: leave orderBy out")
    asked = parse_which(given, context)
    over = await gather(face, held, permit, context, question_of(face, asked, given, context))
    ids = sorted(known.ids)
    permit = face.renewed(permit)
    matching: list[str] = []
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = Only(over.face.store, tuple(ids[start : start + _IDS_AT_ONCE]))
        matching += _all(cast(Store, some), permit, asked)
    face.maps.prune(known, set(ids) - set(matching))
    page = copy.copy(over.face)
    chosen = tuple(matching[offset : offset + limit]) or ("urn:ngsi-ld:nothing",)
    page.store = cast(Store, Only(over.face.store, chosen))
    paging = ("limit", "offset", "after", "count")
    rest = {name: value for name, value in given.items() if name not in paging}
    answer = await consumption.query(page, held.with_params({**rest, "limit": str(PAGE_MAX)}))
    headers = [*answer.headers, *over.warnings, (HEADER, location(known))]
    if counted:
        headers.append((b"ngsild-results-count", str(len(matching)).encode()))
    for rel, start in (("prev", max(0, offset - limit)), ("next", offset + limit)):
        there = offset > 0 if rel == "prev" else offset + limit < len(matching)
        if there and limit:
            url = f"/ngsi-ld/v1/entities?{urlencode({**rest, 'limit': limit, 'offset': start})}"
            headers.append((b"link", f'<{url}>;rel="{rel}";type="application/ld+json"'.encode()))
    return replace(answer, headers=tuple(headers))


class Only:
    """A store in which a query finds no other than these entities."""

    def __init__(self, store: Store, ids: tuple[str, ...]) -> None:
        self._store = store
        self._ids = ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def query(self, permit: Permit, asked: Query) -> Page:
        """A page of those that match, of the few there are."""
        ids = tuple(urn for urn in self._ids if not asked.ids or urn in asked.ids)
        return self._store.query(permit, replace(asked, ids=ids)) if ids else Page(())


def location(entity_map: EntityMap) -> bytes:
    """Where a map is, as the header names it."""
    return (BASE + quote(entity_map.id, safe=":")).encode()


async def retrieve(face: Face, request: Request, map_id: str) -> Answer:
    """GET /entityMaps/{id} (5.14.1)."""
    caller, _ = face.permit(request, "read")
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    return wanted.answer(face.maps.get(caller, map_id).shown())


async def update(face: Face, request: Request, map_id: str) -> Answer:
    """PATCH /entityMaps/{id} (5.14.2): when it ends; all else is the system's."""
    caller, _ = face.permit(request, "read")
    doc, _ = await face.document(request)
    if not isinstance(doc, dict):
        raise Invalid("an entity map is a JSON object")
    face.maps.get(caller, map_id)
    if "expiresAt" in doc:
        until_us = parse_moment("the entity map", doc["expiresAt"], "expiresAt")
        face.maps.extend(caller, map_id, until_us)
    return NO_CONTENT


async def delete(face: Face, request: Request, map_id: str) -> Answer:
    """DELETE /entityMaps/{id} (5.14.3)."""
    caller, _ = face.permit(request, "read")
    face.maps.remove(caller, map_id)
    return NO_CONTENT
