# SPDX-License-Identifier: EUPL-1.2
"""Reading temporal evolutions over HTTP (CIM 009, 5.7.3, 5.7.4; 6.18.3.2, 6.19.3.1, 6.24)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from poorter.city.errors import Invalid, NotFound
from poorter.city.query import Selector
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.consumption import page_links
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.face import Face, Wanted
from poorter.standards.ngsild.params import check_names
from poorter.standards.ngsild.selecting import PAGING, WHICH, from_body
from poorter.standards.ngsild.temporal.aggregating import aggregated
from poorter.standards.ngsild.temporal.asking import (
    SHOWN,
    WHEN,
    Asked,
    check_retrieve,
    parse_asked,
    temporal_from_body,
    time_of,
)
from poorter.standards.ngsild.temporal.paging import content_range
from poorter.standards.ngsild.temporal.represent import document
from poorter.standards.ngsild.temporal.searching import Search
from poorter.store.contract import (
    StoredEntity,
)
from poorter.store.evolving import Evolution

BASE = "/ngsi-ld/v1/temporal/entities"
#: all that a temporal query may say in its URL
QUERY = WHICH | PAGING | WHEN | SHOWN | {"orderBy", "collation", "splitEntities"}
_BODY = ("temporalQ", "aggrParams")


async def retrieve(face: Face, request: Request, urn: str) -> Answer:
    """GET /temporal/entities/{id} (5.7.3)."""
    _, permit = face.permit(request, "read")
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    given = request.query()
    check_retrieve(given)
    asked = parse_asked(given, context, wanted.embed)
    limit = face.temporal_page if asked.aggregation is None else 1
    evolution = face.store.evolution(permit, asked.only(asked.window.query(urn, limit)))
    if asked.form.only is not None and not evolution.instances:
        raise NotFound(f"{urn} has no such history")
    await face.before_leaving(request, permit, heads_of(face, permit, (evolution,)))
    if asked.aggregation is not None:
        return wanted.answer(aggregated(face.store, permit, evolution, asked))
    doc = document(evolution, asked)
    if not doc:
        raise NotFound(f"{urn} has none of these members")
    return _partly(wanted.answer(doc), (evolution,), asked)


async def query(face: Face, request: Request) -> Answer:
    """GET /temporal/entities (5.7.4)."""
    _, permit = face.permit(request, "read")
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    given = request.query()
    check_names(given, QUERY)
    return await answered(face, request, permit, context, wanted, given, Search(given, context))


async def query_by_post(face: Face, request: Request) -> Answer:
    """POST /temporal/entityOperations/query (6.24): the same question in a body."""
    _, permit = face.permit(request, "read")
    in_url = request.query()
    check_names(in_url, PAGING | SHOWN)
    doc, context = await face.document(request)
    wanted = await face.wanted(request, context)
    given, selectors = given_by(doc, in_url, context)
    search = Search(given, context, selectors)
    return await answered(face, request, permit, context, wanted, given, search)


def given_by(
    doc: Any, in_url: dict[str, str], context: Context
) -> tuple[dict[str, str], tuple[Selector, ...]]:
    """A temporal Query in a body (5.2.23) as parameters, and entity selectors. Raises Invalid."""
    if not isinstance(doc, dict):
        raise Invalid("the body is a JSON object of type Query")
    when: dict[str, str] = {}
    for member in _BODY:
        if member in doc:
            when |= temporal_from_body(doc[member])
    rest = {member: value for member, value in doc.items() if member not in _BODY}
    if "temporalQ" not in doc:
        raise Invalid("a temporal query is needed: temporalQ")
    if "aggrParams" in doc and "format" not in in_url and "options" not in in_url:
        when["format"] = "aggregatedValues"
    given, selectors = from_body(rest, context)
    return {**in_url, **given, **when}, selectors


async def answered(
    face: Face,
    request: Request,
    permit: Permit,
    context: Context,
    wanted: Wanted,
    given: dict[str, str],
    search: Search,
) -> Answer:
    """A page of what a search finds."""
    asked = parse_asked(given, context, wanted.embed)
    if asked.window.relation is None:
        raise Invalid("a temporal query is needed: timerel and timeAt")
    page = search.page(face.store, permit, asked, face.temporal_page)
    await face.before_leaving(request, permit, heads_of(face, permit, page.evolutions))
    if asked.aggregation is not None:
        docs = [aggregated(face.store, permit, one, asked) for one in page.evolutions]
    else:
        docs = [document(one, asked) for one in page.evolutions]
    answer = wanted.answer_list([doc for doc in docs if doc])
    headers = list(answer.headers)
    if page.count is not None:
        headers.append((b"ngsild-results-count", str(page.count).encode()))
    if request.method == "GET":
        page_of = (search.limit, search.passed, page.following)
        headers += page_links(BASE, given, *page_of, wanted.media)
    return _partly(replace(answer, headers=tuple(headers)), page.evolutions, asked)


def _partly(answer: Answer, evolutions: Iterable[Evolution], asked: Asked) -> Answer:
    """206 and the time that is covered, where there are more instances beyond it (6.3.10)."""
    if asked.aggregation is not None or not any(one.beyond is not None for one in evolutions):
        return answer
    moments = [
        moment_us
        for one in evolutions
        for instance in one.instances
        if (moment_us := time_of(instance, asked.window.time)) is not None
    ]
    covered = content_range(asked.window, min(moments), max(moments)) if moments else None
    if covered is None:
        return answer
    return replace(answer, status=206, headers=(*answer.headers, (b"content-range", covered)))


def heads_of(
    face: Face, permit: Permit, evolutions: Iterable[Evolution]
) -> tuple[StoredEntity, ...]:
    """Whose data leaves, for the record of it: where persons are among it, as their rows say."""
    return tuple(_head(face, permit, one) for one in evolutions)


def _head(face: Face, permit: Permit, one: Evolution) -> StoredEntity:
    if permit.personal:
        try:
            return face.store.entity(permit, one.urn)
        except NotFound:
            pass  # gone since: its evolution is recorded under its id
    return StoredEntity(one.urn, one.types, (), 0, one.created_at_us, one.modified_at_us, ())
