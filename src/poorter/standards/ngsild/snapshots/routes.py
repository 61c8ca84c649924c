# SPDX-License-Identifier: EUPL-1.2
"""Snapshots over HTTP (CIM 009, 5.16; 6.3.22, 6.36 to 6.38), and requests about one."""

from __future__ import annotations

import asyncio
import copy
from typing import cast
from urllib.parse import quote

from poorter.city.errors import Invalid, NotFound, TooLarge, Unsupported
from poorter.city.matching import matches
from poorter.city.query import And, Condition, Or
from poorter.gate.permit import Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.params import check_names
from poorter.standards.ngsild.snapshots.filling import fill, queries_of, tell
from poorter.standards.ngsild.snapshots.frozen import Frozen
from poorter.standards.ngsild.snapshots.keeping import (
    CHANGEABLE,
    MEMBERS,
    QUERIES,
    READ_ONLY,
    Snapshot,
    check_members,
)
from poorter.standards.ngsild.sources.held import hold
from poorter.store.contract import Store

BASE = "/ngsi-ld/v1/snapshots/"
HEADER = b"ngsild-snapshot"


async def create(face: Face, request: Request) -> Answer:
    """POST /snapshots (5.16.1): the queries are asked after the answer; the status tells."""
    held = await hold(request)
    caller, permit = _enter(face, held)
    doc, context = await face.document(held)
    told = check_members(doc, MEMBERS)
    queries = queries_of(told, context)
    made = face.snapshots.make(caller, told)
    made.task = asyncio.create_task(
        fill(face, held, permit, context, made, queries), name=f"snapshot {made.id}"
    )
    return _created(made)


def _enter(face: Face, request: Request) -> tuple[Caller, Permit]:
    """Raises Unsupported where persons are within reach: what is frozen would outlive consent."""
    caller, permit = face.permit(request, "read")
    if permit.personal:
        raise Unsupported("no snapshot is made of what may be about persons")
    return caller, permit


def _created(made: Snapshot) -> Answer:
    location = (BASE + quote(made.id, safe=":")).encode()
    return Answer(201, b"", ((b"location", location),))


async def clone(face: Face, request: Request, urn: str) -> Answer:
    """POST /snapshots/{id}/clone (5.16.2): what it holds, under a life of its own."""
    caller, _ = _enter(face, request)
    doc, _ = await face.document(request)
    told = check_members(doc, CHANGEABLE)
    source = face.snapshots.get(caller, urn)
    if source.status == "preparing":
        raise Invalid(f"{urn} is not ready yet")
    queries = {member: source.doc[member] for member in QUERIES if member in source.doc}
    made = face.snapshots.make(caller, {**queries, **told})
    try:
        face.snapshots.fill(made, source.entities, source.evolutions)
    except TooLarge:
        face.snapshots.remove(made)
        raise
    made.details, made.temporal_details = list(source.details), list(source.temporal_details)
    made.status = source.status
    made.task = asyncio.create_task(tell(face, made), name=f"snapshot {made.id}")
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
    snapshot.task = asyncio.create_task(tell(face, snapshot), name=f"snapshot {urn}")
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
    inside.store = cast(Store, Frozen(face.store, snapshot.entities, snapshot.evolutions))
    inside.federation = None
    inside.engine = None
    return inside
