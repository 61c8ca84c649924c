# SPDX-License-Identifier: EUPL-1.2
"""Snapshots over HTTP (CIM 009, 5.16; 6.3.22, 6.36 to 6.38), and requests about one."""

from __future__ import annotations

import asyncio
import copy
import logging
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote

import msgspec

from poorter.city.errors import CityError, Invalid, NotFound, TooLarge, Unsupported
from poorter.city.ids import mint
from poorter.city.limits import PAGE_MAX
from poorter.city.matching import matches
from poorter.city.query import And, Condition, Or
from poorter.city.time import format_us
from poorter.gate.permit import Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import CORE, Context
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.params import check_names
from poorter.standards.ngsild.problem import problem
from poorter.standards.ngsild.selecting import from_body, parse_which
from poorter.standards.ngsild.snapshots.frozen import Frozen
from poorter.standards.ngsild.snapshots.keeping import (
    CHANGEABLE,
    ENTITIES_MAX,
    MEMBERS,
    QUERIES_MAX,
    READ_ONLY,
    Snapshot,
    check_members,
)
from poorter.standards.ngsild.sources.held import Held, hold
from poorter.standards.ngsild.sources.reading import gather, question_of
from poorter.standards.ngsild.subscriptions.sending import Sender
from poorter.store.contract import Store, StoredEntity

log = logging.getLogger(__name__)
BASE = "/ngsi-ld/v1/snapshots/"
HEADER = b"ngsild-snapshot"
Asked = tuple[dict[str, str], tuple[Any, ...]]


async def create(face: Face, request: Request) -> Answer:
    """POST /snapshots (5.16.1): the queries are asked after the answer; the status tells."""
    held = await hold(request)
    caller, permit = _enter(face, held)
    doc, context = await face.document(held)
    told = check_members(doc, MEMBERS)
    queries = _queries(told, context)
    made = face.snapshots.make(caller, told)
    made.task = asyncio.create_task(
        _fill(face, held, permit, context, made, queries), name=f"snapshot {made.id}"
    )
    return _created(made)


def _enter(face: Face, request: Request) -> tuple[Caller, Permit]:
    """Raises Unsupported where persons are within reach: what is frozen would outlive consent."""
    caller, permit = face.permit(request, "read")
    if permit.personal:
        raise Unsupported("no snapshot is made of what may be about persons")
    return caller, permit


def _queries(told: dict[str, Any], context: Context) -> list[Asked]:
    """What is asked for, checked. Raises Invalid, and Unsupported for evolutions."""
    if told.get("snapshotTemporalQueries"):
        raise Unsupported("snapshots of evolutions are not made here: they change little")
    queries = told.get("snapshotQueries")
    if not isinstance(queries, list) or not 1 <= len(queries) <= QUERIES_MAX:
        raise Invalid(f"snapshotQueries holds 1 to {QUERIES_MAX} queries")
    found = []
    for query in queries:
        if isinstance(query, dict) and "temporalQ" in query:
            raise Invalid("temporalQ belongs into snapshotTemporalQueries (5.2.41)")
        given, selectors = from_body(query, context)
        parse_which(given, context, selectors)
        found.append((given, selectors))
    return found


def _created(made: Snapshot) -> Answer:
    location = (BASE + quote(made.id, safe=":")).encode()
    return Answer(201, b"", ((b"location", location),))


async def _fill(
    face: Face,
    held: Held,
    permit: Permit,
    context: Context,
    snapshot: Snapshot,
    queries: list[Asked],
) -> None:
    """Ask each query, as one by itself is answered: sources too, and the gate as it is then."""
    found: dict[str, StoredEntity] = {}
    details: list[dict[str, Any]] = []
    for given, selectors in queries:
        try:
            any_there = await _ask(face, held, permit, context, given, selectors, found)
            details.append({"resultStatus": "success" if any_there else "empty"})
        except CityError as wrong:
            details.append(_failure(wrong))
    try:
        face.snapshots.fill(snapshot, found)
    except TooLarge as wrong:
        details = [_failure(wrong) for _ in queries]
    snapshot.details, snapshot.status = details, _status(details)
    await _tell(face, snapshot)


def _failure(wrong: CityError) -> dict[str, Any]:
    """ExecutionResultDetails of what went wrong (5.2.42)."""
    return {"resultStatus": "failure", "problemDetails": problem(wrong)}


def _status(details: list[dict[str, Any]]) -> str:
    """Of the whole: a success where each query found something, partial where any did (5.16.1)."""
    each = {one["resultStatus"] for one in details}
    if len(each) == 1:
        return str(each.pop())
    return "partial" if "success" in each else "failure"


