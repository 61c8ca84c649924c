# SPDX-License-Identifier: EUPL-1.2
"""Which types and attributes there are, at sources too (CIM 009, 5.7.5 to 5.7.11): asked of those
that offer it, held to what they registered, laid over what is here."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import quote

from poorter.city.errors import CityError, Invalid
from poorter.city.query import Selector
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request, parse_json
from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild import discovery
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.params import flag
from poorter.standards.ngsild.problem import problem_answer
from poorter.standards.ngsild.sources.asking import ASKED_MAX, Fault, Way, all_within, warning
from poorter.standards.ngsild.sources.matching import Sought
from poorter.standards.ngsild.sources.reading import beyond
from poorter.standards.ngsild.sources.sharing import Share, share_with
from poorter.store.contract import Facet, Store

NAMES_MAX = 10_000  # of one source


@dataclass(frozen=True, slots=True)
class Which:
    """One of the six questions: the operation, with details else without; what it is about."""

    detailed: str
    plain: str | None
    path: str
    type: str | None = None
    name: str | None = None


_TYPES = Which("retrieveEntityTypeDetails", "retrieveEntityTypes", "/types")
_ATTRIBUTES = Which("retrieveAttrTypeDetails", "retrieveAttrTypes", "/attributes")
_ONE_TYPE = Which("retrieveEntityTypeInfo", None, "/types")
_ONE_ATTRIBUTE = Which("retrieveAttrTypeInfo", None, "/attributes")


async def types(face: Face, request: Request) -> Answer:
    """GET /types."""
    return await _over(face, request, _TYPES, "", lambda f: discovery.types(f, request))


async def one_type(face: Face, request: Request, term: str) -> Answer:
    """GET /types/{type}."""
    return await _over(
        face, request, _ONE_TYPE, term, lambda f: discovery.one_type(f, request, term)
    )


async def attributes(face: Face, request: Request) -> Answer:
    """GET /attributes."""
    return await _over(face, request, _ATTRIBUTES, "", lambda f: discovery.attributes(f, request))


async def one_attribute(face: Face, request: Request, term: str) -> Answer:
    """GET /attributes/{attr}."""
    return await _over(
        face, request, _ONE_ATTRIBUTE, term, lambda f: discovery.one_attribute(f, request, term)
    )


async def _over(
    face: Face,
    request: Request,
    which: Which,
    term: str,
    answer: Callable[[Face], Awaitable[Answer]],
) -> Answer:
    _, permit = face.permit(request, "read")
    given = request.query()
    context = await face.context(request)
    if which is _ONE_TYPE:
        which = replace(which, type=context.expand(term))
    elif which is _ONE_ATTRIBUTE:
        which = replace(which, name=context.expand(term))
    shares = [] if flag(given, "local") else _shares(face, permit, which, given, context)
    if not shares:
        return await answer(face)
    way = Way(face.sources, request, context)
    asked = shares[:ASKED_MAX]
    results = await all_within([_ask(face, way, permit, one, which) for one in asked])
    more: list[Facet] = []
    warnings: list[tuple[bytes, bytes]] = []
    for share, result in zip(asked, results, strict=True):
        facets, faults = ([], [result]) if isinstance(result, Fault) else result
        more += facets
        warnings += [warning(share.registration, fault) for fault in faults]
    over = copy.copy(face)
    over.store = cast(Store, OverFacets(face.store, more))
    try:
        made = await answer(over)
    except CityError as error:
        made = problem_answer(error)
    return replace(made, headers=(*made.headers, *warnings))


def _shares(
    face: Face, permit: Permit, which: Which, given: Mapping[str, str], context: Context
) -> list[Share]:
    csf = given.get("csf")
    sought = Sought(
        selectors=(Selector(((which.type,),)),) if which.type else (),
        names=frozenset((which.name,)) if which.name else frozenset(),
        filter=parse_q(csf, context) if csf else None,
        open=True,
    )
    registry = face.sources.registry
    asked = frozenset((which.type,)) if which.type else frozenset()
    shares = [
        share_with(registry, one, permit, sought, asked)
        for one in registry.running()
        if _operation(which, one.operations) is not None
    ]
    return [share for share in shares if share is not None]


def _operation(which: Which, offered: frozenset[str]) -> str | None:
    return next((o for o in (which.detailed, which.plain) if o in offered), None)


async def _ask(
    face: Face, way: Way, permit: Permit, share: Share, which: Which
) -> tuple[list[Facet], list[Fault]]:
    registration = share.registration
    closed = way.closed(registration)
    if closed is not None:
        return [], [closed]
    try:
        spoken = await way.spoken(registration)
        path, params = which.path, {}
        about = which.type or which.name
        if about is not None:
            path += "/" + quote(spoken.compact(about), safe="")
        elif which.detailed in registration.operations:
            params["details"] = "true"
        if registration.local_only:
            params["local"] = "true"
        reply = await way.ask(registration, "GET", path, params, spoken)
        return _read(face, permit, share, which, spoken, reply)
    except CityError as wrong:
        return [], [Fault(111, f"its answer can't be read: {wrong.detail}"[:150], 502)]


def _read(
    face: Face, permit: Permit, share: Share, which: Which, spoken: Context, reply: Reply | Fault
) -> tuple[list[Facet], list[Fault]]:
    if isinstance(reply, Fault):
        return [], [reply]
    if reply.status == 404:
        return [], beyond(reply)
    if reply.status == 508:
        return [], [Fault(199, "the request went in a circle", 508)]
    if reply.status != 200:
        return [], [Fault(299, f"it answers {reply.status}", reply.status)]
    giving = face.sources.registry.may(share.registration)
    if giving is None:
        return [], []
    said = facets_of(parse_json(reply.body), spoken, which)
    return [one for one in said if _may(one, share, permit, giving)], beyond(reply)


def facets_of(doc: Any, context: Context, which: Which) -> list[Facet]:
    """What a source says there is (5.2.24 to 5.2.28). Raises Invalid."""
    if isinstance(doc, dict) and isinstance(doc.get("typeList"), list):
        return [Facet(name, "", "", 0, 1) for name in _names(doc["typeList"], context)]
    if isinstance(doc, dict) and isinstance(doc.get("attributeList"), list):
        return [Facet("", name, "", 0, 0) for name in _names(doc["attributeList"], context)]
    found: list[Facet] = []
    for one in doc if isinstance(doc, list) else [doc]:
        if not isinstance(one, dict):
            raise Invalid("a type or an attribute is a JSON object")
        found += _detailed(one, context, which)
    if len(found) > NAMES_MAX:
        raise Invalid(f"over {NAMES_MAX} names")
    return found


def _detailed(doc: Mapping[str, Any], context: Context, which: Which) -> list[Facet]:
    kind = doc.get("type")
    if kind == "EntityType":
        [name] = _names([doc.get("typeName")], context)
        return [
            Facet(name, "", "", 0, 1),
            *(Facet(name, one, "", 0, 1) for one in _names(doc.get("attributeNames"), context)),
        ]
    if kind == "EntityTypeInfo":
        name = which.type or ""
        count = _count(doc.get("entityCount"))
        found = [Facet(name, "", "", 0, count)]
        for one in doc.get("attributeDetails") or []:
            if isinstance(one, dict):
                [attribute] = _names([one.get("attributeName")], context)
                kinds = _texts(one.get("attributeTypes")) or [""]
                found += [Facet(name, attribute, each, 0, count) for each in kinds]
        return found
    if kind != "Attribute":
        raise Invalid("it is none of the forms of 5.2.24 to 5.2.28")
    name = which.name or _names([doc.get("attributeName")], context)[0]
    types = _names(doc.get("typeNames"), context) or [""]
    kinds = _texts(doc.get("attributeTypes")) or [""]
    count = _count(doc.get("attributeCount"))
    return [
        Facet(one, name, each, count if (one, each) == (types[0], kinds[0]) else 0, 0)
        for one in types
        for each in kinds
    ]


def _texts(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else []
    return [one for one in listed if isinstance(one, str)]


def _names(value: Any, context: Context) -> list[str]:
    found = _texts(value)
    if isinstance(value, list) and len(found) < len(value):
        raise Invalid("a name is a text")
    return [context.expand(one) for one in found]


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _may(one: Facet, share: Share, permit: Permit, giving: Permit) -> bool:
    """Whether the source may say so, and the caller may know."""
    if one.type and share.types and one.type not in share.types:
        return False
    if one.name and share.names and one.name not in share.names:
        return False
    for name in [one.type] if one.type else list(share.types) or [""]:
        mine, theirs = permit.rule(name), giving.rule(name)
        if mine is None or theirs is None:
            continue
        if not one.name or (mine.covers(one.name) and theirs.covers(one.name)):
            return True
    return False


class OverFacets:
    """A store that knows what sources have beside what is here."""

    def __init__(self, store: Store, more: Iterable[Facet]) -> None:
        self._store = store
        self._more = list(more)

    def __getattr__(self, name: str) -> Any:
        """All that has nothing to do with sources is the store's own."""
        return getattr(self._store, name)

    def facets(self, permit: Permit) -> list[Facet]:
        """What there is together: numbers of entities and instances are added up."""
        here = self._store.facets(permit)
        entities = Counter({one.type: one.entities for one in here})
        for one in self._more:
            if not one.name:
                entities[one.type] += one.entities
        instances: Counter[tuple[str, str, str]] = Counter()
        for one in (*here, *self._more):
            instances[one.type, one.name, one.kind] += one.instances
        return [Facet(*key, number, entities[key[0]]) for key, number in instances.items()]
