# SPDX-License-Identifier: EUPL-1.2
"""Batch operations (CIM 009, 5.6.7 to 5.6.10, 6.14 to 6.17): one commit when all of it is good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from poorter.city.entity import Entity
from poorter.city.errors import CityError, Invalid, TooLarge
from poorter.city.ids import check_uri
from poorter.city.limits import BATCH_ENTITIES_MAX
from poorter.gate.permit import Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import parse_entity
from poorter.standards.ngsild.face import NO_CONTENT, Face, json_answer
from poorter.standards.ngsild.params import check_names
from poorter.standards.ngsild.problem import problem
from poorter.store import contract as c

Fault = tuple[str, CityError]


async def create(face: Face, request: Request) -> Answer:
    """POST /entityOperations/create."""
    return await _entities(face, request, c.Create, "create")


async def upsert(face: Face, request: Request) -> Answer:
    """POST /entityOperations/upsert; options=update sets attributes instead of replacing."""
    updating = request.query().get("options") == "update"
    return await _entities(face, request, lambda e: c.Put(e, replace=not updating), "upsert")


async def update(face: Face, request: Request) -> Answer:
    """POST /entityOperations/update; options=noOverwrite keeps what is there."""
    keep = request.query().get("options") == "noOverwrite"
    mode: Any = "keep" if keep else "append"
    return await _entities(
        face, request, lambda e: c.SetAttributes(e.urn, e.attributes, mode), "update"
    )


async def delete(face: Face, request: Request) -> Answer:
    """POST /entityOperations/delete: a list of ids."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), frozenset())
    doc, _ = await face.document(request)
    ids = [check_uri(one) for one in _listed(doc)]
    done, faults = await _write(face, request, caller, permit, [(i, c.Delete(i)) for i in ids])
    return _answer([urn for urn, _ in done], faults, NO_CONTENT)


async def _entities(
    face: Face, request: Request, op: Callable[[Entity], c.Op], kind: str
) -> Answer:
    caller, permit = face.permit(request, "write")
    check_names(request.query(), frozenset(("options", "local")))
    doc, context = await face.batch(request)
    ops: list[tuple[str, c.Op]] = []
    faults: list[Fault] = []
    for one in _listed(doc):
        try:
            entity = parse_entity(one, await _own_context(face, one, context))
            ops.append((entity.urn, op(entity)))
        except CityError as wrong:
            faults.append((_id_of(one), wrong))
    done, refused = await _write(face, request, caller, permit, ops)
    faults += refused
    made = [urn for urn, result in done if _is_new(kind, result)]
    return _answer([urn for urn, _ in done], faults, json_answer(made, 201) if made else NO_CONTENT)


def _is_new(kind: str, result: Any) -> bool:
    if kind == "upsert":
        return bool(result[1])
    return kind == "create"


async def _write(
    face: Face,
    request: Request,
    caller: Caller,
    permit: Permit,
    ops: Sequence[tuple[str, c.Op]],
) -> tuple[list[tuple[str, Any]], list[Fault]]:
    """All in one change; when that is refused, each for itself, so that the good ones stand."""
    if not ops:
        return [], []
    try:
        committed = await face.commit(request, caller, permit, *(op for _, op in ops))
    except CityError as wrong:
        if len(ops) == 1:
            return [], [(ops[0][0], wrong)]
    else:
        urns = [urn for urn, _ in ops]
        return list(zip(urns, committed.results, strict=True)), []
    futures = [face.store.commit_async(permit, c.Change((op,))) for _, op in ops]
    results = await asyncio.gather(*futures, return_exceptions=True)
    done: list[tuple[str, Any]] = []
    faults: list[Fault] = []
    for (urn, _), result in zip(ops, results, strict=True):
        if isinstance(result, CityError):
            faults.append((urn, result))
        elif isinstance(result, BaseException):
            raise result
        else:
            done.append((urn, result.results[0]))
    return done, faults


def _answer(done: list[str], faults: list[Fault], good: Answer) -> Answer:
    """BatchOperationResult (5.2.16) as soon as one of them failed."""
    if not faults:
        return good
    errors = [{"entityId": urn, "error": problem(wrong)} for urn, wrong in faults]
    return json_answer({"success": done, "errors": errors}, 207 if done else _status(faults))


def _status(faults: list[Fault]) -> int:
    """All failed: 207 as the standard has it, unless nothing was allowed at all."""
    statuses = {wrong.status for _, wrong in faults}
    return 403 if statuses == {403} else 207


def _listed(doc: Any) -> list[Any]:
    if not isinstance(doc, list) or not doc:
        raise Invalid("a batch is a JSON array that is not empty")
    if len(doc) > BATCH_ENTITIES_MAX:
        raise TooLarge(f"a batch has at most {BATCH_ENTITIES_MAX} entities")
    return doc


async def _own_context(face: Face, one: Any, context: Context | None) -> Context:
    """Each entity of an ld+json batch brings its own @context (6.3.5)."""
    inline = one.get("@context") if isinstance(one, dict) else None
    if context is not None:
        if inline is not None:
            raise Invalid("@context in the body belongs to application/ld+json")
        return context
    if inline is None:
        raise Invalid("application/ld+json carries its @context in each entity")
    return await face.contexts.of(inline)


def _id_of(one: Any) -> str:
    found = one.get("id") if isinstance(one, dict) else None
    return found if isinstance(found, str) else "urn:ngsi-ld:unknown"
