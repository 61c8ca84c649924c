# SPDX-License-Identifier: EUPL-1.2
"""A feed's readings into the open transaction: known, new, correction, late; never a silent zero.

The newest moment of each instance is remembered, so that a reading that is newer than all before
needs no look-up: it can't be known already.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from operator import lt
from typing import TYPE_CHECKING, Any

import msgspec

from poorter.city.entity import Attribute
from poorter.city.errors import Denied, Invalid
from poorter.gate.permit import Permit, TypeRule
from poorter.store import contract as c
from poorter.store.history.rows import Row
from poorter.store.series import Series, series_of
from poorter.store.tables.compacted import Compacted
from poorter.store.tables.entities import Entities, Outbox, history_value
from poorter.store.tables.manifest import BEFORE_ALL_US
from poorter.store.tables.port import Connection
from poorter.store.tables.rows import Rows

if TYPE_CHECKING:
    from poorter.store.history.recall import Said

_CACHE_MAX = 500_000
BAD = 3
_LEAST, _MOST = -(2**63), 2**63 - 1  # whole numbers that SQLite keeps as they are


@dataclass(slots=True)
class _Instance:
    """An attribute instance: its row, the newest moment in history and in state, its unit."""

    row: int
    type: str
    newest_us: int
    state_us: int
    unit: str | None
    pending: c.Reading | None = None


class _Unit(msgspec.Struct):
    unitCode: str | None = None  # noqa: N815 - as NGSI-LD has it


class Readings:
    """Writes Observe ops."""

    def __init__(
        self,
        connection: Connection,
        rows: Rows,
        entities: Entities,
        compacted: Compacted,
        outbox: Outbox,
    ) -> None:
        self._run = connection.execute
        self._add_words = connection.add_words
        self._words = connection.words
        self._many = connection.dialect.many
        self._said = (
            "SELECT observed_us, sequence, value FROM history WHERE attribute = ? AND observed_us "
            f"IN (SELECT j.value FROM {connection.dialect.numbers.format('?', 'j')}) "
            "ORDER BY observed_us, sequence DESC"
        )
        self._rows = rows
        self._entities = entities
        self._compacted = compacted
        self._outbox = outbox
        self._instances: dict[tuple[str, str, str | None], _Instance] = entities.remembered

    def observe(self, op: c.Observe, permit: Permit, now_us: int) -> c.ObserveResult:
        """Write readings by the identity rule; how many were new, corrections, duplicates."""
        rule = permit.rule_of((op.type,))
        if rule is None:
            raise Denied
        if len(self._instances) >= _CACHE_MAX:
            self._instances.clear()
        found = [
            (self._instance(op.type, series, rule, now_us), series)
            for series in series_of(op.readings)
        ]
        earlier = self._compacted.known(
            (instance.row, series.moments_us) for instance, series in found
        )
        rows: list[Row] = []
        changed: dict[int, _Instance] = {}
        corrections = duplicates = 0
        for instance, series in found:
            if series.unit_code is not None and series.unit_code != instance.unit:
                _take_unit(instance, series)
            said = earlier.get(instance.row)
            if said is None and _is_ahead(series.moments_us, instance.newest_us):
                rows += _all_new(instance, series, now_us)
            else:
                if rows:
                    self._add_words(rows)
                    rows = []
                said = said or {}
                self._hear(instance.row, series.moments_us, said)
                corrected, known = _sort_out(instance, series, said, now_us, rows)
                corrections += corrected
                duplicates += known
            if instance.pending is not None:
                changed[instance.row] = instance
        if rows:
            self._add_words(rows)
        self._write_state(op, changed.values(), now_us)
        new = len(op.readings) - corrections - duplicates
        if op.one_event and new + corrections:
            self._outbox.add("backfill", found[0][1].urn, (op.type,), ())
        return c.ObserveResult(new, corrections, duplicates)

    def _write_state(
        self,
        op: c.Observe,
        changed: Iterable[_Instance],
        now_us: int,
    ) -> None:
        versions: dict[str, tuple[int, list[str]]] = {}
        for instance in changed:
            reading = instance.pending
            instance.pending = None
            if reading is None:
                continue
            urn, name, dataset_id = reading.urn, reading.name, reading.dataset_id
            sub: tuple[Attribute, ...] = ()
            if reading.quality:
                sub = (Attribute("quality", ("good", "doubtful", "estimated")[reading.quality]),)
            attribute = Attribute(
                name,
                reading.value,
                observed_at_us=reading.observed_at_us,
                dataset_id=dataset_id,
                unit_code=instance.unit,  # a reading that names none is in the one that is kept
                sub=sub,
            )
            known = self._rows.find(urn)
            assert known is not None  # _instance has found or made it
            version, names = versions.setdefault(urn, (known.version + 1, []))
            self._rows.put(known, attribute, version, now_us)
            names.append(name)
        if not op.one_event:
            for urn, (_, names) in versions.items():
                self._outbox.add("attributes", urn, (op.type,), tuple(names))

    def _hear(self, row: int, moments_us: Sequence[int], said: Said) -> None:
        """Add what rows say of these moments to what segments say, of which they know better."""
        self._entities.flush()
        before: Said = {}
        for moment_us, sequence, value in self._words(self._said, (row, self._many(moments_us))):
            before.setdefault(moment_us, []).append((sequence, value))
        for moment_us, words in before.items():
            said[moment_us] = words + said.get(moment_us, [])

    def _instance(self, type_name: str, series: Series, rule: TypeRule, now_us: int) -> _Instance:
        key = (series.urn, series.name, series.dataset_id)
        instance = self._instances.get(key)
        if instance is None or instance.type != type_name:
            instance = self._instances[key] = self._look_up(type_name, series, rule, now_us)
        return instance

    def _look_up(self, type_name: str, series: Series, rule: TypeRule, now_us: int) -> _Instance:
        if not rule.covers(series.name):
            raise Denied
        known = self._rows.find(series.urn)
        if known is None:
            known = self._rows.add(series.urn, (type_name,), "", now_us)
        elif type_name not in known.types:
            raise Invalid(f"{series.urn} is no {type_name}")
        number = self._rows.reserve(known, series.name, series.dataset_id, now_us)
        self._rows.flush()
        self._entities.flush()
        ((live, observed_us, modified_us, body, newest_us),) = self._run(
            "SELECT live, observed_us, modified_us, body, "
            "(SELECT max(observed_us) FROM history WHERE attribute = ?1) "
            "FROM attribute WHERE id = ?1",
            (number,),
        )
        state_us = BEFORE_ALL_US
        if live:  # state without a moment of its own counts from its writing
            state_us = modified_us if observed_us is None else observed_us
        newest_us = BEFORE_ALL_US if newest_us is None else newest_us
        unit = _unit_of(body) if live else None
        return _Instance(number, type_name, newest_us, state_us, unit)


def _unit_of(body: bytes) -> str | None:
    """The unit that is kept; None for none, and for what is sealed."""
    return msgspec.json.decode(body, type=_Unit).unitCode if body[:1] == b"{" else None


def _take_unit(instance: _Instance, series: Series) -> None:
    """A number means nothing without its unit: one in another unit is not put among the others."""
    if instance.unit is not None:
        raise Invalid(
            f"{series.urn} {series.name} is kept in {instance.unit}, this one is in "
            f"{series.unit_code}"
        )
    instance.unit = series.unit_code


def _is_ahead(moments_us: Sequence[int], newest_us: int) -> bool:
    """Whether each moment is later than all before it, so that none of them is known."""
    return moments_us[0] > newest_us and all(map(lt, moments_us, islice(moments_us, 1, None)))


def _all_new(instance: _Instance, series: Series, now_us: int) -> Iterable[Row]:
    moments_us, quality = series.moments_us, series.quality
    instance.newest_us = moments_us[-1]
    _take_state(instance, series, len(moments_us) - 1)
    return zip(
        repeat(instance.row),
        moments_us,
        repeat(0),
        repeat(now_us),
        repeat(quality),
        _kept_values(series),
        strict=False,
    )


def _sort_out(
    instance: _Instance, series: Series, said: Said, now_us: int, rows: list[Row]
) -> tuple[int, int]:
    """Rows for what is not known yet; how many are corrections, and how many known."""
    corrections = duplicates = 0
    for place, value in enumerate(_kept_values(series)):
        moment_us = series.moments_us[place]
        words = said.setdefault(moment_us, [])
        # a version that was corrected since is known too: a file loaded twice adds nothing
        if any(kept == value and type(kept) is type(value) for _, kept in words):
            duplicates += 1
            continue
        sequence = words[0][0] + 1 if words else 0
        corrections += sequence > 0
        words.insert(0, (sequence, value))
        rows.append((instance.row, moment_us, sequence, now_us, series.quality, value))
        instance.newest_us = max(instance.newest_us, moment_us)
        _take_state(instance, series, place)
    return corrections, duplicates


def _take_state(instance: _Instance, series: Series, place: int) -> None:
    """A bad reading is history, never the state of the city."""
    urn, name, moments_us, values, dataset_id, quality, unit_code = series
    if moments_us[place] >= instance.state_us and quality < BAD:
        instance.state_us = moment_us = moments_us[place]
        instance.pending = c.Reading(
            urn, name, moment_us, values[place], dataset_id, quality, unit_code
        )


def _kept_values(series: Series) -> Sequence[Any]:
    """The values as history keeps them. Raises Invalid for one that is none."""
    values = series.values
    kinds = set(map(type, values))
    if kinds == {int} and min(values) >= _LEAST and max(values) <= _MOST:
        return values
    if kinds == {float} and all(map(math.isfinite, values)):
        return values
    return [_kept(series, value) for value in values]


def _kept(series: Series, value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise Invalid(f"{series.urn} {series.name}: {value} is no reading; leave it out")
    return history_value(value)
