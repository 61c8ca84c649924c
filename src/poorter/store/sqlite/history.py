# SPDX-License-Identifier: EUPL-1.2
"""History of one entity: observations, and buckets of them. Corrections: the latest word counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from poorter.city.entity import Observation
from poorter.city.errors import NotFound
from poorter.city.limits import HISTORY_PAGE_MAX
from poorter.city.query import HistoryQuery
from poorter.gate.permit import Permit, TypeRule
from poorter.store.contract import Bucket

_decode = msgspec.json.Decoder().decode
_LATEST = (
    " AND NOT EXISTS (SELECT 1 FROM history later WHERE later.attribute = h.attribute "
    "AND later.observed_us = h.observed_us AND later.sequence > h.sequence)"
)


def history(
    connection: apsw.Connection, permit: Permit, query: HistoryQuery, now_us: int
) -> list[Observation]:
    """Observations by attribute, then event time; at most `query.limit` in all."""
    rule, instances = _instances(connection, permit, query)
    left = min(query.limit, HISTORY_PAGE_MAX)
    found: list[Observation] = []
    for number, name, dataset in instances:
        if left <= 0:
            break
        part = list(_observations(connection, query, rule, (number, name, dataset), left, now_us))
        left -= len(part)
        found += part
    return found


def aggregate(
    connection: apsw.Connection,
    permit: Permit,
    query: HistoryQuery,
    width_us: int,
    now_us: int,
) -> dict[str, list[Bucket]]:
    """Buckets of `width_us` per attribute over its good numbers; empty ones are absent."""
    rule, instances = _instances(connection, permit, query)
    buckets: dict[str, list[Bucket]] = {}
    for number, name, _ in instances:
        _, values = _range(query, rule, now_us)
        rows = connection.execute(
            "SELECT (h.observed_us / ?2) * ?2 - CASE WHEN h.observed_us < 0 AND "
            "h.observed_us % ?2 THEN ?2 ELSE 0 END AS start, count(*), avg(h.value), "
            "min(h.value), max(h.value), sum(h.value) FROM history h WHERE h.attribute = ?1 "
            "AND h.quality < 3 AND typeof(h.value) IN ('integer', 'real') "
            f"AND h.observed_us >= ?3 AND h.observed_us < ?4{_LATEST} GROUP BY start",
            (number, width_us, *values),
        )
        buckets.setdefault(name, []).extend(Bucket(*row) for row in rows)
    return buckets


def _instances(
    connection: apsw.Connection, permit: Permit, query: HistoryQuery
) -> tuple[TypeRule, list[tuple[int, str, str]]]:
    rows = list(connection.execute("SELECT id, types FROM entity WHERE urn = ?", (query.urn,)))
    rule = permit.rule_of(tuple(rows[0][1].split(" "))) if rows else None
    if rule is None:
        raise NotFound(f"{query.urn} is not there")
    found = connection.execute(
        "SELECT a.id, n.name, a.dataset FROM attribute a JOIN name n ON n.id = a.name "
        "WHERE a.entity = ? ORDER BY n.name, a.dataset",
        (rows[0][0],),
    )
    wanted = [
        (number, name, dataset)
        for number, name, dataset in found
        if rule.covers(name)
        and (not query.names or name in query.names)
        and (not query.dataset_ids or (dataset or None) in query.dataset_ids)
    ]
    return rule, wanted


def _range(query: HistoryQuery, rule: TypeRule, now_us: int) -> tuple[str, tuple[int, int]]:
    """Bounds on the moment; what is past its retention is gone at reading already."""
    from_us = -(2**62) if query.from_us is None else query.from_us
    until_us = 2**62 if query.until_us is None else query.until_us
    if rule.retention_us is not None:
        from_us = max(from_us, now_us - rule.retention_us)
    return " AND h.observed_us >= ? AND h.observed_us < ?", (from_us, until_us)


def _observations(
    connection: apsw.Connection,
    query: HistoryQuery,
    rule: TypeRule,
    instance: tuple[int, str, str],
    limit: int,
    now_us: int,
) -> Iterator[Observation]:
    number, name, dataset = instance
    where, values = _range(query, rule, now_us)
    latest = "" if query.corrections else _LATEST
    newest = query.last is not None
    most = min(limit, query.last) if query.last is not None else limit
    rows: list[tuple[Any, ...]] = list(
        connection.execute(
            "SELECT h.observed_us, h.value, h.received_us, h.sequence, h.quality FROM history h "
            f"WHERE h.attribute = ?{where}{latest} ORDER BY h.observed_us "
            f"{'DESC, h.sequence DESC' if newest else ', h.sequence'} LIMIT ?",
            (number, *values, most),
        )
    )
    for observed_us, value, received_us, sequence, quality in reversed(rows) if newest else rows:
        yield Observation(
            urn=query.urn,
            name=name,
            observed_at_us=observed_us,
            value=_decode(value) if isinstance(value, bytes) else value,
            received_at_us=received_us,
            sequence=sequence,
            dataset_id=dataset or None,
            quality=quality,
        )
