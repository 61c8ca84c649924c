# SPDX-License-Identifier: EUPL-1.2
"""Questions about rows of persons: opened one by one, then asked. No index knows them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from poorter.city.entity import Entity
from poorter.city.errors import NotFound, TooLarge
from poorter.city.limits import PAGE_MAX
from poorter.city.matching import Linked, matches
from poorter.city.pattern import occurs
from poorter.city.query import And, Condition, Or, Query, Selector
from poorter.gate.inside import check_join, inside
from poorter.gate.permit import SEALED, Permit
from poorter.store.body import decode_entity
from poorter.store.contract import Page, Store, StoredEntity
from poorter.store.geometry import related
from poorter.store.walls.rows import Rows

SECONDS_MAX = 10.0


def walled_types(permit: Permit, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The types behind a wall that a question is about."""
    names = asked or tuple(permit.rules)
    found = ((name, permit.rules.get(name)) for name in names)
    return tuple(name for name, rule in found if rule is not None and rule.behind is not None)


def scan(
    inner: Store, rows: Rows, permit: Permit, query: Query, linked: Linked
) -> Iterator[tuple[str, StoredEntity]]:
    """(kept id, row as the permit sees it) of all that match, in a steady order.

    Raises: TooLarge when it takes too long, Denied for a join over walls.
    """
    if query.condition is not None and _links(query.condition):
        check_join(permit)
    types = walled_types(permit, query.types)
    if not types or query.scopes is not None:
        return
    deadline = time.monotonic() + SECONDS_MAX
    within = inside(permit)
    ids = tuple(kept for urn in query.ids if (kept := rows.kept(permit, urn)) is not None)
    if query.ids and not ids:
        return
    after = rows.kept(permit, query.after) if query.after else None
    sealed_types = tuple(SEALED + name for name in types)
    while True:
        asked = Query(types=sealed_types, ids=ids, limit=PAGE_MAX, after=after)
        page = inner.query(within, asked)
        for sealed in page.entities:
            if time.monotonic() > deadline:
                raise TooLarge(f"the query takes over {SECONDS_MAX:g} s: ask for fewer rows")
            opened = rows.open(permit, sealed)
            if opened is not None and _meets(opened, query, linked):
                yield sealed.urn, opened
        if page.after is None:
            return
        after = page.after


def page_of(
    inner: Store, rows: Rows, permit: Permit, query: Query, linked: Linked, left: int
) -> tuple[Page, bool]:
    """A page of at most `left` rows, and whether there are more."""
    found: list[StoredEntity] = []
    more = False
    for _, opened in scan(inner, rows, permit, query, linked):
        if len(found) >= left:
            more = True
            break
        found.append(opened)
    count = None
    if query.count:
        count = sum(1 for _ in scan(inner, rows, permit, replace(query, after=None), linked))
    return Page(tuple(found), count, found[-1].urn if more and found else None), more


def linker(look: Linked) -> Linked:
    """Follows links as far as they exist, each once."""
    known: dict[str, Entity | None] = {}

    def linked(urn: str) -> Entity | None:
        if urn not in known:
            try:
                known[urn] = look(urn)
            except NotFound:
                known[urn] = None
        return known[urn]

    return linked


def _meets(stored: StoredEntity, query: Query, linked: Linked) -> bool:
    types = set(stored.types)
    if query.type_sets and not any(types.issuperset(names) for names in query.type_sets):
        return False
    if query.id_pattern is not None and not occurs(query.id_pattern, stored.urn):
        return False
    if query.selectors and not any(_selects(one, stored, types) for one in query.selectors):
        return False
    if query.attributes and not any(a.name in query.attributes for a in stored.attributes):
        return False
    if query.condition is None and query.geo is None:
        return True
    entity = decode_entity(stored)
    if query.condition is not None and not matches(entity, query.condition, linked):
        return False
    geo = query.geo
    return geo is None or any(
        a.kind == "GeoProperty" and related(a.value, geo) for a in entity.named(geo.attribute)
    )


def _selects(one: Selector, stored: StoredEntity, types: set[str]) -> bool:
    return (
        (not one.type_sets or any(types.issuperset(names) for names in one.type_sets))
        and (not one.ids or stored.urn in one.ids)
        and (one.id_pattern is None or occurs(one.id_pattern, stored.urn))
    )


def _links(condition: Condition) -> bool:
    if isinstance(condition, And | Or):
        return any(map(_links, condition.terms))
    return condition.path.linked is not None
