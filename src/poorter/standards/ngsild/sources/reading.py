# SPDX-License-Identifier: EUPL-1.2
"""Retrieve and query over sources (CIM 009, 4.3.6.7, 5.7.1, 5.7.2). What sources give is laid over
the store for this one request; the handlers for what is here then answer as they always do, so
gate, filters, projections, orders and pages hold alike for what comes from elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from poorter.city.errors import CityError, Invalid, NotFound
from poorter.city.query import Query, Selector
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request, parse_json
from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild import consumption
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.params import flag, names_in, types_of
from poorter.standards.ngsild.projection import parse_projection
from poorter.standards.ngsild.selecting import from_body, parse_which
from poorter.standards.ngsild.sources.asking import ASKED_MAX, Fault, Way
from poorter.standards.ngsild.sources.gathered import Gathered, answered_over, ask_all
from poorter.standards.ngsild.sources.held import hold
from poorter.standards.ngsild.sources.maps import HERE
from poorter.standards.ngsild.sources.matching import (
    During,
    Sought,
    names_in_condition,
    parse_datasets,
)
from poorter.standards.ngsild.sources.overlay import Overlay
from poorter.standards.ngsild.sources.received import (
    Received,
    from_here,
    held_to,
    merged,
    read_entity,
    without_registered,
)
from poorter.standards.ngsild.sources.sharing import Share, share_with
from poorter.store.contract import Store, StoredEntity

PAGE = 1000  # entities asked of a source at once
PAGES_MAX = 5
_QUERIES = frozenset(("queryEntity", "queryBatch"))
_FILTERS = ("q", "georel", "geometry", "coordinates", "geoproperty", "scopeQ", "expandValues")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of sources. `urn`: one entity only; `params`: as they came; `split`: parts of
    an entity may lie in several places, so nothing is filtered before they are together."""

    query: Query
    params: Mapping[str, str]
    context: Context
    urn: str | None = None
    by_post: bool = False
    names: frozenset[str] = frozenset()  # attributes wanted; none: all
    split: bool = True
    temporal: bool = False  # evolutions, in the time `during`
    during: During | None = None


async def retrieve(face: Face, request: Request, urn: str) -> Answer:
    """GET /entities/{id} over all sources that may have it."""
    _, permit = face.permit(request, "read")
    given = request.query()
    if flag(given, "local"):
        return await consumption.retrieve(face, request, urn)
    context = await face.context(request)
    types = types_of(given["type"], context) if given.get("type") else ()
    asked = Query(ids=(urn,), selectors=(Selector(types, (urn,)),))
    question = Question(asked, given, context, urn, names=wanted_of(given, context, asked))
    gathered = await gather(face, request, permit, context, question)
    return await answered_over(gathered, lambda f: consumption.retrieve(f, request, urn))


async def query(face: Face, request: Request) -> Answer:
    """GET /entities over all sources that may have some of it."""
    _, permit = face.permit(request, "read")
    given = request.query()
    if flag(given, "local"):
        return await consumption.query(face, request)
    context = await face.context(request)
    asked = parse_which(given, context)
    question = question_of(face, asked, given, context)
    gathered = await gather(face, request, permit, context, question)
    return await answered_over(gathered, lambda f: consumption.query(f, request))


async def query_by_post(face: Face, request: Request) -> Answer:
    """POST /entityOperations/query over all sources that may have some of it."""
    _, permit = face.permit(request, "read")
    held = await hold(request)
    in_url = held.query()
    if flag(in_url, "local"):
        return await consumption.query_by_post(face, held)
    doc, context = await face.document(held)
    given, selectors = from_body(doc, context)
    given = {**in_url, **given}
    asked = parse_which(given, context, selectors)
    question = Question(
        asked, given, context, None, True, wanted_of(given, context, asked), splits(face, given)
    )
    gathered = await gather(face, held, permit, context, question)
    return await answered_over(gathered, lambda f: consumption.query_by_post(f, held))


def splits(face: Face, given: Mapping[str, str]) -> bool:
    """Whether parts of one entity may lie in several places: the caller says, else the city."""
    if "splitEntities" in given:
        return flag(given, "splitEntities")
    return face.federation is None or face.federation.split


