# SPDX-License-Identifier: EUPL-1.2
"""History of many entities at once, put together by a relationship or by the area they lie in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import shapely
from shapely.geometry import shape

from poorter.city.place import centre
from poorter.gate.permit import Permit
from poorter.store.contract import Bucket
from poorter.store.history.groups import GroupQuery
from poorter.store.history.hours import Sums, summed
from poorter.store.tables.history import bounds, buckets_of, sums_between
from poorter.store.tables.manifest import Files
from poorter.store.tables.port import Connection

#: instances whose sums are in memory at a time
_SLICE = 10_000
_decode = msgspec.json.Decoder().decode
#: (instance, types of its entity, group)
Member = tuple[int, str, str]


def grouped(
    connection: Connection, files: Files, permit: Permit, query: GroupQuery, now_us: int
) -> dict[str, list[Bucket]]:
    """Buckets by group, over members that exist for the permit with all that is asked of them."""
    names: dict[str, int] = {}
    kept: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    spans: dict[str, tuple[int, int] | None] = {}
    for instance, types, group in _members(connection, permit, query):
        if types not in spans:
            spans[types] = _span(permit, query, types, now_us)
        span = spans[types]
        if span is not None:
            kept[span].append((instance, names.setdefault(group, len(names))))
    parts = []
    for (from_us, until_us), members in kept.items():
        members.sort()
        for start in range(0, len(members), _SLICE):
            ids, groups = np.array(members[start : start + _SLICE], np.int64).T
            sums = sums_between(connection, files, ids, from_us, until_us, query.width_us)
            keys = groups[np.searchsorted(ids, sums.key)]
            of_groups = Sums(keys, sums.bucket, sums.count, sums.total, sums.least, sums.most)
            parts.append(summed([of_groups]))
    whole = summed(parts)
    found = {}
    for group, number in sorted(names.items()):
        own = whole.take(slice(*np.searchsorted(whole.key, (number, number + 1))))
        if len(own):
            found[group] = list(buckets_of(own, query.width_us))
    return found


def _span(permit: Permit, query: GroupQuery, types: str, now_us: int) -> tuple[int, int] | None:
    """Which time exists for entities of these types; None when they don't."""
    rule = permit.rule_of(tuple(types.split(" ")))
    by = query.by if query.areas is None else "location"
    if rule is None or rule.personal or not (rule.covers(query.name) and rule.covers(by)):
        return None
    return bounds(query.from_us, query.until_us, rule, now_us)


def _members(connection: Connection, permit: Permit, query: GroupQuery) -> Iterator[Member]:
    held = "g.txt" if query.areas is None else "g.body"
    rows = connection.execute(
        f"SELECT a.id, e.types, {held} FROM entity_type t JOIN entity e ON e.id = t.entity "
        "JOIN attribute a ON a.entity = e.id AND a.dataset = '' "
        "AND a.name = (SELECT id FROM name WHERE name = ?2) "
        "JOIN attribute g ON g.entity = e.id AND g.dataset = '' AND g.live "
        "AND g.name = (SELECT id FROM name WHERE name = ?3) "
        f"WHERE t.type = ?1 AND {held} IS NOT NULL",
        (query.type, query.name, query.by if query.areas is None else "location"),
    )
    return rows if query.areas is None else _inside(connection, permit, query.areas, rows)


def _inside(
    connection: Connection, permit: Permit, kind: str, rows: Iterator[Member]
) -> Iterator[Member]:
    """The members of each area; one on a border belongs to the first of both."""
    areas = []
    for urn, types, body in connection.execute(
        "SELECT e.urn, e.types, a.body FROM entity_type t JOIN entity e ON e.id = t.entity "
        "JOIN attribute a ON a.entity = e.id AND a.dataset = '' AND a.live "
        "AND a.name = (SELECT id FROM name WHERE name = 'location') "
        "WHERE t.type = ? ORDER BY e.urn",
        (kind,),
    ):
        rule = permit.rule_of(tuple(types.split(" ")))
        geometry = _geometry(body)
        if rule is not None and rule.covers("location") and geometry is not None:
            areas.append((urn, shape(geometry)))
    members, spots = [], []
    for number, types, body in rows:
        if (geometry := _geometry(body)) is not None:
            members.append((number, types))
            spots.append(centre(geometry))
    if not areas or not members:
        return
    tree = shapely.STRtree([area for _, area in areas])
    which, area = tree.query(shapely.points(spots), predicate="intersects")
    taken: dict[int, int] = {}
    for member, found in zip(which.tolist(), area.tolist(), strict=True):
        taken[member] = min(found, taken.get(member, found))
    for member, found in taken.items():
        yield *members[member], areas[found][0]


def _geometry(body: bytes | str) -> dict[str, Any] | None:
    doc = _decode(body)
    return doc["value"] if doc["type"] == "GeoProperty" else None
