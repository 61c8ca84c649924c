# SPDX-License-Identifier: EUPL-1.2
"""What one city knows of other sources, and by which name it goes itself."""

from __future__ import annotations

from hashlib import sha256

from poorter.city.clock import Clock
from poorter.gate.gate import Gate
from poorter.standards.http.outgoing import Outgoing
from poorter.standards.ngsild.contexts import Contexts
from poorter.standards.ngsild.sources.registry import Registry
from poorter.standards.ngsild.sources.subscribing import Subscribing
from poorter.standards.ngsild.sources.watching import Watching
from poorter.standards.ngsild.subscriptions.engine import Engine
from poorter.standards.ngsild.subscriptions.sending import Sender
from poorter.store.contract import Store


class Federation:
    """Registrations, subscriptions to them, and the way out. `alias` tells this city from all
    others in a Via header (CIM 009, 5.2.40). `strict`: what version 1.9.1 refuses is refused.
    `split`: parts of one entity may lie in several cities, where a request does not say.
    `own_url`: where sources find this city."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        clock: Clock,
        contexts: Contexts,
        outgoing: Outgoing,
        engine: Engine,
        own_url: str,
        alias: str,
        pepper: bytes,
        strict: bool = True,
        split: bool = True,
    ) -> None:
        self.registry = Registry(store, gate, clock, contexts, pepper)
        self.watching = Watching(store, gate, clock, contexts, Sender(outgoing))
        self.watching.follow(self.registry, engine)
        self.outgoing = outgoing
        self.contexts = contexts
        self.alias = alias
        self.began_us = clock.now_us()
        self.strict = strict
        self.split = split
        self.own_url = own_url
        self.subscribing = Subscribing(self, engine, store, gate, clock)

    async def start(self) -> None:
        """Take what was registered and subscribed from the store."""
        await self.registry.start()
        await self.watching.start()
        await self.subscribing.start()

    async def stop(self) -> None:
        """Nothing more is sent."""
        await self.subscribing.stop()
        await self.registry.stop()
        await self.watching.stop()


def alias_of(city_id: str, public_key: bytes) -> str:
    """A name that no other city has: cities are called alike, keys are not."""
    return f"{city_id}-{sha256(public_key).hexdigest()[:12]}"