def wanted_of(given: Mapping[str, str], context: Context, asked: Query) -> frozenset[str]:
    """The attributes that an answer can do with, and those it is filtered by; none for all."""
    names: frozenset[str] = frozenset()
    if given.get("attrs"):
        names = frozenset(names_in(given["attrs"], context))
    elif given.get("pick"):
        names = frozenset(parse_projection(given["pick"], context, "pick").attributes)
    if not names or given.get("orderBy") or given.get("join"):
        return frozenset()
    place = frozenset((asked.geo.attribute,)) if asked.geo else frozenset()
    return names | names_in_condition(asked.condition) | place


async def gather(
    face: Face, request: Request, permit: Permit, context: Context, question: Question
) -> Gathered:
    """Ask all sources that may have some of it; the same face where there are none."""
    if face.federation is None or not face.sources.registry.any:
        return Gathered(face, {})
    way = Way(face.sources, request, context)
    operations = _QUERIES if question.urn is None else _QUERIES | {"retrieveEntity"}
    shares = [] if flag(question.params, "local") else shares_of(face, permit, question, operations)
    if not shares:
        return Gathered(face, {})
    if question.params.get("orderBy"):  # 4.23.1: of a single broker only
        raise Invalid("what comes from several sources has no order: leave it out, or local=true")
    parts, warnings = await ask_all(shares, lambda share: _ask(face, way, share, question))
    found, by = _together(face, permit, parts)
    over = copy.copy(face)
    over.store = cast(Store, Overlay(face.store, found))  # it hands on what it hasn't of its own
    return Gathered(over, by, warnings)


async def completed(
    face: Face, way: Way, permit: Permit, share: Share, received: Sequence[Received]
) -> dict[str, StoredEntity]:
    """Entities that one source told a part of, with the parts that are here and at the others."""
    urns = tuple(one.urn for one in received)
    types = tuple((name,) for name in dict.fromkeys(n for one in received for n in one.types))
    asked = Query(ids=urns, selectors=(Selector(types, urns),))
    question = Question(asked, {}, way.context)
    others = [
        one
        for one in shares_of(face, permit, question, _QUERIES)
        if one.registration.id != share.registration.id
    ][:ASKED_MAX]
    parts, _ = await ask_all(others, lambda share: _ask(face, way, share, question))
    found, _ = _together(face, permit, [(share, list(received)), *parts])
    return found


def question_of(face: Face, asked: Query, given: Mapping[str, str], context: Context) -> Question:
    """A query by URL as a question to sources."""
    wanted = wanted_of(given, context, asked)
    return Question(asked, given, context, names=wanted, split=splits(face, given))


# -- what goes to whom ---------------------------------------------------------------------------


def shares_of(
    face: Face, permit: Permit, question: Question, operations: frozenset[str]
) -> list[Share]:
    """The sources that may have something, as far as the gate lets the question reach them."""
    csf = question.params.get("csf")
    asked = question.query
    sought = Sought(
        selectors=asked.selectors or _selectors(asked),
        names=question.names,
        filter=parse_q(csf, question.context) if csf else None,
        geo=asked.geo,
        scopes=asked.scopes,
        datasets=parse_datasets(question.params.get("datasetId")),
        during=question.during,
        temporal=question.temporal,
        open=True,
    )
    registry = face.sources.registry
    types = _types_asked(asked)
    shares = (
        share_with(registry, one, permit, sought, types)
        for one in registry.running()
        if operations & one.operations
    )
    return [share for share in shares if share is not None]


def _selectors(asked: Query) -> tuple[Selector, ...]:
    sets = asked.type_sets or tuple((name,) for name in asked.types)
    if not (sets or asked.ids or asked.id_pattern):
        return ()
    return (Selector(sets, asked.ids, asked.id_pattern),)


def _types_asked(asked: Query) -> set[str]:
    if asked.types:
        return set(asked.types)
    sets = [names for one in asked.selectors for names in one.type_sets] + list(asked.type_sets)
    return {name for names in sets for name in names}


# -- asking --------------------------------------------------------------------------------------


