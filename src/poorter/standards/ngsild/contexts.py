# SPDX-License-Identifier: EUPL-1.2
"""Where an @context comes from: the core, the city's own folder, contexts hosted here, and hosts
that this city may call (CIM 009, 5.13). One that is asked for holds up nobody else."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Invalid, NotFound, TooLarge, Unavailable
from poorter.city.ids import mint
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.standards.http.asgi import parse_json
from poorter.standards.http.outgoing import Outgoing
from poorter.standards.ngsild.context import CORE, Context, check_terms, is_core, make_context
from poorter.standards.ngsild.problem import ContextMissing, ContextUnavailable
from poorter.store.contract import Change, DeleteRecord, PutRecord, Record, Store

Kind = Literal["Hosted", "Cached", "ImplicitlyCreated"]
PATH = "/ngsi-ld/v1/jsonldContexts/"
RECORD = "jsonld-context"
CONTEXT_BYTES_MAX = 1024 * 1024
_DEPTH_MAX = 6  # of an @context that names one that names one ...
_PARTS_MAX = 64
_CACHED_MAX = 500
_COMPILED_MAX = 1000
_DAY_US = 86_400_000_000
_TIMEOUT_S = 5.0
#: local ids can't be guessed, so it does not matter through which proxy and path they were reached
_LOCAL = re.compile(r".{0,400}" + PATH + r"([A-Za-z0-9:_\-]{1,100})\Z")


@dataclass(slots=True)
class Stored:
    """One @context kept here. `url` is where it came from, None for one that began here."""

    local_id: str
    kind: Kind
    doc: Any
    created_at_us: int
    url: str | None = None
    expires_at_us: int | None = None
    last_used_us: int | None = None


class Contexts:
    """Finds the terms behind a URL or a list of them."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        outgoing: Outgoing,
        folder: Path,
        clock: Clock,
        unavailable_status: int = 504,
    ) -> None:
        """`unavailable_status`: of an @context that can't be had; 503 before version 1.9.1."""
        self._unavailable = ContextMissing if unavailable_status == 503 else ContextUnavailable
        self._store = store
        self._gate = gate
        self._outgoing = outgoing
        self._clock = clock
        self._began_us = clock.now_us()
        self._folder = _index(folder)
        self._cached: dict[str, Stored] = {}
        self._compiled: dict[bytes, tuple[Context, int]] = {}
        self._fetching: dict[str, asyncio.Task[Stored]] = {}

    async def of(self, source: Any) -> Context:
        """The context that the value of "@context" stands for.

        Raises: ContextUnavailable when a part can't be had, Invalid when it is no @context.
        """
        if isinstance(source, str) and is_core(source):
            return CORE
        try:
            key = msgspec.json.encode(source)
        except (TypeError, ValueError, RecursionError):
            raise Invalid("@context holds URLs and objects") from None
        now_us = self._clock.now_us()
        known = self._compiled.get(key)
        if known is not None and now_us < known[1]:
            return known[0]
        parts: list[Mapping[str, Any]] = []
        until_us = await self._collect(source, parts, 0)
        url = source if isinstance(source, str) else ""
        if isinstance(source, list) and len(source) == 1 and isinstance(source[0], str):
            url = source[0]
        context = make_context(parts, source, url)
        if len(self._compiled) >= _COMPILED_MAX or len(key) > 64_000:
            self._compiled.clear()
        self._compiled[key] = (context, until_us)
        return context

    async def _collect(self, source: Any, parts: list[Mapping[str, Any]], depth: int) -> int:
        """Add the objects behind `source`; until when that may be believed."""
        if depth > _DEPTH_MAX or len(parts) > _PARTS_MAX:
            raise Invalid("@context: contexts name each other too deep")
        until_us = self._clock.now_us() + _DAY_US
        if isinstance(source, list):
            for one in source:
                until_us = min(until_us, await self._collect(one, parts, depth + 1))
        elif isinstance(source, str):
            if not is_core(source):
                stored = await self.at(source)
                until_us = min(until_us, stored.expires_at_us or until_us)
                found = await self._collect(stored.doc, parts, depth + 1)
                until_us = min(until_us, found)
        elif isinstance(source, Mapping):
            parts.append(source)
        elif source is not None:
            raise Invalid("@context holds URLs and objects")
        return until_us

    async def at(self, url: str) -> Stored:
        """The @context at a URL, from here if it is here. Raises ContextUnavailable."""
        now_us = self._clock.now_us()
        local = _LOCAL.match(url)
        if local is not None:
            try:
                return self._record(local.group(1))
            except NotFound:
                raise self._unavailable(f"{url[:200]} is not kept here") from None
        stored = self._cached.get(url)
        if stored is None or (stored.expires_at_us or now_us) < now_us:
            stored = await self._once(url)
        stored.last_used_us = now_us
        return stored

    async def _once(self, url: str) -> Stored:
        """Several that want the same URL wait for one request."""
        task = self._fetching.get(url)
        if task is None:
            task = asyncio.create_task(self._load(url), name="context")
            self._fetching[url] = task
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return await asyncio.shield(task)

    async def _load(self, url: str) -> Stored:
        now_us = self._clock.now_us()
        file = self._folder.get(url)
        expires_us: int | None = None
        if file is not None:
            try:
                raw = await asyncio.to_thread(file.read_bytes)
            except OSError as wrong:
                raise self._unavailable(f"{url[:200]}: {wrong.strerror}") from None
        else:
            raw, age_s = await self._fetch(url)
            expires_us = now_us + age_s * 1_000_000
        try:
            doc = context_of(parse_json(raw))
        except CityError as wrong:  # it can be had, and is none (5.5.6)
            raise Invalid(f"{url[:200]} holds no @context: {wrong.detail}") from None
        stored = Stored(mint("urn:ngsi-ld:context:"), "Cached", doc, now_us, url, expires_us)
        while len(self._cached) >= _CACHED_MAX:
            self._cached.pop(next(iter(self._cached)))
        self._cached[url] = stored
        self._compiled.clear()
        return stored

    async def _fetch(self, url: str) -> tuple[bytes, int]:
        try:
            reply = await self._outgoing.send(
                "GET",
                url,
                {"accept": "application/ld+json, application/json"},
                timeout_s=_TIMEOUT_S,
                bytes_max=CONTEXT_BYTES_MAX,
            )
        except (Invalid, Unavailable) as wrong:
            raise self._unavailable(wrong.detail) from None
        if reply.status != 200:
            raise self._unavailable(f"{url[:200]} answers {reply.status}")
        age = re.search(r"max-age=(\d{1,8})", reply.headers.get("cache-control", ""))
        return reply.body, min(int(age.group(1)), 86_400) if age else 86_400

    # -- kept here -----------------------------------------------------------------------------

    async def keep(self, doc: Any, kind: Kind) -> str:
        """Keep an @context; its local id. Raises Invalid, TooLarge."""
        raw = msgspec.json.encode(doc)
        if len(raw) > CONTEXT_BYTES_MAX:
            raise TooLarge(f"an @context has at most {CONTEXT_BYTES_MAX} bytes")
        local_id = mint("context-")
        own = self._gate.permit("internal:ngsi-ld", RUN, "administer")
        written = PutRecord(RECORD, local_id, {"doc": doc, "kind": kind}, 0, {"kind": kind})
        await self._store.commit_async(own, Change((written,)))
        return local_id

    def stored(self, given: str) -> Stored:
        """By local id, or the URL it came from. Raises NotFound."""
        if is_core(given):
            return Stored(given, "Cached", {}, self._began_us, given)
        for stored in self._cached.values():
            if given in (stored.url, stored.local_id):
                return stored
        local = _LOCAL.match(given)
        return self._record(local.group(1) if local else given)

    def all(self) -> list[Stored]:
        """All that is kept, the newest thousand of those that began here."""
        permit = self._gate.permit("internal:ngsi-ld", RUN, "read")
        records = self._store.records(permit, RECORD, newest=True)
        return [*self._cached.values(), *map(_stored, records)]

    async def remove(self, stored: Stored) -> None:
        """Forget one."""
        if is_core(stored.local_id):
            raise Invalid("the core @context is built in and stays")
        self._compiled.clear()
        if stored.kind == "Cached":
            self._cached.pop(stored.url or "", None)
            return
        own = self._gate.permit("internal:ngsi-ld", RUN, "administer")
        await self._store.commit_async(own, Change((DeleteRecord(RECORD, stored.local_id),)))

    async def reload(self, stored: Stored) -> None:
        """Fetch a cached one again; it stays when that fails. Raises ContextUnavailable."""
        if stored.kind != "Cached" or stored.url is None:
            raise Invalid("only an @context from elsewhere can be loaded again")
        if not is_core(stored.url):
            await self._load(stored.url)

    def _record(self, local_id: str) -> Stored:
        permit = self._gate.permit("internal:ngsi-ld", RUN, "read")
        return _stored(self._store.record(permit, RECORD, local_id))


def context_of(doc: Any) -> Any:
    """The checked value of "@context" in a document. Raises Invalid."""
    if not isinstance(doc, dict) or "@context" not in doc:
        raise Invalid("the document has no @context")
    value = doc["@context"]
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            check_terms(part)
        elif not isinstance(part, str):
            raise Invalid("@context holds URLs and objects")
        elif not re.match(r"https?://[^\s]+\Z", part):
            raise Invalid(f"@context: {part[:100]!r} is no URL")
    return value


def _stored(record: Record) -> Stored:
    return Stored(record.id, record.doc["kind"], record.doc["doc"], record.created_at_us)


def _index(folder: Path) -> dict[str, Path]:
    """FOLDER/index.toml: URL = "file", for contexts that this city keeps a copy of."""
    file = folder / "index.toml"
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{file}: {wrong}") from None
    if not all(isinstance(name, str) and Path(name).name == name for name in table.values()):
        raise Invalid(f"{file}: each URL names a file in this folder")
    return {url: folder / name for url, name in table.items()}
