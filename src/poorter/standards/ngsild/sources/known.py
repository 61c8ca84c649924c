# SPDX-License-Identifier: EUPL-1.2
"""What a city knows of other sources, and by which name it goes itself."""

from __future__ import annotations

from hashlib import sha256

from poorter.city.clock import Clock
from poorter.standards.http.outgoing import Outgoing
from poorter.standards.ngsild.contexts import Contexts
from poorter.standards.ngsild.sources.registry import Registry


class Known:
    """Registrations and the way out. `alias` tells this city from all others in a Via header (CIM
    009, 5.2.40). `strict`: what version 1.9.1 refuses is refused. `split`: parts of one entity may
    lie in several cities, where a request does not say. `own_url`: where sources find this city."""

    def __init__(
        self,
        registry: Registry,
        contexts: Contexts,
        outgoing: Outgoing,
        clock: Clock,
        own_url: str,
        alias: str,
        strict: bool = True,
        split: bool = True,
    ) -> None:
        self.registry = registry
        self.contexts = contexts
        self.outgoing = outgoing
        self.began_us = clock.now_us()
        self.own_url = own_url
        self.alias = alias
        self.strict = strict
        self.split = split


def alias_of(city_id: str, public_key: bytes) -> str:
    """A name that no other city has: cities are called alike, keys are not."""
    return f"{city_id}-{sha256(public_key).hexdigest()[:12]}"
