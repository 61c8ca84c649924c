# SPDX-License-Identifier: EUPL-1.2
"""Entities into the open transaction: state in place, history beside it, events for the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import msgspec

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Denied, NotFound, TooLarge
from poorter.city.limits import ENTITY_ATTRIBUTES_MAX
from poorter.gate.permit import Permit, TypeRule
from poorter.store import contract as c
from poorter.store.history.rows import Row
from poorter.store.tables.compacted import Compacted
from poorter.store.tables.port import Connection, Statements
from poorter.store.tables.rows import Known, Rows

_encode = msgspec.json.Encoder().encode
_CELLS = (int, float, str)


@dataclass(slots=True)
class Outbox:
    """Events of the change at hand: kind, urn, types, names."""

    pending: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    def add(self, kind: str, urn: str, types: tuple[str, ...], names: tuple[str, ...]) -> None:
        """Note that something changed."""
        self.pending.append((kind, urn, types, names))


def history_value(value: Any) -> Any:
    """A value as history keeps it: numbers and text as they are, all else as JSON bytes."""
    if isinstance(value, bool) or not isinstance(value, _CELLS):
        return _encode(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


class Entities:
    """Writes entities and attribute instances."""

    def __init__(
        self, connection: Connection, rows: Rows, compacted: Compacted, outbox: Outbox
    ) -> None:
        self._connection = connection
        self._rows = rows
        self._compacted = compacted
        self._outbox = outbox
        self._history: list[Row] = []
        #: told of attributes that a whole write is about to take away
        self.losing: Callable[[str, AbstractSet[tuple[str, str | None]], int], None] = _nobody
        #: What Readings remembers by (urn, name, datasetId); writes here make it untrue.
        self.remembered: dict[tuple[str, str, str | None], Any] = {}

    def forget(self) -> None:
        """After a rollback: nothing remembered is to be trusted, nothing pending to be written."""
        self.remembered.clear()
        self._history.clear()

    def flush(self, statements: Statements = ()) -> None:
        """Write the history that is pending, and what else is said."""
        if statements or self._history:
            # nearly all are the first that is said of their moment; if not all are, look at each:
            # the same word on the same moment again is nothing
            first, again = _apart(self._history)
            if self._connection.write(statements, first) != len(first):
                self._connection.correct_words(first)
            if again:
                self._connection.correct_words(again)
            self._history.clear()

    # -- ops ---------------------------------------------------------------------------------

    def create(self, op: c.Create, permit: Permit, now_us: int) -> int:
        """A new entity; its version."""
        _check(permit, op.entity.types, op.entity.attributes)
        if self._rows.find(op.entity.urn) is not None:
            raise Conflict(f"{op.entity.urn} is there already")
        return self._write_whole(op.entity, now_us)

    def put(self, op: c.Put, permit: Permit, now_us: int) -> tuple[int, bool]:
        """Upsert; (version, whether it is new)."""
        entity = op.entity
        _check(permit, entity.types, entity.attributes)
        known = self._rows.find(entity.urn)
        if known is None:
            return self._write_whole(entity, now_us), True
        rule = _rule(permit, known.types)
        if op.replace:
            return self._replace_whole(entity, known, rule, now_us), False
        types = known.types
        if entity.types != types:
            types = tuple(dict.fromkeys((*types, *entity.types)))
        scopes = " ".join(entity.scopes) or known.scopes
        expires_us = _until(known, entity.expires_at_us)
        version = self._write(known, types, scopes, entity.attributes, now_us, expires_us)
        self._note("attributes", entity.urn, types, entity.attributes)
        return version, False

    def replace(self, op: c.Replace, permit: Permit, now_us: int) -> int:
        """The entity becomes exactly this; its version."""
        _check(permit, op.entity.types, op.entity.attributes)
        known = self._rows.find(op.entity.urn)
        if known is None:
            raise NotFound(f"{op.entity.urn} is not there")
        return self._replace_whole(op.entity, known, _rule(permit, known.types), now_us)

    def set_attributes(
        self, op: c.SetAttributes, permit: Permit, now_us: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(written names, names not written)."""
        known, rule = self._must_find(op.urn, permit)
        if not all(rule.covers(a.name) for a in op.attributes):
            raise Denied
        if op.expect is not None and known.version != op.expect:
            raise Conflict(f"{op.urn} is at version {known.version}, not {op.expect}")
        chosen = op.attributes
        if op.mode != "append":
            want = op.mode == "update"
            chosen = tuple(a for a in chosen if self._is_there(known, a) == want)
        types = _more_types(known, op, permit) if op.add_types else known.types
        if chosen or op.add_types or op.scopes is not None or op.expires_at_us is not None:
            expires_us = _until(known, op.expires_at_us)
            self._write(known, types, _scopes(known, op), chosen, now_us, expires_us)
            self._note("attributes", op.urn, types, chosen)
        written = tuple([a.name for a in chosen])
        if chosen is op.attributes:
            return written, ()
        return written, tuple([a.name for a in op.attributes if a not in chosen])

    def delete(self, op: c.Delete, permit: Permit, now_us: int) -> None:
        """The entity goes, its history stays."""
        known = self._rows.find(op.urn)
        if known is None or permit.rule_of(known.types) is None:
            if op.missing_ok:
                return
            raise NotFound(f"{op.urn} is not there")
        self.remembered.clear()  # rare enough not to look for the ones
        self._rows.delete(known, now_us)
        self._outbox.add("deleted", op.urn, known.types, ())

    def delete_attribute(self, op: c.DeleteAttribute, permit: Permit, now_us: int) -> None:
        """One instance or all instances of an attribute go."""
        known, rule = self._must_find(op.urn, permit)
        if not rule.covers(op.name):
            raise NotFound(f"{op.urn} has no {op.name}")
        self._drop(known, op, now_us)

    def expire(self, op: c.Delete | c.DeleteAttribute | c.SetAttributes, now_us: int) -> None:
        """What has expired goes, whoever may write it."""
        known = self._rows.find(op.urn)
        assert known is not None  # it was just found to be over
        if isinstance(op, c.Delete):
            self.remembered.clear()
            self._rows.delete(known, now_us)
            self._outbox.add("deleted", op.urn, known.types, ())
        elif isinstance(op, c.DeleteAttribute):
            self._drop(known, op, now_us)
        else:
            rest = (op.attributes, now_us, known.expires_us)
            self._write(known, known.types, known.scopes, *rest)
            self._note("attributes", op.urn, known.types, op.attributes)

    def _drop(self, known: Known, op: c.DeleteAttribute, now_us: int) -> None:
        key = self._rows.key(op.name, op.dataset_id)
        gone = [key]
        if op.every_instance:
            name = self._rows.name_id(op.name)
            gone = [
                k for k in known.instances if k == name or (isinstance(k, tuple) and k[0] == name)
            ]
        gone = [key for key in gone if known.instances.get(key, 0) > 0]
        if not gone:
            raise NotFound(f"{op.urn} has no {op.name}")
        self.remembered.clear()
        for key in gone:
            self._rows.drop(known, key)
        self._rows.touch(known, now_us)
        self._outbox.add("attributes", op.urn, known.types, (op.name,))

    # -- parts -------------------------------------------------------------------------------

    def _write_whole(self, entity: Entity, now_us: int) -> int:
        expires_us = entity.expires_at_us
        scopes = " ".join(entity.scopes)
        known = self._rows.add(entity.urn, entity.types, scopes, now_us, expires_us)
        self._write_attributes(known, entity.attributes, known.version, now_us)
        self._note("entity", entity.urn, entity.types, entity.attributes)
        return known.version

    def _replace_whole(self, entity: Entity, known: Known, rule: TypeRule, now_us: int) -> int:
        rows = self._rows
        keep = {rows.key(a.name, a.dataset_id) for a in entity.attributes}
        gone = [k for k, row in known.instances.items() if row > 0 and k not in keep]
        names = {key: rows.name_of(key) for key in gone}
        gone = [key for key in gone if rule.covers(names[key])]
        if gone:
            lost = {(names[k], k[1] if isinstance(k, tuple) else None) for k in gone}
            self.losing(entity.urn, lost, now_us)
            self.remembered.clear()
        for key in gone:
            rows.drop(known, key)
        scopes = " ".join(entity.scopes)
        rest = (entity.attributes, now_us, entity.expires_at_us)
        version = self._write(known, entity.types, scopes, *rest)
        self._note("entity", entity.urn, entity.types, entity.attributes)
        return version

    def _write(
        self,
        known: Known,
        types: tuple[str, ...],
        scopes: str,
        attributes: tuple[Attribute, ...],
        now_us: int,
        expires_us: int | None,
    ) -> int:
        """Write what changes of an entity under its next version. The entity's own row only where
        it must be: with attributes, theirs tell the version."""
        version = known.version + 1
        same = scopes == known.scopes and expires_us == known.expires_us
        if types != known.types or not same or not attributes:
            if types != known.types:
                self._rows.set_types(known, types)
            known.scopes, known.expires_us = scopes, expires_us
            self._rows.touch(known, now_us)
        self._write_attributes(known, attributes, version, now_us)
        return version

    def _write_attributes(
        self, known: Known, attributes: Iterable[Attribute], version: int, now_us: int
    ) -> None:
        for attribute in attributes:
            if self.remembered:
                self.remembered.pop((known.urn, attribute.name, attribute.dataset_id), None)
            row = self._rows.put(known, attribute, version, now_us)
            observed_us = attribute.observed_at_us
            if observed_us is not None:  # else it is state, not an observation
                if observed_us < self._compacted.until_us:
                    self._compacted.bring_back(row, observed_us, observed_us + 1)
                value = history_value(attribute.value)
                self._history.append((row, observed_us, 0, now_us, 0, value))

    def _is_there(self, known: Known, attribute: Attribute) -> bool:
        key = self._rows.key(attribute.name, attribute.dataset_id)
        return known.instances.get(key, 0) > 0

    def _must_find(self, urn: str, permit: Permit) -> tuple[Known, TypeRule]:
        known = self._rows.find(urn)
        rule = None if known is None else permit.rule_of(known.types)
        if known is None or rule is None:
            raise NotFound(f"{urn} is not there")
        return known, rule

    def _note(
        self, kind: str, urn: str, types: tuple[str, ...], attributes: tuple[Attribute, ...]
    ) -> None:
        names = [a.name for a in attributes]
        if len(names) > 1:
            names = list(dict.fromkeys(names))
        self._outbox.add(kind, urn, types, tuple(names))


