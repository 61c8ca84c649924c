# SPDX-License-Identifier: EUPL-1.2
"""A city in this process, asked straight at its ASGI face: for what a timer inside must see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poorter.city.clock import SystemClock
from poorter.config import read_config
from poorter.jobs import record_uses
from poorter.running import open_city
from poorter.server import make_app


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body."""

    status: int
    body: bytes


Asked = Callable[..., Coroutine[Any, Any, Reply]]


@asynccontextmanager
async def asking(folder: Path) -> AsyncIterator[Asked]:
    """How to ask the city in `folder`: (method, path, JSON). `ask("LEDGER", "")` takes a step of
    the ledger, as the city's own jobs do each half second."""
    running = await open_city(read_config(folder), SystemClock())
    app: Any = make_app(running)
    assert running.engine is not None
    await running.engine.start()

    async def ask(method: str, path: str, doc: Any = None) -> Reply:
        if method == "LEDGER":
            await record_uses(running)
            return Reply(200, b"")
        body = b"" if doc is None else json.dumps(doc).encode()
        parts: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            parts.append(message)

        scope = {**_SCOPE, "method": method, "path": path, "raw_path": path.encode()}
        scope["headers"] = [*_SCOPE["headers"], (b"content-length", b"%d" % len(body))]
        await app(scope, receive, send)
        return Reply(parts[0]["status"], parts[1].get("body", b""))

    try:
        yield ask
    finally:
        await running.engine.stop()
        await running.outgoing.close()
        running.close()


_SCOPE: dict[str, Any] = {
    "type": "http",
    "query_string": b"",
    "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    "client": ("127.0.0.1", 1),
    "scheme": "http",
}
