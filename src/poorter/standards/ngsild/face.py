# SPDX-License-Identifier: EUPL-1.2
"""What every NGSI-LD handler begins with: permit, @context, the form of the answer, the record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import Invalid, TooLarge, Unavailable
from poorter.city.limits import HISTORY_PAGE_MAX
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.lawful import reads_behind
from poorter.gate.permit import Action, Permit
from poorter.gate.uses import Uses
from poorter.identity.caller import Caller
from poorter.ledger.tracing import trace_from
from poorter.standards.http.asgi import JSON, Answer, Request, parse_json
from poorter.standards.http.asking import Asking
from poorter.standards.ngsild.context import CORE, CORE_URL, Context
from poorter.standards.ngsild.contexts import PATH, Contexts
from poorter.standards.ngsild.problem import LengthMissing, Misplaced, NoSuchForm, NoSuchMedia
from poorter.standards.ngsild.snapshots.keeping import Snapshots
from poorter.standards.ngsild.sources.maps import Maps
from poorter.store.contract import Change, Committed, Op, Store, StoredEntity
from poorter.store.recording import Recorder

if TYPE_CHECKING:
    from poorter.standards.ngsild.sources.federation import Federation
    from poorter.standards.ngsild.subscriptions.engine import Engine

LD_JSON = b"application/ld+json"
#: where a request keeps the permit and trace of the personal data in its answer
RECORDED = "poorter.recorded"
_CORE_LINK = (
    f'<{CORE_URL}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
).encode()
_PLAIN_HEADERS = ((b"content-type", JSON), (b"link", _CORE_LINK))
_LD_HEADERS = ((b"content-type", LD_JSON),)
_GEOJSON = (b"content-type", b"application/geo+json")
_WITHOUT_GEOJSON = ("application/json", "application/ld+json")
_WITH_GEOJSON = (*_WITHOUT_GEOJSON, "application/geo+json")
_CORE_EMBEDDED = msgspec.json.encode(CORE_URL)
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the request accepts: @context in the body (ld+json) or in a header (json); GeoJSON."""

    embed: bytes | None
    headers: tuple[tuple[bytes, bytes], ...]
    geojson: bool = False

    @property
    def media(self) -> str:
        """The media type of the answer."""
        return self.headers[0][1].decode()

    @property
    def plain(self) -> bool:
        """JSON under the core @context: what most requests want."""
        return self.headers is _PLAIN_HEADERS

    def answer(self, body: dict[str, Any]) -> Answer:
        """One JSON object in this form."""
        if self.embed is not None:
            body = {**body, "@context": msgspec.Raw(self.embed)}
        return Answer(200, _encode(body), self.headers)

    def answer_list(self, bodies: list[dict[str, Any]]) -> Answer:
        """A list of them."""
        if self.embed is not None:
            bodies = [{**body, "@context": msgspec.Raw(self.embed)} for body in bodies]
        return Answer(200, _encode(bodies), self.headers)


_PLAIN_WANTED = Wanted(None, _PLAIN_HEADERS)


