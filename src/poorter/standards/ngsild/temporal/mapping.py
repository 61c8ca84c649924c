# SPDX-License-Identifier: EUPL-1.2
"""Entity maps of temporal queries (CIM 009, 5.14.5; 6.18.3.2, 6.35): made, and paged by."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

from poorter.city.errors import Invalid, NotFound
from poorter.city.query import Selector
from poorter.gate.permit import Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.params import check_names, flag
from poorter.standards.ngsild.sources.evolving import gather, temporal_question, which
from poorter.standards.ngsild.sources.gathered import Gathered
from poorter.standards.ngsild.sources.mapping import HEADER, OWN, location
from poorter.standards.ngsild.sources.maps import HERE, IDS_MAX, LIFETIME_US, EntityMap, lifetime_us
from poorter.standards.ngsild.temporal import reading
from poorter.standards.ngsild.temporal.asking import parse_asked
from poorter.standards.ngsild.temporal.searching import Search


async def create(face: Face, request: Request) -> Answer:
    """GET /temporal/entityMaps: which evolutions a query finds, not the evolutions themselves."""
    caller, permit = face.permit(request, "read")
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    given = request.query()
    check_names(given, reading.QUERY | set(OWN))
    over = await _over(face, request, permit, context, given)
    made = _made(over, caller, permit, context, given)
    answer = wanted.answer(made.shown())
    headers = (*answer.headers, *over.warnings, (HEADER, location(made)))
    return replace(answer, status=201, headers=headers)


async def create_by_post(face: Face, request: Request) -> Answer:
    """POST /temporal/entityMaps: the same question in a body."""
    caller, permit = face.permit(request, "read")
    in_url = request.query()
    check_names(in_url, frozenset(OWN))
    doc, context = await face.document(request)
    wanted = await face.wanted(request, context)
    given, selectors = reading.given_by(doc, in_url, context)
    over = await _over(face, request, permit, context, given, selectors)
    made = _made(over, caller, permit, context, given, Search(_rest(given), context, selectors))
    answer = wanted.answer(made.shown())
    headers = (*answer.headers, *over.warnings, (HEADER, location(made)))
    return replace(answer, status=201, headers=headers)


async def _over(
    face: Face,
    request: Request,
    permit: Permit,
    context: Context,
    given: dict[str, str],
    selectors: tuple[Selector, ...] = (),
) -> Gathered:
    """What sources have of it, laid over what is here."""
    rest = _rest(given)
    if face.federation is None or not face.federation.registry.any or flag(rest, "local"):
        return Gathered(face, {})
    asked = which(rest, context, selectors)
    return await gather(face, request, permit, temporal_question(face, asked, rest, context))


def _rest(given: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name not in OWN}


def _made(
    over: Gathered,
    caller: Caller,
    permit: Permit,
    context: Context,
    given: dict[str, str],
    search: Search | None = None,
) -> EntityMap:
    lasts_us = lifetime_us(given["entityMapLifetime"]) if "entityMapLifetime" in given else None
    rest = _rest(given)
    asked = parse_asked(rest, context, None)
    if asked.window.relation is None:
        raise Invalid("a temporal query is needed: timerel and timeAt")
    search = search or Search(rest, context)
    face = over.face
    found = search.ids(face.store, permit, asked, IDS_MAX + 1)
    ids = {urn: over.by.get(urn, (HERE,)) for urn in found}
    return face.maps.make(caller, ids, lasts_us or LIFETIME_US)


async def query(face: Face, request: Request) -> Answer:
    """GET /temporal/entities with entityMap=true (makes one), or with NGSILD-EntityMap (pages by
    it: what the query does not find any more leaves the map)."""
    caller, permit = face.permit(request, "read")
    context = await face.context(request)
    given = request.query()
    header = request.header(HEADER)
    rest = _rest(given)
    known: EntityMap | None = None
    if header is not None:
        try:
            known = face.maps.get(caller, unquote(header.rsplit("/", 1)[-1]))
        except NotFound:
            known = None  # a new one takes its place (5.7.1.4)
    elif not flag(given, "entityMap"):
        return await reading.query(face, request)
    status = 200
    over = await _over(face, request, permit, context, given)
    if known is None:
        known, status = _made(over, caller, permit, context, given), 201
    wanted = await face.wanted(request, context)
    check_names(rest, reading.QUERY)
    search = Search(rest, context, within=frozenset(known.ids))
    found = search.ids(over.face.store, permit, parse_asked(rest, context, None), IDS_MAX)
    face.maps.prune(known, set(known.ids) - set(found))
    answer = await reading.answered(over.face, request, permit, context, wanted, rest, search)
    status = status if answer.status == 200 else answer.status
    headers = (*answer.headers, *over.warnings, (HEADER, location(known)))
    return replace(answer, status=status, headers=headers)
