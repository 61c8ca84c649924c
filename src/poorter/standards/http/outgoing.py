# SPDX-License-Identifier: EUPL-1.2
"""HTTP that leaves the city: contexts, notifications, other sources. Only to hosts it was allowed
(`network.allowed_hosts`), within a time and a size, and never following a redirect elsewhere."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from poorter.city.errors import Invalid, Unavailable

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

BYTES_MAX = 8 * 1024 * 1024
CONNECTIONS_MAX = 256
#: so that one that hangs leaves room for the others
TO_ONE_MAX = 32
IDLE_S = 30.0
_METHOD = re.compile(r"[A-Z]{1,20}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[ -~\t]*")
_SAFE = "%/:=&?~+!$,;'@()*[]-._"
#: what this side says of the message itself, whatever a subscription asks
_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection"))
_UNSAID = frozenset(("User-Agent", "Content-Type"))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outgoing:
    """One client for the whole city. Made at the first request: a city that calls nobody does
    not pay for it."""

    def __init__(self, allowed_hosts: tuple[str, ...]) -> None:
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

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
        import aiohttp  # only a city that calls others loads it

        try:
            target = _target(url)
            kept = {n: v for n, v in (headers or {}).items() if n.lower() not in _OURS}
            _check_head(method, kept)
            request = self._made().request(
                method,
                target,
                headers=kept,
                data=body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(timeout_s),
                ssl=self._authorities() if target.scheme == "https" else True,
            )
            async with request as answer:
                parts: list[bytes] = []
                size = 0
                async for part in answer.content.iter_any():
                    size += len(part)
                    if size > bytes_max:
                        raise Unavailable(f"{url[:200]} sends over {bytes_max} bytes")
                    parts.append(part)
                return Reply(answer.status, _joined(answer.headers), b"".join(parts))
        except TimeoutError:
            raise Unavailable(f"{url[:200]} took over {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as wrong:
            raise Unavailable(f"{url[:200]}: {type(wrong).__name__} {wrong}"[:400]) from None

    def _made(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX, limit_per_host=TO_ONE_MAX, keepalive_timeout=IDLE_S
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_UNSAID,
            )
        return self._session

    def _authorities(self) -> ssl.SSLContext:
        if self._tls is None:
            import certifi

            self._tls = ssl.create_default_context(cafile=certifi.where())
        return self._tls

    async def close(self) -> None:
        """End what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None


@lru_cache(maxsize=4096)
def _target(url: str) -> URL:
    """A URL that was checked, as it goes over the line: what is encoded stays as it is, for a
    source may tell %2F from a slash. Raises ValueError."""
    from yarl import URL

    parts = urlsplit(url)
    netloc = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    encoded = f"{parts.scheme}://{netloc}{quote(parts.path or '/', safe=_SAFE)}"
    return URL(
        f"{encoded}?{quote(parts.query, safe=_SAFE)}" if parts.query else encoded, encoded=True
    )


def _check_head(method: str, headers: Mapping[str, str]) -> None:
    """Raises ValueError for what can't stand in the head of a request."""
    if not _METHOD.fullmatch(method):
        raise ValueError("no such method")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{name[:40]!r} can't stand in a head with this value")


def _joined(headers: Any) -> dict[str, str]:
    """Headers by name in lower case; what came twice stands in one, as RFC 9110 (5.3) has it."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        low = name.lower()
        found[low] = f"{found[low]}, {value}" if low in found else value
    return found