class Face:
    """Gate, store and ledger as the handlers use them."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        asking: Asking,
        uses: Uses,
        clock: Clock,
        contexts: Contexts,
        recorder: Recorder,
        temporal_page: int = HISTORY_PAGE_MAX,
    ) -> None:
        self.store = store
        self.contexts = contexts
        #: so many instances of an entity in one temporal answer
        self.temporal_page = temporal_page
        self.clock = clock
        self.gate = gate
        self._asking = asking
        self._uses = uses
        self.recorder = recorder
        self.engine: Engine | None = None
        self.federation: Federation | None = None
        self.maps = Maps(clock)
        self.snapshots = Snapshots(clock)

    def caller(self, request: Request) -> Caller:
        """Who asks, within their rate limit. Raises Unauthenticated, TooMany."""
        return self._asking.caller(request)

    def permit(self, request: Request, action: Action) -> tuple[Caller, Permit]:
        """Who asks and what they may. Raises Unauthenticated, TooMany, Denied."""
        caller = self._asking.caller(request)
        request.processor = caller.processor
        return caller, self.gate.permit(caller.processor, caller.purpose, action)

    def renewed(self, permit: Permit) -> Permit:
        """The same permit as it is now, after waiting for others. Raises Denied."""
        return self.gate.permit(permit.processor, permit.purpose, permit.action)

    async def commit(
        self, request: Request, caller: Caller, permit: Permit, *ops: Op, part: str = ""
    ) -> Committed:
        """Write, once per Idempotency-Key of a caller; `part` names one of several writes of a
        request. Raises KeyReused for a key that came with something else."""
        if self.clock.now_us() >= permit.valid_until_us:  # the body was slow, or the city busy
            permit = self.renewed(permit)
        key, inputs = None, b""
        if request.raw(b"idempotency-key") is not None:
            key = request.header(b"idempotency-key") or ""
            if not 1 <= len(key) <= 128:
                raise Invalid("an Idempotency-Key has 1 to 128 characters")
            key = f"{caller.credential} {request.method} {request.path}{part} {key}"
            inputs = request.inputs()
        if not permit.personal:
            committed = await self.store.commit_async(permit, Change(ops, key, inputs))
            self._uses.count(permit)
            return committed
        trace = trace_from(request.header(b"traceparent"))
        lines, made = self.recorder.writing(permit, ops, trace, caller.credential)
        change = Change((*ops, *lines), key, inputs)
        committed = await self.store.commit_async(permit, change)
        if made is not None:
            request.scope.setdefault(RECORDED, []).append((permit, made))
        return msgspec.structs.replace(committed, results=committed.results[: len(ops)])

    @property
    def subscriptions(self) -> Engine:
        """The subscriptions of this city. Raises Unavailable before they are there."""
        if self.engine is None:
            raise Unavailable("subscriptions are not there yet: ask again in a moment")
        return self.engine

    @property
    def sources(self) -> Federation:
        """The sources of this city. Raises Unavailable before they are there."""
        if self.federation is None:
            raise Unavailable("context sources are not there yet: ask again in a moment")
        return self.federation

    def own(self, action: Action) -> Permit:
        """For what apps registered, subscribed and hosted: records of the platform itself."""
        return self.gate.permit("internal:ngsi-ld", RUN, action)

    async def before_leaving(
        self, request: Request, permit: Permit, entities: Iterable[StoredEntity]
    ) -> None:
        """Record the use before any of it leaves: personal ones each, others as a count."""
        if not permit.personal:
            self._uses.count(permit)
            return
        trace = trace_from(request.header(b"traceparent"))
        actor = self._asking.known(request).credential
        made = await self.recorder.before_leaving(permit, entities, trace, actor)
        if made is not None:
            request.scope.setdefault(RECORDED, []).append((permit, made))

    def answered(self, request: Request, status: int) -> None:
        """Note how it ended, once the answer has left."""
        for permit, trace in request.scope.get(RECORDED, ()):
            self.recorder.ended(permit, trace, ok=status < 400)

    # -- the form of requests and answers ------------------------------------------------------

    async def context(self, request: Request) -> Context:
        """The @context of a request without body: its Link header, else the core."""
        url = _context_link(request)
        return CORE if url is None else await self.contexts.of(url)

    async def document(self, request: Request) -> tuple[Any, Context]:
        """The JSON body and its @context (6.3.5). Raises Invalid, NoSuchMedia."""
        linked = self._media(request)
        doc = await parsed_json(request)
        inline = doc.get("@context") if isinstance(doc, dict) else None
        if linked:
            if inline is not None:
                raise Invalid("@context in the body belongs to application/ld+json")
            return doc, CORE if request.raw(b"link") is None else await self.context(request)
        if not isinstance(doc, dict):
            raise Misplaced("application/ld+json is a JSON object here")
        if inline is None:
            raise Invalid("application/ld+json carries its @context in the body")
        return doc, await self.contexts.of(inline)

    async def batch(self, request: Request) -> tuple[Any, Context | None]:
        """The JSON array of a batch; None where each entity has an @context of its own."""
        linked = self._media(request)
        doc = await parsed_json(request)
        return doc, await self.context(request) if linked else None

    def _media(self, request: Request) -> bool:
        """Whether the @context comes by Link. Raises NoSuchMedia, Invalid where it comes twice."""
        if request.raw(b"content-type") == JSON and request.raw(b"content-length") is not None:
            return True
        if request.header(b"content-length") is None:
            raise LengthMissing("send a Content-Length")
        if request.header(b"content-type") is None:
            raise Misplaced("the Content-Type header is missing")
        media = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
        if media not in ("application/json", "application/ld+json", "application/merge-patch+json"):
            raise NoSuchMedia("send application/json or application/ld+json")
        if media == "application/ld+json" and _context_link(request) is not None:
            raise Invalid("application/ld+json takes no @context from a Link header")
        return media != "application/ld+json"

    async def hosted_url(self, request: Request, context: Context) -> str:
        """Where the whole of a context can be had: its own URL, or one it is given here."""
        if context.url:
            return context.url
        self.check_publishes(request)
        local_id = await self.contexts.keep(context.source, "ImplicitlyCreated")
        return base_url(request) + PATH + local_id

    def check_publishes(self, request: Request) -> None:
        """A @context that is kept here is for everybody, and its words can be anything. Raises
        Invalid for whoever reads behind a wall: nothing that they make goes there."""
        if reads_behind(self.gate.policy, request.processor):
            raise Invalid("this use of data on persons publishes no @context: name one by its URL")

    async def wanted(self, request: Request, context: Context, geojson: bool = False) -> Wanted:
        """json with a Link, ld+json with @context inside, or GeoJSON (6.3.6).

        Raises: NoSuchForm when the request accepts none of them.
        """
        accept = request.header(b"accept")
        if accept is None:
            return await self._linked(request, context)
        best = preferred(accept, _WITH_GEOJSON if geojson else _WITHOUT_GEOJSON)
        if best is None:
            offered = ", ".join(_WITH_GEOJSON if geojson else _WITHOUT_GEOJSON)
            raise NoSuchForm(f"answers are {offered}")
        if best == "application/json":
            return await self._linked(request, context)
        embedded = _CORE_EMBEDDED if context is CORE else _encode(context.source)
        if best == "application/ld+json":
            return Wanted(embedded, _LD_HEADERS)
        if request.header(b"prefer") == "body=json":
            linked = await self._linked(request, context)
            return Wanted(None, (_GEOJSON, *linked.headers[1:]), geojson=True)
        return Wanted(embedded, (_GEOJSON,), geojson=True)

    async def _linked(self, request: Request, context: Context) -> Wanted:
        if context is CORE:
            return _PLAIN_WANTED
        link = _link(await self.hosted_url(request, context))
        return Wanted(None, ((b"content-type", JSON), (b"link", link)))


async def parsed_json(request: Request) -> Any:
    """The body. Raises Misplaced (InvalidRequest, 5.5.2) when it is no JSON at all."""
    try:
        return parse_json(await request.body())
    except TooLarge:
        raise
    except Invalid as wrong:
        raise Misplaced(wrong.detail) from None


def base_url(request: Request) -> str:
    """This city as the caller reached it."""
    return f"{request.scope.get('scheme', 'http')}://{request.header(b'host') or 'localhost'}"


def preferred(accept: str, offered: tuple[str, ...]) -> str | None:
    """The media type of `offered` that an Accept header likes best (RFC 9110, 12.5.1); the
    earlier one where it likes two the same; None where it takes none."""
    if accept in ("application/json", "*/*"):
        return offered[0]
    liked: list[tuple[float, int, str]] = []
    for place, media in enumerate(offered):
        best: tuple[int, float] = (0, 0.0)
        for part in accept.split(","):
            name, _, rest = part.partition(";")
            name = name.strip().lower()
            exact = 3 if name == media else 2 if name == "application/*" else 1
            if exact == 1 and name != "*/*":
                continue
            best = max(best, (exact, _quality(rest)))
        if best[1] > 0:
            liked.append((-best[1], place, media))
    return min(liked)[2] if liked else None


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 1.0  # what is no weight weighs nothing off
    return 1.0


def _context_link(request: Request) -> str | None:
    """The URL of the Link header that names an @context (JSON-LD 1.1, 6.2)."""
    link = request.header(b"link")
    if link is None or "json-ld#context" not in link:
        return None
    for part in link.split(","):
        if "json-ld#context" in part:
            return part.partition("<")[2].partition(">")[0].strip()
    return None


def _link(url: str) -> bytes:
    kind = 'rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
    return f"<{url}>; {kind}".encode("latin-1", "replace")


def plain_json(value: Any, status: int = 200) -> Answer:
    """JSON that is not JSON-LD: no @context belongs to it."""
    return Answer(status, _encode(value), ((b"content-type", JSON),))


def json_answer(value: Any, status: int = 200) -> Answer:
    """Plain data as JSON."""
    return Answer(status, _encode(value), _PLAIN_HEADERS)


NO_CONTENT = Answer(204)
