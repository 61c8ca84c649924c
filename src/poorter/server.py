# SPDX-License-Identifier: EUPL-1.2
"""The composition root: hot routes straight on ASGI, pages behind Starlette, one process."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.types import ASGIApp

from poorter import memory
from poorter.backups.taking import take_backup
from poorter.city.clock import Clock
from poorter.city.errors import Conflict
from poorter.config import Config
from poorter.connections.model import read_connections
from poorter.connections.run import Connections
from poorter.control import Act, Asker, Control
from poorter.identity.keys import load_key
from poorter.identity.rates import Rates
from poorter.identity.residents import COOKIE as RESIDENT_COOKIE
from poorter.identity.residents import EnterFirst, Known
from poorter.identity.services import MY_DATA
from poorter.jobs import Jobs
from poorter.offices.desk import session_of
from poorter.offices.devices import devices
from poorter.offices.letters import give_to_app
from poorter.offices.looked import purpose_at, subjects_of
from poorter.running import TENANTS_FOLDER, Running, open_city
from poorter.standards.http.asgi import Answering, Receive, Scope, Send
from poorter.standards.http.asking import Asking
from poorter.standards.ldv import reading as ldv
from poorter.standards.ngsild import app as ngsild
from poorter.standards.ngsild.contexts import Contexts
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.sources.arriving import Arrivals
from poorter.standards.ngsild.sources.federation import Federation
from poorter.standards.ngsild.sources.known import alias_of
from poorter.standards.ngsild.sources.subscribing import ARRIVAL
from poorter.standards.ngsild.subscriptions.engine import Engine
from poorter.standards.ngsild.subscriptions.sending import Sender
from poorter.standards.ngsild.tenants import TenantContexts, TenantFace, Tenants, alias_in
from poorter.standards.operations import app as operations
from poorter.standards.operations import handle
from poorter.standards.proofs import app as proofs
from poorter.store.contract import Store
from poorter.store.sqlite import open_store
from poorter.telemetry import metrics
from poorter.telemetry.metrics import Metrics
from poorter.telemetry.tally import Tally
from poorter.web.app import make_pages

if TYPE_CHECKING:
    from poorter.telemetry.traces import Traces

log = logging.getLogger(__name__)
#: prefix of the path, who answers, and where it is counted
Faces: TypeAlias = tuple[tuple[str, Answering, Tally], ...]


def make_app(running: Running, traces: Traces | None = None) -> ASGIApp:
    """The whole HTTP face of one city."""
    config = running.config
    asking = Asking(
        running.credentials,
        Rates(config.server_rate_per_second, config.server_rate_burst),
        Rates(config.server_public_rate_per_second, config.server_public_rate_burst),
        running.clock,
        config.server_certificate_proxies,
    )
    contexts = _contexts(running)
    face = Face(
        running.store,
        running.gate,
        asking,
        running.uses,
        running.clock,
        contexts,
        running.recorder,
        config.history_page_instances,
    )
    face.engine = Engine(
        running.store,
        running.gate,
        running.recorder,
        running.clock,
        contexts,
        Sender(running.outgoing),
    )
    running.engine = face.engine
    face.federation = federate(running, contexts, face.engine)
    running.federation = face.federation
    running.tenants = Tenants(
        config.paths_data / TENANTS_FOLDER,
        face,
        partial(_tenant_store, running),
        partial(furnish, running),
    )
    context = ngsild.NgsiLd(face, running.tenants)
    acts = operations.Operations(
        running.systems,
        running.city_of,
        asking,
        running.gate,
        running.store,
        running.clock,
        config.server_proxies,
    )
    whole = _handle(running, face)
    lines = ldv.LogReading(running.insight, asking, partial(_resident, running))
    ledger = proofs.Proofs(
        running.sequencer, running.store, running.gate, asking, partial(purpose_at, running)
    )
    pages = make_pages(running, acts, ledger)

    tallies = {name: Tally() for name in ("ngsi-ld", "handle", "operations", "ledger", "pages")}
    figures = Metrics(running, asking, tallies)
    faces: Faces = (
        (ngsild.PREFIX, context, tallies["ngsi-ld"]),
        (ARRIVAL, Arrivals(face, running.tenants), tallies["ngsi-ld"]),
        (handle.PREFIX, whole, tallies["handle"]),
        (operations.PREFIX, acts, tallies["operations"]),
        (proofs.PREFIX, ledger, tallies["ledger"]),
        (ldv.PATH, lines, tallies["ledger"]),
        (metrics.PATH, figures, tallies["pages"]),
    )

    return _routed(*_traced(traces, tallies, faces, _telling(pages)), tallies["pages"])


def _handle(running: Running, face: Face) -> handle.CityHandle:
    return handle.CityHandle(
        face,
        running.gate,
        running.decisions,
        running.stream,
        running.clock,
        partial(give_to_app, running),
        running.people.analyses,
    )


def _resident(running: Running, cookies: str) -> list[tuple[str, str]] | None:
    """Whose session the cookies of a request hold, as each wall calls them; None for nobody's."""
    jar = SimpleCookie()
    with suppress(CookieError):
        jar.load(cookies)
    kept = jar.get(RESIDENT_COOKIE)
    session = session_of(running, kept.value) if kept is not None else None
    if session is None:
        return None
    try:
        known = Known(MY_DATA, session.said, running.persons)
    except EnterFirst:
        return None
    return subjects_of(running, known.subject)


