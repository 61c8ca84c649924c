# SPDX-License-Identifier: EUPL-1.2
"""Taking out what was kept: rows, history, places, names in events; pages are overwritten."""

from __future__ import annotations

from collections.abc import Callable

from poorter.city.errors import Denied
from poorter.gate.permit import Permit
from poorter.store import contract as c
from poorter.store.tables.compacted import Compacted
from poorter.store.tables.entities import Outbox
from poorter.store.tables.instances import UNDATED_US
from poorter.store.tables.port import Connection


class Erasing:
    """Writes Erase and Prune ops."""

    def __init__(
        self,
        connection: Connection,
        compacted: Compacted,
        outbox: Outbox,
        flush: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._run = connection.execute
        self._greatest = connection.dialect.greatest
        self._compacted = compacted
        self._outbox = outbox
        self._flush = flush
        self._forget = forget

    def erase(self, op: c.Erase, permit: Permit, now_us: int) -> None:
        """All of an entity, deleted ones too. Raises Denied for a type without a rule."""
        found = self._find(op.urn, permit)
        if found is not None:
            self._erase(op.urn, *found)

    def expire(self, op: c.Erase) -> None:
        """The same of what has expired, whoever may write it."""
        found = self._row(op.urn)
        if found is not None:
            self._erase(op.urn, *found)

    def _erase(self, urn: str, entity: int, types: tuple[str, ...]) -> None:
        with self._connection.overwriting():
            self._take_out(urn, entity, types)
        self._forget()
        self._outbox.add("deleted", urn, types, ())

    def _take_out(self, urn: str, entity: int, types: tuple[str, ...]) -> None:
        owned = "SELECT id FROM attribute WHERE entity = ?"
        for (instance,) in list(self._run(owned, (entity,))):
            self._compacted.drop(instance)
        self._do(f"DELETE FROM place WHERE id IN ({owned})", entity)
        self._do(f"DELETE FROM cell WHERE attribute IN ({owned})", entity)
        self._do("DELETE FROM attribute WHERE entity = ?", entity)
        for name in types:
            self._do("DELETE FROM entity_type WHERE type = ? AND urn = ?", name, urn)
        self._do("DELETE FROM entity WHERE id = ?", entity)
        self._do("DELETE FROM instance WHERE urn = ?", urn)
        self._do("DELETE FROM evolved WHERE urn = ?", urn)
        self._do("UPDATE event SET urn = '', types = '', names = '' WHERE urn = ?", urn)

    def prune(self, op: c.Prune, permit: Permit, now_us: int) -> None:
        """What is older than `before_us` of an entity. Raises Denied for a type without a rule."""
        found = self._find(op.urn, permit)
        if found is None:
            return
        entity, types = found
        ((version,),) = self._run(
            f"SELECT {self._greatest}(e.version, coalesce((SELECT max(a.version) FROM attribute a "
            "WHERE a.entity = e.id), 0)) FROM entity e WHERE e.id = ?",
            (entity,),
        )
        with self._connection.overwriting():
            gone = self._prune(entity, op)
        if gone:
            # its time stays: to forget something is no sign that the row is still in use
            self._do("UPDATE entity SET version = ? WHERE id = ?", version + 1, entity)
            self._forget()
            self._outbox.add("attributes", op.urn, types, ())

    def _prune(self, entity: int, op: c.Prune) -> bool:
        for (instance,) in list(self._run("SELECT id FROM attribute WHERE entity = ?", (entity,))):
            self._compacted.drop(instance, until_us=op.before_us)
        self._do(
            "DELETE FROM instance WHERE urn = ? AND name <> 'scope' AND "
            "CASE WHEN observed_us = ? THEN created_us ELSE observed_us END < ?",
            op.urn,
            UNDATED_US,
            op.before_us,
        )
        old = (
            "SELECT a.id FROM attribute a JOIN name n ON n.id = a.name WHERE a.entity = ? "
            "AND coalesce(a.observed_us, a.modified_us) < ? AND n.name NOT LIKE '~%'"
        )
        gone = [int(row[0]) for row in self._run(old, (entity, op.before_us))]
        for instance in gone:
            self._compacted.drop(instance)
            self._do("DELETE FROM place WHERE id = ?", instance)
            self._do("DELETE FROM attribute WHERE id = ?", instance)
        return bool(gone)

    def _find(self, urn: str, permit: Permit) -> tuple[int, tuple[str, ...]] | None:
        found = self._row(urn)
        if found is not None and permit.rule_of(found[1]) is None:
            raise Denied
        return found

    def _row(self, urn: str) -> tuple[int, tuple[str, ...]] | None:
        self._flush()
        row = next(self._run("SELECT id, types FROM entity WHERE urn = ?", (urn,)), None)
        if row is None:
            return None
        return int(row[0]), tuple(str(row[1]).split(" "))

    def _do(self, sql: str, *values: int | str) -> None:
        list(self._run(sql, values))
