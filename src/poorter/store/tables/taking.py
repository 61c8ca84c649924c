# SPDX-License-Identifier: EUPL-1.2
"""Rows of another store, written as they are, in the writer's transaction, each kind in bulk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

import msgspec

from poorter.city.entity import Attribute
from poorter.city.errors import Denied, Invalid
from poorter.city.place import bounds
from poorter.gate.permit import ANY_TYPE, Permit
from poorter.store import contents as k
from poorter.store import contract as c
from poorter.store.body import decode_attribute
from poorter.store.tables.cells import cell_of
from poorter.store.tables.port import Connection
from poorter.store.tables.rows import indexed
from poorter.store.transient import ends_at_us

_encode = msgspec.json.Encoder().encode
_ENTITY = ("id", "urn", "types", "scopes", "version", "created_us", "modified_us", "live")
_ATTRIBUTE = (
    *("id", "entity", "name", "dataset", "body", "num", "txt", "observed_us"),
    *("created_us", "modified_us", "version", "live", "expires_us"),
)
#: the columns of tables that hold what a row says as it is, those of the key first
_PLAIN: dict[type[k.Row], tuple[str, tuple[str, ...], int]] = {
    k.InstanceRow: (
        "instance",
        (
            *("urn", "name", "dataset", "observed_us", "n"),
            *("id", "created_us", "modified_us", "deleted_us", "body"),
        ),
        5,
    ),
    k.EvolvedRow: ("evolved", ("urn", "version"), 1),
    k.HoldRow: ("hold", ("pool", "id", "units", "until_us"), 2),
    k.ReplayRow: ("replay", ("key", "at_us", "answer"), 1),
    k.LeafRow: ("leaf", ("idx", "leaf", "subject", "payload"), 1),
    k.LineRow: ("line", ("subject", "seq", "leaf"), 2),
    k.TraceRow: ("trace", ("trace", "first", "number"), 2),
}
Values = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class TakeIn(c.Upkeep):
    """Write these rows exactly as they are."""

    rows: Sequence[k.Row]


class Taking:
    """Applies it, past what the writer knows of rows: that is flushed first and forgotten after."""

    def __init__(
        self,
        connection: Connection,
        flush: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        self._run = connection.execute
        self._many = connection.executemany
        self._add_words = connection.add_words
        self._dialect = connection.dialect
        self._flush = flush
        self._forget = forget
        self._names: dict[str, int] = {}

    def take_in(self, op: TakeIn, permit: Permit, now_us: int) -> None:
        """Write the rows. Raises Denied for a permit that is not for everything."""
        if permit.action != "administer" or permit.rule(ANY_TYPE) is None:
            raise Denied
        self._flush()
        self._names.clear()
        for row_type, group in groupby(op.rows, type):
            rows: Any = list(group)
            if row_type is k.EntityRow:
                self._entities(rows)
            elif row_type is k.ObservationRow:
                self._observations(rows)
            elif row_type is k.RecordRow:
                self._records(rows)
            elif row_type is k.EventRow:
                self._events(rows)
            else:
                table, columns, keys = _PLAIN[row_type]
                self._put(table, columns, keys, [msgspec.structs.astuple(row) for row in rows])
        self._forget()

    # -- state ---------------------------------------------------------------------------------

    def _entities(self, rows: Sequence[k.EntityRow]) -> None:
        known = self._known([row.urn for row in rows])
        self._withdraw(known)
        ids = self._numbered(
            "entity", [row.urn for row in rows], {u: n for u, (n, _) in known.items()}
        )
        entities, types, attributes = [], [], []
        for row in rows:
            entity = ids[row.urn]
            words = (entity, row.urn, " ".join(row.types), " ".join(row.scopes))
            times = (row.version, row.created_us, row.modified_us)
            entities.append((*words, *times, row.live, row.expires_us))
            types += [(name, row.urn, entity) for name in row.types if row.live]
            attributes += [(entity, row.urn, attribute) for attribute in row.attributes]
        self._put("entity", (*_ENTITY, "expires_us"), 1, entities)
        self._put("entity_type", ("type", "urn", "entity"), 2, types)
        self._attributes(attributes)

    def _known(self, urns: Sequence[str]) -> dict[str, tuple[int, str]]:
        """(number, types) of those that are there."""
        texts = self._dialect.texts.format("?", "j")
        join = self._dialect.then.format("entity", "e", "e.urn = j.value")
        sql = f"SELECT e.urn, e.id, e.types FROM {texts} {join}"
        found = list(self._run(sql, (self._dialect.many(list(urns)),)))
        return {urn: (number, types) for urn, number, types in found}

    def _withdraw(self, known: Mapping[str, tuple[int, str]]) -> None:
        """What was said of these entities counts no more; their rows stay, for their history."""
        numbers = [(number,) for number, _ in known.values()]
        if not numbers:
            return
        owned = "SELECT id FROM attribute WHERE entity = ?"
        named = [(name, urn) for urn, (_, types) in known.items() for name in types.split()]
        self._many("DELETE FROM entity_type WHERE type = ? AND urn = ?", named)
        self._many(f"DELETE FROM place WHERE id IN ({owned})", numbers)
        self._many(f"DELETE FROM cell WHERE attribute IN ({owned})", numbers)
        self._many("UPDATE attribute SET live = FALSE, version = 0 WHERE entity = ?", numbers)

    def _attributes(self, said: Sequence[tuple[int, str, k.AttributeRow]]) -> None:
        keys = [(entity, self._name(row.name), row.dataset) for entity, _, row in said]
        ids = self._numbered("attribute", keys, self._instances({entity for entity, *_ in said}))
        attributes, places, cells = [], [], []
        for key, (entity, urn, row) in zip(keys, said, strict=True):
            value, number = _decoded(urn, row), ids[key]
            times = (value.observed_at_us, row.created_us, row.modified_us)
            body = (row.body, *indexed(value), *times, 0, True, ends_at_us(value))
            attributes.append((number, *key, *body))
            if value.kind == "GeoProperty":
                west, south, east, north = bounds(value.value)
                places.append((number, west, south, east, north))
                cells.append((cell_of(key[1], value.value), urn, number, entity))
        self._put("attribute", _ATTRIBUTE, 1, attributes)
        if places:
            self._many(self._dialect.put_place, places)
            self._put("cell", ("cell", "urn", "attribute", "entity"), 3, cells)

    def _instances(self, entities: Iterable[int]) -> dict[Any, int]:
        """Numbers of attributes by (entity, name, dataset)."""
        numbers = self._dialect.numbers.format("?", "j")
        sql = (
            f"SELECT a.entity, a.name, a.dataset, a.id FROM {numbers} "
            f"{self._dialect.then.format('attribute', 'a', 'a.entity = j.value')}"
        )
        found = list(self._run(sql, (self._dialect.many(sorted(entities)),)))
        return {(entity, name, dataset): number for entity, name, dataset, number in found}

    def _numbered(self, table: str, keys: Iterable[Any], known: dict[Any, int]) -> dict[Any, int]:
        """A number for each key: the one it has, or the next."""
        ((newest,),) = list(self._run(f"SELECT coalesce(max(id), 0) FROM {table}"))
        for key in keys:
            if key not in known:
                newest += 1
                known[key] = newest
        return known

    # -- history -------------------------------------------------------------------------------

    def _observations(self, rows: Sequence[k.ObservationRow]) -> None:
        known = self._known(list(dict.fromkeys(row.urn for row in rows)))
        missing = next((row.urn for row in rows if row.urn not in known), None)
        if missing is not None:
            raise Invalid(f"{missing} is not there, and an observation is of it")
        keys = [(known[row.urn][0], self._name(row.name), row.dataset) for row in rows]
        there = self._instances({entity for entity, *_ in keys})
        before = set(there)
        ids = self._numbered("attribute", keys, there)
        reserved = [(ids[key], *key) for key in dict.fromkeys(keys) if key not in before]
        empty = (b"", None, None, None, 0, 0, 0, False, None)
        self._put("attribute", _ATTRIBUTE, 1, [(*row, *empty) for row in reserved])
        words = [
            (ids[key], row.observed_us, row.sequence, row.received_us, row.quality, row.value)
            for key, row in zip(keys, rows, strict=True)
        ]
        self._many(
            "DELETE FROM history WHERE attribute = ? AND observed_us = ? AND sequence = ?",
            [word[:3] for word in words],
        )
        self._add_words(words)

    # -- the rest ------------------------------------------------------------------------------

    def _records(self, rows: Sequence[k.RecordRow]) -> None:
        columns = ("kind", "id", "doc", "version", "created_us", "modified_us")
        self._put(
            "record",
            columns,
            2,
            [(r.of, r.id, _encode(r.doc), r.version, r.created_us, r.modified_us) for r in rows],
        )
        self._many("DELETE FROM record_key WHERE kind = ? AND id = ?", [(r.of, r.id) for r in rows])
        keys = [(r.of, key, value, r.id) for r in rows for key, value in r.keys]
        self._put("record_key", ("kind", "key", "value", "id"), 4, keys)

    def _events(self, rows: Sequence[k.EventRow]) -> None:
        columns = ("sequence", "at_us", "kind", "urn", "types", "names")
        values = [
            (r.sequence, r.at_us, r.what, r.urn, " ".join(r.types), " ".join(r.names)) for r in rows
        ]
        self._put("event", columns, 1, values)

    def _put(self, table: str, columns: tuple[str, ...], keys: int, values: Values) -> None:
        """Rows in the place of those with the same key, which is the first `keys` columns."""
        if not values:
            return
        marks = ", ".join("?" * len(columns))
        target = self._dialect.target.format(", ".join(columns[:keys]))
        rest = ", ".join(f"{name} = excluded.{name}" for name in columns[keys:])
        instead = f"UPDATE SET {rest}" if rest else "NOTHING"
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        self._many(f"{sql} ON CONFLICT ({target}) DO {instead}", values)

    def _name(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            found = list(self._run("SELECT id FROM name WHERE name = ?", (name,)))
            add = "INSERT INTO name SELECT coalesce(max(id), 0) + 1, ? FROM name RETURNING id"
            ((number,),) = found or list(self._run(add, (name,)))
            self._names[name] = cast("int", number)
        return cast("int", number)


def _decoded(urn: str, row: k.AttributeRow) -> Attribute:
    try:
        return decode_attribute(row.name, row.body)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as wrong:
        raise Invalid(f"{urn} {row.name}: this is no attribute: {wrong}") from None
