# SPDX-License-Identifier: EUPL-1.2
"""Connections to other machines, kept open between requests: few to one, so that one that hangs
leaves room for the others."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from poorter.standards.http.answering import Answering, Broken

CONNECTIONS_MAX = 256
TO_ONE_MAX = 32
IDLE_MAX = 64
IDLE_S = 30.0


class Origin(NamedTuple):
    """One end that connections go to."""

    secure: bool
    host: str
    port: int


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answering: Answering | None = None
        self._answered: asyncio.Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def ask(self, request: bytes, answering: Answering) -> None:
        """Send a request and wait for the whole response. Raises Broken."""
        transport = self._transport
        if transport is None:
            raise Broken("the connection has ended")
        self._answering = answering
        self._answered = asyncio.get_running_loop().create_future()
        transport.write(request)
        try:
            await self._answered
        finally:
            self._answering = self._answered = None

    @property
    def is_open(self) -> bool:
        """Whether it can carry a request."""
        return self._transport is not None and not self._transport.is_closing()

    def rest(self, seconds: float) -> None:
        """Nobody uses it: it closes unless it is taken up again within the time."""
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.close)

    def take_up(self) -> None:
        """It is used again."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def close(self) -> None:
        """End it at once."""
        self.take_up()
        if self._transport is not None:
            self._transport.abort()

    # -- what asyncio tells --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A part of a response; without a request it is none."""
        if self._answering is None or self._answered is None or self._answered.done():
            self.close()
            return
        try:
            if self._answering.feed(data):
                self._answered.set_result(None)
        except Broken as wrong:
            self._answered.set_exception(wrong)

    def connection_lost(self, error: Exception | None) -> None:
        """It has ended, with or without a reason."""
        self.take_up()
        self._transport = None
        if self._answering is None or self._answered is None or self._answered.done():
            return
        try:
            if error is not None:
                raise Broken(f"the connection broke: {error}")
            self._answering.end()
            self._answered.set_result(None)
        except Broken as wrong:
            self._answered.set_exception(wrong)


@dataclass(slots=True)
class _Turns:
    """Who uses, or waits to use, a connection to one origin."""

    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(TO_ONE_MAX))
    users: int = 0


class Connections:
    """All of one city."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(CONNECTIONS_MAX)
        self._turns: dict[Origin, _Turns] = {}
        self._idle: dict[Origin, deque[Connection]] = {}
        self._tls: ssl.SSLContext | None = None

    async def ask(self, origin: Origin, request: bytes, answering: Answering) -> None:
        """One request to `origin`. Raises Broken, OSError."""
        turns = self._turns.get(origin)
        if turns is None:
            turns = self._turns[origin] = _Turns()
        turns.users += 1
        try:
            async with turns.free, self._all:
                await self._ask(origin, request, answering)
        finally:
            turns.users -= 1
            if not turns.users:
                del self._turns[origin]

    async def _ask(self, origin: Origin, request: bytes, answering: Answering) -> None:
        connection = self._rested(origin) or await self._connect(origin)
        try:
            await connection.ask(request, answering)
        except BaseException:
            connection.close()
            raise
        if answering.reusable and connection.is_open:
            self._rest(origin, connection)
        else:
            connection.close()

    def _rested(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not idle:
                del self._idle[origin]
            connection.take_up()
            if connection.is_open:
                return connection
        return None

    def _rest(self, origin: Origin, connection: Connection) -> None:
        connection.rest(IDLE_S)
        self._idle.setdefault(origin, deque()).append(connection)
        if sum(map(len, self._idle.values())) > IDLE_MAX:
            oldest = next(iter(self._idle))
            self._idle[oldest].popleft().close()
            if not self._idle[oldest]:
                del self._idle[oldest]

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        if not origin.secure:
            _, made = await loop.create_connection(Connection, origin.host, origin.port)
            return made
        if self._tls is None:
            import certifi

            self._tls = ssl.create_default_context(cafile=certifi.where())
        _, made = await loop.create_connection(
            Connection, origin.host, origin.port, ssl=self._tls, server_hostname=origin.host
        )
        return made

    def close(self) -> None:
        """End those that rest; the others end with their request."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
