# SPDX-License-Identifier: EUPL-1.2
"""A request and an answer straight on ASGI: the hot routes need no more than this."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from poorter.city.errors import Invalid, TooLarge
from poorter.city.limits import BODY_BYTES_MAX, JSON_DEPTH_MAX, QUERY_CHARS_MAX

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
#: an ASGI application that says with which status it has answered
Answering = Callable[[Scope, Receive, Send], Awaitable[int]]

JSON = b"application/json"
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers (lower case, as ASGI wants them)."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Request:
    """One request. Of a header that is sent twice the first counts."""

    __slots__ = ("_headers", "_receive", "_taken", "method", "path", "processor", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self.processor = ""  # who asks, once that is known
        self._taken = b""

    def header(self, name: bytes) -> str | None:
        """The header's value, None when it is not there. `name` in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def raw(self, name: bytes) -> bytes | None:
        """The header's value as it was sent."""
        return self._headers.get(name)

    def none_of(self, names: frozenset[bytes]) -> bool:
        """Whether none of these headers is there."""
        return names.isdisjoint(self._headers)

    def query(self) -> dict[str, str]:
        """Parameters of the URL. Raises Invalid for a repeated one or bad UTF-8."""
        raw: bytes = self.scope["query_string"]
        if not raw:
            return {}
        if len(raw) > QUERY_CHARS_MAX * 4:
            raise TooLarge(f"the query has at most {QUERY_CHARS_MAX * 4} characters")
        try:
            pairs = parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=64
            )
        except ValueError:
            raise Invalid(
                "the query is not percent-encoded UTF-8, or has too many fields"
            ) from None
        found: dict[str, str] = {}
        for name, value in pairs:
            if name in found:
                raise Invalid(f"{name} is given twice")
            found[name] = value
        return found

    def inputs(self) -> bytes:
        """SHA-256 of what is asked besides method and path: the query, and the body once taken."""
        query: bytes = self.scope["query_string"]
        return hashlib.sha256(query + b"\0" + self._taken).digest()

    async def body(self, limit: int = BODY_BYTES_MAX) -> bytes:
        """All of the body. Raises TooLarge before more than `limit` bytes are kept."""
        self._taken = taken = await self._whole(limit)
        return taken

    async def _whole(self, limit: int) -> bytes:
        length = self._headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > limit):
            raise TooLarge(f"a body has at most {limit} bytes")
        message = await self._receive()
        first: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(first) > limit:
                raise TooLarge(f"a body has at most {limit} bytes")
            return first
        parts, size = [first], len(first)
        while message.get("more_body"):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Invalid("the request was broken off")
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise TooLarge(f"a body has at most {limit} bytes")
            parts.append(part)
        return b"".join(parts)

    async def json(self) -> Any:
        """The body as JSON. Raises Invalid for anything else, TooLarge past the limits."""
        return parse_json(await self.body())


def parse_json(raw: bytes) -> Any:
    """JSON text to plain data. Raises Invalid naming the place, TooLarge when too deep."""
    if not raw:
        raise Invalid("the body is empty")
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(f"the body is not JSON: {wrong}") from None
    except RecursionError:
        raise TooLarge(f"JSON is nested at most {JSON_DEPTH_MAX} deep") from None


def check_depth(value: Any, left: int = JSON_DEPTH_MAX) -> None:
    """Raises TooLarge when lists and objects are nested deeper than the limit."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    if left <= 0:
        raise TooLarge(f"JSON is nested at most {JSON_DEPTH_MAX} deep")
    for part in value:
        if isinstance(part, dict | list):
            check_depth(part, left - 1)


async def send(answer: Answer, transmit: Send, more: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Hand the answer to the server; its status."""
    headers = [*answer.headers, *more]
    if answer.status != 204:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await transmit({"type": "http.response.start", "status": answer.status, "headers": headers})
    await transmit({"type": "http.response.body", "body": answer.body})
    return answer.status
