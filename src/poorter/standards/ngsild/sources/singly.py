# SPDX-License-Identifier: EUPL-1.2
"""A batch for a source that takes entities one by one only (CIM 009, 5.6.7.4 to 5.6.10.4,
5.6.20.4): which operation stands in for the batch, and which follows where the entity exists."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild.sources.asking import Fault, Way, all_within
from poorter.standards.ngsild.sources.forwarding import Said, forward
from poorter.standards.ngsild.sources.model import Registration

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on one entity. `below`: the path after its id; None: it is not in the path."""

    operation: str
    method: str
    below: str | None = ""
    params: Mapping[str, str] = field(default_factory=dict)


_CREATE = Step("createEntity", "POST", None)
_REPLACE = Step("replaceEntity", "PUT")
_UPDATE = Step("updateEntity", "PATCH", "/attrs/")
_APPEND = Step("appendAttrs", "POST", "/attrs/", {"options": "noOverwrite"})
_MERGE = Step("mergeEntity", "PATCH")
_DELETE = Step("deleteEntity", "DELETE")
EXISTS = 409
UNSUPPORTED = Fault(299, "the source can't do that to an entity that it has", 422)


def stand_ins(operation: str, options: str) -> tuple[tuple[Step, ...], ...]:
    """What may stand in for a batch, best first; each with what follows where it exists."""
    if operation == "upsertBatch":
        then = _UPDATE if "update" in options.split(",") else _REPLACE
        return (_CREATE, then), (then,)
    if operation == "updateBatch":
        return ((_APPEND if "noOverwrite" in options.split(",") else _UPDATE,),)
    single = {"createBatch": _CREATE, "mergeBatch": _MERGE, "deleteBatch": _DELETE}
    return ((single[operation],),)


def stand_in(registration: Registration, operation: str, options: str) -> tuple[Step, ...] | None:
    """The steps for a source; None where it takes the batch itself, or nothing of the kind."""
    if operation in registration.operations:
        return None
    for first, *more in stand_ins(operation, options):
        if first.operation in registration.operations:
            return first, *(step for step in more if step.operation in registration.operations)
    return None


async def one_by_one(
    way: Way,
    registration: Registration,
    steps: tuple[Step, ...],
    urns: list[str],
    parts: list[Said],
) -> list[Reply | Fault]:
    """What became of each entity."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(urn: str, said: Said) -> Reply | Fault:
        async with room:
            return await _steps(way, registration, steps, urn, said)

    found: list[Reply | Fault] = await all_within(
        [one(urn, said) for urn, said in zip(urns, parts, strict=True)]
    )
    return found


async def _steps(
    way: Way, registration: Registration, steps: tuple[Step, ...], urn: str, said: Said
) -> Reply | Fault:
    reply: Reply | Fault = UNSUPPORTED
    for step in steps:
        path = (
            "/entities" if step.below is None else f"/entities/{quote(urn, safe=':')}{step.below}"
        )
        body = None if isinstance(said.doc, str) else said
        reply = await forward(way, registration, step.method, path, step.params, body)
        if step is not _CREATE or isinstance(reply, Fault) or reply.status != EXISTS:
            return reply
    return reply if steps == (_CREATE,) else UNSUPPORTED
