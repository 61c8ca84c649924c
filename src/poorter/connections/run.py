# SPDX-License-Identifier: EUPL-1.2
"""All connections of one city while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from poorter.city.clock import Clock
from poorter.city.entity import Entity
from poorter.city.errors import CityError, Denied
from poorter.city.time import SECOND_US
from poorter.connections.commanding import Commanding
from poorter.connections.counting import Counts
from poorter.connections.model import Connection
from poorter.connections.writing import Writing
from poorter.gate.gate import Gate
from poorter.gate.permit import Action, Permit
from poorter.load.sameness import newer_part
from poorter.standards.http.outgoing import Outgoing
from poorter.store.contract import Store
from poorter.store.recording import Recorder

if TYPE_CHECKING:
    from poorter.connections.devices import Devices
    from poorter.connections.polling import Feed

log = logging.getLogger(__name__)
State = Literal["fresh", "old", "silent", "failing", "stopped"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a connection stands: its state, what it says when it fails, and its counts."""

    connection: Connection
    state: State
    wrong: str
    counts: Counts


class Connections:
    """Starts them, stops them, tells how they stand."""

    def __init__(
        self,
        connections: Iterable[Connection],
        folder: Path,
        city_id: str,
        store: Store,
        gate: Gate,
        outgoing: Outgoing,
        clock: Clock,
        recorder: Recorder,
    ) -> None:
        self._recorder = recorder
        self._connections = tuple(connections)
        self._folder = folder
        self._city_id = city_id
        self._store = store
        self._gate = gate
        self._outgoing = outgoing
        self._clock = clock
        self._registered: frozenset[str] = frozenset()
        self._ended = False
        self._devices: dict[str, Devices] = {}
        self._feeds: dict[str, Feed] = {}
        self._orders: list[Commanding] = []
        self._counts = {connection.name: Counts() for connection in self._connections}
        self._tasks: list[asyncio.Task[None]] = []

    def register(self, devices: Iterable[str]) -> None:
        """These devices are known from now on, and no others."""
        self._registered = frozenset(devices)

    def start(self) -> None:
        """On the running event loop. A connection that can't start says so and stands still."""
        for connection in self._connections:
            try:
                self._start(connection)
            except CityError as wrong:
                log.warning("connection %s: %s", connection.name, wrong.detail)

    async def stop(self) -> None:
        """End them; what was taken in is written."""
        self._ended = True
        for orders in self._orders:
            orders.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(d.stop) for d in self._devices.values()))

    def standings(self) -> list[Standing]:
        """All of them, by name."""
        return [self._standing(connection) for connection in self._connections]

    def _start(self, connection: Connection) -> None:
        counts = self._counts[connection.name]

        def permits(action: Action) -> Permit:
            return self._gate.permit(connection.processor, connection.purpose, action)

        map_ = connection.map
        kind = map_.readings.type if map_.readings else ""
        writing = Writing(
            self._store, permits, self._clock, counts, kind, lambda: self._ended, self._recorder
        )
        if connection.mqtt is not None:
            from poorter.connections.devices import Devices  # a city without devices needs no MQTT

            devices = Devices(
                connection,
                connection.mqtt,
                self._folder,
                self._city_id,
                self._clock,
                counts,
                writing,
                lambda device: device in self._registered,
                self._commanding(connection, permits),
            )
            devices.start()
            self._devices[connection.name] = devices
        elif connection.poll is not None:
            from poorter.connections.polling import Feed  # nor one without feeds their formats

            feed = Feed(
                connection,
                connection.poll,
                self._clock,
                counts,
                writing,
                self._outgoing,
                self._newer(permits),
            )
            self._feeds[connection.name] = feed
            self._tasks.append(asyncio.create_task(_ask_again(feed), name=connection.name))

    def _commanding(
        self, connection: Connection, permits: Callable[[Action], Permit]
    ) -> Commanding | None:
        if not connection.commands:
            return None
        found = Commanding(connection.commands, self._store, permits, self._clock)
        self._orders.append(found)
        return found

    def _newer(self, permits: Callable[[Action], Permit]) -> Callable[[Entity], Entity | None]:
        return lambda thing: newer_part(self._store, permits("read"), thing)

    def _standing(self, connection: Connection) -> Standing:
        counts = self._counts[connection.name]
        wrong = self._wrong(connection.name)
        state: State = "fresh"
        if wrong is None:
            return Standing(connection, "stopped", "", counts)
        newest_us = counts.newest_us
        age_s = None if newest_us is None else (self._clock.now_us() - newest_us) / SECOND_US
        if age_s is None or age_s > connection.silent_after_s:
            state = "silent"
        elif age_s > connection.old_after_s:
            state = "old"
        return Standing(connection, "failing" if wrong else state, wrong, counts)

    def _wrong(self, name: str) -> str | None:
        """What fails now, "" for nothing; None when it never started."""
        if name in self._devices:
            return self._devices[name].wrong
        if name in self._feeds:
            breaker = self._feeds[name].breaker
            return breaker.wrong if breaker.failures else ""
        return None


async def _ask_again(feed: Feed) -> None:
    breaker = feed.breaker
    while True:
        try:
            pages = await feed.ask()
            await asyncio.to_thread(feed.take, pages)
            breaker.succeeded()
        except Denied:
            breaker.failed("no grant covers this feed now: its goal may be rescinded")
            feed.forget()
        except CityError as wrong:
            breaker.failed(wrong.detail)
            feed.forget()
        except Exception as wrong:  # the outermost loop of a feed: odd data may not end it
            log.exception("feed %s failed", feed.connection.name)
            breaker.failed(type(wrong).__name__)
            feed.forget()
        await asyncio.sleep(breaker.wait_s())
