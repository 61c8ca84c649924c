# SPDX-License-Identifier: EUPL-1.2
"""Finds out what stands at a URL, and gives the handle for it."""

from __future__ import annotations

from poorter.city.clock import Clock
from poorter.city.errors import Invalid, NotFound, Unsupported
from poorter.client.broker import BrokerCity
from poorter.client.poorter import API, PoorterCity
from poorter.client.remote import NotJson, Patience, Remote
from poorter.systems.city import CAPABILITIES, Own

VERSION = 1


async def open_city(
    url: str,
    clock: Clock,
    key: str | None = None,
    own: Own | None = None,
    purpose: str | None = None,
    patience: Patience | None = None,
) -> BrokerCity:
    """The city at `url`, as the app with this key knows it: a PoorterCity with what that one
    offers, or a BrokerCity with no capabilities where another broker stands.

    `own`: what a system is given for itself. `purpose` narrows the key, never widens it.
    Close it when done.

    Raises: Invalid for a URL that is none, Unauthenticated, Denied, Unavailable when nobody
    answers there, Unsupported for a Poorter of a later version.
    """
    remote = Remote(url, key, purpose, patience)
    try:
        capabilities = await _capabilities(remote)
    except BaseException:
        await remote.close()
        raise
    if capabilities is None:
        return BrokerCity(remote, clock, own)
    return PoorterCity(remote, clock, own, capabilities)


async def _capabilities(remote: Remote) -> frozenset[str] | None:
    try:
        about = await remote.get(API)
    except (NotFound, Invalid, Unsupported, NotJson):
        return None
    version = about.get("poorter") if isinstance(about, dict) else None
    if version is None:
        return None
    if version != VERSION:
        raise Unsupported(f"this client speaks version {VERSION} of the handle, not {version}")
    offered = about.get("capabilities")
    return CAPABILITIES.intersection(offered if isinstance(offered, list) else ())
