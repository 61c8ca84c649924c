# SPDX-License-Identifier: EUPL-1.2
"""Which subscriptions a change concerns, and by what: pure, on the images a permit opens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from poorter.city.entity import Entity
from poorter.city.matching import Linked, matches
from poorter.city.pattern import occurs
from poorter.city.query import Query
from poorter.city.scope import scope_pattern
from poorter.gate.pseudonyms import is_shown
from poorter.standards.ngsild.subscriptions.hooks import Hooks, hook_of
from poorter.standards.ngsild.subscriptions.model import Subscription
from poorter.store.contract import StoredAttribute, StoredEntity
from poorter.store.geometry import related

Key = tuple[str, str | None]
Seen = Callable[[Subscription], StoredEntity | None]


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
        and (one.id_pattern is None or occurs(one.id_pattern, entity.urn))
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
    """Subscriptions by the ids, else the types they are about, and among those by what their q asks
    of one attribute: a change asks few of many."""

    def __init__(self) -> None:
        self._subs: dict[str, Subscription] = {}
        self._numbers: Counter[str] = Counter()  # subscriptions a type
        self._by_type: dict[str, dict[str, Subscription]] = {}
        self._by_id: dict[str, dict[str, Subscription]] = {}
        self._hooked: dict[str, dict[tuple[str, str], Hooks]] = {}

    @property
    def types(self) -> frozenset[str]:
        """All types that any subscription is about."""
        return frozenset(self._numbers)

    def put(self, sub: Subscription) -> None:
        """Add one, or take the place of the one with its id."""
        self.remove(sub.id)
        self._subs[sub.id] = sub
        self._numbers.update(sub.types)
        hook = hook_of(sub.query.condition)
        ids = _ids(sub)
        for urn in ids:
            self._by_id.setdefault(urn, {})[sub.id] = sub
        for name in () if ids else sub.types:
            if hook is None:
                self._by_type.setdefault(name, {})[sub.id] = sub
            else:
                owners = self._hooked.setdefault(name, {})
                owners.setdefault((sub.processor, sub.purpose), Hooks()).put(sub, hook)

    def remove(self, sub_id: str) -> None:
        """Forget one."""
        sub = self._subs.pop(sub_id, None)
        if sub is None:
            return
        self._numbers -= Counter(dict.fromkeys(sub.types, 1))
        hook = hook_of(sub.query.condition)
        ids = _ids(sub)
        for urn in ids:
            self._by_id[urn].pop(sub_id, None)
            if not self._by_id[urn]:
                del self._by_id[urn]
        for name in () if ids else sub.types:
            if hook is None:
                self._by_type[name].pop(sub_id, None)
            else:
                self._hooked[name][sub.processor, sub.purpose].remove(sub, hook)

    def reached(self, urns: set[str], types: set[str], beyond: bool) -> list[Subscription]:
        """All that may be about any of these entities; `beyond`: or about others of the types."""
        return [
            sub
            for sub in self._subs.values()
            if ("*" in sub.types or not types.isdisjoint(sub.types))
            and (beyond or not (ids := _ids(sub)) or not urns.isdisjoint(ids))
        ]

    def about(self, urn: str, types: tuple[str, ...], seen: Seen) -> dict[str, Subscription]:
        """Those that may be about an entity, by id. `seen`: the entity as the owner of
        one sees it."""
        found: dict[str, Subscription] = dict(self._by_id.get(urn, {}))
        for name in (*types, "*"):
            found.update(self._by_type.get(name, {}))
            for hooks in self._hooked.get(name, {}).values():
                one = hooks.one()
                entity = None if one is None else seen(one)
                if entity is not None:
                    found.update((sub.id, sub) for sub in hooks.hit(entity))
        return found


def _ids(sub: Subscription) -> list[str]:
    """The entities that it is about, where it names all of them by the ids they are kept by."""
    if not all(one.ids for one in sub.selectors):
        return []
    ids = list(dict.fromkeys(urn for one in sub.selectors for urn in one.ids))
    # a person's row changes under the id it is kept by, and is named here as the purpose sees it
    return [] if any(map(is_shown, ids)) else ids
