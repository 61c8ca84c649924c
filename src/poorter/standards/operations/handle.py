# SPDX-License-Identifier: EUPL-1.2
"""What a city handle over HTTP needs beyond NGSI-LD: versions, compare-and-set, holds, advice and
the events by their sequence. Under /api/city; `poorter.client` is the other side of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Denied, Invalid, NotFound
from poorter.city.limits import PAGE_DEFAULT, PAGE_MAX, URN_CHARS_MAX
from poorter.city.query import Query
from poorter.decide.advice import Proposal
from poorter.decide.decisions import Decisions
from poorter.gate.gate import Gate
from poorter.gate.permit import Permit
from poorter.identity.caller import Caller
from poorter.rights.analysing import Analyses
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, send
from poorter.standards.http.problem import problem_answer
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.encode import encode_entity
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.params import check_names, number
from poorter.standards.ngsild.problem import NoSuchMethod
from poorter.standards.ngsild.selecting import WHICH, parse_which
from poorter.standards.operations.asked import parse_question
from poorter.standards.operations.bulk import send_bulk
from poorter.standards.operations.events import Waiting
from poorter.standards.operations.groups import groups_doc, parse_groups
from poorter.standards.operations.replay import Replays
from poorter.standards.operations.writes import parse_ops
from poorter.store.contract import Event, StoredEntity
from poorter.stream.local import LocalStream
from poorter.systems.city import CAPABILITIES

PREFIX = "/api/city"
VERSION = 1
BULK = "/bulk"
WAIT_S_MAX = 30
_FORM = Form(times=True)
_ENTITIES = WHICH | {"limit", "after"}
_HEADERS = ((b"content-type", b"application/json"),)
LETTER = "record:letter"
#: (who asks, kind, subject) to a code
Letter = Callable[[Caller, str, str], Awaitable[str]]
Handler = Callable[["CityHandle", Request], Awaitable[Answer]]


class CityHandle:
    """The ASGI application under /api/city."""

    def __init__(
        self,
        face: Face,
        gate: Gate,
        decisions: Decisions,
        stream: LocalStream,
        clock: Clock,
        letter: Letter,
        analyses: Analyses,
    ) -> None:
        """`letter`: makes the code of something that an app sends."""
        self.letter = letter
        self.analyses = analyses
        self.face = face
        self.gate = gate
        self.decisions = decisions
        self.waiting = Waiting(face.store, stream)
        self.replays = Replays(face.store, gate, clock)

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> int:
        """Answer one request; errors are problem details."""
        request = Request(scope, receive)
        if request.path == PREFIX + BULK and request.method == "GET":
            return await send_bulk(self.face, request, transmit)
        try:
            answer = await _find(request)(self, request)
        except CityError as error:
            answer = problem_answer(error)
        await send(answer, transmit)
        self.face.answered(request, answer.status)
        return answer.status

    def versions(
        self, caller: Caller, permit: Permit, entities: tuple[StoredEntity, ...]
    ) -> list[int]:
        """A version rises also with what a permit hides, so only who sees all of an entity, and
        may change it, sees its version: by writing, or by advice on a mandate that runs. Else 0."""
        advised = {
            mandate.entity_type
            for mandate in self.decisions.mandates.values()
            if mandate.processor == caller.processor and self.decisions.runs(mandate)
        }
        writing: Permit | None = None
        if self.gate.allows(caller.processor, caller.purpose, "write"):
            writing = self.gate.permit(caller.processor, caller.purpose, "write")

        def may(entity: StoredEntity) -> bool:
            rule = permit.rule_of(entity.types)
            if entity.subject is not None or rule is None or rule.attributes or rule.without:
                return False
            written = writing is not None and writing.rule_of(entity.types) is not None
            return written or not advised.isdisjoint(entity.types)

        return [entity.version if may(entity) else 0 for entity in entities]


async def about(handle: CityHandle, request: Request) -> Answer:
    """GET /api/city: what this city offers to whoever asks."""
    caller, _ = handle.face.permit(request, "read")
    return _json(
        {
            "poorter": VERSION,
            "processor": caller.processor,
            "purpose": caller.purpose,
            "capabilities": sorted(CAPABILITIES),
        }
    )


async def entities(handle: CityHandle, request: Request) -> Answer:
    """GET /api/city/entities: asked as in NGSI-LD; each with its version, by ascending id."""
    caller, permit = handle.face.permit(request, "read")
    page = handle.face.store.query(permit, _query(request.query()))
    versions = handle.versions(caller, permit, page.entities)
    await handle.face.before_leaving(request, permit, page.entities)
    found = b",".join(encode_entity(entity, _FORM) for entity in page.entities)
    body = b'{"versions":' + msgspec.json.encode(versions) + b',"entities":[' + found + b"]}"
    return Answer(200, body, _HEADERS)


def _query(given: Mapping[str, str]) -> Query:
    check_names(given, _ENTITIES)
    limit = number(given, "limit", PAGE_DEFAULT, 1, PAGE_MAX)
    return replace(parse_which(given, CORE, narrow=True), limit=limit, after=given.get("after"))


async def held(handle: CityHandle, request: Request) -> Answer:
    """GET /api/city/held?pool=: the running holds of a pool."""
    _, permit = handle.face.permit(request, "read")
    pool = request.query().get("pool", "")
    if not 1 <= len(pool) <= URN_CHARS_MAX:
        raise Invalid("pool names a pool of units")
    found = handle.face.store.pool(permit, pool)
    await handle.face.before_leaving(request, permit, ())
    return _json({"units": found.units, "holds": found.holds})


async def groups(handle: CityHandle, request: Request) -> Answer:
    """GET /api/city/groups: history of many entities by group, in buckets of whole hours."""
    _, permit = handle.face.permit(request, "read")
    query = parse_groups(request.query())
    found = await asyncio.to_thread(handle.face.store.grouped, permit, query)
    await handle.face.before_leaving(request, permit, ())
    return _json(groups_doc(found))


async def events(handle: CityHandle, request: Request) -> Answer:
    """GET /api/city/events?after=N: what changed since, and up to which number that goes; waits
    `wait_s` for the first. Without `after`: the number of now."""
    given = request.query()
    after = _after(given.get("after"))
    wait_s = number(given, "wait_s", 0, 0, WAIT_S_MAX)
    types = frozenset(filter(None, given.get("type", "").split(",")))
    caller, permit = handle.face.permit(request, "read")
    if after is not None and wait_s:

        def meets(event: Event) -> bool:
            """Whether it exists for the caller at that moment; a use that ended ends the wait."""
            try:
                now = handle.gate.permit(caller.processor, caller.purpose, "read")
                return handle.face.store.told(now, event) is not None
            except CityError:
                return True

        await handle.waiting.until_after(permit, after, types, wait_s, meets)
    _, permit = handle.face.permit(request, "read")
    found, last = handle.waiting.events(permit, after, types)
    told = [StoredEntity(e.urn, e.types, (), 0, 0, 0, (), e.subject) for e in found]
    await handle.face.before_leaving(request, permit, told)
    return _json(
        {
            "last": last,
            "events": [
                {"sequence": e.sequence, "urn": e.urn, "types": e.types, "names": e.names}
                for e in found
            ],
        }
    )


def _after(text: str | None) -> int | None:
    if text is not None and not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Invalid("after is the number of an event")
    return None if text is None else int(text)


async def commit(handle: CityHandle, request: Request) -> Answer:
    """POST /api/city/commit: a list of writes, all of it or nothing, once per Idempotency-Key."""
    caller, permit = handle.face.permit(request, "write")
    ops = parse_ops(await request.body())
    committed = await handle.face.commit(request, caller, permit, *ops)
    return _json({"sequence": committed.sequence})


async def advise(handle: CityHandle, request: Request) -> Answer:
    """POST /api/city/advise: advice before its mandate, once per Idempotency-Key."""
    caller, _ = handle.face.permit(request, "read")
    doc = await request.json()
    try:
        proposal = msgspec.convert(doc, Proposal)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"this is no advice: {wrong}") from None

    async def act() -> dict[str, Any]:
        return {"advice": await handle.decisions.advise(proposal, caller.processor)}

    async def seal(result: dict[str, Any]) -> dict[str, Any]:
        return result  # the advice has left its own leaf

    key = request.header(b"idempotency-key")
    return _json(await handle.replays.once(key, (caller.credential, "advise"), doc, act, seal))


async def letters(handle: CityHandle, request: Request) -> Answer:
    """POST /api/city/letters: the code to put on a letter or message, made as it is sent."""
    caller, permit = handle.face.permit(request, "write")
    if LETTER not in permit.rules:
        raise Denied
    try:
        said = msgspec.convert(await request.json(), dict[str, str])
    except msgspec.ValidationError:
        said = {}
    code = await handle.letter(caller, said.get("kind", ""), said.get("subject", ""))
    return Answer(201, msgspec.json.encode({"code": code}), _HEADERS)


async def analyse(handle: CityHandle, request: Request) -> Answer:
    """POST /api/city/analyses: a free question about persons, answered with noise, as long as the
    budget of its data and period lasts."""
    caller, _ = handle.face.permit(request, "read")
    question = parse_question(caller.purpose, await request.json())
    by = f"{caller.processor} ({caller.credential})"
    return _json(await handle.analyses.ask(question, by))


ROUTES: Mapping[str, tuple[str, Handler]] = {
    "": ("GET", about),
    "/entities": ("GET", entities),
    "/held": ("GET", held),
    "/groups": ("GET", groups),
    "/events": ("GET", events),
    "/commit": ("POST", commit),
    "/advise": ("POST", advise),
    "/letters": ("POST", letters),
    "/analyses": ("POST", analyse),
}


def _find(request: Request) -> Handler:
    found = ROUTES.get(request.path[len(PREFIX) :])
    if found is None:
        raise NotFound("there is no such resource")
    if request.method != found[0]:
        raise NoSuchMethod(f"here: {found[0]}")
    return found[1]


def _json(value: Any) -> Answer:
    return Answer(200, msgspec.json.encode(value), _HEADERS)
