# SPDX-License-Identifier: EUPL-1.2
"""History of an entity: observations, and buckets of them. Corrections: the latest word counts.

Rows and segments together: segments hold what is older, rows what is recent, and what came late or
was changed since. Callers read in one snapshot of the store.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from poorter.city.entity import Observation
from poorter.city.errors import NotFound
from poorter.city.limits import HISTORY_PAGE_MAX
from poorter.city.query import HistoryQuery
from poorter.gate.permit import Permit, TypeRule
from poorter.store.contract import Bucket
from poorter.store.history.hours import Sums, summed, sums_of
from poorter.store.history.rows import Ints, Row, in_order, make_rows
from poorter.store.tables.manifest import (
    AFTER_ALL_US,
    BEFORE_ALL_US,
    Files,
    compacted_rows,
    compacted_until_us,
    out_of,
    segments,
)
from poorter.store.tables.port import Connection

_decode = msgspec.json.Decoder().decode
_moment = itemgetter(1)
_word = itemgetter(1, 2)
_ROWS = "SELECT h.attribute, h.observed_us, h.sequence, h.received_us, h.quality, h.value "
_SPAN = "h.attribute = e.value AND h.observed_us >= {} AND h.observed_us < {}"
_LATEST = (
    " AND NOT EXISTS (SELECT 1 FROM history later WHERE later.attribute = h.attribute "
    "AND later.observed_us = h.observed_us AND later.sequence > h.sequence{})"
)


def history(
    connection: Connection, files: Files, permit: Permit, query: HistoryQuery, now_us: int
) -> list[Observation]:
    """Observations by attribute, then event time; at most `query.limit` in all."""
    rule, instances = _instances(connection, permit, query)
    left = min(query.limit, HISTORY_PAGE_MAX)
    found: list[Observation] = []
    for instance in instances:
        if left <= 0:
            break
        part = list(observations(connection, files, query, rule, instance, left, now_us))
        left -= len(part)
        found += part
    return found


def observations(
    connection: Connection,
    files: Files,
    query: HistoryQuery,
    rule: TypeRule,
    instance: tuple[int, str, str],
    limit: int,
    now_us: int,
) -> Iterator[Observation]:
    """Those of one attribute instance (number, name, dataset), in the order of their time."""
    said = words(connection, files, instance[0], query, rule, now_us)
    if query.last is not None:
        said = reversed(list(islice(said, min(limit, query.last))))
    for row in islice(said, limit):
        yield observation(query.urn, instance, row)


def aggregate(
    connection: Connection,
    files: Files,
    permit: Permit,
    query: HistoryQuery,
    width_us: int,
    now_us: int,
) -> dict[str, list[Bucket]]:
    """Buckets of `width_us` per attribute over its good numbers; empty ones are absent."""
    rule, instances = _instances(connection, permit, query)
    from_us, until_us = bounds(query.from_us, query.until_us, rule, now_us)
    buckets: dict[str, list[Bucket]] = {}
    for number, name, _ in instances:
        ids = np.array([number], np.int64)
        sums = sums_between(connection, files, ids, from_us, until_us, width_us)
        buckets.setdefault(name, []).extend(buckets_of(sums, width_us))
    return buckets


def buckets_of(sums: Sums, width_us: int) -> Iterator[Bucket]:
    """As the contract has them."""
    columns = (
        sums.bucket * width_us,
        sums.count,
        sums.total / sums.count,
        sums.least,
        sums.most,
        sums.total,
    )
    return map(Bucket, *(column.tolist() for column in columns))


def bounds(
    from_us: int | None, until_us: int | None, rule: TypeRule, now_us: int
) -> tuple[int, int]:
    """[from, until) in event time; what is past its retention is gone at reading already."""
    start_us = BEFORE_ALL_US if from_us is None else from_us
    if rule.retention_us is not None:
        start_us = max(start_us, now_us - rule.retention_us)
    return start_us, AFTER_ALL_US if until_us is None else until_us


def sums_between(
    connection: Connection,
    files: Files,
    instances: Ints,
    from_us: int,
    until_us: int,
    width_us: int,
) -> Sums:
    """Sums by instance (sorted) and bucket of `width_us`, over rows and segments."""
    compacted_us = compacted_until_us(connection)
    dialect = connection.dialect
    ids = dialect.many(instances.tolist())
    parts = [_recent(connection, ids, max(from_us, compacted_us), until_us, width_us)]
    until_us = min(until_us, compacted_us)
    if from_us < until_us:
        from poorter.store.history.scan import sums_in

        found = connection.words(
            f"{_ROWS}FROM {dialect.numbers.format('?', 'e')} "
            f"{dialect.then.format('history', 'h', _SPAN.format('?', '?'))}",
            (ids, from_us, until_us),
        )
        late = in_order(make_rows(list(found)))
        for segment in segments(connection, from_us, until_us):
            moments = late.observed_us
            inside = (moments >= segment.from_us) & (moments < segment.until_us)
            out = out_of(connection, segment)
            parts += sums_in(
                files.open(),
                segment,
                instances,
                from_us,
                until_us,
                width_us,
                late.take(inside),
                out,
            )
            late = late.take(~inside)
        parts.append(sums_of(late, width_us))
    return summed(parts)


def _recent(connection: Connection, ids: Any, from_us: int, until_us: int, width_us: int) -> Sums:
    """Of what is in rows only."""
    dialect = connection.dialect
    number = dialect.number
    rows = list(
        connection.execute(
            "SELECT h.attribute, (h.observed_us - ((h.observed_us % ?2) + ?2) % ?2) / ?2 AS start,"
            f" count(*), sum({number}), min({number}), max({number}) "
            f"FROM {dialect.numbers.format('?1', 'e')} "
            f"{dialect.then.format('history', 'h', _SPAN.format('?3', '?4'))} "
            f"WHERE h.quality < 3 AND {dialect.is_number}{_LATEST.format(dialect.fence)} "
            "GROUP BY 1, 2",
            (ids, width_us, from_us, until_us),
        )
    )
    columns = zip(*rows, strict=True) if rows else [()] * 6
    key, bucket, count, total, least, most = columns
    return Sums(
        np.array(key, np.int64),
        np.array(bucket, np.int64),
        np.array(count, np.int64),
        np.array(total, float),
        np.array(least, float),
        np.array(most, float),
    )


def _instances(
    connection: Connection, permit: Permit, query: HistoryQuery
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


def words(
    connection: Connection,
    files: Files,
    instance: int,
    query: HistoryQuery,
    rule: TypeRule,
    now_us: int,
) -> Iterator[Row]:
    """What was said of each moment, in the order of time; backwards when the newest are wanted."""
    newest = query.last is not None
    from_us, until_us = bounds(query.from_us, query.until_us, rule, now_us)
    older = compacted_rows(connection, files, instance, from_us, until_us, newest)
    order = "h.observed_us DESC, h.sequence DESC" if newest else "h.observed_us, h.sequence"
    said: Any = connection.words(
        f"{_ROWS}FROM history h WHERE h.attribute = ? AND h.observed_us >= ? "
        f"AND h.observed_us < ? ORDER BY {order}",
        (instance, from_us, until_us),
    )
    with closing(said) as recent:
        merged = heapq.merge(recent, older, key=_word, reverse=newest)
        if query.corrections:
            yield from merged
            return
        for _, said in groupby(merged, _moment):
            if newest:
                yield next(said)
                continue
            for row in said:
                last = row
            yield last


def observation(urn: str, instance: tuple[int, str, str], row: Row) -> Observation:
    """A row of an attribute instance (number, name, dataset) as the contract has it."""
    _, name, dataset = instance
    _, observed_us, sequence, received_us, quality, value = row
    return Observation(
        urn=urn,
        name=name,
        observed_at_us=observed_us,
        value=_decode(value) if isinstance(value, bytes) else value,
        received_at_us=received_us,
        sequence=sequence,
        dataset_id=dataset or None,
        quality=quality,
    )
