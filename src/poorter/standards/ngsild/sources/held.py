# SPDX-License-Identifier: EUPL-1.2
"""A request that is taken apart and put together again: its parts go to handlers as if they had
come in that way."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec

from poorter.city.errors import TooLarge
from poorter.city.limits import BODY_BYTES_MAX
from poorter.standards.http.asgi import Request


class Held(Request):
    """A request whose body is here already; `params` and `body` may be other than what came."""

    __slots__ = ("_body",)

    def __init__(self, request: Request, body: bytes, params: dict[str, str] | None = None) -> None:
        scope = dict(request.scope)
        if params is not None:
            scope["query_string"] = urlencode(params).encode()
        super().__init__(scope, request._receive)
        self._body = body

    async def body(self, limit: int = BODY_BYTES_MAX) -> bytes:
        """All of it. Raises TooLarge."""
        if len(self._body) > limit:
            raise TooLarge(f"a body has at most {limit} bytes")
        return self._body

    def with_params(self, params: dict[str, str]) -> Held:
        """The same request with other parameters."""
        return Held(self, self._body, params)

    def with_body(self, value: Any) -> Held:
        """The same request about something else."""
        return Held(self, msgspec.json.encode(value))


async def hold(request: Request) -> Held:
    """Take the body of a request in, so that it can be read more than once."""
    return Held(request, await request.body())
