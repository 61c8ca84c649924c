# SPDX-License-Identifier: EUPL-1.2
"""The temporal evolution of an entity: readings out of history and what is kept beside them.

Nothing is read whole: each attribute is a stream in the order of time, and the streams are merged
until the page is full.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from poorter.city.entity import Attribute, Instance, Observation
from poorter.city.errors import NotFound, TooLarge
from poorter.city.limits import HISTORY_PAGE_MAX
from poorter.city.query import EvolutionQuery, HistoryQuery, Query
from poorter.gate.permit import Permit, TypeRule
from poorter.store.body import decode_attribute, encode_attribute
from poorter.store.contract import (
    Page,
)
from poorter.store.evolving import Evolution
from poorter.store.history.rows import Row
from poorter.store.tables.expiring import LASTS
from poorter.store.tables.former import FORMER
from poorter.store.tables.history import observation, words
from poorter.store.tables.instances import SCOPE, UNDATED_US, instance_id
from poorter.store.tables.manifest import Files
from poorter.store.tables.naming import means
from poorter.store.tables.port import Connection

_CHUNK_MIN, _CHUNK = 32, 500
SECONDS_MAX = 10.0
_FAR_US = 2**62
_ALL = HistoryQuery("")
#: (number in history, name, dataset)
Series = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class _Head:
    urn: str
    types: tuple[str, ...]
    scopes: tuple[str, ...]
    created_us: int
    modified_us: int
    live: bool
    row: int
    expires_us: int | None


def evolution(
    connection: Connection, files: Files, permit: Permit, query: EvolutionQuery, now_us: int
) -> Evolution:
    """Instances of one entity, out of one snapshot. Raises NotFound, TooLarge."""
    head = _head(connection, query.urn, now_us)
    rule = None if head is None else permit.rule_of(head.types)
    if head is None or rule is None:
        raise NotFound(f"{query.urn} is not there")
    reader = _Reader(connection, files, query, rule, now_us)
    series = reader.series(head.row)
    if not head.live and not reader.kept(series):
        raise NotFound(f"{query.urn} is not there")
    found, beyond = reader.page(series)
    modified_us = head.modified_us
    if head.live and (rule.attributes is not None or rule.without):
        modified_us = max(head.created_us, _changed_us(connection, head.row, rule))
    return Evolution(
        head.urn,
        head.types,
        head.created_us,
        modified_us,
        None if head.live else head.modified_us,
        tuple(found),
        tuple(reader.scopes(head)),
        beyond,
        head.expires_us,
    )


def _head(connection: Connection, urn: str, now_us: int) -> _Head | None:
    greatest = connection.dialect.greatest
    rows = connection.execute(
        f"SELECT e.types, e.scopes, e.created_us, {greatest}(e.modified_us, coalesce((SELECT max("
        "a.modified_us) FROM attribute a WHERE a.entity = e.id AND a.live), 0)), e.live, e.id, "
        "e.expires_us FROM entity e WHERE e.urn = ?",
        (urn,),
    )
    for types, scopes, created_us, modified_us, live, row, expires_us in list(rows):
        if live and expires_us is not None and expires_us <= now_us:
            live, modified_us = False, max(expires_us, modified_us)
        names, paths = tuple(types.split(" ")), tuple(scopes.split())
        return _Head(urn, names, paths, created_us, modified_us, bool(live), row, expires_us)
    return None


def _changed_us(connection: Connection, row: int, rule: TypeRule) -> int:
    """When the newest change was of what exists under the rule."""
    rows = connection.execute(
        "SELECT n.name, a.modified_us FROM attribute a JOIN name n ON n.id = a.name "
        "WHERE a.entity = ? AND a.live",
        (row,),
    )
    return max((changed_us for name, changed_us in rows if rule.covers(name)), default=0)


class _Reader:
    """One question."""

    def __init__(
        self,
        connection: Connection,
        files: Files,
        query: EvolutionQuery,
        rule: TypeRule,
        now_us: int,
    ) -> None:
        self._connection = connection
        self._files = files
        self._query = query
        self._rule = rule
        self._now_us = now_us
        self._since_us = -_FAR_US if rule.retention_us is None else now_us - rule.retention_us
        self._from_us = -_FAR_US if query.from_us is None else query.from_us
        self._until_us = _FAR_US if query.until_us is None else query.until_us
        self._deadline = time.monotonic() + SECONDS_MAX
        self._newest = query.last is not None
        # the last ones are the last by a time: what has none is not among them
        self._time = "observedAt" if query.time is None and self._newest else query.time

    def series(self, row: int) -> list[Series]:
        """What has instances and is asked for, by name."""
        rows = self._connection.execute(
            "SELECT max(id), name, dataset FROM (SELECT a.id AS id, n.name AS name, a.dataset AS "
            "dataset FROM attribute a JOIN name n ON n.id = a.name WHERE a.entity = ? "
            "UNION ALL SELECT -1, name, dataset FROM instance WHERE urn = ?) s "
            "GROUP BY name, dataset ORDER BY name, dataset",
            (row, self._query.urn),
        )
        query = self._query
        return [
            (number, name, dataset)
            for number, name, dataset in rows
            if name != SCOPE
            and self._rule.covers(name)
            and (not query.names or name in query.names)
            and (not query.dataset_ids or (dataset or None) in query.dataset_ids)
        ]

    def kept(self, series: list[Series]) -> bool:
        """Whether anything is kept of it at all."""
        sql = "SELECT 1 FROM instance WHERE urn = ? LIMIT 1"
        if next(self._connection.execute(sql, (self._query.urn,)), None) is not None:
            return True
        return any(next(self._said(one, _ALL), None) is not None for one in series)

    def _said(self, series: Series, query: HistoryQuery) -> Iterator[Row]:
        """What history says of each moment, the latest word."""
        now_us = self._now_us
        return words(self._connection, self._files, series[0], query, self._rule, now_us)

    def page(self, series: Iterable[Series]) -> tuple[list[Instance], frozenset[str] | None]:
        """(instances by name and time, names that go on beyond them; None when nothing does)."""
        by_name: dict[str, list[Series]] = {}
        for one in series:
            by_name.setdefault(one[1], []).append(one)
        begun: set[str] = set()
        streams = [self._of_name(name, same, begun) for name, same in by_name.items()]
        merged = heapq.merge(*streams, key=self._moment, reverse=self._newest)
        found = list(islice(merged, self._query.limit))
        beyond: frozenset[str] | None = None
        for extra in merged:
            if found and self._moment(extra) != self._moment(found[-1]):
                beyond = frozenset(begun)
                break
            found.append(extra)  # a moment is whole, so that the next page can begin after it
        order = {name: place for place, name in enumerate(by_name)}
        found.sort(key=lambda one: order[one.attribute.name])
        return found, beyond

    def scopes(self, head: _Head) -> list[Instance]:
        """The scope in time, or as it is where it never changed; the interval is not looked at:
        a scope holds until the next one."""
        found = list(self._beside(SCOPE, ""))
        if found or not head.scopes:
            return found
        value: Any = head.scopes[0] if len(head.scopes) == 1 else list(head.scopes)
        made_us = head.created_us
        alone = Attribute(SCOPE, value, created_at_us=made_us, modified_at_us=made_us)
        return [Instance(alone, "")]

    # -- streams, each in the order of time -----------------------------------------------------

    def _of_name(self, name: str, same: list[Series], begun: set[str]) -> Iterator[Instance]:
        """The instances of one attribute; its name is noted once there is any."""
        streams = [self._of_series(one) for one in same]
        merged = heapq.merge(*streams, key=self._moment, reverse=self._newest)
        for one in islice(merged, self._query.last) if self._newest else merged:
            begun.add(name)
            yield one

    def _of_series(self, series: Series) -> Iterator[Instance]:
        if self._time in (None, "observedAt"):
            newest = self._newest and self._time is not None
            dated = self._dated(series, self._from_us, self._until_us, newest)
            ended = sorted(filter(self._within, self._ended(series)), key=_observed, reverse=newest)
            yield from heapq.merge(dated, ended, key=_observed, reverse=newest)
            if self._time is None:
                yield from self._undated(series)
            return
        found = [one for one in self._undated(series) if self._fits(one)]
        found += [one for one in self._ended(series) if self._fits(one)]
        if self._time != "deletedAt":
            dated = self._dated(series, -_FAR_US, _FAR_US, False)
            found += [one for one in dated if self._fits(one)]
        if len(found) > HISTORY_PAGE_MAX:
            raise TooLarge(f"over {HISTORY_PAGE_MAX} instances by {self._time}: ask for less time")
        yield from sorted(found, key=self._moment, reverse=self._newest)

    def _ended(self, series: Series) -> Iterator[Instance]:
        """Deletions with a moment of their own, which history can't hold."""
        _, name, dataset = series
        for one in self._beside(name, dataset, 1 - _FAR_US):
            if one.deleted_at_us is not None:
                yield one

    def _within(self, one: Instance) -> bool:
        return self._from_us <= _observed(one) < self._until_us

    def _undated(self, series: Series) -> Iterator[Instance]:
        """What has no moment of its own: kept as an instance, or what the attribute is now."""
        number, name, dataset = series
        found = [one for one in self._beside(name, dataset) if _is_undated(one)]
        yield from found
        rows = self._connection.execute(
            "SELECT body, created_us, modified_us FROM attribute "
            f"WHERE id = ? AND live AND observed_us IS NULL AND {LASTS.format('attribute')}",
            (number, self._now_us),
        )
        for body, created_us, modified_us in list(rows):
            now = decode_attribute(name, body, created_us, modified_us)
            said = [one for one in found if not one.instance_id.startswith(FORMER)]
            if modified_us >= self._since_us and not any(_says(one, now) for one in said):
                yield Instance(now, "")

    def _dated(
        self, series: Series, from_us: int, until_us: int, newest: bool
    ) -> Iterator[Instance]:
        """By observedAt, chunk by chunk: out of history, with what is beside it."""
        _, name, dataset = series
        asked = HistoryQuery(
            self._query.urn, from_us=from_us, until_us=until_us, last=1 if newest else None
        )
        said = self._said(series, asked)
        size = _CHUNK_MIN
        while rows := [observation(self._query.urn, series, row) for row in islice(said, size)]:
            size = min(2 * size, _CHUNK)
            if time.monotonic() > self._deadline:
                raise TooLarge(f"this takes over {SECONDS_MAX:g} s: ask for less time")
            ends = (rows[0].observed_at_us, rows[-1].observed_at_us)
            beside = {
                one.attribute.observed_at_us: one
                for one in self._beside(name, dataset, min(ends), max(ends))
                if one.deleted_at_us is None
            }
            for row in rows:
                whole = beside.get(row.observed_at_us)
                if whole is not None and whole.attribute.value == row.value:
                    yield whole
                else:
                    yield _plain(row)

    def _beside(
        self, name: str, dataset: str, first_us: int = -_FAR_US, last_us: int = _FAR_US
    ) -> Iterator[Instance]:
        """What is kept beside history, moments from first to last and what has none."""
        rows = self._connection.execute(
            "SELECT id, created_us, modified_us, deleted_us, body, observed_us FROM instance "
            "WHERE urn = ? AND name = ? AND dataset = ? "
            "AND (observed_us BETWEEN ? AND ?) ORDER BY observed_us, n",
            (self._query.urn, name, dataset, first_us, last_us),
        )
        for known_as, created_us, modified_us, deleted_us, body, observed_us in list(rows):
            kept_us = created_us if observed_us == UNDATED_US else observed_us
            if kept_us < self._since_us:
                continue
            attribute = decode_attribute(name, body, created_us, modified_us)
            ends_us = attribute.expires_at_us
            if ends_us is None or ends_us > self._now_us:  # so long it is stored (5.2.5)
                yield Instance(attribute, known_as, deleted_us)

    def _fits(self, one: Instance) -> bool:
        moment_us = _time_of(one, self._time)
        if self._time is None:
            return True
        return moment_us is not None and self._from_us <= moment_us < self._until_us

    def _moment(self, one: Instance) -> int:
        moment_us = _time_of(one, self._time)
        return _FAR_US if moment_us is None else moment_us


