# SPDX-License-Identifier: EUPL-1.2
"""Aggregates of an evolution: by the store's own buckets where it can, else over its instances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from poorter.city.entity import Instance
from poorter.city.errors import TooLarge
from poorter.city.query import EvolutionQuery, HistoryQuery
from poorter.gate.permit import Permit
from poorter.standards.ngsild.temporal.aggregates import (
    Aggregation,
    from_buckets,
    of_buckets,
    of_values,
)
from poorter.standards.ngsild.temporal.asking import Asked, time_of
from poorter.standards.ngsild.temporal.represent import by_name, head, shown
from poorter.store.contract import (
    Store,
)
from poorter.store.evolving import Evolution

INSTANCES_MAX = 200_000
_SAMPLE = 20


def aggregated(store: Store, permit: Permit, evolution: Evolution, asked: Asked) -> dict[str, Any]:
    """The aggregated representation of one entity. Raises Misplaced, TooLarge."""
    assert asked.aggregation is not None
    members = head(evolution, asked)
    query = asked.only(asked.window.query(evolution.urn, INSTANCES_MAX))
    if not evolution.merged and _by_buckets(store, permit, query, asked):
        return members | _of_buckets(store, permit, query, asked, asked.aggregation)
    found = store.evolution(permit, query)
    if found.beyond is not None:
        raise TooLarge(f"over {INSTANCES_MAX} instances to aggregate: ask for less time")
    start_us, end_us = _bounds(found.instances, query, asked)
    for name, instances in by_name(found.instances).items():
        if shown(name, asked):
            body = _of_instances(instances, asked, start_us, end_us)
            if body is not None:
                members[asked.form.context.compact(name)] = body
    return members


def _by_buckets(store: Store, permit: Permit, query: EvolutionQuery, asked: Asked) -> bool:
    """Whether the store's buckets mean the same: by observedAt, of equal width, over numbers."""
    wanted = asked.aggregation
    if (
        wanted is None
        or wanted.width_us is None
        or not from_buckets(wanted.methods)
        or query.time != "observedAt"
        or query.last is not None
        or query.dataset_ids not in ((), (None,))
        or (query.from_us or 0) % wanted.width_us
    ):
        return False
    for ends in (query, replace(query, last=_SAMPLE)):  # the first and the last of each
        sample = store.evolution(permit, replace(ends, limit=_SAMPLE * 20))
        if not all(map(_is_number, sample.instances)):
            return False
    return query.from_us is not None


def _is_number(one: Instance) -> bool:
    value, kind = one.attribute.value, one.attribute.kind
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return kind == "Property" and number and one.attribute.dataset_id is None


def _of_buckets(
    store: Store, permit: Permit, query: EvolutionQuery, asked: Asked, wanted: Aggregation
) -> dict[str, Any]:
    width_us = wanted.width_us or 0
    history = HistoryQuery(query.urn, query.names, from_us=query.from_us, until_us=query.until_us)
    return {
        asked.form.context.compact(name): {
            "type": "Property",
            **of_buckets(buckets, wanted.methods, width_us),
        }
        for name, buckets in store.aggregate(permit, history, width_us).items()
        if buckets and shown(name, asked)
    }


def _bounds(
    instances: tuple[Instance, ...], query: EvolutionQuery, asked: Asked
) -> tuple[int, int]:
    """Where the periods begin, and where all of the time asked for ends."""
    moments = [m for one in instances if (m := time_of(one, asked.window.time)) is not None]
    start_us = query.from_us if query.from_us is not None else min(moments, default=0)
    end_us = query.until_us if query.until_us is not None else max(moments, default=start_us)
    return start_us, end_us


def _of_instances(
    instances: list[Instance], asked: Asked, start_us: int, end_us: int
) -> dict[str, Any] | None:
    assert asked.aggregation is not None
    alive = [one for one in instances if one.deleted_at_us is None]
    points = [
        (moment_us, one.attribute.value)
        for one in alive
        if (moment_us := time_of(one, asked.window.time)) is not None
    ]
    if not points:
        return None
    points.sort(key=lambda point: point[0])
    link = alive[0].attribute.kind in ("Relationship", "ListRelationship")
    kind = "Relationship" if link else "Property"
    return {"type": kind, **of_values(points, asked.aggregation, start_us, end_us)}