async def _ask(
    face: Face, way: Way, share: Share, question: Question
) -> tuple[list[Received], list[Fault]]:
    """What one source has; faults are told apart from having nothing."""
    registration = share.registration
    closed = way.closed(registration)
    if closed is not None:
        return [], [closed]
    try:
        spoken = await way.spoken(registration)
        if question.urn is not None and "retrieveEntity" in registration.operations:
            params = params_of(share, question, spoken, with_ids=False)
            path = f"/entities/{quote(question.urn, safe=':')}"
            reply = await way.ask(registration, "GET", path, params, spoken)
            return await _read(face, share, question, spoken, reply)
        return await _pages(face, way, share, question, spoken)
    except CityError as wrong:
        return [], [Fault(111, wrong.detail[:100], 502)]


async def _pages(
    face: Face, way: Way, share: Share, question: Question, spoken: Context
) -> tuple[list[Received], list[Fault]]:
    found: dict[str, Received] = {}
    operations = share.registration.operations
    by_post = "queryBatch" in operations and (question.by_post or "queryEntity" not in operations)
    for page in range(PAGES_MAX):
        place = {"limit": str(PAGE)} | ({"offset": str(page * PAGE)} if page else {})
        params = params_of(share, question, spoken, with_ids=True)
        if by_post:
            reply = await way.ask(
                share.registration,
                "POST",
                "/entityOperations/query",
                {**place, "options": "sysAttrs"},
                spoken,
                _query_body(params),
            )
        else:
            reply = await way.ask(
                share.registration, "GET", "/entities", {**params, **place}, spoken
            )
        some, faults = await _read(face, share, question, spoken, reply)
        fresh = [one for one in some if one.urn not in found]
        found.update((one.urn, one) for one in fresh)
        if faults or not fresh or _sent(reply) < PAGE:
            return list(found.values()), faults
    return list(found.values()), [Fault(199, f"over {PAGE * PAGES_MAX} entities", 504)]


def _sent(reply: Reply | Fault) -> int:
    """How many entities an answer held, whatever they were worth."""
    if isinstance(reply, Fault) or reply.status != 200:
        return 0
    doc = parse_json(reply.body)
    return len(doc) if isinstance(doc, list) else 1


def params_of(share: Share, question: Question, spoken: Context, with_ids: bool) -> dict[str, str]:
    """The question in the words of a source, no wider than its share."""
    params: dict[str, str] = {}
    types = [spoken.compact(name) for name in share.types]
    if types:
        params["type"] = ",".join(types)
    if with_ids:
        params |= ids_of(share, question)
    names = (
        share.names & question.names
        if share.names and question.names
        else (share.names or question.names)
    )
    if names:
        params["attrs"] = ",".join(sorted(spoken.compact(name) for name in names))
    if with_ids and spoken is question.context and _filters_go(share, question):
        params |= {n: question.params[n] for n in _FILTERS if question.params.get(n)}
    if share.registration.local_only:
        params["local"] = "true"
    params["options"] = "sysAttrs"
    return params


def _filters_go(share: Share, question: Question) -> bool:
    """Whether a source can judge for itself: entities are whole there, or what is asked of them
    is among the attributes that it has of them."""
    asked = question.query
    needed = names_in_condition(asked.condition)
    if asked.geo is not None:
        needed |= {asked.geo.attribute}
    return not question.split and (not share.names or needed <= share.names)


def ids_of(share: Share, question: Question) -> dict[str, str]:
    """The ids or the pattern that the question and the registration have in common."""
    asked = [urn for one in question.query.selectors for urn in one.ids] or question.query.ids
    entities = [e for part in share.registration.information for e in part.entities]
    if asked:
        kept = [
            urn
            for urn in dict.fromkeys(asked)
            if share.registration.names_of(urn, share.types or None) is not None
        ]
        return {"id": ",".join(kept)}
    if entities and all(entity.id is not None for entity in entities):
        return {"id": ",".join(dict.fromkeys(entity.id or "" for entity in entities))}
    if question.query.id_pattern:
        return {"idPattern": question.query.id_pattern}
    patterns = {entity.pattern for entity in entities}
    if len(patterns) == 1 and entities and entities[0].id is None and entities[0].pattern:
        return {"idPattern": entities[0].pattern}
    return {}