def _plain(row: Observation) -> Instance:
    """What history alone keeps."""
    attribute = Attribute(
        row.name,
        row.value,
        observed_at_us=row.observed_at_us,
        dataset_id=row.dataset_id,
        unit_code=row.unit_code,
        sub=(Attribute("quality", row.quality),) if row.quality else (),
        created_at_us=row.received_at_us,
        modified_at_us=row.received_at_us,
    )
    return Instance(attribute, instance_id(row.dataset_id or "", row.observed_at_us, row.sequence))


def _observed(one: Instance) -> int:
    return one.attribute.observed_at_us or 0


def _is_undated(one: Instance) -> bool:
    return one.attribute.observed_at_us is None


def _says(one: Instance, other: Attribute) -> bool:
    return one.deleted_at_us is None and encode_attribute(one.attribute) == encode_attribute(other)


def _time_of(one: Instance, time_property: str | None) -> int | None:
    if time_property == "deletedAt":
        return one.deleted_at_us
    if one.deleted_at_us is not None and time_property in ("createdAt", "modifiedAt"):
        return None  # a deletion was neither entered nor changed: it has its own time
    if time_property == "createdAt":
        return one.attribute.created_at_us
    if time_property == "modifiedAt":
        return one.attribute.modified_at_us
    return one.attribute.observed_at_us


def evolving(
    connection: Connection, permit: Permit, query: Query, live: Page, limit: int
) -> tuple[str, ...]:
    """A page of ids by ascending id: those of `live`, and those gone that the query means."""
    gone = (
        urn
        for urn, types in connection.stream(
            "SELECT urn, types FROM entity WHERE NOT live AND urn > ? ORDER BY urn",
            (query.after or "",),
        )
        if means(query, urn, tuple(types.split(" "))) and permit.rule_of(tuple(types.split(" ")))
    )
    merged = heapq.merge((entity.urn for entity in live.entities), gone)
    return tuple(islice(merged, limit))