async def _ask(
    face: Face,
    held: Held,
    permit: Permit,
    context: Context,
    given: dict[str, str],
    selectors: tuple[Any, ...],
    found: dict[str, StoredEntity],
) -> bool:
    """Add what one query finds; whether it finds any."""
    any_there = False
    asked = replace(parse_which(given, context, selectors), limit=PAGE_MAX)
    question = question_of(face, asked, given, context)
    over = await gather(face, held, face.renewed(permit), context, question)
    while True:
        permit = face.renewed(permit)
        page = over.face.store.query(permit, asked)
        await face.before_leaving(held, permit, page.entities)
        any_there = any_there or bool(page.entities)
        for entity in page.entities:
            found.setdefault(entity.urn, entity)
        if len(found) > ENTITIES_MAX:
            raise TooLarge(f"a snapshot holds at most {ENTITIES_MAX} entities")
        if page.after is None:
            return any_there
        asked = replace(asked, after=page.after)
        await asyncio.sleep(0)


async def _tell(face: Face, snapshot: Snapshot) -> None:
    """A SnapshotNotification (5.3.4, 5.16.6), once; who missed it reads the status."""
    endpoint = snapshot.endpoint
    if endpoint is None or face.federation is None:
        return
    message = {
        "id": mint("urn:ngsi-ld:SnapshotNotification:"),
        "type": "SnapshotNotification",
        "snapshotId": snapshot.id,
        "notifiedAt": format_us(face.clock.now_us()),
        "snapshotStatus": snapshot.status,
        "snapshotQueriesDetails": snapshot.details,
    }
    headers = {"NGSILD-Snapshot": snapshot.id}
    try:
        sender = Sender(face.federation.outgoing)
        await sender.send(endpoint, msgspec.json.encode(message), headers)
    except CityError as wrong:
        log.warning("the status of %s was not told: %s", snapshot.id, wrong.detail)


async def clone(face: Face, request: Request, urn: str) -> Answer:
    """POST /snapshots/{id}/clone (5.16.2): the same entities, under a life of their own."""
    caller, _ = _enter(face, request)
    doc, _ = await face.document(request)
    told = check_members(doc, CHANGEABLE)
    source = face.snapshots.get(caller, urn)
    if source.status == "preparing":
        raise Invalid(f"{urn} is not ready yet")
    queries = {"snapshotQueries": source.doc["snapshotQueries"]}
    made = face.snapshots.make(caller, {**queries, **told})
    try:
        face.snapshots.fill(made, source.entities)
    except TooLarge:
        face.snapshots.remove(made)
        raise
    made.details, made.status = list(source.details), source.status
    made.task = asyncio.create_task(_tell(face, made), name=f"snapshot {made.id}")
    return _created(made)


async def retrieve(face: Face, request: Request, urn: str) -> Answer:
    """GET /snapshots/{id} (5.16.3)."""
    caller, _ = face.permit(request, "read")
    check_names(request.query(), frozenset())
    wanted = await face.wanted(request, await face.context(request))
    return wanted.answer(face.snapshots.get(caller, urn).shown())


async def update(face: Face, request: Request, urn: str) -> Answer:
    """PATCH /snapshots/{id} (5.16.4)."""
    caller, _ = _enter(face, request)
    doc, context = await face.document(request)
    told = check_members(doc, CHANGEABLE)
    snapshot = face.snapshots.get(caller, urn)
    face.snapshots.change(snapshot, told)
    snapshot.task = asyncio.create_task(_tell(face, snapshot), name=f"snapshot {urn}")
    wanted = await face.wanted(request, context)
    return wanted.answer(snapshot.shown())


async def delete(face: Face, request: Request, urn: str) -> Answer:
    """DELETE /snapshots/{id} (5.16.5)."""
    caller, _ = face.permit(request, "read")
    face.snapshots.remove(face.snapshots.get(caller, urn))
    return NO_CONTENT


async def purge(face: Face, request: Request) -> Answer:
    """DELETE /snapshots?q= (5.16.7): those of the caller that the q means."""
    caller, _ = face.permit(request, "read")
    given = request.query()
    check_names(given, frozenset(("q",)))
    if not given.get("q"):
        raise Invalid("say which snapshots, by q")
    condition = parse_q(given["q"], CORE)
    for name in _names(condition):
        if name not in MEMBERS | READ_ONLY:
            raise Invalid(f"q: {name[:60]} is no member of a snapshot")
    gone = [one for one in face.snapshots.of(caller) if matches(one.as_entity(), condition)]
    if not gone:
        raise NotFound("there are no such snapshots")
    for snapshot in gone:
        face.snapshots.remove(snapshot)
    return NO_CONTENT


def _names(condition: Condition) -> list[str]:
    if isinstance(condition, And | Or):
        return [name for term in condition.terms for name in _names(term)]
    return [condition.path.name]


def within(face: Face, request: Request, urn: str) -> Face:
    """The face of one snapshot: the same caller and gate over what was frozen; no sources, since a
    snapshot is local (5.5.15). Raises NotFound."""
    caller, _ = face.permit(request, "read")
    snapshot = face.snapshots.get(caller, urn)
    if snapshot.status == "preparing":
        raise NotFound(f"{urn} is not ready yet")
    face.snapshots.used(snapshot)
    inside = copy.copy(face)
    inside.store = cast(Store, Frozen(face.store, snapshot.entities))
    inside.federation = None
    inside.engine = None
    return inside