def _traced(
    traces: Traces | None, tallies: Mapping[str, Tally], faces: Faces, pages: Answering
) -> tuple[Faces, Answering]:
    """The same faces; where there are traces, with a span a request, named as their tally is."""
    if traces is None:
        return faces, pages
    named = {id(tally): name for name, tally in tallies.items()}
    spanned = tuple((path, traces.of(named[id(t)], face), t) for path, face, t in faces)
    return spanned, traces.of("pages", pages)


def _routed(faces: Faces, pages: Answering, other: Tally) -> ASGIApp:
    """To the face whose prefix the path has, else to the pages; counted and timed."""

    def face_of(path: str) -> tuple[Answering, Tally]:
        for prefix, face, tally in faces:
            if path.startswith(prefix):
                return face, tally
        return pages, other

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        began = perf_counter()
        face, tally = face_of(scope["path"])
        status = await face(scope, receive, send)
        tally.took(perf_counter() - began, status)

    return app


def _telling(app: ASGIApp) -> Answering:
    """An application that does not say its status: it is seen in what it sends."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> int:
        status = 500

        async def transmit(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await app(scope, receive, transmit)
        return status

    return answer


def federate(
    running: Running,
    contexts: Contexts,
    engine: Engine,
    store: Store | None = None,
    tenant: str = "",
) -> Federation:
    """What this city, or a tenant in it, knows of others, and its name among them."""
    key = load_key(running.config.paths_keys, "ledger").public()
    alias = alias_of(running.config.city_id, key.ed25519)
    return Federation(
        store or running.store,
        running.gate,
        running.clock,
        contexts,
        running.outgoing,
        engine,
        running.config.url,
        alias_in(alias, tenant) if tenant else alias,
        running.pepper,
        running.config.federation_strict,
        running.config.federation_split_entities,
    )


def _contexts(running: Running) -> Contexts:
    config = running.config
    return Contexts(
        running.store,
        running.gate,
        running.outgoing,
        config.paths_contexts,
        running.clock,
        config.network_context_unavailable,
    )


def _tenant_store(running: Running, folder: Path) -> Store:
    store = open_store(folder, running.clock)
    store.keep_former(running.config.history_former_values)
    return store


def furnish(running: Running, face: TenantFace, store: Store) -> Face:
    """The face of a tenant over its own store: own subscriptions, sources, contexts and maps."""
    face.store = store
    face.contexts = contexts = TenantContexts(face.contexts, store)
    sender = Sender(running.outgoing)
    face.engine = Engine(store, running.gate, running.recorder, running.clock, contexts, sender)
    face.federation = federate(running, contexts, face.engine, store, face.tenant)
    face.engine.headers = face.federation.watching.headers = {"NGSILD-Tenant": face.tenant}
    return face


async def _other(scope: Scope, receive: Receive, send: Send) -> None:
    """Lifespan is ours already (`serve`); web sockets are not offered."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "websocket.close", "code": 1003})


