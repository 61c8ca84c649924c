# SPDX-License-Identifier: EUPL-1.2
"""A witness as a server of its own: POST /add-checkpoint, GET /ORIGINHASH/checkpoint."""

from __future__ import annotations

import asyncio
import re

from poorter.city.errors import CityError, TooLarge
from poorter.ledger.witness import REQUEST_BYTES_MAX, TEXT, Reply, Witness
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, send

_KEPT = re.compile(r"/([0-9a-f]{64})/checkpoint\Z")


class WitnessApp:
    """The ASGI application of one witness."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        reply = await self._reply(Request(scope, receive))
        headers = ((b"content-type", reply.media.encode()),)
        await send(Answer(reply.status, reply.body, headers), transmit)

    async def _reply(self, request: Request) -> Reply:
        if request.path == "/add-checkpoint":
            if request.method != "POST":
                return Reply(405, b"POST\n")
            try:
                body = await request.body(REQUEST_BYTES_MAX)
            except TooLarge as wrong:
                return Reply(413, wrong.detail.encode() + b"\n", TEXT)
            except CityError as wrong:
                return Reply(400, wrong.detail.encode() + b"\n", TEXT)
            return await asyncio.to_thread(self._witness.add_checkpoint, body)
        kept = _KEPT.match(request.path)
        if kept is None or request.method not in ("GET", "HEAD"):
            return Reply(404, b"here: add-checkpoint\n")
        return self._witness.checkpoint(kept[1])
