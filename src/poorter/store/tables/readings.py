# SPDX-License-Identifier: EUPL-1.2
"""A feed's readings into the open transaction: known, new, correction, late; never a silent zero.

The newest moment of each instance is remembered, so that a reading that is newer than all before
needs no look-up: it can't be known already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from poorter.city.entity import Attribute
from poorter.city.errors import Denied, Invalid
from poorter.gate.permit import Permit, TypeRule
from poorter.store import contract as c
from poorter.store.tables.compacted import Compacted, Words
from poorter.store.tables.entities import Entities, Outbox, history_value
from poorter.store.tables.manifest import BEFORE_ALL_US
from poorter.store.tables.port import Connection
from poorter.store.tables.rows import Rows

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
        rows: list[tuple[int, int, int, int, int, Any]] = []
        changed: list[_Instance] = []
        corrections = duplicates = 0
        instances = self._instances
        earlier = self._earlier(op, rule, now_us)
        for reading in op.readings:
            urn, name, moment_us, value, dataset_id, quality, unit = reading
            instance = instances.get((urn, name, dataset_id))
            if instance is None or instance.type != op.type:
                instance = self._instance(op.type, reading, rule, now_us)
            if type(value) is not int or not _LEAST <= value <= _MOST:
                value = _checked(reading)
            if unit is not None and unit != instance.unit:
                _take_unit(instance, reading)
            sequence = 0
            known = earlier.get((instance.row, moment_us), []) if earlier else []
            if moment_us <= instance.newest_us or known:
                if rows:
                    self._add_words(rows)
                    rows = []
                known = self._known(instance.row, moment_us) + known
                # a version that was corrected since is known too: a file loaded twice adds nothing
                if any(kept == value and type(kept) is type(value) for _, kept in known):
                    duplicates += 1
                    continue
                sequence = known[0][0] + 1 if known else 0
                instance.newest_us = max(instance.newest_us, moment_us)
            else:
                instance.newest_us = moment_us
            rows.append((instance.row, moment_us, sequence, now_us, quality, value))
            if sequence:
                corrections += 1
            # a bad reading is history, never the state of the city
            if moment_us >= instance.state_us and quality < BAD:
                instance.state_us = moment_us
                if instance.pending is None:
                    changed.append(instance)
                instance.pending = reading
        if rows:
            self._add_words(rows)
        self._write_state(op, changed, now_us)
        new = len(op.readings) - corrections - duplicates
        if op.one_event and op.readings and new + corrections:
            self._outbox.add("backfill", op.readings[0].urn, (op.type,), ())
        return c.ObserveResult(new, corrections, duplicates)

    def _write_state(
        self,
        op: c.Observe,
        changed: list[_Instance],
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

    def _earlier(self, op: c.Observe, rule: TypeRule, now_us: int) -> Words:
        """What segments hold of moments so old that they may be in one."""
        until_us = self._compacted.until_us
        if until_us == BEFORE_ALL_US:
            return {}
        old = [reading for reading in op.readings if reading.observed_at_us < until_us]
        moments = []
        for reading in old:
            instance = self._instances.get((reading.urn, reading.name, reading.dataset_id))
            if instance is None or instance.type != op.type:
                instance = self._instance(op.type, reading, rule, now_us)
            moments.append((instance.row, reading.observed_at_us))
        return self._compacted.known(moments) if moments else {}

    def _known(self, row: int, moment_us: int) -> list[tuple[int, Any]]:
        """What was said of this moment, the latest word first."""
        self._entities.flush()
        found = self._words(
            "SELECT sequence, value FROM history WHERE attribute = ? AND observed_us = ? "
            "ORDER BY sequence DESC",
            (row, moment_us),
        )
        return list(found)

    def _instance(
        self, type_name: str, reading: c.Reading, rule: TypeRule, now_us: int
    ) -> _Instance:
        if not rule.covers(reading.name):
            raise Denied
        known = self._rows.find(reading.urn)
        if known is None:
            known = self._rows.add(reading.urn, (type_name,), "", now_us)
        elif type_name not in known.types:
            raise Invalid(f"{reading.urn} is no {type_name}")
        number = self._rows.reserve(known, reading.name, reading.dataset_id, now_us)
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
        instance = _Instance(number, type_name, newest_us, state_us, unit)
        if len(self._instances) >= _CACHE_MAX:
            self._instances.clear()
        self._instances[(reading.urn, reading.name, reading.dataset_id)] = instance
        return instance


def _unit_of(body: bytes) -> str | None:
    """The unit that is kept; None for none, and for what is sealed."""
    return msgspec.json.decode(body, type=_Unit).unitCode if body[:1] == b"{" else None


def _take_unit(instance: _Instance, reading: c.Reading) -> None:
    """A number means nothing without its unit: one in another unit is not put among the others."""
    if instance.unit is not None:
        raise Invalid(
            f"{reading.urn} {reading.name} is kept in {instance.unit}, this one is in "
            f"{reading.unit_code}"
        )
    instance.unit = reading.unit_code


def _checked(reading: c.Reading) -> Any:
    value = reading.value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise Invalid(f"{reading.urn} {reading.name}: {value} is no reading; leave it out")
    return history_value(value)
