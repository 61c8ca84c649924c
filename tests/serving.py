# SPDX-License-Identifier: EUPL-1.2
"""An ASGI application behind a real HTTP server on this event loop, on loopback, always stopped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server
from tests.served import free_port


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The URL at which it answers."""
    port = free_port()
    server = Server(
        app,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    task = asyncio.create_task(server.serve())
    try:
        await _until_open(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
        await task


async def _until_open(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        return
    raise AssertionError("the server does not answer")
