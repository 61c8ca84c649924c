# SPDX-License-Identifier: EUPL-1.2
"""Batches spread over sources (CIM 009, 5.6.7 to 5.6.10, 5.6.20): each source gets one batch of
what it has a part in, or its entities one by one, this city one of what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from poorter.city.errors import CityError, Invalid
from poorter.city.ids import check_uri
from poorter.city.limits import BATCH_ENTITIES_MAX
from poorter.gate.permit import Permit
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild import batch
from poorter.standards.ngsild.context import CORE, Context
from poorter.standards.ngsild.decode import parse_types
from poorter.standards.ngsild.face import NO_CONTENT, Face, json_answer
from poorter.standards.ngsild.params import flag
from poorter.standards.ngsild.problem import Clash, problem
from poorter.standards.ngsild.sources.asking import Fault, Way, all_within
from poorter.standards.ngsild.sources.forwarding import Said, forward, part_of
from poorter.standards.ngsild.sources.held import hold
from poorter.standards.ngsild.sources.model import Registration
from poorter.standards.ngsild.sources.outcome import error_of
from poorter.standards.ngsild.sources.planning import Target, known_types, plan
from poorter.standards.ngsild.sources.singly import Step, one_by_one, stand_in, stand_ins
from poorter.standards.ngsild.sources.writing import names_of

Handler = Callable[[Face, Request], Awaitable[Answer]]


@dataclass(slots=True)
class Batch:
    """What goes to one source: of which entities, which part of each. `steps`: one by one."""

    registration: Registration
    steps: tuple[Step, ...] | None = None
    urns: list[str] = field(default_factory=list)
    parts: list[Said] = field(default_factory=list)


@dataclass(slots=True)
class Sorted:
    """A batch taken apart. `errors`: (entity, registration or None, problem); `created`: entities
    that a source says are new there."""

    batches: dict[str, Batch] = field(default_factory=dict)
    here: list[Any] = field(default_factory=list)
    urns: list[str] = field(default_factory=list)
    here_urns: list[str] = field(default_factory=list)
    errors: list[tuple[str, str | None, Any]] = field(default_factory=list)
    created: set[str] = field(default_factory=set)


async def create(face: Face, request: Request) -> Answer:
    """POST /entityOperations/create."""
    return await _spread(face, request, "createBatch", "create", batch.create)


async def upsert(face: Face, request: Request) -> Answer:
    """POST /entityOperations/upsert."""
    return await _spread(face, request, "upsertBatch", "upsert", batch.upsert)


async def update(face: Face, request: Request) -> Answer:
    """POST /entityOperations/update."""
    return await _spread(face, request, "updateBatch", "update", batch.update)


async def merge(face: Face, request: Request) -> Answer:
    """POST /entityOperations/merge."""
    return await _spread(face, request, "mergeBatch", "merge", batch.merge)


async def delete(face: Face, request: Request) -> Answer:
    """POST /entityOperations/delete."""
    return await _spread(face, request, "deleteBatch", "delete", batch.delete)


async def _spread(
    face: Face, request: Request, operation: str, name: str, handler: Handler
) -> Answer:
    held = await hold(request)
    _, permit = face.permit(held, "write")
    doc, shared = await face.batch(held)
    listed = isinstance(doc, list) and 0 < len(doc) <= BATCH_ENTITIES_MAX
    if not listed or flag(held.query(), "local"):
        return await handler(face, held)
    way = Way(face.sources, held, shared or CORE)
    options = held.query().get("options", "")
    parts = await _sort(face, way, permit, (operation, options), doc, shared)
    if not parts.batches and not parts.errors:
        return await handler(face, held)
    own: asyncio.Task[Answer] | None = None
    if parts.here:
        own = asyncio.ensure_future(handler(face, held.with_body(parts.here)))
    given = held.query()

    def send(one: Batch) -> Coroutine[Any, Any, Any]:
        if one.steps is not None:
            return one_by_one(way, one.registration, one.steps, one.urns, one.parts)
        path = f"/entityOperations/{name}"
        return forward(way, one.registration, "POST", path, given, one.parts)

    batches = list(parts.batches.values())
    for one, reply in zip(batches, await all_within(list(map(send, batches))), strict=True):
        _take(parts, one, reply)
    made = await _own(parts, own)
    return _answer(name, parts, made)


async def _sort(
    face: Face,
    way: Way,
    permit: Permit,
    how: tuple[str, str],
    doc: list[Any],
    shared: Context | None,
) -> Sorted:
    """Each entity by who holds what of it; `how`: operation and options. What can't be read goes
    to the handler here, which says what is wrong with it."""
    found = Sorted()
    operations = (how[0], *(steps[0].operation for steps in stand_ins(*how)))
    for one in doc:
        try:
            said, target = await _meant(face, permit, one, shared)
        except CityError:
            found.here.append(one)
            continue
        planned = plan(face, way, permit, operations, target)
        found.urns.append(target.urn)
        for leg in planned.legs:
            if leg.fault is not None:
                error = problem(error_of(leg.fault))
                found.errors.append((target.urn, leg.registration.id, error))
                continue
            source = leg.registration
            into = found.batches.setdefault(source.id, Batch(source, stand_in(source, *how)))
            into.urns.append(target.urn)
            into.parts.append(part_of(said, leg.names))
        if planned.here:
            found.here.append(part_of(said, planned.names).doc if planned.legs else one)
            found.here_urns.append(target.urn)
    return found


async def _meant(
    face: Face, permit: Permit, one: Any, shared: Context | None
) -> tuple[Said, Target]:
    if isinstance(one, str):
        urn = check_uri(one)
        return Said(one, shared or CORE), Target(urn, known_types(face, permit, urn), None)
    if not isinstance(one, dict):
        raise Invalid("an entity is a JSON object")
    inline = one.get("@context")
    context = shared if shared is not None else await face.contexts.of(inline)
    urn = check_uri(one.get("id"), "id")
    types = parse_types(one["type"], context) if "type" in one else None
    types = types or known_types(face, permit, urn)
    return Said(one, context), Target(urn, types, names_of(one, context))


def _take(parts: Sorted, one: Batch, reply: Reply | Fault | list[Reply | Fault]) -> None:
    """What a source made of its batch."""
    reg_id = one.registration.id
    if isinstance(reply, list):
        for urn, said, single in zip(one.urns, one.parts, reply, strict=True):
            _take(parts, Batch(one.registration, None, [urn], [said]), single)
    elif isinstance(reply, Fault):
        parts.errors += [(urn, reg_id, problem(error_of(reply))) for urn in one.urns]
    elif reply.status == 207:
        failed = _errors(reply.body)
        known = set(one.urns)
        parts.errors += [
            (urn, reg_id, problem(error_of(Fault(299, "", status))))
            for urn, status in failed
            if urn in known
        ]
    elif not 200 <= reply.status < 300:
        error = problem(error_of(Fault(299, "", reply.status)))
        parts.errors += [(urn, reg_id, error) for urn in one.urns]
    elif reply.status == 201:
        listed = _ids(reply.body)
        parts.created |= set(one.urns) if listed is None else listed & set(one.urns)


def _ids(body: bytes) -> set[str] | None:
    """The entities that a source lists as new; None where it lists none."""
    try:
        doc = msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return {one for one in doc if isinstance(one, str)} if isinstance(doc, list) else None


def _errors(body: bytes) -> list[tuple[str, int]]:
    """(entity, status) of what a BatchOperationResult says failed."""
    try:
        doc = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    listed = doc.get("errors") if isinstance(doc, dict) else None
    found: list[tuple[str, int]] = []
    for one in listed if isinstance(listed, list) else []:
        error = one.get("error") if isinstance(one, dict) else None
        status = error.get("status") if isinstance(error, dict) else None
        if isinstance(one, dict) and isinstance(one.get("entityId"), str):
            found.append((one["entityId"], status if isinstance(status, int) else 502))
    return found


async def _own(parts: Sorted, own: asyncio.Task[Answer] | None) -> list[str]:
    """What this city made of its part: the ids that are new here."""
    if own is None:
        return []
    try:
        answer = await own
    except CityError as error:
        parts.errors += [(urn, None, problem(error)) for urn in parts.here_urns]
        return []
    doc = msgspec.json.decode(answer.body) if answer.body else None
    if answer.status == 201 and isinstance(doc, list):
        return doc
    if isinstance(doc, dict) and "errors" in doc:
        parts.errors += [(one["entityId"], None, one["error"]) for one in doc["errors"]]
    return []


def _answer(name: str, parts: Sorted, made: Sequence[str]) -> Answer:
    failed = {urn for urn, _, _ in parts.errors}
    if not parts.errors:
        elsewhere = [urn for urn in parts.urns if urn not in parts.here_urns]
        new = [*made, *(urn for urn in elsewhere if name == "create" or urn in parts.created)]
        return json_answer(new, 201) if new else NO_CONTENT
    errors = []
    for urn, reg_id, error in parts.errors:
        shown: dict[str, Any] = {"entityId": urn, "error": error}
        if reg_id is not None:
            shown["registrationId"] = reg_id
        errors.append(shown)
    done = [urn for urn in parts.urns if urn not in failed]
    refused = {error["type"] for _, _, error in parts.errors} == {problem(Clash())["type"]}
    nothing = refused and not parts.batches and not parts.here
    return json_answer({"success": done, "errors": errors}, 409 if nothing else 207)
