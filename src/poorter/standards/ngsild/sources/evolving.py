# SPDX-License-Identifier: EUPL-1.2
"""Temporal evolutions over sources (CIM 009, 5.7.3.4, 5.7.4.4): asked of those that offer it, laid
over the store; the handlers for what is here then answer as they always do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast
from urllib.parse import quote

from poorter.city.errors import CityError, Invalid
from poorter.city.query import Query, Selector
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request, parse_json
from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.params import flag
from poorter.standards.ngsild.selecting import WHICH, parse_which
from poorter.standards.ngsild.sources.asking import Fault, Way
from poorter.standards.ngsild.sources.evolutions import OverEvolutions, Part, held_to, read_part
from poorter.standards.ngsild.sources.gathered import Gathered, answered_over, ask_all
from poorter.standards.ngsild.sources.held import hold
from poorter.standards.ngsild.sources.maps import HERE
from poorter.standards.ngsild.sources.matching import parse_during
from poorter.standards.ngsild.sources.reading import (
    Question,
    beyond,
    context_of,
    params_of,
    shares_of,
    splits,
    wanted_of,
)
from poorter.standards.ngsild.sources.sharing import Share
from poorter.standards.ngsild.temporal import reading as evolution
from poorter.standards.ngsild.temporal.asking import WHEN
from poorter.store.contract import Store

PAGE = 100  # evolutions asked of a source at once
PAGES_MAX = 10
_RETRIEVE = frozenset(("retrieveTemporal", "queryTemporal"))
_QUERY = frozenset(("queryTemporal",))
_RANGE = "date-time "


async def retrieve(face: Face, request: Request, urn: str) -> Answer:
    """GET /temporal/entities/{id} over all sources that may have it."""
    _, permit = face.permit(request, "read")
    given = request.query()
    if flag(given, "local"):
        return await evolution.retrieve(face, request, urn)
    context = await face.context(request)
    asked = Query(ids=(urn,), selectors=(Selector((), (urn,)),))
    question = temporal_question(face, asked, given, context, urn)
    gathered = await gather(face, request, permit, question)
    return await answered_over(gathered, lambda f: evolution.retrieve(f, request, urn))


async def query(face: Face, request: Request) -> Answer:
    """GET /temporal/entities over all sources that may have some of it."""
    _, permit = face.permit(request, "read")
    given = request.query()
    if flag(given, "local"):
        return await evolution.query(face, request)
    context = await face.context(request)
    question = temporal_question(face, which(given, context), given, context)
    gathered = await gather(face, request, permit, question)
    return await answered_over(gathered, lambda f: evolution.query(f, request))


async def query_by_post(face: Face, request: Request) -> Answer:
    """POST /temporal/entityOperations/query over all sources that may have some of it."""
    _, permit = face.permit(request, "read")
    held = await hold(request)
    if flag(held.query(), "local"):
        return await evolution.query_by_post(face, held)
    doc, context = await face.document(held)
    given, selectors = evolution.given_by(doc, held.query(), context)
    question = temporal_question(face, which(given, context, selectors), given, context)
    gathered = await gather(face, held, permit, question)
    return await answered_over(gathered, lambda f: evolution.query_by_post(f, held))


def which(
    given: Mapping[str, str], context: Context, selectors: tuple[Selector, ...] = ()
) -> Query:
    """Which entities a temporal query asks for."""
    return parse_which({n: v for n, v in given.items() if n in WHICH}, context, selectors)


def temporal_question(
    face: Face, asked: Query, given: Mapping[str, str], context: Context, urn: str | None = None
) -> Question:
    """A temporal query as a question to sources."""
    return Question(
        asked,
        given,
        context,
        urn,
        names=wanted_of(given, context, asked),
        split=splits(face, given),
        temporal=True,
        during=parse_during(given),
    )


async def gather(face: Face, request: Request, permit: Permit, question: Question) -> Gathered:
    """Ask all sources that may have some of it; the same face where there are none."""
    operations = _QUERY if question.urn is None else _RETRIEVE
    shares = shares_of(face, permit, question, operations)
    if not shares:
        return Gathered(face, {})
    way = Way(face.sources, request, question.context)
    given, warnings = await ask_all(shares, lambda share: _ask(face, way, share, question))
    found: dict[str, list[Part]] = {}
    by: dict[str, tuple[str, ...]] = {}
    for share, parts in given:
        for part in parts:
            found.setdefault(part.urn, []).append(part)
            by.setdefault(part.urn, _here(face, permit, part.urn))
            by[part.urn] = (*by[part.urn], share.registration.id)
    over = copy.copy(face)
    over.store = cast(Store, OverEvolutions(face.store, found))
    return Gathered(over, by, warnings)


def _here(face: Face, permit: Permit, urn: str) -> tuple[str, ...]:
    return (HERE,) if face.store.evolving(permit, Query(ids=(urn,), limit=1)) else ()


async def _ask(
    face: Face, way: Way, share: Share, question: Question
) -> tuple[list[Part], list[Fault]]:
    registration = share.registration
    closed = way.closed(registration)
    if closed is not None:
        return [], [closed]
    try:
        spoken = await way.spoken(registration)
        single = question.urn is not None and "retrieveTemporal" in registration.operations
        params = params_of(share, question, spoken, with_ids=not single)
        params |= {n: question.params[n] for n in WHEN if question.params.get(n)}
        path = "/temporal/entities"
        if single and question.urn is not None:
            params.pop("type", None)
            path += "/" + quote(question.urn, safe=":")
            return await _through_time(face, way, share, question, (path, params, spoken))
        params.setdefault("timerel", "after")  # a query has a time, a retrieval need not
        params.setdefault("timeAt", "0001-01-01T00:00:00Z")
        found: list[Part] = []
        for page in range(PAGES_MAX):
            place = {"limit": str(PAGE)} | ({"offset": str(page * PAGE)} if page else {})
            asked = (path, {**params, **place}, spoken)
            some, faults = await _through_time(face, way, share, question, asked)
            found += some
            if faults or len({part.urn for part in some}) < PAGE:
                return found, faults
    except CityError as wrong:
        return [], [Fault(111, wrong.detail[:100], 502)]
    return found, [Fault(199, f"over {PAGE * PAGES_MAX} evolutions", 504)]


async def _through_time(
    face: Face,
    way: Way,
    share: Share,
    question: Question,
    asked: tuple[str, dict[str, str], Context],
) -> tuple[list[Part], list[Fault]]:
    """One page, with what a source gives only when asked again for the time after (6.3.10)."""
    path, params, spoken = asked
    found: list[Part] = []
    for _ in range(PAGES_MAX):
        reply = await way.ask(share.registration, "GET", path, params, spoken)
        some, faults = await _read(face, share, question, spoken, reply)
        found += some
        end = None if isinstance(reply, Fault) or faults else _end_of(reply)
        if end is None or "lastN" in params or end == params.get("timeAt"):
            return found, faults
        until = params.get("endTimeAt")
        if params.get("timerel") == "before":
            until = params.get("timeAt")
        params = params | {"timeAt": end, "timerel": "between" if until else "after"}
        if until:
            params["endTimeAt"] = until
    return found, [Fault(199, "there is more of this time than is asked for", 504)]


def _end_of(reply: Reply) -> str | None:
    """Where an answer in part ends."""
    covered = reply.headers.get("content-range", "")
    if reply.status != 206 or not covered.startswith(_RANGE):
        return None
    span = covered[len(_RANGE) :].partition("/")[0]
    middle = span.find("Z-")
    return span[middle + 2 :] if middle > 0 else None


async def _read(
    face: Face, share: Share, question: Question, spoken: Context, reply: Reply | Fault
) -> tuple[list[Part], list[Fault]]:
    if isinstance(reply, Fault):
        return [], [reply]
    if reply.status == 404:
        return [], beyond(reply)
    if reply.status == 508:
        return [], [Fault(199, "the request went in a circle", 508)]
    if reply.status not in (200, 206):
        return [], [Fault(299, f"it answers {reply.status}", reply.status)]
    giving = face.sources.registry.may(share.registration)
    if giving is None:
        return [], []
    ids = frozenset((question.urn,)) if question.urn is not None else None
    now_us = face.clock.now_us()
    found: list[Part] = []
    try:
        doc = parse_json(reply.body) if reply.body else []
        if question.urn is not None and isinstance(doc, list) and len(doc) > 1:
            raise Invalid("one evolution was asked for")
        for one in doc if isinstance(doc, list) else [doc]:
            context = await context_of(face, one, spoken)
            part = held_to(read_part(one, context, share.registration, now_us), giving, ids)
            if part is not None and (not share.types or set(share.types) & set(part.types)):
                found.append(part)
    except CityError as wrong:
        return [], [Fault(111, f"its answer can't be read: {wrong.detail}"[:150], 502)]
    return found, beyond(reply)
