# SPDX-License-Identifier: EUPL-1.2
"""Attribute instances into the open transaction (CIM 009, 5.6.11 to 5.6.16).

Value and moment go the way of any reading, into history. What an instance says beyond that, and
instances without a moment of their own, are kept beside it in the table `instance`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from hashlib import blake2s
from itertools import groupby
from typing import Any

import msgspec

from poorter.city.entity import VALUE_KEY, Attribute, Entity
from poorter.city.errors import Denied, NotFound, TooLarge
from poorter.city.ids import mint
from poorter.city.limits import HISTORY_PAGE_MAX
from poorter.city.query import HistoryQuery
from poorter.gate.permit import SEALED, Permit, TypeRule
from poorter.store import contract as c
from poorter.store.body import encode_attribute
from poorter.store.evolving import AddInstances, DeleteInstances, ReplaceInstance
from poorter.store.series import InSeries, Series
from poorter.store.tables.compacted import Compacted
from poorter.store.tables.entities import Entities, Outbox, history_value
from poorter.store.tables.history import words
from poorter.store.tables.port import Connection
from poorter.store.tables.reading import whole_entity
from poorter.store.tables.readings import Readings

UNDATED_US = -(2**62)
SCOPE = "scope"
PREFIX = "urn:poorter:instance:"
_NULL = "urn:ngsi-ld:null"  # what a deleted attribute is recorded as (4.5.7)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
Key = tuple[str, str, str]  # urn, name, dataset
#: instances by name and datasetId, those of each in the order they came
ByKey = dict[tuple[str, str | None], list[Attribute]]


def instance_id(dataset: str, observed_us: int, sequence: int) -> str:
    """The id of an instance that history alone keeps; it is one among those of its attribute."""
    tag = blake2s(dataset.encode(), digest_size=4).hexdigest() if dataset else "0"
    return f"{PREFIX}{tag}:{observed_us}:{sequence}"


def is_plain(attribute: Attribute) -> bool:
    """Whether history alone can keep it."""
    return (
        attribute.kind == "Property"
        and not attribute.sub
        and attribute.unit_code is None
        and attribute.value_type is None
    )


class Instances:
    """Writes instances."""

    def __init__(
        self,
        connection: Connection,
        entities: Entities,
        readings: Readings,
        compacted: Compacted,
        outbox: Outbox,
        flush: Callable[[], None],
    ) -> None:
        """`flush`: writes what is pending, so that it can be read."""
        self._flush = flush
        self._connection = connection
        self._run = connection.execute
        self._key = connection.dialect.target.format("urn, name, dataset, observed_us, n")
        self._evolved_key = connection.dialect.target.format("urn")
        self._entities = entities
        entities.losing = self.lost
        self._readings = readings
        self._compacted = compacted
        self._outbox = outbox

    # -- ops ---------------------------------------------------------------------------------

    def add(self, op: AddInstances, permit: Permit, now_us: int) -> bool:
        """Add instances; whether the entity is new."""
        if len(op.entity.attributes) + len(op.gone) > HISTORY_PAGE_MAX:
            raise TooLarge(f"at most {HISTORY_PAGE_MAX} instances at once")
        self._flush()
        scopes = [a for a in op.entity.attributes if a.name == SCOPE]
        rest = tuple(a for a in op.entity.attributes if a.name != SCOPE)
        entity = replace(op.entity, attributes=rest)
        known = self._entity(entity.urn)
        if op.must_exist and (known is None or permit.rule_of(known[1]) is None):
            raise NotFound(f"{entity.urn} is not there")
        alone = self._alone(entity.urn)
        new = known is None or not (known[2] or self._kept(entity.urn))
        if known is None or not known[2]:
            types = entity.types or (known[1] if known else ())
            bare = Entity(entity.urn, types, expires_at_us=entity.expires_at_us)
            self._entities.create(c.Create(bare), permit, now_us)
            types, alone = bare.types, True
        else:
            types = known[1]
        rule = permit.rule_of(types)
        said = _by_key(rest)
        names = (*(name for name, _ in said), *(a.name for a in op.gone))
        if rule is None or not all(map(rule.covers, names)):
            raise Denied
        self._heads(entity, types, permit, now_us)
        for instance in scopes:
            self._scope_in_time(entity.urn, instance, permit, now_us)
        self._dated(entity.urn, _ruled(types, permit), said, permit, now_us)
        for attribute in rest:
            if attribute.observed_at_us is None:
                self._undated(entity.urn, attribute, now_us)
        for attribute in op.gone:
            self._ended(entity.urn, attribute, now_us)
        self._follow(entity.urn, said, permit, now_us)
        if alone:
            self._left_at(entity.urn)
        return new

    def replace(self, op: ReplaceInstance, permit: Permit, now_us: int) -> None:
        """An instance becomes another one under the same id."""
        self._flush()
        _, types = self._must(op.urn, op.name, permit)
        dataset, observed_us, n, created_us = self._find(op.urn, op.name, op.instance_id)
        key = (op.urn, op.name, dataset)
        alone = self._alone(op.urn)
        self._remove(key, observed_us, n)
        attribute = replace(op.attribute, dataset_id=dataset or None)
        if attribute.observed_at_us is None:
            self._undated(op.urn, attribute, now_us, op.instance_id, created_us)
        else:
            self._dated(op.urn, _ruled(types, permit), _by_key((attribute,)), permit, now_us)
            self._keep(key, attribute, now_us, op.instance_id, created_us)
        if alone:
            self._left_at(op.urn)
        self._outbox.add("attributes", op.urn, types, (op.name,))

    def delete(self, op: DeleteInstances, permit: Permit, now_us: int) -> None:
        """One instance, those of an attribute, or all."""
        self._flush()
        rule, types = self._must(op.urn, op.name, permit)
        if op.instance_id is not None and op.name is not None:
            dataset, observed_us, n, _ = self._find(op.urn, op.name, op.instance_id)
            self._remove((op.urn, op.name, dataset), observed_us, n)
        elif op.name is not None:
            wanted = None if op.every_dataset else op.dataset_id or ""
            keys = [k for k in self._keys(op.urn, op.name) if wanted in (None, k[2])]
            if not sum([self._remove_all(key) for key in keys]):
                raise NotFound(f"{op.urn} has no instances of {op.name}")
        else:
            keys = [k for k in self._keys(op.urn) if k[1] == SCOPE or rule.covers(k[1])]
            removed = sum([self._remove_all(key) for key in keys])
            if self._alone(op.urn):
                self._entities.delete(c.Delete(op.urn), permit, now_us)
                list(self._run("DELETE FROM evolved WHERE urn = ?", (op.urn,)))
            elif not removed and not self._is_live(op.urn):
                raise NotFound(f"{op.urn} is not there")
        self._entities.remembered.clear()
        self._outbox.add("attributes", op.urn, types, (op.name,) if op.name else ())

    def note(self, op: c.Op, now_us: int) -> None:
        """Before another op is applied: what it deletes of what has an evolution, an attribute that
        is deleted by itself, and a change of scope become instances too."""
        if isinstance(op, c.SetAttributes):
            if op.scopes is not None:
                self._flush()
                self._scope_changes(op.urn, op.scopes, op.mode == "keep", now_us, now_us)
            return
        self._flush()
        urn = getattr(op, "urn", "")
        entity = whole_entity(self._connection, urn)
        if entity is None:
            return
        alone = isinstance(op, c.DeleteAttribute) and not entity.types[0].startswith(SEALED)
        for stored in entity.attributes:
            if isinstance(op, c.DeleteAttribute) and (
                stored.name != op.name
                or (not op.every_instance and stored.dataset_id != op.dataset_id)
            ):
                continue
            self._goes(urn, stored, alone, now_us)

    def lost(self, urn: str, keys: AbstractSet[tuple[str, str | None]], now_us: int) -> None:
        """Before an entity is written whole: attributes that it has no longer."""
        self._flush()
        entity = whole_entity(self._connection, urn)
        for stored in entity.attributes if entity else ():
            if (stored.name, stored.dataset_id) in keys:
                self._goes(urn, stored, False, now_us)

    def _goes(self, urn: str, stored: c.StoredAttribute, alone: bool, now_us: int) -> None:
        doc = _decode(stored.body)
        key = (urn, stored.name, stored.dataset_id or "")
        if alone or "observedAt" in doc or self._has(key):
            self._deleted(urn, stored, doc["type"], now_us)

    # -- parts -------------------------------------------------------------------------------

    def _entity(self, urn: str) -> tuple[int, tuple[str, ...], bool] | None:
        rows = list(self._run("SELECT id, types, live FROM entity WHERE urn = ?", (urn,)))
        return (rows[0][0], tuple(rows[0][1].split(" ")), bool(rows[0][2])) if rows else None

    def _is_live(self, urn: str) -> bool:
        known = self._entity(urn)
        return known is not None and known[2]

    def _must(self, urn: str, name: str | None, permit: Permit) -> tuple[TypeRule, tuple[str, ...]]:
        known = self._entity(urn)
        rule = None if known is None else permit.rule_of(known[1])
        if known is None or rule is None:
            raise NotFound(f"{urn} is not there")
        if name is not None and name != SCOPE and not rule.covers(name):
            raise NotFound(f"{urn} has no instances of {name}")
        return rule, known[1]

    def _alone(self, urn: str) -> bool:
        """Whether nothing but its evolution ever made the entity what it is."""
        rows = list(self._run("SELECT version FROM evolved WHERE urn = ?", (urn,)))
        entity = whole_entity(self._connection, urn) if rows else None
        return entity is not None and entity.version == rows[0][0]

    def _left_at(self, urn: str) -> None:
        self._flush()
        entity = whole_entity(self._connection, urn)
        if entity is not None:
            row = (urn, entity.version)
            list(
                self._run(
                    f"INSERT INTO evolved VALUES (?, ?) ON CONFLICT ({self._evolved_key}) "
                    "DO UPDATE SET version = excluded.version",
                    row,
                )
            )

    def _heads(self, entity: Entity, types: tuple[str, ...], permit: Permit, now_us: int) -> None:
        """Types that are new, and a scope."""
        more = tuple(name for name in entity.types if name not in types)
        scopes = entity.scopes or None
        if scopes is not None:
            self._scope_changes(entity.urn, scopes, False, None, now_us)
        if more or scopes is not None:
            op = c.SetAttributes(entity.urn, (), add_types=more, scopes=scopes)
            self._entities.set_attributes(op, permit, now_us)

    def _scope_in_time(self, urn: str, instance: Attribute, permit: Permit, now_us: int) -> None:
        """A scope with a moment of its own; the newest is what the entity has now."""
        observed_us = _moment(instance)
        (newest_us,) = next(
            self._run(
                "SELECT max(observed_us) FROM instance WHERE urn = ? AND name = ?", (urn, SCOPE)
            )
        )
        self._keep((urn, SCOPE, ""), instance, now_us)
        if newest_us is None or observed_us >= newest_us:
            value = instance.value
            scopes = tuple(value) if isinstance(value, list) else (value,)
            op = c.SetAttributes(urn, (), scopes=scopes)
            self._entities.set_attributes(op, permit, now_us)

    def _dated(self, urn: str, type_name: str, said: ByKey, permit: Permit, now_us: int) -> None:
        dated = {
            key: found
            for key, some in said.items()
            if (found := [a for a in some if a.observed_at_us is not None])
        }
        if not dated:
            return
        series = [
            Series(urn, name, list(map(_moment, some)), [a.value for a in some], dataset_id)
            for (name, dataset_id), some in dated.items()
        ]
        self._readings.observe(c.Observe(type_name, InSeries(series)), permit, now_us)
        for (name, dataset_id), some in dated.items():
            key = (urn, name, dataset_id or "")
            for plain, run in groupby(some, is_plain):
                if plain:
                    self._forget_beside(key, list(map(_moment, run)))
                    continue
                for attribute in run:
                    if self._is_last_word(key, attribute):  # not one that was corrected since
                        self._keep(key, attribute, now_us)

    def _follow(self, urn: str, said: ByKey, permit: Permit, now_us: int) -> None:
        """State that history alone can't give: of other kinds, with more than a value, undated."""
        newest = {key: max(reversed(some), key=_moment) for key, some in said.items()}
        self._flush()
        state = whole_entity(self._connection, urn)
        bodies = (
            {(a.name, a.dataset_id): _decode(a.body) for a in state.attributes} if state else {}
        )
        wanted = []
        for key, attribute in newest.items():
            now = bodies.get(key)
            if attribute.observed_at_us is None:
                if now is None:
                    wanted.append(attribute)
            elif not is_plain(attribute) and now is not None:
                whole = _decode(encode_attribute(attribute))
                same = _encode(now.get(VALUE_KEY[now["type"]])) == _encode(attribute.value)
                if same and now.get("observedAt") == whole["observedAt"]:
                    wanted.append(attribute)
        if wanted:
            op = c.SetAttributes(urn, tuple(wanted))
            self._entities.set_attributes(op, permit, now_us)

    def _keep(
        self,
        key: Key,
        attribute: Attribute,
        now_us: int,
        known_as: str | None = None,
        created_us: int | None = None,
    ) -> None:
        """Beside the history of its moment: all that the instance says."""
        list(
            self._run(
                "INSERT INTO instance VALUES (?, ?, ?, ?, 0, ?, ?, ?, NULL, ?) "
                f"ON CONFLICT ({self._key}) DO UPDATE SET body = excluded.body, "
                "modified_us = excluded.modified_us, deleted_us = NULL "
                "WHERE instance.body IS DISTINCT FROM excluded.body",
                (
                    *key,
                    _moment(attribute),
                    known_as or mint(PREFIX),
                    now_us if created_us is None else created_us,
                    now_us,
                    encode_attribute(attribute),
                ),
            )
        )

    def _undated(
        self,
        urn: str,
        attribute: Attribute,
        now_us: int,
        known_as: str | None = None,
        created_us: int | None = None,
    ) -> None:
        key = (urn, attribute.name, attribute.dataset_id or "")
        made_us = now_us if created_us is None else created_us
        self.record(key, known_as, made_us, now_us, None, encode_attribute(attribute))

    def record(
        self,
        key: Key,
        known_as: str | None,
        made_us: int,
        now_us: int,
        deleted_us: int | None,
        body: bytes,
        observed_us: int = UNDATED_US,
    ) -> None:
        """An instance that history does not have, after those there are of its moment."""
        row = (*key, observed_us, known_as or mint(PREFIX), made_us, now_us, deleted_us, body)
        list(
            self._run(
                "INSERT INTO instance SELECT ?1, ?2, ?3, ?4, coalesce(max(n), 0) + 1, ?5, ?6, ?7, "
                "CAST(?8 AS BIGINT), ?9 FROM instance WHERE urn = ?1 AND name = ?2 "
                "AND dataset = ?3 AND observed_us = ?4",
                row,
            )
        )

    def _ended(self, urn: str, attribute: Attribute, now_us: int) -> None:
        """A deletion that is told of; the same one again is nothing."""
        key = (urn, attribute.name, attribute.dataset_id or "")
        body, observed_us = encode_attribute(attribute), _moment(attribute)
        told = self._run(
            "SELECT 1 FROM instance WHERE urn = ? AND name = ? AND dataset = ? "
            "AND observed_us = ? AND deleted_us IS NOT NULL AND body = ? LIMIT 1",
            (*key, observed_us, body),
        )
        if next(told, None) is None:
            self.record(key, None, now_us, now_us, now_us, body, observed_us)

    def _deleted(self, urn: str, stored: c.StoredAttribute, kind: str, now_us: int) -> None:
        value: Any = _NULL
        if kind == "LanguageProperty":
            value = {"@none": _NULL}
        elif kind in ("ListProperty", "ListRelationship"):
            value = [_NULL]
        doc = {"type": kind, VALUE_KEY[kind]: value}
        if stored.dataset_id is not None:
            doc["datasetId"] = stored.dataset_id
        key = (urn, stored.name, stored.dataset_id or "")
        self.record(key, None, now_us, now_us, now_us, _encode(doc))

    def _scope_changes(
        self,
        urn: str,
        scopes: tuple[str, ...],
        beside: bool,
        observed_us: int | None,
        now_us: int,
    ) -> None:
        """Note the scope as it becomes, and as it was before where that is not noted yet. A change
        of the entity itself is observed when it is made (4.5.6)."""
        entity = whole_entity(self._connection, urn)
        if entity is None:
            return
        before = entity.scopes
        after = tuple(dict.fromkeys((*before, *scopes))) if beside else scopes
        if after == before:
            return
        key = (urn, SCOPE, "")
        if before and not self._has(key):
            made_us = entity.created_at_us
            first = Attribute(SCOPE, _scope(before), observed_at_us=made_us)
            self._keep(key, first, made_us)
        if not after:
            body = encode_attribute(Attribute(SCOPE, []))
            self.record(key, None, now_us, now_us, now_us, body)
            return
        new = Attribute(SCOPE, _scope(after), observed_at_us=observed_us)
        if observed_us is None:
            self._undated(urn, new, now_us)
        else:
            self._keep(key, new, now_us)

    # -- what is there -----------------------------------------------------------------------

    def _has(self, key: Key) -> bool:
        sql = "SELECT 1 FROM instance WHERE urn = ? AND name = ? AND dataset = ? LIMIT 1"
        return next(self._run(sql, key), None) is not None

    def _kept(self, urn: str) -> bool:
        """Whether anything is kept of its evolution."""
        return any(self._has(key) or self._said(key) is not None for key in self._keys(urn))

    def _said(self, key: Key, observed_us: int | None = None) -> tuple[int, int] | None:
        """(sequence, received) of the latest word of history, at a moment or at any."""
        row = self._row(key)
        query = HistoryQuery("", last=1)
        if observed_us is not None:
            query = HistoryQuery("", from_us=observed_us, until_us=observed_us + 1, last=1)
        found = words(self._connection, self._compacted.files, row, query, TypeRule(), 0)
        for _, _, sequence, received_us, _, _ in found:
            return sequence, received_us
        return None

    def _is_last_word(self, key: Key, attribute: Attribute) -> bool:
        """Whether history's latest word on its moment is what it says."""
        at_us = _moment(attribute)
        self._flush()
        query = HistoryQuery("", from_us=at_us, until_us=at_us + 1, last=1)
        row = self._row(key)
        found = next(
            words(self._connection, self._compacted.files, row, query, TypeRule(), 0), None
        )
        return found is not None and found[-1] == history_value(attribute.value)

    def _keys(self, urn: str, name: str | None = None) -> list[Key]:
        rows = self._run(
            "SELECT n.name, a.dataset FROM entity e JOIN attribute a ON a.entity = e.id "
            "JOIN name n ON n.id = a.name WHERE e.urn = ?1 "
            "UNION SELECT name, dataset FROM instance WHERE urn = ?1",
            (urn,),
        )
        return [(urn, found, dataset) for found, dataset in rows if name in (None, found)]

    def _row(self, key: Key) -> int:
        """The number of the attribute instance in history; -1 when it has none."""
        rows = self._run(
            "SELECT a.id FROM entity e JOIN attribute a ON a.entity = e.id "
            "JOIN name n ON n.id = a.name WHERE e.urn = ? AND n.name = ? AND a.dataset = ?",
            key,
        )
        return int(next(iter(list(rows)), (-1,))[0])

    def _find(self, urn: str, name: str, wanted: str) -> tuple[str, int, int, int]:
        """(dataset, moment, n, created) of an instance by its id. Raises NotFound."""
        beside = list(
            self._run(
                "SELECT dataset, observed_us, n, created_us FROM instance "
                "WHERE urn = ? AND name = ? AND id = ?",
                (urn, name, wanted),
            )
        )
        if beside:
            dataset, observed_us, n, created_us = beside[0]
            return dataset, observed_us, n, created_us
        _, _, moment = wanted.removeprefix(PREFIX).partition(":")
        text = moment.partition(":")[0]
        if text.lstrip("-").isdecimal() and len(text) < 20:
            for key in self._keys(urn, name):
                said = self._said(key, int(text))
                if said is not None and instance_id(key[2], int(text), said[0]) == wanted:
                    return key[2], int(text), 0, said[1]
        raise NotFound(f"{urn} has no such instance of {name}")

    def _remove(self, key: Key, observed_us: int, n: int) -> None:
        where = "WHERE urn = ? AND name = ? AND dataset = ? AND observed_us = ? AND n = ?"
        gone = list(
            self._run(f"DELETE FROM instance {where} RETURNING deleted_us", (*key, observed_us, n))
        )
        if observed_us != UNDATED_US and not any(deleted_us for (deleted_us,) in gone):
            self._compacted.drop(self._row(key), observed_us, observed_us + 1)
        self._entities.remembered.clear()

    def _remove_all(self, key: Key) -> bool:
        """All of an attribute under one datasetId; whether there was any."""
        there = self._has(key) or self._said(key) is not None
        list(self._run("DELETE FROM instance WHERE urn = ? AND name = ? AND dataset = ?", key))
        self._compacted.drop(self._row(key))
        return there

    def _forget_beside(self, key: Key, moments_us: Sequence[int]) -> None:
        dialect = self._connection.dialect
        moments = f"SELECT j.value FROM {dialect.numbers.format('?', 'j')}"
        where = f"WHERE urn = ? AND name = ? AND dataset = ? AND observed_us IN ({moments})"
        where += " AND deleted_us IS NULL"
        list(self._run(f"DELETE FROM instance {where}", (*key, dialect.many(moments_us))))


def _by_key(attributes: Iterable[Attribute]) -> ByKey:
    found: ByKey = {}
    for attribute in attributes:
        found.setdefault(attribute.key, []).append(attribute)
    return found


def _moment(attribute: Attribute) -> int:
    return UNDATED_US if attribute.observed_at_us is None else attribute.observed_at_us


def _ruled(types: tuple[str, ...], permit: Permit) -> str:
    return next((name for name in types if permit.rule(name) is not None), types[0])


def _scope(scopes: tuple[str, ...]) -> Any:
    return scopes[0] if len(scopes) == 1 else list(scopes)
