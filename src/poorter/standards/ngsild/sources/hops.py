# SPDX-License-Identifier: EUPL-1.2
"""Which brokers a request came through: the Via header (RFC 9110, 7.6.3; CIM 009, 6.3.18)."""

from __future__ import annotations

from dataclasses import dataclass

from poorter.standards.http.asgi import Request

HOPS_MAX = 10


@dataclass(frozen=True, slots=True)
class Hops:
    """The header as it came, and the names in it: "1.1 alias, 1.1 alias"."""

    header: str = ""

    @property
    def aliases(self) -> frozenset[str]:
        """The brokers that it was at."""
        parts = [part.strip().split(" ") for part in self.header.split(",")]
        return frozenset(part[1] for part in parts if len(part) > 1)

    @property
    def too_many(self) -> bool:
        """Whether it has gone far enough."""
        return len(self.aliases) >= HOPS_MAX


def hops_of(request: Request) -> Hops:
    """Where a request has been."""
    return Hops(request.header(b"via") or "")
