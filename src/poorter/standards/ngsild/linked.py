# SPDX-License-Identifier: EUPL-1.2
"""Linked entity retrieval (CIM 009, 4.5.23): what relationships lead to, as far as the caller's
permit lets it exist, each entity once, within a bounded number of links and entities."""

from __future__ import annotations

from typing import Any

import msgspec

from poorter.city.errors import NotFound, TooLarge
from poorter.gate.inside import check_join
from poorter.gate.permit import Permit
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.projection import Projection
from poorter.standards.ngsild.represent import represent
from poorter.store.contract import Store, StoredEntity

LINKED_MAX = 1000
_decode = msgspec.json.Decoder().decode
Below = tuple[Projection | None, Projection | None]


class Links:
    """Follows relationships for one answer."""

    def __init__(self, store: Store, permit: Permit, contained_by: frozenset[str]) -> None:
        check_join(permit)
        self._store = store
        self._permit = permit
        self._contained_by = contained_by
        self._found: dict[str, StoredEntity | None] = {}

    def follow(self, urn: str) -> StoredEntity | None:
        """The entity, None when it is not there for this caller or was met before the request."""
        if urn in self._contained_by:
            return None
        if urn not in self._found:
            if len(self._found) >= LINKED_MAX:
                raise TooLarge(f"the answer leads to over {LINKED_MAX} linked entities")
            try:
                self._found[urn] = self._store.entity(self._permit, urn)
            except NotFound:
                self._found[urn] = None
        return self._found[urn]

    def gather(self, entities: tuple[StoredEntity, ...], form: Form) -> list[StoredEntity]:
        """All entities that the answer will hold beside those it is about, found beforehand:
        their use is recorded before any of them leaves."""
        return [entity for entity, _ in self._walk(entities, form)]

    def flat(self, entities: tuple[StoredEntity, ...], form: Form) -> list[dict[str, Any]]:
        """Those same entities as data."""
        walked = self._walk(entities, form)
        return [represent(entity, form, *below, level=1) for entity, below in walked]

    def _walk(
        self, entities: tuple[StoredEntity, ...], form: Form
    ) -> list[tuple[StoredEntity, Below]]:
        met = {entity.urn for entity in entities}
        found: list[tuple[StoredEntity, Below]] = []
        level: list[tuple[StoredEntity, Below]] = [
            (entity, (form.pick, form.omit)) for entity in entities
        ]
        only = form.only  # of the linking entities, not of those behind them
        for _ in range(form.join_level):
            following: list[tuple[StoredEntity, Below]] = []
            for entity, below in level:
                for urn, beyond in _targets(entity, only, below):
                    target = self.follow(urn) if urn not in met else None
                    if target is not None:
                        met.add(urn)
                        following.append((target, beyond))
            found += following
            level, only = following, None
        return found


def _targets(
    entity: StoredEntity, only: frozenset[str] | None, below: Below
) -> list[tuple[str, Below]]:
    pick, omit = below
    found: list[tuple[str, Below]] = []
    for attribute in entity.attributes:
        name = attribute.name
        if (only is not None and name not in only) or (pick and name not in pick):
            continue
        if omit and name in omit and omit.under(name) is None:
            continue
        if b'"object' not in attribute.body:
            continue
        doc = _decode(attribute.body)
        value = doc.get("object", doc.get("objectList"))
        for urn in value if isinstance(value, list) else [value]:
            if isinstance(urn, str):
                beyond = (pick.under(name) if pick else None, omit.under(name) if omit else None)
                found.append((urn, beyond))
    return found
