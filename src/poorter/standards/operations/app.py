# SPDX-License-Identifier: EUPL-1.2
"""GET asks, POST acts: /api/SYSTEM/OPERATION, JSON in and out, for any app and any navigator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Denied, Invalid, NotFound
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.lawful import reads_behind
from poorter.identity.caller import PUBLIC
from poorter.ledger.leaf import make_line
from poorter.standards.http.address import UNKNOWN, address_of, is_own
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, send
from poorter.standards.http.asking import Asking
from poorter.standards.http.problem import problem_answer
from poorter.standards.ngsild.problem import NoSuchMethod
from poorter.standards.operations.inputs import read_inputs
from poorter.standards.operations.openapi import openapi
from poorter.standards.operations.replay import Replays
from poorter.standards.operations.visitors import Visitors
from poorter.store.contract import AppendLeaf, Change, Store
from poorter.systems.city import City
from poorter.systems.shape import Operation, System

PREFIX = "/api/"
_HEADERS = ((b"content-type", b"application/json"),)


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
        proxies: int = 0,
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
        self._replays = Replays(store, gate, clock)
        self._visitors = Visitors(clock)
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> int:
        """Answer one request; errors are problem details (RFC 9457)."""
        try:
            answer = await self._answer(Request(scope, receive))
        except CityError as error:
            answer = problem_answer(error)
        return await send(answer, transmit)

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
        address = address_of(request.scope, self._proxies)
        result = await self.run(
            system, operation, given, key, caller.credential, address, caller.purpose
        )
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
        credential: str = PUBLIC.credential,
        address: str = UNKNOWN,
        purpose: str = PUBLIC.purpose,
    ) -> dict[str, Any]:
        """Check inputs, run, and for an act leave its leaf. A repeated key repeats the answer.

        Raises: what the operation raises, and TooMany for a visitor who has too much running.
        """
        if not self._gate.allows(system.processor, system.purpose, "read"):
            raise Denied
        if purpose != system.purpose and reads_behind(self._gate.policy, system.processor):
            raise Denied  # what is answered from behind a wall stays with its purpose
        inputs = read_inputs(operation.fields, given)
        city = self._city_of(system)
        if operation.kind == "ask":
            return await operation.run(city, inputs)

        async def act() -> dict[str, Any]:
            who, limit = _visitor(operation, city, credential, address)
            if not limit:
                result = await operation.run(city, inputs)
                if operation.runs is not None:
                    self._visitors.note(operation.runs(inputs, result))
                return result
            with self._visitors.place(who, limit) as left:
                result = await operation.run(city, inputs)
                if operation.runs is not None:
                    left.append(operation.runs(inputs, result))
            return result

        async def seal(result: dict[str, Any]) -> dict[str, Any]:
            return result | {"leaf": await self._leave(system, operation)}

        who = (credential, system.name, operation.name)
        return await self._replays.once(key, who, inputs, act, seal)

    async def _leave(self, system: System, operation: Operation) -> int:
        """The leaf of an act; its index."""
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
        return int(committed.results[0])


def _visitor(operation: Operation, city: City, credential: str, address: str) -> tuple[str, int]:
    """Whose this is, and how many of it one may have running; 0: any number."""
    keyed = credential != PUBLIC.credential
    if not keyed and is_own(address):
        return "", 0
    setting = operation.per_key if keyed else operation.per_visitor
    who = f"key {credential}" if keyed else f"address {address}"
    return who, int(city.own.settings[setting]) if setting else 0


def _method(operation: Operation) -> str:
    return "GET" if operation.kind == "ask" else "POST"
