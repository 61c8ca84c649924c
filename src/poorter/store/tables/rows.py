# SPDX-License-Identifier: EUPL-1.2
"""State rows on their way into the open transaction: known ones in memory, written ones in bulk.

Ops of one group often touch the same entities, and a statement a row costs more than the row. So
the writer reads what a group touches in one go, works on that, and writes each changed row once.
Whoever reads these tables on the writer's connection calls `flush` first.

An entity's version and time lie in the rows of its attributes too, so that writing an attribute
changes one row: the highest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from poorter.city.entity import Attribute
from poorter.city.place import bounds
from poorter.store.body import encode_attribute
from poorter.store.tables.cells import cell_of
from poorter.store.tables.expiring import Expiry
from poorter.store.tables.port import Connection
from poorter.store.tables.recent import AllWritten, Written
from poorter.store.tables.spots import NONE, UNSURE, Note, Spots
from poorter.store.transient import ends_at_us

KNOWN_MAX = 20_000
_FETCH = (
    "SELECT e.urn, e.id, e.types, e.scopes, e.version, e.live, e.expires_us, a.id, a.name, "
    "a.dataset, a.live, a.version FROM {} {} "
    "LEFT JOIN attribute a ON a.entity = e.id"
)
WRITES = {
    "new entities": "INSERT INTO entity (id, urn, types, scopes, version, created_us, modified_us, "
    "expires_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "entities": "UPDATE entity SET types = ?2, scopes = ?3, version = ?4, modified_us = ?5, "
    "created_us = CASE WHEN live THEN created_us ELSE ?5 END, live = ?6, expires_us = ?7 "
    "WHERE id = ?1",
    "types": "INSERT INTO entity_type VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    "new attributes": "INSERT INTO attribute (id, entity, name, dataset, body, num, txt, "
    "observed_us, created_us, modified_us, version, live, expires_us) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11, ?12)",
    "attributes": "UPDATE attribute SET body = ?2, num = ?3, txt = ?4, observed_us = ?5, "
    "created_us = CASE WHEN live THEN created_us ELSE ?6 END, modified_us = ?6, version = ?7, "
    "live = TRUE, expires_us = ?8 WHERE id = ?1",
    "places": "",  # as the engine has it
    "dropped": "UPDATE attribute SET live = FALSE WHERE id = ?",
    "no places": "DELETE FROM place WHERE id = ?",
    "no cells": "DELETE FROM cell WHERE attribute = ?",
    "cells": "INSERT INTO cell (attribute, cell, urn, entity) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING",
}
Key = int | tuple[int, str]
_NUMBERS = (int, float)


class Known:
    """An entity as the writer knows it. `instances`: the row of each attribute instance, by name
    (and datasetId); minus the row where it is gone."""

    __slots__ = ("expires_us", "id", "instances", "live", "scopes", "types", "urn", "version")

    def __init__(
        self, number: int, urn: str, types: tuple[str, ...], scopes: str, version: int, live: bool
    ) -> None:
        self.id = number
        self.urn = urn
        self.types = types
        self.scopes = scopes
        self.version = version
        self.live = live
        self.expires_us: int | None = None
        self.instances: dict[Key, int] = {}


class Rows:
    """Entities and attribute instances of the store, for its one writer."""

    def __init__(self, connection: Connection, expiry: Expiry, spots: Spots) -> None:
        self._run = connection.execute
        self._expiry = expiry
        self._spots = spots
        self._run_many = connection.executemany
        self._write_all = connection.write
        dialect = connection.dialect
        self._many = dialect.many
        self._fetch = _FETCH.format(
            dialect.texts.format("?", "j"), dialect.then.format("entity", "e", "e.urn = j.value")
        )
        self._writes = {**WRITES, "places": dialect.put_place}
        self._known: dict[str, Known | None] = {}
        self._names: dict[str, int] = {}
        self._types: dict[str, tuple[str, ...]] = {}
        self._pending: dict[str, dict[Any, tuple[Any, ...]]] = {what: {} for what in WRITES}
        self._dirty = False
        self._written: dict[str, list[Written] | None] | None = {}
        self._unsure: set[str] = set()  # those that were written while that was not known
        self._next_entity = self._next_attribute = 0
        self._count()

    def forget(self) -> None:
        """After a rollback: nothing known is to be trusted, nothing pending to be written."""
        self._known.clear()
        self._names.clear()
        for rows in self._pending.values():
            rows.clear()
        self._dirty = False
        self._unsure.update(self._written or ())
        self._written = None
        self._count()

    def begin(self) -> None:
        """A group begins: note what becomes of the entities it touches."""
        self._written = {}
        self._unsure = set()
        self._spots.begin()

    @property
    def written(self) -> AllWritten | None:
        """What became of them; None when that is not known."""
        return self._written

    @property
    def touched(self) -> AllWritten:
        """What became of all that were written in this group, as far as it is known."""
        return {**(self._written or {}), **dict.fromkeys(self._unsure)}

    def changed_in_place(self, urn: str) -> None:
        """Its rows stay where they are, and say something else; no event tells of it."""
        self._written = {**(self._written or {}), urn: None}

    def flush(self) -> None:
        """Write what is pending."""
        if self._dirty:
            self._write_all(self.take_pending())

    def take_pending(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """What is pending, for whoever writes it together with more."""
        if not self._dirty:
            return []
        self._dirty = False
        pending = [(what, rows) for what, rows in self._pending.items() if rows]
        taken = [(self._writes[what], sorted(rows.values())) for what, rows in pending]
        for _, rows in pending:
            rows.clear()
        return taken

    # -- what there is -------------------------------------------------------------------------

    def find(self, urn: str) -> Known | None:
        """A live entity."""
        known = self._find(urn)
        return known if known is not None and known.live else None

    def fetch(self, urns: Iterable[str]) -> None:
        """Get to know all of these in one go."""
        new = [urn for urn in urns if urn not in self._known][:KNOWN_MAX]
        if not new:
            return
        self.flush()
        if len(self._known) + len(new) > KNOWN_MAX:
            self._known.clear()
        for urn in new:
            self._known[urn] = None
        names: dict[str, str] = {}
        for (
            urn,
            entity,
            types,
            scopes,
            version,
            live,
            expires_us,
            row,
            name,
            dataset,
            there,
            later,
        ) in self._run(self._fetch, (self._many(new),)):
            known = self._known[urn]
            if known is None:
                known = Known(entity, urn, self._type_names(types), scopes, version, bool(live))
                known.expires_us = expires_us
                self._known[urn] = known
            if row is not None:
                dataset = names.setdefault(dataset, dataset)
                known.instances[(name, dataset) if dataset else name] = row if there else -row
                known.version = max(known.version, later)

    def name_id(self, name: str) -> int:
        """The small number that stands for a name."""
        number = self._names.get(name)
        if number is None:
            found = list(self._run("SELECT id FROM name WHERE name = ?", (name,)))
            if not found:
                add = "INSERT INTO name SELECT coalesce(max(id), 0) + 1, ? FROM name RETURNING id"
                found = list(self._run(add, (name,)))
            ((number,),) = found
            self._names[name] = number
        return number

    def name_of(self, key: Key) -> str:
        """The name of an instance."""
        number = key if isinstance(key, int) else key[0]
        (name,) = next(self._run("SELECT name FROM name WHERE id = ?", (number,)))
        return str(name)

    def key(self, name: str, dataset_id: str | None) -> Key:
        """What tells an instance from the others of its entity."""
        number = self.name_id(name)
        return (number, dataset_id) if dataset_id else number

    # -- what changes --------------------------------------------------------------------------

    def add(
        self,
        urn: str,
        types: tuple[str, ...],
        scopes: str,
        now_us: int,
        expires_us: int | None = None,
    ) -> Known:
        """A new entity, or one that was deleted once, under a higher version."""
        known = self._find(urn)
        if known is None:
            self._next_entity += 1
            types = self._type_names(" ".join(types))
            known = self._known[urn] = Known(self._next_entity, urn, types, scopes, 1, True)
            known.expires_us = expires_us
            row = (known.id, urn, " ".join(types), scopes, 1, now_us, now_us, expires_us)
            self._note_changed(known)
            self._write("new entities", known.id, row)
        else:
            known.types, known.scopes = self._type_names(" ".join(types)), scopes
            known.live = True
            known.expires_us = expires_us
            self.touch(known, now_us)
        self._add_types(known)
        self._expiry.at(expires_us)
        return known

    def put(self, known: Known, attribute: Attribute, version: int, now_us: int) -> int:
        """Write one instance under a version of its entity; its row. History is the caller's
        business."""
        number, text = indexed(attribute)
        body = encode_attribute(attribute)
        expires_us = ends_at_us(attribute)
        if expires_us is not None:
            self._expiry.at(expires_us)
        observed_us = attribute.observed_at_us
        key = self.key(attribute.name, attribute.dataset_id)
        row = known.instances.get(key, 0)
        if row <= 0 or expires_us is not None:
            self._note_changed(known)
        elif self._written is not None:
            later = Written(attribute.name, attribute.dataset_id, body, version, now_us)
            found = self._written.setdefault(known.urn, [])
            if found is not None:
                found.append(later)
        else:
            self._unsure.add(known.urn)
        if not row:
            row = self._new_row()
            made = (body, number, text, observed_us, now_us, version, True, expires_us)
            self._write("new attributes", row, (row, known.id, *_both(key), *made))
        else:
            row = abs(row)
            if row in self._pending["dropped"]:
                self.flush()
            values = (row, body, number, text, observed_us, now_us, version, expires_us)
            self._write("attributes", row, values)
            if attribute.kind == "GeoProperty":
                self._write("no cells", row, (row,))
        known.instances[key] = row
        known.version = max(known.version, version)
        if self._spots.names:
            point = attribute.kind == "GeoProperty" and attribute.value["type"] == "Point"
            self._tell(known, key, row, number, attribute.value if point else None)
        if attribute.kind == "GeoProperty":
            west, south, east, north = bounds(attribute.value)
            self._write("places", row, (row, west, south, east, north))
            cell = cell_of(_both(key)[0], attribute.value)
            self._write("cells", row, (row, cell, known.urn, known.id))
        return row

    def reserve(self, known: Known, name: str, dataset_id: str | None, now_us: int) -> int:
        """The row of an instance; one that isn't there yet gets a row without a value."""
        key = self.key(name, dataset_id)
        row = known.instances.get(key, 0)
        if not row:
            row = self._new_row()
            empty = (b"", None, None, None, now_us, 0, False, None)
            self._write("new attributes", row, (row, known.id, *_both(key), *empty))
            known.instances[key] = -row
        return abs(row)

    def drop(self, known: Known, key: Key) -> None:
        """An instance goes; its row stays, for its history."""
        row = abs(known.instances[key])
        self._note_changed(known)
        known.instances[key] = -row
        if self._spots.names:
            self._tell(known, key, row)
        self._pending["places"].pop(row, None)
        self._pending["cells"].pop(row, None)
        self._write("dropped", row, (row,))
        self._write("no places", row, (row,))
        self._write("no cells", row, (row,))

    def touch(self, known: Known, now_us: int) -> int:
        """The entity itself changed: its new version."""
        known.version += 1
        self._write_entity(known, now_us)
        return known.version

    def delete(self, known: Known, now_us: int) -> None:
        """The entity goes; its rows stay, for its history."""
        for key, row in known.instances.items():
            if row > 0:
                self.drop(known, key)
        known.live = False
        self._write_entity(known, now_us)
        self._drop_types(known)

    def set_types(self, known: Known, types: tuple[str, ...]) -> None:
        """Its types become these, once it is touched."""
        self._drop_types(known)
        known.types = self._type_names(" ".join(types))
        self._add_types(known)

    # -- parts ---------------------------------------------------------------------------------

    def _tell(
        self,
        known: Known,
        key: Key,
        row: int,
        number: float | None = None,
        point: Mapping[str, Any] | None = None,
    ) -> None:
        name, dataset = _both(key)
        if name in self._spots.names:
            held = UNSURE if dataset else NONE if number is None else number
            at = None if point is None else (point["coordinates"][0], point["coordinates"][1])
            self._spots.note(Note(name, row, known.id, held, at))

    def _find(self, urn: str) -> Known | None:
        if urn not in self._known:
            self.fetch((urn,))
        return self._known[urn]

    def _count(self) -> None:
        ((entity, attribute),) = self._run(
            "SELECT (SELECT coalesce(max(id), 0) FROM entity), "
            "(SELECT coalesce(max(id), 0) FROM attribute)"
        )
        self._next_entity, self._next_attribute = int(entity), int(attribute)

    def _new_row(self) -> int:
        self._next_attribute += 1
        return self._next_attribute

    def _write(self, what: str, row: Any, values: tuple[Any, ...]) -> None:
        self._pending[what][row] = values
        self._dirty = True

    def _note_changed(self, known: Known) -> None:
        """More happens to it than that attributes are written."""
        if self._written is not None:
            self._written[known.urn] = None
        else:
            self._unsure.add(known.urn)

    def _write_entity(self, known: Known, now_us: int) -> None:
        self._note_changed(known)
        types = " ".join(known.types)
        live, expires_us = known.live, known.expires_us
        self._expiry.at(expires_us)
        values = (known.id, types, known.scopes, known.version, now_us, live, expires_us)
        self._write("entities", known.id, values)

    def _add_types(self, known: Known) -> None:
        for name in known.types:
            self._write("types", (name, known.urn), (name, known.urn, known.id))

    def _drop_types(self, known: Known) -> None:
        self.flush()
        delete = "DELETE FROM entity_type WHERE type = ? AND urn = ?"
        self._run_many(delete, [(name, known.urn) for name in known.types])

    def _type_names(self, text: str) -> tuple[str, ...]:
        """One tuple for all entities of the same types."""
        types = self._types.get(text)
        if types is None:
            if len(self._types) >= KNOWN_MAX:
                self._types.clear()
            types = self._types[text] = tuple(text.split(" "))
        return types


def _both(key: Key) -> tuple[int, str]:
    return (key, "") if isinstance(key, int) else key


def indexed(attribute: Attribute) -> tuple[float | None, str | None]:
    """What the value indexes hold of it: a number, or a short text."""
    value = attribute.value
    if attribute.kind == "Property":
        if isinstance(value, _NUMBERS) and not isinstance(value, bool):
            return float(value), None
        if isinstance(value, str) and len(value) <= 256 and "\0" not in value:
            return None, value
    elif attribute.kind == "Relationship" and isinstance(value, str):
        return None, value
    return None, None
