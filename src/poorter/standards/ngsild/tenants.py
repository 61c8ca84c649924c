# SPDX-License-Identifier: EUPL-1.2
"""Tenants (CIM 009, 4.14, 5.5.10; 6.3.14): each a store of its own within the one city, behind the
same gate and the same ledger. What a processor may do in one is granted to "processor@tenant", or
"processor@*" for any; nothing that it may do in the city itself reaches in."""

from __future__ import annotations

import asyncio
import copy
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from poorter.city.errors import CityError, Denied, Invalid, TooLarge, Unsupported
from poorter.city.ids import IN_TENANT
from poorter.city.limits import TENANTS_MAX
from poorter.gate.permit import Action, Permit
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Request
from poorter.standards.ngsild.contexts import Contexts, Kind, Stored
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.problem import ContextUnavailable, NoSuchTenant
from poorter.standards.ngsild.snapshots.keeping import Snapshots
from poorter.standards.ngsild.sources.maps import Maps
from poorter.store.contract import Store

log = logging.getLogger(__name__)
TENANT = b"ngsild-tenant"
ANY_TENANT = "*"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,62}\Z")


class TenantFace(Face):
    """What handlers use, over what one tenant has. It has no store until it is given its own: what
    the city has is not to be reached by mistake."""

    def __init__(self, city: Face, name: str) -> None:
        vars(self).update({part: value for part, value in vars(city).items() if part != "store"})
        self.maps = Maps(city.clock)
        self.snapshots = Snapshots(city.clock)
        self.tenant = name

    def permit(self, request: Request, action: Action) -> tuple[Caller, Permit]:
        """What the caller may in this tenant. Raises as in the city, and Unsupported for what
        would reach data about persons: they have their walls, rights and lines in the city."""
        caller, permit = self._let(self._asking.caller(request), action)
        request.processor = caller.processor
        return caller, permit

    def known(self, request: Request, action: Action) -> Permit:
        """The same once more, or before: no limit is taken for it."""
        return self._let(self._asking.known(request), action)[1]

    def _let(self, caller: Caller, action: Action) -> tuple[Caller, Permit]:
        caller = replace(caller, processor=self._named(caller.processor))
        permit = self.gate.permit(caller.processor, caller.purpose, action)
        if permit.personal:
            raise Unsupported("data about persons is in the city itself, not in a tenant")
        return caller, permit

    def _named(self, processor: str) -> str:
        named = f"{processor}{IN_TENANT}{self.tenant}"
        if named in self.gate.policy.processors:
            return named
        return f"{processor}{IN_TENANT}{ANY_TENANT}"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One that is open."""

    name: str
    store: Store
    face: Face

    async def start(self) -> None:
        """Follow what changes in it, and know its sources."""
        if self.face.engine is not None:
            await self.face.engine.start()
        if self.face.federation is not None:
            await self.face.federation.start()

    async def stop(self) -> None:
        """What is queued is written first."""
        if self.face.engine is not None:
            await self.face.engine.stop()
        if self.face.federation is not None:
            await self.face.federation.stop()
        await asyncio.to_thread(self.store.close)


#: opens the store of a tenant in a folder, which may be new; and puts a face before it
Open = Callable[[Path], Store]
Furnish = Callable[[TenantFace, Store], Face]


class Tenants:
    """Those of one city, a folder each. They are opened when somebody names them, or at start, so
    that their subscriptions go on."""

    def __init__(self, folder: Path, city: Face, opens: Open, furnish: Furnish) -> None:
        self._folder = folder
        self._city = city
        self._opens = opens
        self._furnish = furnish
        self._open: dict[str, Tenant] = {}
        self._lock = asyncio.Lock()
        self._closed = False

    @property
    def open(self) -> tuple[Tenant, ...]:
        """Those that are open."""
        return tuple(self._open.values())

    def names(self) -> list[str]:
        """All that were ever made."""
        if not self._folder.is_dir():
            return []
        return sorted(one.name for one in self._folder.iterdir() if _NAME.match(one.name))

    async def start(self) -> None:
        """Open all there are; one that can't be opened keeps nothing else from serving."""
        for name in self.names():
            try:
                await self._opened(name)
            except CityError as wrong:
                log.error("tenant %s is not open: %s", name, wrong.detail)

    async def stop(self) -> None:
        """Close all of them."""
        async with self._lock:
            self._closed = True
            for tenant in self.open:
                await tenant.stop()
            self._open.clear()

    def name_of(self, request: Request) -> str:
        """The tenant that a request names. Raises Invalid."""
        given = [value for key, value in request.scope["headers"] if key == TENANT]
        name: str = given[0].decode("latin-1")
        if len(given) > 1 or not _NAME.match(name):
            raise Invalid("NGSILD-Tenant is one name: letters, digits, _ and -, at most 63")
        return name

    def named(self, name: str) -> TenantFace:
        """A face that knows how the tenant is called, and nothing of what it has."""
        face = TenantFace(self._city, name)
        if face.federation is not None:
            face.federation = copy.copy(face.federation)
            face.federation.alias = alias_in(face.federation.alias, name)
        return face

    async def face(self, request: Request, name: str, makes: bool) -> Face:
        """The face of a tenant, which is made where it may be.

        Raises: Denied before it tells whether there is one, NoSuchTenant, TooLarge.
        """
        known = self._open.get(name)
        if known is not None:
            return known.face
        if not (self._folder / name).is_dir():
            self.named(name).known(request, "write" if makes else "read")
            if not makes:
                raise NoSuchTenant(f"there is no tenant {name}")
            if len(self.names()) >= TENANTS_MAX:
                raise TooLarge(f"a city has at most {TENANTS_MAX} tenants")
        return (await self._opened(name)).face

    async def _opened(self, name: str) -> Tenant:
        async with self._lock:
            if self._closed:
                raise Denied
            known = self._open.get(name)
            if known is None:
                store = await asyncio.to_thread(self._opens, self._folder / name)
                face = self._furnish(TenantFace(self._city, name), store)
                known = Tenant(name, store, face)
                await known.start()
                self._open[name] = known
            return known


class TenantContexts(Contexts):
    """Those that are hosted are the tenant's own. What came from elsewhere is the city's, and so is
    what is kept only because an answer names it: whoever follows a Link names no tenant."""

    def __init__(self, city: Contexts, store: Store) -> None:
        vars(self).update(vars(city))
        self._city = city
        self._store = store
        self._compiled = {}

    async def keep(self, doc: Any, kind: Kind) -> str:
        """Keep an @context; its local id."""
        if kind == "Hosted":
            return await super().keep(doc, kind)
        return await self._city.keep(doc, kind)

    async def at(self, url: str) -> Stored:
        """The @context at a URL."""
        try:
            return await super().at(url)
        except ContextUnavailable:
            return await self._city.at(url)


def alias_in(alias: str, tenant: str) -> str:
    """What a tenant is called among sources: by its own name it tells circles apart (5.2.40)."""
    return f"{alias}.{tenant}"
