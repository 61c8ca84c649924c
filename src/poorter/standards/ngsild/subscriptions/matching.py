# SPDX-License-Identifier: EUPL-1.2
"""Which subscriptions a change concerns, and by what: pure, on the images a permit opens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from poorter.city.entity import Entity
from poorter.city.matching import Linked, matches
from poorter.city.query import Query
from poorter.city.scope import scope_pattern
from poorter.gate.pseudonyms import is_shown
from poorter.standards.ngsild.subscriptions.model import Subscription
from poorter.store.contract import StoredAttribute, StoredEntity
from poorter.store.geometry import related

Key = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a change did to an entity, as one permit sees it: by (name, datasetId)."""

    before: StoredEntity | None
    after: StoredEntity | None
    created: frozenset[Key]
    updated: frozenset[Key]
    deleted: frozenset[Key]
    old: dict[Key, StoredAttribute]

    @property
    def entity(self) -> StoredEntity:
        """As it is, or was last."""
        found = self.after or self.before
        if found is None:
            raise AssertionError("facts are of an entity")
        return found


def facts_of(before: StoredEntity | None, after: StoredEntity | None) -> Facts | None:
    """None when this permit sees nothing of the change."""
    if before is None and after is None:
        return None
    old = {(a.name, a.dataset_id): a for a in before.attributes} if before else {}
    new = {(a.name, a.dataset_id): a for a in after.attributes} if after else {}
    updated = frozenset(key for key in new.keys() & old.keys() if new[key].body != old[key].body)
    created = frozenset(new.keys() - old.keys())
    deleted = frozenset(old.keys() - new.keys())
    if before is not None and after is not None and not (updated or created or deleted):
        return None
    return Facts(before, after, created, updated, deleted, old)


def concerns(sub: Subscription, facts: Facts) -> bool:
    """Whether a change is of a kind that the subscription wants to hear of (5.8.6)."""
    if not meant(sub, facts.entity):
        return False
    triggers = sub.triggers
    if facts.before is None and "entityCreated" in triggers:
        return True
    if facts.after is None and "entityDeleted" in triggers:
        return True
    return any(
        kind in triggers and any(not sub.watched or name in sub.watched for name, _ in keys)
        for kind, keys in (
            ("attributeCreated", facts.created),
            ("attributeUpdated", facts.updated),
            ("attributeDeleted", facts.deleted),
        )
    )


def meant(sub: Subscription, entity: StoredEntity) -> bool:
    """Whether the subscription is about this entity."""
    if not sub.selectors:
        return True
    types = set(entity.types)
    return any(
        (not one.type_sets or any(types.issuperset(names) for names in one.type_sets))
        and (not one.ids or entity.urn in one.ids)
        and (one.id_pattern is None or re.search(one.id_pattern, entity.urn) is not None)
        for one in sub.selectors
    )


def meets(query: Query, entity: Entity, linked: Linked) -> bool:
    """Whether an entity meets q, geoQ and scopeQ."""
    if query.condition is not None and not matches(entity, query.condition, linked):
        return False
    if query.scopes is not None:
        scopes = " ".join(entity.scopes)
        if not any(
            all(re.search(scope_pattern(one), scopes) for one in every)
            for every in query.scopes.alternatives
        ):
            return False
    geo = query.geo
    if geo is None:
        return True
    return any(
        attribute.kind == "GeoProperty" and related(attribute.value, geo)
        for attribute in entity.named(geo.attribute)
    )


class Index:
    """Subscriptions by the types they are about, so that a change asks few of many."""

    def __init__(self) -> None:
        self._by_type: dict[str, dict[str, Subscription]] = {}
        self._by_id: dict[str, dict[str, Subscription]] = {}
        self._types: dict[str, Iterable[str]] = {}
        self._ids: dict[str, Iterable[str]] = {}

    @property
    def types(self) -> frozenset[str]:
        """All types that any subscription is about."""
        return frozenset(name for types in self._types.values() for name in types)

    def put(self, sub: Subscription) -> None:
        """Add one, or take the place of the one with its id."""
        self.remove(sub.id)
        self._types[sub.id] = sub.types
        exact = [urn for one in sub.selectors for urn in one.ids]
        if exact and all(one.ids for one in sub.selectors) and not any(map(is_shown, exact)):
            self._ids[sub.id] = exact
            for urn in exact:
                self._by_id.setdefault(urn, {})[sub.id] = sub
        else:
            for name in sub.types:
                self._by_type.setdefault(name, {})[sub.id] = sub

    def remove(self, sub_id: str) -> None:
        """Forget one."""
        for name in self._types.pop(sub_id, ()):
            self._by_type.get(name, {}).pop(sub_id, None)
        for urn in self._ids.pop(sub_id, ()):
            self._by_id.get(urn, {}).pop(sub_id, None)

    def about(self, urn: str, types: tuple[str, ...]) -> dict[str, Subscription]:
        """Those that may be about an entity, by id."""
        found: dict[str, Subscription] = dict(self._by_id.get(urn, {}))
        for name in (*types, "*"):
            found.update(self._by_type.get(name, {}))
        return found