def _apart(history: list[Row]) -> tuple[list[Row], list[Row]]:
    """The first word on each moment, and those that come after it; both in their order."""
    if len({(row[0], row[1]) for row in history}) == len(history):
        return history, []
    known: set[tuple[int, int]] = set()
    first: list[Row] = []
    again: list[Row] = []
    for row in history:
        moment = row[0], row[1]
        (again if moment in known else first).append(row)
        known.add(moment)
    return first, again


def _nobody(urn: str, keys: AbstractSet[tuple[str, str | None]], now_us: int) -> None:
    pass


def _rule(permit: Permit, types: tuple[str, ...]) -> TypeRule:
    rule = permit.rule_of(types)
    if rule is None:
        raise Denied
    return rule


def _until(known: Known, expires_at_us: int | None) -> int | None:
    if expires_at_us is None:
        return known.expires_us
    return None if expires_at_us == c.NEVER_US else expires_at_us


def _more_types(known: Known, op: c.SetAttributes, permit: Permit) -> tuple[str, ...]:
    if any(permit.rule(name) is None for name in op.add_types):
        raise Denied
    return tuple(dict.fromkeys((*known.types, *op.add_types)))


def _scopes(known: Known, op: c.SetAttributes) -> str:
    if op.scopes is None:
        return known.scopes
    if op.mode == "keep":
        return " ".join(dict.fromkeys((*known.scopes.split(), *op.scopes)))
    return " ".join(op.scopes)


def _check(permit: Permit, types: tuple[str, ...], attributes: tuple[Attribute, ...]) -> None:
    if len(attributes) > ENTITY_ATTRIBUTES_MAX:
        raise TooLarge(f"an entity has at most {ENTITY_ATTRIBUTES_MAX} attributes")
    rule = permit.rule_of(types)
    if rule is None or not all(rule.covers(a.name) for a in attributes):
        raise Denied
