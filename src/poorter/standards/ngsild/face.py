# SPDX-License-Identifier: EUPL-1.2
"""What every NGSI-LD handler begins with: permit, @context, the form of the answer, the record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import Invalid
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.permit import Action, Permit
from poorter.gate.uses import Uses, use_line
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import JSON, Answer, Request
from poorter.standards.http.asking import Asking
from poorter.standards.ngsild.context import CORE, CORE_URL, Context, make_context
from poorter.standards.ngsild.problem import Misplaced, NoSuchForm, NoSuchMedia
from poorter.store.contract import AppendLeaf, Change, Committed, Op, Store, StoredEntity

LD_JSON = b"application/ld+json"
_CORE_LINK = (
    f'<{CORE_URL}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
).encode()
_PLAIN_HEADERS = ((b"content-type", JSON), (b"link", _CORE_LINK))
_LD_HEADERS = ((b"content-type", LD_JSON),)
_CORE_EMBEDDED = msgspec.json.encode(CORE_URL)
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the request accepts: @context in the body (ld+json) or in a header (json)."""

    embed: bytes | None
    headers: tuple[tuple[bytes, bytes], ...]


class Face:
    """Gate, store and ledger as the handlers use them."""

    def __init__(self, store: Store, gate: Gate, asking: Asking, uses: Uses, clock: Clock) -> None:
        self.store = store
        self._gate = gate
        self._asking = asking
        self._uses = uses
        self._clock = clock

    def permit(self, request: Request, action: Action) -> tuple[Caller, Permit]:
        """Who asks and what they may. Raises Unauthenticated, TooMany, Denied."""
        caller = self._asking.caller(request)
        return caller, self._gate.permit(caller.processor, caller.purpose, action)

    async def commit(self, request: Request, caller: Caller, permit: Permit, *ops: Op) -> Committed:
        """Write, once per Idempotency-Key of a caller."""
        key = request.header(b"idempotency-key")
        if key is not None:
            if not 1 <= len(key) <= 128:
                raise Invalid("an Idempotency-Key has 1 to 128 characters")
            key = f"{caller.credential} {request.method} {request.path} {key}"
        committed = await self.store.commit_async(permit, Change(ops, key))
        self._uses.count(permit)
        return committed

    async def before_leaving(self, permit: Permit, entities: Iterable[StoredEntity]) -> None:
        """Record the use before any of it leaves: personal ones each, others as a count."""
        if not permit.personal:
            self._uses.count(permit)
            return
        now_us = self._clock.now_us()
        leaves: list[Op] = []
        for entity in entities:
            rule = permit.rule_of(entity.types)
            if rule is not None and rule.personal:
                line = use_line(permit, now_us, entity.types[0], entity.urn.encode())
                leaves.append(AppendLeaf(line.leaf, line.payload, entity.urn))
        if leaves:
            own = self._gate.permit("internal:uses", RUN, "administer")
            await self.store.commit_async(own, Change(tuple(leaves)))

    # -- the form of requests and answers ------------------------------------------------------

    def context(self, request: Request) -> Context:
        """The @context of a request without body: its Link header, else the core."""
        link = request.header(b"link")
        if link is None or "json-ld#context" not in link:
            return CORE
        url = link.partition("<")[2].partition(">")[0]
        return make_context(url)

    async def document(self, request: Request) -> tuple[Any, Context]:
        """The JSON body and its @context (6.3.5). Raises Invalid, NoSuchMedia."""
        media = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
        if media not in ("application/json", "application/ld+json", "application/merge-patch+json"):
            raise NoSuchMedia("send application/json or application/ld+json")
        doc = await request.json()
        first = doc[0] if isinstance(doc, list) and doc else doc
        inline = first.get("@context") if isinstance(first, dict) else None
        if media == "application/ld+json":
            if inline is None:
                raise Misplaced("application/ld+json carries its @context in the body")
            return doc, make_context(inline)
        if inline is not None:
            raise Misplaced("@context in the body belongs to application/ld+json")
        return doc, self.context(request)

    def wanted(self, request: Request, context: Context) -> Wanted:
        """json with a Link, or ld+json with @context inside. Raises NoSuchForm for neither."""
        accept = request.header(b"accept")
        if accept is None or "application/json" in accept or "*/*" in accept:
            if accept is None or "ld+json" not in accept or "application/json" in accept:
                return Wanted(None, _PLAIN_HEADERS)
        elif "application/*" in accept:
            return Wanted(None, _PLAIN_HEADERS)
        elif "ld+json" not in accept:
            raise NoSuchForm("answers are application/json or application/ld+json")
        embedded = _CORE_EMBEDDED if context is CORE else _encode(context.source)
        return Wanted(embedded, _LD_HEADERS)


def json_answer(value: Any, status: int = 200) -> Answer:
    """Plain data as JSON."""
    return Answer(status, _encode(value), _PLAIN_HEADERS)


NO_CONTENT = Answer(204)