async def serve(
    config: Config,
    clock: Clock,
    ready: Callable[[Running], Awaitable[None]] | None = None,
    background: Callable[[Running], Awaitable[None]] | None = None,
) -> None:
    """Run the city until SIGINT or SIGTERM. `ready` is called once it serves; `background` goes
    on beside it until the end (the example city's simulation)."""
    memory.keep_one_heap()
    running = await open_city(config, clock)
    jobs = Jobs(running)
    traces = _tracing(config)
    control = Control(config.paths_data, acts(running))
    server = Server(
        make_app(running, traces),
        address=config.server_host,
        port=config.server_port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    tasks: list[asyncio.Task[None]] = []
    try:
        memory.settle()
        jobs.start()
        running.connections = connect(running)
        running.connections.start()
        if running.engine is not None:
            await running.engine.start()
            running.people.renaming.follow(running.engine.renew)
        if running.federation is not None:
            await running.federation.start()
        if running.tenants is not None:
            tasks.append(asyncio.create_task(running.tenants.start(), name="tenants"))
        await control.start()
        serving = asyncio.create_task(server.serve(), name="http")
        _stop_on_signals(server)
        if ready is not None:
            await ready(running)
        if background is not None:
            tasks.append(asyncio.create_task(_beside(background, running)))
        await serving
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await control.stop()
        if running.engine is not None:
            await running.engine.stop()
        if running.tenants is not None:
            await running.tenants.stop()
        if running.connections is not None:
            await running.connections.stop()
        if running.federation is not None:
            await running.federation.stop()
        await jobs.stop()
        await running.outgoing.close()
        if running.collecting is not None:
            await running.collecting.close()
        if traces is not None:
            await asyncio.to_thread(traces.close)
        running.close()


def _tracing(config: Config) -> Traces | None:
    if not config.server_traces:
        return None
    from poorter.telemetry.traces import Traces

    return Traces(config.server_traces)


def acts(running: Running) -> dict[str, Act]:
    """What operators of this machine may ask of the city while it is served."""
    under_way = asyncio.Lock()  # of a move

    async def backup(asked: Mapping[str, Any], _: Asker) -> str:
        return (await take_backup(running, Path(str(asked.get("into"))))).words()

    async def export(asked: Mapping[str, Any], _: Asker) -> str:
        from poorter.leaving import exporting  # Parquet is loaded when somebody leaves

        folder = Path(str(asked.get("into")))
        return exporting.words(folder, await exporting.export(running, folder))

    async def migrate(asked: Mapping[str, Any], asker: Asker) -> str:
        from poorter.leaving import moving  # and PostgreSQL when somebody moves there

        if under_way.locked():
            raise Conflict("the city is moving already")
        async with under_way:
            to, owner = str(asked.get("to")), str(asked.get("owner"))
            return (await moving.move(running, to, owner, asker)).words()

    return {"backup": backup, "export": export, "migrate": migrate}


def connect(running: Running) -> Connections:
    """The connections of this city's folder. Raises Invalid for a file that is wrong."""
    config = running.config
    connections = Connections(
        read_connections(config.folder),
        config.folder,
        config.city_id,
        running.store,
        running.gate,
        running.outgoing,
        running.clock,
        running.recorder,
    )
    connections.register(devices(running))
    return connections


async def _beside(work: Callable[[Running], Awaitable[None]], running: Running) -> None:
    try:
        await work(running)
    except Exception:  # the outermost loop of what runs beside the city: say it, serve on
        log.exception("what ran beside the city has ended")


def _stop_on_signals(server: Server) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, server.stop)
