# SPDX-License-Identifier: EUPL-1.2
"""Requests to one city: key, time limits, retries under one Idempotency-Key, errors as ours."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from poorter.city.errors import (
    CityError,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from poorter.city.ids import mint
from poorter.standards.http.asking import PURPOSE_HEADER
from poorter.standards.http.outgoing import Outgoing, Reply

_ERRORS: Mapping[int, type[CityError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Unsupported,
    501: Unsupported,
}
#: the city, or what stands before it, may do it a moment later
_LATER = frozenset((408, 429, 500, 502, 503, 504))
_BACKOFF_S = 0.1
_BACKOFF_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request may take, how often it is sent, and how long all of it may take."""

    request_s: float = 5.0
    tries: int = 5
    total_s: float = 20.0


class NotJson(Unavailable):
    """Something answers, and it is no API."""


class Remote:
    """One city at a URL, as the app with this key knows it. `key` None: the public."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        purpose: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Raises Invalid for what is no http URL."""
        self.url = url.rstrip("/")
        self.patience = patience or Patience()
        self._headers = {"accept": "application/json"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"
        if purpose is not None:
            self._headers[PURPOSE_HEADER.decode()] = purpose
        self._outgoing = Outgoing((_host(url),))
        self._outgoing.check(url)

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, wait_s: float = 0
    ) -> Any:
        """The JSON answer to a question; `wait_s` more time than usual for it.

        Raises: the errors of `poorter.city.errors` that the city answers, Unavailable when it does
        not answer in time or not in JSON.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        return _json(await self._patiently("GET", target, {}, b"", wait_s))

    async def part(self, path: str, query: Mapping[str, str]) -> tuple[Any, str | None]:
        """The JSON answer, and its Content-Range where it is a part of all there is (206)."""
        reply = await self._patiently("GET", f"{path}?{urlencode(query)}", {}, b"", 0)
        covered = reply.headers.get("content-range") if reply.status == 206 else None
        return _json(reply), covered

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
    ) -> Any:
        """A write, sent again until it is answered: all tries carry one Idempotency-Key, so that
        it is done once. Raises as `get` does."""
        headers = {"idempotency-key": key or mint("", 20)}
        raw = b""
        if body is not None:
            headers["content-type"] = "application/json"
            raw = msgspec.json.encode(body)
        return _json(await self._patiently(method, path, headers, raw, 0))

    async def close(self) -> None:
        """End the connections."""
        await self._outgoing.close()

    async def _patiently(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, wait_s: float
    ) -> Reply:
        patience = self.patience
        until = time.monotonic() + patience.total_s + wait_s
        given = {**self._headers, **headers}
        for attempt in range(patience.tries):
            left_s = until - time.monotonic()
            limit_s = min(patience.request_s + wait_s, left_s)
            try:
                reply = await self._outgoing.send(method, self.url + path, given, body, limit_s)
                failed, pause_s = _failure(reply), _pause_s(reply)
            except Unavailable as wrong:
                failed, pause_s = wrong, 0.0
            if failed is None:
                return reply
            if pause_s is None:
                raise failed
            backoff_s = min(_BACKOFF_MAX_S, _BACKOFF_S * 2**attempt) * random.uniform(0.5, 1.5)
            pause_s = max(pause_s, backoff_s)
            if attempt == patience.tries - 1 or time.monotonic() + pause_s >= until:
                raise failed
            await asyncio.sleep(pause_s)
        raise Unavailable("the city was not asked")  # patience.tries is 0


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _failure(reply: Reply) -> CityError | None:
    """What an answer stands for that is no good one."""
    if 200 <= reply.status < 300:
        return None
    try:
        doc = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        doc = None
    detail = doc.get("detail") if isinstance(doc, dict) else None
    told = detail[:1000] if isinstance(detail, str) else ""
    if reply.status == 429:
        return TooMany(told, round(_retry_after_s(reply) or 1))
    return error_of(reply.status, told)


def error_of(status: int, detail: str) -> CityError:
    """The error that a status stands for; what is not known is the city's own trouble."""
    kind = _ERRORS.get(status)
    return Unavailable(detail or f"the city answers {status}") if kind is None else kind(detail)


def _pause_s(reply: Reply) -> float | None:
    """How long to wait before asking again; None: it would be the same."""
    if reply.status in _LATER:
        return _retry_after_s(reply) or 0.0
    if reply.status == 409:
        return _retry_after_s(reply)  # the first try with this key is still being worked on
    return None


def _retry_after_s(reply: Reply) -> float | None:
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 7 else None


def _json(reply: Reply) -> Any:
    if not reply.body:
        return None
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotJson("the city does not answer in JSON") from None
