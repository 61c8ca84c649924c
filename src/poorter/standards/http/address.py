# SPDX-License-Identifier: EUPL-1.2
"""From where somebody asks: the address that limits are counted by. It is never written down."""

from __future__ import annotations

from collections.abc import MutableMapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

UNKNOWN = "unknown"


def address_of(scope: MutableMapping[str, Any], proxies: int) -> str:
    """The address of a visitor; of IPv6 its /64, which is what one home or phone has.

    `proxies`: how many of the city's own stand in front. Each adds the address that it saw to the
    end of X-Forwarded-For, so the last `proxies` entries are true; what stands before them anybody
    can write.
    """
    client = scope.get("client")
    seen = [str(client[0]) if client else UNKNOWN]
    if proxies > 0:
        given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in b",".join(given).decode("latin-1").split(",") if hop.strip()]
        seen = [*hops, *seen]
    return _home(seen[-min(proxies + 1, len(seen))])


def is_own(address: str) -> bool:
    """Whether it is this machine itself: its operator, or a proxy on it that the settings don't
    name. Either stands for many, so what counts visitors leaves it alone."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _home(text: str) -> str:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address) and not address.is_loopback:
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False).network_address)
    return str(address)
