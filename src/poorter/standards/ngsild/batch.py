# SPDX-License-Identifier: EUPL-1.2
"""Batch operations (CIM 009, 5.6.7 to 5.6.10, 6.14 to 6.17): one commit when all of it is good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from poorter.city.errors import CityError, Denied, Invalid, KeyReused, TooLarge
from poorter.city.ids import check_uri
from poorter.city.limits import BATCH_ENTITIES_MAX
from poorter.gate.permit import Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import parse_entity
from poorter.standards.ngsild.face import NO_CONTENT, Face, json_answer
from poorter.standards.ngsild.fragment import parse_fragment, written
from poorter.standards.ngsild.params import check_names, options
from poorter.standards.ngsild.problem import problem
from poorter.standards.ngsild.provision import merge_ops
from poorter.standards.ngsild.provision import update as update_entity
from poorter.store import contract as c

Fault = tuple[str, CityError]


async def create(face: Face, request: Request) -> Answer:
    """POST /entityOperations/create (5.6.7)."""
    return await _entities(face, request, (), _create)


async def upsert(face: Face, request: Request) -> Answer:
    """POST /entityOperations/upsert (5.6.8); options=update sets attributes, else replaces."""
    return await _entities(face, request, ("update", "replace"), _upsert)


async def update(face: Face, request: Request) -> Answer:
    """POST /entityOperations/update (5.6.9); options=noOverwrite keeps what is there."""
    return await _entities(face, request, ("noOverwrite", "replace"), _update)


async def merge(face: Face, request: Request) -> Answer:
    """POST /entityOperations/merge (5.6.20): each entity as PATCH /entities/{id} does."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), frozenset(("options", "local", "lang", "observedAt")))
    doc, context = await face.batch(request)
    done: list[str] = []
    faults: list[Fault] = []
    for number, one in enumerate(_listed(doc)):
        try:
            own = await _own_context(face, one, context)
            fragment = parse_fragment(one, own)
            urn = check_uri(one.get("id"), "id")
            ops = partial(merge_ops, fragment, context=own)
            part = f" {number}"
            await update_entity(face, request, caller, permit, urn, ops, part=part)
            done.append(urn)
        except KeyReused:
            raise
        except CityError as wrong:
            faults.append((_id_of(one), wrong))
    return _answer(done, faults, NO_CONTENT)


async def delete(face: Face, request: Request) -> Answer:
    """POST /entityOperations/delete (5.6.10): a list of ids."""
    caller, permit = face.permit(request, "write")
    check_names(request.query(), frozenset(("local",)))
    doc, _ = await face.batch(request)
    ids = [check_uri(one) for one in _listed(doc)]
    done, faults = await _write(face, request, caller, permit, [(i, c.Delete(i)) for i in ids])
    return _answer([urn for urn, _ in done], faults, NO_CONTENT)


Make = Callable[[Any, Context, list[str]], tuple[str, c.Op]]


def _create(doc: Any, context: Context, _: list[str]) -> tuple[str, c.Op]:
    entity = parse_entity(doc, context)
    return entity.urn, c.Create(entity)


def _upsert(doc: Any, context: Context, given: list[str]) -> tuple[str, c.Op]:
    entity = parse_entity(doc, context)
    return entity.urn, c.Put(entity, replace="update" not in given)


def _update(doc: Any, context: Context, given: list[str]) -> tuple[str, c.Op]:
    fragment = parse_fragment(doc, context)
    if fragment.gone:
        raise Invalid("NGSI-LD Null removes in a merge; here attributes are written")
    urn = check_uri(doc.get("id"), "id")
    mode: Any = "keep" if "noOverwrite" in given else "append"
    return urn, c.SetAttributes(
        urn,
        written(fragment, context),
        mode,
        add_types=fragment.types,
        scopes=fragment.scopes,
        expires_at_us=fragment.expires_at_us,
    )


async def _entities(face: Face, request: Request, known: tuple[str, ...], make: Make) -> Answer:
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, frozenset(("options", "local")))
    chosen = options(given, known)
    doc, context = await face.batch(request)
    ops: list[tuple[str, c.Op]] = []
    faults: list[Fault] = []
    for one in _listed(doc):
        try:
            ops.append(make(one, await _own_context(face, one, context), chosen))
        except CityError as wrong:
            faults.append((_id_of(one), wrong))
    done, refused = await _write(face, request, caller, permit, ops)
    faults += refused
    faults += [(urn, _KEPT) for urn, result in done if _was_kept(make, result)]
    done = [(urn, result) for urn, result in done if not _was_kept(make, result)]
    made = [urn for urn, result in done if _is_new(make, result)]
    return _answer([urn for urn, _ in done], faults, json_answer(made, 201) if made else NO_CONTENT)


_KEPT = Invalid("an attribute is there already, and noOverwrite was asked")


def _was_kept(make: Make, result: Any) -> bool:
    return make is _update and bool(result[1])


def _is_new(make: Make, result: Any) -> bool:
    return make is _create or (make is _upsert and bool(result[1]))


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
    except KeyReused:
        raise
    except CityError as wrong:
        if len(ops) == 1:
            return [], [(ops[0][0], wrong)]
    else:
        urns = [committed.minted.get(urn, urn) for urn, _ in ops]
        return list(zip(urns, committed.results, strict=True)), []
    futures = [
        face.commit(request, caller, permit, op, part=f" {number}")
        for number, (_, op) in enumerate(ops)
    ]
    results = await asyncio.gather(*futures, return_exceptions=True)
    done: list[tuple[str, Any]] = []
    faults: list[Fault] = []
    for (urn, _), result in zip(ops, results, strict=True):
        if isinstance(result, CityError):
            faults.append((urn, result))
        elif isinstance(result, BaseException):
            raise result
        else:
            done.append((result.minted.get(urn, urn), result.results[0]))
    return done, faults


def _answer(done: list[str], faults: list[Fault], good: Answer) -> Answer:
    """BatchOperationResult (5.2.16) as soon as one of them failed."""
    if not faults:
        return good
    if not done and all(isinstance(wrong, Denied) for _, wrong in faults):
        raise Denied  # nothing of it was allowed: said as everywhere
    errors = [{"entityId": urn, "error": problem(wrong)} for urn, wrong in faults]
    return json_answer({"success": done, "errors": errors}, 207)


def _listed(doc: Any) -> list[Any]:
    if not isinstance(doc, list) or not doc:
        raise Invalid("a batch is a JSON array that is not empty")
    if len(doc) > BATCH_ENTITIES_MAX:
        raise TooLarge(f"a batch has at most {BATCH_ENTITIES_MAX} entities")
    if None in doc:
        raise Invalid("null is no entity (5.5.4)")
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
