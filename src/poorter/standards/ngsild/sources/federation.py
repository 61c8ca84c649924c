# SPDX-License-Identifier: EUPL-1.2
"""Other sources, with the subscriptions to them and at them."""

from __future__ import annotations

from poorter.city.clock import Clock
from poorter.gate.gate import Gate
from poorter.standards.http.outgoing import Outgoing
from poorter.standards.ngsild.contexts import Contexts
from poorter.standards.ngsild.sources.known import Known
from poorter.standards.ngsild.sources.registry import Registry
from poorter.standards.ngsild.sources.subscribing import Subscribing
from poorter.standards.ngsild.sources.watching import Watching
from poorter.standards.ngsild.subscriptions.engine import Engine
from poorter.standards.ngsild.subscriptions.sending import Sender
from poorter.store.contract import Store


class Federation(Known):
    """What is known of other sources, kept up with: `watching`, subscriptions to registrations, and
    `subscribing`, subscriptions of ours that lie at sources."""

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
        registry = Registry(store, gate, clock, contexts, pepper)
        super().__init__(registry, contexts, outgoing, clock, own_url, alias, strict, split)
        self.watching = Watching(store, gate, clock, contexts, Sender(outgoing))
        self.watching.follow(registry, engine)
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
