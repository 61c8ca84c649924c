# SPDX-License-Identifier: EUPL-1.2
"""HTTP that leaves the city: contexts, notifications, other sources. Only to hosts it was allowed
(`network.allowed_hosts`), within a time and a size, and never following a redirect elsewhere."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from poorter.city.errors import Invalid, Unavailable
from poorter.standards.http.answering import Answering, Broken, Oversized
from poorter.standards.http.connections import Connections, Origin

BYTES_MAX = 8 * 1024 * 1024
_METHOD = re.compile(r"[A-Z]{1,20}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[ -~\t]*")
_SAFE = "%/:=&?~+!$,;'@()*[]-._"
#: what this side says of the message itself, whatever a subscription asks
_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection"))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outgoing:
    """One client for the whole city. Its connections are made at the first request: a city that
    calls nobody does not pay for them."""

    def __init__(self, allowed_hosts: tuple[str, ...]) -> None:
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._connections: Connections | None = None

    def check(self, url: str) -> None:
        """Raises Invalid unless `url` is http(s) to an allowed host."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise Invalid(f"{url[:200]!r} is no URL") from None
        if parts.scheme not in ("http", "https") or not host:
            raise Invalid(f"{url[:200]!r} is no http URL")
        self.check_host(host)

    def check_host(self, host: str) -> None:
        """Raises Invalid unless the host is on the list; "*" on the list allows all."""
        if host.lower() not in self._allowed and "*" not in self._allowed:
            raise Invalid(f"{host[:200]} is not among this city's network.allowed_hosts")

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
        bytes_max: int = BYTES_MAX,
    ) -> Reply:
        """One request, whole within `timeout_s`.

        Raises: Invalid for a host that is not allowed, Unavailable for no or no whole answer.
        """
        self.check(url)
        if self._connections is None:
            self._connections = Connections()
        try:
            target = _target(url)
            request = _head(method, target, headers or {}, len(body)) + body
            answering = Answering(method, bytes_max)
            async with asyncio.timeout(timeout_s):
                await self._connections.ask(target.origin, request, answering)
            return Reply(answering.status, answering.headers, answering.body)
        except Oversized:
            raise Unavailable(f"{url[:200]} sends over {bytes_max} bytes") from None
        except TimeoutError:
            raise Unavailable(f"{url[:200]} took over {timeout_s:g} s") from None
        except (Broken, OSError, ValueError) as wrong:
            raise Unavailable(f"{url[:200]}: {type(wrong).__name__} {wrong}"[:400]) from None

    async def close(self) -> None:
        """End what is open."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None


@dataclass(frozen=True, slots=True)
class _Target:
    origin: Origin
    path: str
    host: str  # as the Host header has it
    login: str | None


@lru_cache(maxsize=4096)
def _target(url: str) -> _Target:
    """Where a URL that was checked leads. Raises ValueError."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    usual = 443 if secure else 80
    name = (parts.hostname or "").encode("idna" if not url.isascii() else "ascii").decode("ascii")
    port = parts.port or usual
    host = f"[{name}]" if ":" in name else name
    login = None
    if parts.username is not None:
        both = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + b64encode(both.encode()).decode("ascii")
    path = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_SAFE)
    return _Target(
        Origin(secure, name, port), path, host if port == usual else f"{host}:{port}", login
    )


def _head(method: str, target: _Target, headers: Mapping[str, str], length: int) -> bytes:
    """The head of a request. Raises ValueError for what can't stand in one."""
    if not _METHOD.fullmatch(method):
        raise ValueError("no such method")
    given = {name.lower() for name in headers}
    lines = [f"{method} {target.path} HTTP/1.1", f"Host: {target.host}"]
    for name, value in (("accept", "*/*"), ("accept-encoding", "gzip, deflate")):
        if name not in given:
            lines.append(f"{name}: {value}")
    if target.login is not None and "authorization" not in given:
        lines.append(f"Authorization: {target.login}")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{name[:40]!r} can't stand in a head with this value")
        if name.lower() not in _OURS:
            lines.append(f"{name}: {value}")
    if length or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
