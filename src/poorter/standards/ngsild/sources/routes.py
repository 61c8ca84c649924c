# SPDX-License-Identifier: EUPL-1.2
"""Registrations over HTTP (CIM 009, 5.9, 5.10; 6.8, 6.9). Registering needs a grant of its own:
a write permit that names `record:registration`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from poorter.city.errors import Conflict, Denied, Invalid, NotFound
from poorter.city.ids import check_uri, mint
from poorter.city.limits import PAGE_DEFAULT, PAGE_MAX
from poorter.city.query import Query, Selector
from poorter.city.time import format_us
from poorter.gate.gate import for_update
from poorter.gate.permit import Action, Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import NULL
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.params import check_names, flag, number, options
from poorter.standards.ngsild.problem import Clash
from poorter.standards.ngsild.selecting import WHICH, parse_which
from poorter.standards.ngsild.sources.matching import (
    Sought,
    fitting,
    names_in_condition,
    parse_datasets,
    parse_during,
)
from poorter.standards.ngsild.sources.model import (
    READ_ONLY,
    RULE,
    TYPE,
    Registration,
    check_exclusive,
    parse_registration,
)
from poorter.standards.ngsild.sources.showing import HIDDEN, show

BASE = "/ngsi-ld/v1/csourceRegistrations"
_TIME = frozenset(("timerel", "timeAt", "endTimeAt", "timeproperty"))
_SHOW = frozenset(("options", "sysAttrs", "lang", "datasetId", "geometryProperty"))


def enter(face: Face, request: Request, action: Action) -> tuple[Caller, Permit]:
    """The gate of registrations. A grant on all entity types opens none of it: Denied."""
    caller, permit = face.permit(request, action)
    if RULE not in permit.rules:
        raise Denied
    return caller, permit


async def create(face: Face, request: Request) -> Answer:
    """POST /csourceRegistrations (5.9.2)."""
    caller, permit = enter(face, request, "write")
    check_names(request.query(), frozenset())
    doc, context = await face.document(request)
    reg_id = mint("urn:ngsi-ld:ContextSourceRegistration:")
    if isinstance(doc, dict) and "id" in doc:
        reg_id = check_uri(doc["id"], "id")
    now_us = face.clock.now_us()
    new = parse_registration(doc, context, reg_id, caller.processor, caller.purpose, now_us)
    face.sources.registry.has_room()
    _check(face, permit, new)
    await face.sources.registry.drop_expired(reg_id)
    try:
        await face.sources.registry.put(new, new=True)
    except Conflict:
        raise Conflict(f"{reg_id} is there already") from None
    location = f"{BASE}/{quote(reg_id, safe=':')}".encode()
    return Answer(201, b"", ((b"location", location),))


def _check(face: Face, permit: Permit, new: Registration) -> None:
    """Raises Invalid for a host that is not to be called, Clash where this city or another source
    has what the new one would have alone (5.9.2.4)."""
    face.sources.outgoing.check(new.endpoint)
    if face.sources.strict:
        check_exclusive(new)
    other = face.sources.registry.overlapping(new)
    if other is not None:
        raise Clash("another registration has these attributes of this entity")
    if (
        face.sources.strict
        and new.proxied
        and any(_held(face, permit, query) for query in _covered(new))
    ):
        raise Clash("entities that are here already would be held elsewhere: delete them first")


def _held(face: Face, permit: Permit, query: Query) -> bool:
    return bool(face.store.query(for_update(permit), query).entities)


def _covered(new: Registration) -> list[Query]:
    """Questions for what a registration covers; alone: the attributes of one entity."""
    found: list[Query] = []
    for part in new.information:
        names = tuple(sorted(part.names))
        for entity in part.entities:
            ids = () if entity.id is None else (entity.id,)
            types = () if new.mode == "exclusive" else entity.types
            found.append(
                Query(types=types, ids=ids, id_pattern=entity.pattern, attributes=names, limit=1)
            )
        if not part.entities:
            found.append(Query(attributes=names, limit=1))
    return found


async def retrieve(face: Face, request: Request, reg_id: str) -> Answer:
    """GET /csourceRegistrations/{id} (5.10.1)."""
    enter(face, request, "read")
    given = request.query()
    check_names(given, _SHOW)
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    return wanted.answer(_shown(face, given, face.sources.registry.get(reg_id), context))


def _shown(
    face: Face, given: Mapping[str, str], registration: Registration, context: Context
) -> dict[str, Any]:
    doc = show(registration, context)
    tally = face.sources.registry.tally(registration.id)
    if tally.sent:
        doc["status"] = tally.status
        doc["timesSent"], doc["timesFailed"] = tally.sent, tally.failed
        for name, at_us in (("lastSuccess", tally.success_us), ("lastFailure", tally.failure_us)):
            if at_us is not None:
                doc[name] = format_us(at_us)
    options(given, ("sysAttrs",))
    return doc


async def query(face: Face, request: Request) -> Answer:
    """GET /csourceRegistrations (5.10.2): those that may have what is asked for."""
    enter(face, request, "read")
    given = request.query()
    check_names(given, WHICH | _TIME | _SHOW | {"limit", "offset", "count"})
    limit = number(given, "limit", PAGE_DEFAULT, 0, PAGE_MAX)
    offset = number(given, "offset", 0, 0, 1_000_000)
    count = flag(given, "count")
    if limit == 0 and not count:
        raise Invalid("limit=0 asks for a count: say count=true")
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    sought = sought_by(given, context)
    # whole, not narrowed to what fits: 5.10.2.5 leaves it open, and who asks can go on with it
    found = [one for one in face.sources.registry.running() if fitting(one, sought)]
    page = [_shown(face, given, one, context) for one in found[offset : offset + limit]]
    answer = wanted.answer_list(page)
    more = _paging(given, limit, offset, len(found))
    if count:
        more.append((b"ngsild-results-count", str(len(found)).encode()))
    return replace(answer, headers=(*answer.headers, *more))


def sought_by(given: Mapping[str, str], context: Context) -> Sought:
    """What the parameters of a request look for. Raises Invalid, also for too wide a question."""
    # an id tells which sources, so it is narrow enough here
    asked = parse_which(given, context, narrow=bool(given.get("id")))
    names = frozenset(asked.attributes) | names_in_condition(asked.condition)
    csf = given.get("csf")
    return Sought(
        selectors=asked.selectors or _alone(asked),
        names=names,
        geo=asked.geo,
        scopes=asked.scopes,
        during=parse_during(given),
        filter=parse_q(csf, context) if csf else None,
        datasets=parse_datasets(given.get("datasetId")),
    )


def _alone(asked: Query) -> tuple[Selector, ...]:
    sets = asked.type_sets or tuple((name,) for name in asked.types)
    if not (sets or asked.ids or asked.id_pattern):
        return ()
    return (Selector(sets, asked.ids, asked.id_pattern),)


def _paging(
    given: Mapping[str, str], limit: int, offset: int, total: int
) -> list[tuple[bytes, bytes]]:
    links: list[tuple[bytes, bytes]] = []
    rest = {name: value for name, value in given.items() if name not in ("limit", "offset")}
    for rel, start in (("prev", max(0, offset - limit)), ("next", offset + limit)):
        there = offset > 0 if rel == "prev" else offset + limit < total
        if there and limit:
            url = f"{BASE}?{urlencode({**rest, 'limit': limit, 'offset': start})}"
            links.append((b"link", f'<{url}>;rel="{rel}";type="application/ld+json"'.encode()))
    return links


async def update(face: Face, request: Request, reg_id: str) -> Answer:
    """PATCH /csourceRegistrations/{id} (5.9.3): members given replace those it has."""
    caller, permit = enter(face, request, "write")
    check_names(request.query(), frozenset())
    fragment, context = await face.document(request)
    present = _own(face, caller, reg_id)
    if not isinstance(fragment, dict) or not (fragment.keys() - {"@context", "type", "id"}):
        raise Invalid("there is nothing to change in this body")
    if fragment.get("id", reg_id) != reg_id:
        raise Invalid("the id of a registration stays as it is")
    if fragment.get("type", TYPE) != TYPE:
        raise Invalid(f'type must be "{TYPE}"')
    # terms of the fragment are read by its own @context; without one, by the registration's
    said = "@context" in fragment or request.header(b"link") is not None
    doc = dict(present.doc) if not said else show(present, context, secrets=True)
    doc = _patched(doc, fragment, present)
    now_us = face.clock.now_us() if "expiresAt" in fragment else None
    new = parse_registration(
        doc,
        context if said else present.context,
        reg_id,
        caller.processor,
        caller.purpose,
        now_us,
    )
    _check(face, permit, new)
    await face.sources.registry.put(new, new=False)
    return NO_CONTENT


def _patched(
    doc: Mapping[str, Any], fragment: Mapping[str, Any], present: Registration
) -> dict[str, Any]:
    """5.5.8 on a registration: each member as a whole; null and NGSI-LD Null remove."""
    after = dict(doc)
    for member, value in fragment.items():
        if member in READ_ONLY or member in ("id", "@context"):
            continue
        if value == NULL or (value is None and member == "expiresAt"):
            if member in ("type", "information", "endpoint"):
                raise Invalid(f"{member} can't be removed")
            after.pop(member, None)
        elif member == "contextSourceInfo":
            after[member] = _unhidden(value, present)
        else:
            after[member] = value
    return after


def _unhidden(value: Any, present: Registration) -> Any:
    """What was shown hidden and comes back so stays as it was."""
    known = {pair["key"]: pair for pair in present.doc.get("contextSourceInfo", [])}
    if not isinstance(value, list):
        return value
    return [
        known.get(pair.get("key"), pair)
        if isinstance(pair, dict) and pair.get("value") == HIDDEN
        else pair
        for pair in value
    ]


async def delete(face: Face, request: Request, reg_id: str) -> Answer:
    """DELETE /csourceRegistrations/{id} (5.9.4)."""
    caller, _ = enter(face, request, "write")
    check_names(request.query(), frozenset())
    await face.sources.registry.remove(_own(face, caller, reg_id))
    return NO_CONTENT


def _own(face: Face, caller: Caller, reg_id: str) -> Registration:
    """The caller's registration. Raises NotFound, also for somebody else's."""
    found = face.sources.registry.get(reg_id)
    if (found.processor, found.purpose) != (caller.processor, caller.purpose):
        raise NotFound(f"{reg_id} is not there")
    return found
