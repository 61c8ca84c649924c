# SPDX-License-Identifier: EUPL-1.2
"""HTTP that leaves the city: contexts, notifications, other sources. Only to hosts it was allowed
(`network.allowed_hosts`), within a time and a size, and never following a redirect elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from poorter.city.errors import Invalid, Unavailable

if TYPE_CHECKING:
    import httpx

BYTES_MAX = 8 * 1024 * 1024
CONNECTIONS_MAX = 64


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
        self._client: httpx.AsyncClient | None = None

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
        import httpx  # only a city that calls others loads it

        self.check(url)
        client = self._made()
        try:
            async with asyncio.timeout(timeout_s):
                given = dict(headers or {})
                async with client.stream(method, url, headers=given, content=body) as answer:
                    parts: list[bytes] = []
                    size = 0
                    async for part in answer.aiter_bytes():
                        size += len(part)
                        if size > bytes_max:
                            raise Unavailable(f"{url[:200]} sends over {bytes_max} bytes")
                        parts.append(part)
                    return Reply(answer.status_code, dict(answer.headers), b"".join(parts))
        except TimeoutError:
            raise Unavailable(f"{url[:200]} took over {timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as wrong:
            raise Unavailable(f"{url[:200]}: {type(wrong).__name__} {wrong}"[:400]) from None

    def _made(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            limits = httpx.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=30.0)
            # trust_env: a proxy of the machine must not send loopback elsewhere
            self._client = httpx.AsyncClient(
                limits=limits, trust_env=False, timeout=httpx.Timeout(30.0)
            )
        return self._client

    async def close(self) -> None:
        """End what is open."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