def _query_body(params: Mapping[str, str]) -> dict[str, Any]:
    """A Query document (5.2.23) that asks the same."""
    selector: dict[str, Any] = {}
    for name in ("type", "id", "idPattern"):
        if name in params:
            selector[name] = params[name]
    if "," in selector.get("id", ""):
        selector["id"] = selector["id"].split(",")
    body: dict[str, Any] = {"type": "Query"}
    if selector:
        body["entities"] = [selector]
    if "attrs" in params:
        body["attrs"] = params["attrs"].split(",")
    for name in ("q", "scopeQ"):
        if name in params:
            body[name] = params[name]
    geo = {
        n: params[n] for n in ("georel", "geometry", "coordinates", "geoproperty") if n in params
    }
    return {**body, "geoQ": geo} if geo else body


async def _read(
    face: Face, share: Share, question: Question, spoken: Context, reply: Reply | Fault
) -> tuple[list[Received], list[Fault]]:
    """The entities of an answer, as far as the source may give them."""
    if isinstance(reply, Fault):
        return [], [reply]
    further = beyond(reply)
    if reply.status == 404:
        return [], further
    if reply.status == 508:
        return [], [Fault(199, "the request went in a circle", 508)]
    if reply.status != 200:
        return [], [Fault(299, f"it answers {reply.status}", reply.status)]
    giving = face.sources.registry.may(share.registration)  # as it is after the wait
    if giving is None:
        return [], []
    now_us = face.clock.now_us()
    ids = frozenset((question.urn,)) if question.urn is not None else None
    found: list[Received] = []
    try:
        doc = parse_json(reply.body) if reply.body else []
        if question.urn is not None and isinstance(doc, list) and len(doc) > 1:
            raise Invalid("one entity was asked for")
        for one in doc if isinstance(doc, list) else [doc]:
            context = await context_of(face, one, spoken)
            received = read_entity(one, context, now_us)
            if received is None:
                continue
            held = held_to(received, share.registration, giving, ids)
            if held is not None:
                found.append(held)
    except CityError as wrong:
        return [], [Fault(111, f"its answer can't be read: {wrong.detail}"[:150], 502)]
    return found, further


def beyond(reply: Reply) -> list[Fault]:
    """What a source warns of itself: it has sources too, and what they have may be missing."""
    code = (reply.headers.get("ngsild-warning") or "").strip()[:3]
    if not code.isdecimal() or len(code) < 3:
        return []
    text = "its sources lead back" if code == "199" else "something of its sources is missing"
    return [Fault(int(code), text, 504)]


async def context_of(face: Face, doc: Any, spoken: Context) -> Context:
    """The @context of an entity in an answer: inside it, or that in which was asked."""
    inline = doc.get("@context") if isinstance(doc, dict) else None
    return spoken if inline is None else await face.contexts.of(inline)


# -- together ------------------------------------------------------------------------------------


def _together(
    face: Face, permit: Permit, parts: Sequence[tuple[Share, list[Received]]]
) -> tuple[dict[str, StoredEntity], dict[str, tuple[str, ...]]]:
    """Entities that sources have a part in, each with what is here; and who has a part."""
    main: dict[str, list[Received]] = {}
    auxiliary: dict[str, list[Received]] = {}
    by: dict[str, list[str]] = {}
    for share, received in parts:
        into = auxiliary if share.registration.mode == "auxiliary" else main
        for one in received:
            into.setdefault(one.urn, []).append(one)
            by.setdefault(one.urn, []).append(share.registration.id)
    found: dict[str, StoredEntity] = {}
    now_us = face.clock.now_us()
    for urn in main.keys() | auxiliary.keys():
        here: list[Received] = []
        try:
            stored = face.store.entity(face.renewed(permit), urn)  # leases end soon
            mine = from_here(stored, face.store.decode(stored).attributes)
            for share, _ in parts:
                if share.registration.proxied:
                    mine = without_registered(mine, share.registration)
            here.append(mine)
            by[urn].insert(0, HERE)
        except NotFound:
            pass
        # the newest word counts; where nothing tells which that is, what is here stands
        found[urn] = merged([*here, *main.get(urn, [])], auxiliary.get(urn, []), now_us)
    return found, {urn: tuple(ids) for urn, ids in by.items()}
