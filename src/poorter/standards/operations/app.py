# SPDX-License-Identifier: EUPL-1.2
"""GET asks, POST acts: /api/SYSTEM/OPERATION, JSON in and out, for any app and any navigator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Conflict, Denied, Invalid, NotFound
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.ledger.leaf import make_line
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, send
from poorter.standards.http.asking import Asking
from poorter.standards.ngsild.problem import NoSuchMethod
from poorter.standards.operations.inputs import read_inputs
from poorter.standards.operations.openapi import openapi
from poorter.store.contract import AppendLeaf, Change, PutRecord, Store
from poorter.systems.city import City
from poorter.systems.shape import Operation, System

PREFIX = "/api/"
_HEADERS = ((b"content-type", b"application/json"),)
_PROBLEM = (b"content-type", b"application/problem+json")
REPLAY_HOURS = 24


class Operations:
    """Runs the operations that systems declare. The web pages run them through here too."""

    def __init__(
        self,
        systems: tuple[System, ...],
        city_of: Callable[[System], City],
        asking: Asking,
        gate: Gate,
        store: Store,
        clock: Clock,
    ) -> None:
        self._by_name = {
            (system.name, operation.name): (system, operation)
            for system in systems
            for operation in system.operations
        }
        self._systems = systems
        self._city_of = city_of
        self._asking = asking
        self._gate = gate
        self._store = store
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> None:
        """Answer one request; errors are problem details (RFC 9457)."""
        try:
            answer = await self._answer(Request(scope, receive))
        except CityError as error:
            answer = _problem(error)
        await send(answer, transmit)

    async def _answer(self, request: Request) -> Answer:
        caller = self._asking.caller(request)
        if request.path == f"{PREFIX}openapi.json":
            return Answer(200, msgspec.json.encode(openapi(self._systems)), _HEADERS)
        parts = request.path[len(PREFIX) :].split("/")
        if len(parts) != 2:
            raise NotFound("here: /api/openapi.json and /api/SYSTEM/OPERATION")
        system, operation = self.find(*parts)
        if request.method != ("GET" if operation.kind == "ask" else "POST"):
            raise NoSuchMethod(f"{operation.name} answers {_method(operation)}")
        if operation.kind == "ask":
            given: Mapping[str, Any] = request.query()
            key = None
        else:
            body = await request.json()
            if not isinstance(body, dict):
                raise Invalid("inputs come as a JSON object")
            given = body
            key = request.header(b"idempotency-key")
        result = await self.run(system, operation, given, key, caller.credential)
        return Answer(200, msgspec.json.encode(result), _HEADERS)

    def find(self, system: str, operation: str) -> tuple[System, Operation]:
        """The declared operation. Raises NotFound."""
        found = self._by_name.get((system, operation))
        if found is None:
            raise NotFound(f"there is no operation {system}/{operation}"[:200])
        return found

    async def run(
        self,
        system: System,
        operation: Operation,
        given: Mapping[str, Any],
        key: str | None = None,
        credential: str = "public",
    ) -> dict[str, Any]:
        """Check inputs, run, and for an act leave its leaf. A repeated key repeats the answer."""
        if not self._gate.allows(system.processor, system.purpose, "read"):
            raise Denied
        inputs = read_inputs(operation.fields, given)
        city = self._city_of(system)
        if operation.kind == "ask":
            return await operation.run(city, inputs)
        if key is not None:
            if not 1 <= len(key) <= 128:
                raise Invalid("an Idempotency-Key has 1 to 128 characters")
            replay_id = _replay_id(credential, system, operation, key)
            await self._claim(replay_id, inputs)
            known = self._replayed(replay_id)
            if known is not None:
                return known
        try:
            result = await operation.run(city, inputs)
        except CityError:
            if key is not None:
                await self._keep(replay_id, None)
            raise
        await self._leave(system, operation, replay_id if key is not None else None, result)
        return result

    # -- what an act leaves ----------------------------------------------------------------------

    async def _claim(self, replay_id: str, inputs: Mapping[str, Any]) -> None:
        """The first with this key goes on; others wait for its answer or are told to."""
        permit = self._gate.permit("internal:uses", RUN, "administer")
        doc = {"state": "running", "digest": _digest(inputs), "at_us": self._clock.now_us()}
        try:
            await self._store.commit_async(
                permit, Change((PutRecord("replay", replay_id, doc, expect=0),))
            )
        except Conflict:
            known = self._record(replay_id)
            if known["digest"] != doc["digest"]:
                raise Conflict("this Idempotency-Key was used with other inputs") from None
            if known["state"] == "running":
                raise Conflict("a request with this Idempotency-Key is still running") from None
            if known["state"] == "failed":
                await self._store.commit_async(
                    permit, Change((PutRecord("replay", replay_id, doc),))
                )

    def _replayed(self, replay_id: str) -> dict[str, Any] | None:
        known = self._record(replay_id)
        result: dict[str, Any] | None = known.get("result")
        return result

    def _record(self, replay_id: str) -> dict[str, Any]:
        permit = self._gate.permit("internal:uses", RUN, "read")
        return self._store.record(permit, "replay", replay_id).doc

    async def _keep(self, replay_id: str, result: dict[str, Any] | None) -> None:
        permit = self._gate.permit("internal:uses", RUN, "administer")
        known = self._record(replay_id)
        doc = known | {"state": "failed" if result is None else "done", "result": result}
        await self._store.commit_async(permit, Change((PutRecord("replay", replay_id, doc),)))

    async def _leave(
        self,
        system: System,
        operation: Operation,
        replay_id: str | None,
        result: dict[str, Any],
    ) -> None:
        permit = self._gate.permit("internal:uses", RUN, "administer")
        line = make_line(
            "action",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=system.processor,
            purpose=system.purpose,
            about=f"{system.name}/{operation.name}",
            action="act",
            outcome="done",
        )
        committed = await self._store.commit_async(
            permit, Change((AppendLeaf(line.leaf, line.payload),))
        )
        result["leaf"] = committed.results[0]
        if replay_id is not None:
            await self._keep(replay_id, result)


def _method(operation: Operation) -> str:
    return "GET" if operation.kind == "ask" else "POST"


def _digest(inputs: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(inputs, order="deterministic")).hexdigest()


def _replay_id(credential: str, system: System, operation: Operation, key: str) -> str:
    text = f"{credential}\n{system.name}\n{operation.name}\n{key}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _problem(error: CityError) -> Answer:
    body = {
        "type": "about:blank",
        "title": error.title,
        "detail": error.detail,
        "status": error.status,
    }
    headers = [_PROBLEM]
    retry = getattr(error, "retry_after_s", None)
    if retry is not None:
        headers.append((b"retry-after", str(retry).encode()))
    return Answer(error.status, msgspec.json.encode(body), tuple(headers))
