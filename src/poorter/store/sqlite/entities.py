# SPDX-License-Identifier: EUPL-1.2
"""Entities into the open transaction: state in place, history beside it, events for the outbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import apsw
import msgspec

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Denied, NotFound, TooLarge
from poorter.city.limits import ENTITY_ATTRIBUTES_MAX
from poorter.city.place import bounds
from poorter.gate.permit import Permit, TypeRule
from poorter.store import contract as c
from poorter.store.body import encode_attribute

_CACHE_MAX = 200_000
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Outbox:
    """Events of the change at hand: kind, urn, types, names."""

    pending: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    def add(self, kind: str, urn: str, types: tuple[str, ...], names: tuple[str, ...]) -> None:
        """Note that something changed."""
        self.pending.append((kind, urn, types, names))


def history_value(value: Any) -> Any:
    """A value as history keeps it: numbers and text as they are, all else as JSON bytes."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _encode(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


class Entities:
    """Writes entities and attribute instances."""

    def __init__(self, connection: apsw.Connection, outbox: Outbox) -> None:
        self._run = connection.execute
        self._outbox = outbox
        self._names: dict[str, int] = {}
        self._entities: dict[str, tuple[int, tuple[str, ...]]] = {}
        #: What Readings remembers by (urn, name, datasetId); writes here make it untrue.
        self.remembered: dict[tuple[str, str, str | None], Any] = {}

    def forget(self) -> None:
        """Drop cached ids."""
        self._names.clear()
        self._entities.clear()
        self.remembered.clear()

    # -- ops ---------------------------------------------------------------------------------

    def create(self, op: c.Create, permit: Permit, now_us: int) -> int:
        """A new entity; its version."""
        _check(permit, op.entity.types, op.entity.attributes)
        if self.find(op.entity.urn) is not None:
            raise Conflict(f"{op.entity.urn} is there already")
        return self._write_whole(op.entity, now_us)

    def put(self, op: c.Put, permit: Permit, now_us: int) -> tuple[int, bool]:
        """Upsert; (version, whether it is new)."""
        _check(permit, op.entity.types, op.entity.attributes)
        found = self.find(op.entity.urn)
        if found is None:
            return self._write_whole(op.entity, now_us), True
        self._rule(permit, found[1])
        if op.replace:
            return self._replace_whole(op.entity, found, permit, now_us), False
        types = tuple(dict.fromkeys((*found[1], *op.entity.types)))
        if types != found[1]:
            self._set_types(found[0], op.entity.urn, types)
        if op.entity.scopes:
            self._set_scopes(found[0], op.entity.scopes, False)
        self._write_attributes(found[0], op.entity.urn, op.entity.attributes, now_us)
        version = self._touch(found[0], now_us)
        self._note("attributes", op.entity.urn, types, op.entity.attributes)
        return version, False

    def replace(self, op: c.Replace, permit: Permit, now_us: int) -> int:
        """The entity becomes exactly this; its version."""
        _check(permit, op.entity.types, op.entity.attributes)
        found = self.find(op.entity.urn)
        if found is None:
            raise NotFound(f"{op.entity.urn} is not there")
        self._rule(permit, found[1])
        return self._replace_whole(op.entity, found, permit, now_us)

    def set_attributes(
        self, op: c.SetAttributes, permit: Permit, now_us: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(written names, names not written)."""
        entity, types = self._must_find(op.urn, permit)
        rule = self._rule(permit, types)
        if not all(rule.covers(a.name) for a in op.attributes):
            raise Denied
        if op.expect is not None:
            (version,) = next(self._run("SELECT version FROM entity WHERE id = ?", (entity,)))
            if version != op.expect:
                raise Conflict(f"{op.urn} is at version {version}, not {op.expect}")
        chosen = op.attributes
        if op.mode != "append":
            want = op.mode == "update"
            chosen = tuple(a for a in chosen if self._is_there(entity, a) == want)
        self._write_attributes(entity, op.urn, chosen, now_us)
        if op.add_types:
            types = self._more_types(entity, op, permit, types)
        if op.scopes is not None:
            self._set_scopes(entity, op.scopes, op.mode == "keep")
        if chosen or op.add_types or op.scopes is not None:
            self._touch(entity, now_us)
            self._note("attributes", op.urn, types, chosen)
        left = tuple(a.name for a in op.attributes if a not in chosen)
        return tuple(a.name for a in chosen), left

    def delete(self, op: c.Delete, permit: Permit, now_us: int) -> None:
        """The entity goes, its history stays."""
        found = self.find(op.urn)
        if found is None or permit.rule_of(found[1]) is None:
            if op.missing_ok:
                return
            raise NotFound(f"{op.urn} is not there")
        entity, types = found
        self._rule(permit, types)
        self._drop_attributes(entity)
        list(
            self._run("UPDATE entity SET live = 0, modified_us = ? WHERE id = ?", (now_us, entity))
        )
        self._drop_types(op.urn, types)
        self._entities.pop(op.urn, None)
        self._outbox.add("deleted", op.urn, types, ())

    def delete_attribute(self, op: c.DeleteAttribute, permit: Permit, now_us: int) -> None:
        """One instance or all instances of an attribute go."""
        entity, types = self._must_find(op.urn, permit)
        if not self._rule(permit, types).covers(op.name):
            raise NotFound(f"{op.urn} has no {op.name}")
        sql = "SELECT id FROM attribute WHERE entity = ? AND name = ? AND live"
        values: tuple[Any, ...] = (entity, self.name_id(op.name))
        if not op.every_instance:
            sql += " AND dataset = ?"
            values += (op.dataset_id or "",)
        gone = [row[0] for row in self._run(sql, values)]
        if not gone:
            raise NotFound(f"{op.urn} has no {op.name}")
        for instance in gone:
            self._drop(instance)
        self._touch(entity, now_us)
        self._outbox.add("attributes", op.urn, types, (op.name,))

    # -- parts -------------------------------------------------------------------------------

    def find(self, urn: str) -> tuple[int, tuple[str, ...]] | None:
        """(row id, types) of a live entity."""
        found = self._entities.get(urn)
        if found is None:
            row = next(
                self._run("SELECT id, types FROM entity WHERE urn = ? AND live", (urn,)), None
            )
            if row is None:
                return None
            if len(self._entities) >= _CACHE_MAX:
                self._entities.clear()
            found = self._entities[urn] = (row[0], tuple(row[1].split(" ")))
        return found

    def name_id(self, name: str) -> int:
        """The small number that stands for a name."""
        number = self._names.get(name)
        if number is None:
            list(self._run("INSERT OR IGNORE INTO name (name) VALUES (?)", (name,)))
            (number,) = next(self._run("SELECT id FROM name WHERE name = ?", (name,)))
            self._names[name] = number
        return number

    def new_entity(self, urn: str, types: tuple[str, ...], scopes: str, now_us: int) -> int:
        """A row for a new (or once deleted) entity; its row id."""
        row = next(
            self._run(
                "INSERT INTO entity (urn, types, scopes, version, created_us, modified_us) "
                "VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (urn) DO UPDATE SET types = excluded.types,"
                " scopes = excluded.scopes, version = version + 1, live = 1,"
                " created_us = excluded.created_us, modified_us = excluded.modified_us"
                " RETURNING id",
                (urn, " ".join(types), scopes, now_us, now_us),
            )
        )
        entity = int(row[0])
        self._add_types(entity, urn, types)
        return entity

    def write_state(self, entity: int, attribute: Attribute, now_us: int) -> int:
        """Write one instance; its row id. History is the caller's business."""
        value = attribute.value
        number = text = None
        if attribute.kind == "Property":
            if isinstance(value, int | float) and not isinstance(value, bool):
                number = float(value)
            elif isinstance(value, str) and len(value) <= 256:
                text = value
        elif attribute.kind == "Relationship" and isinstance(value, str):
            text = value
        row = next(
            self._run(
                "INSERT INTO attribute (entity, name, dataset, body, num, txt, observed_us, "
                "created_us, modified_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (entity, name, dataset) DO UPDATE SET body = excluded.body, "
                "num = excluded.num, txt = excluded.txt, observed_us = excluded.observed_us, "
                "created_us = CASE WHEN live THEN created_us ELSE excluded.created_us END, "
                "modified_us = excluded.modified_us, live = 1 RETURNING id",
                (
                    entity,
                    self.name_id(attribute.name),
                    attribute.dataset_id or "",
                    encode_attribute(attribute),
                    number,
                    text,
                    attribute.observed_at_us,
                    now_us,
                    now_us,
                ),
            )
        )
        instance = int(row[0])
        if attribute.kind == "GeoProperty":
            self._place(instance, attribute)
        return instance

    def _write_whole(self, entity: Entity, now_us: int) -> int:
        row = self.new_entity(entity.urn, entity.types, " ".join(entity.scopes), now_us)
        self._write_attributes(row, entity.urn, entity.attributes, now_us)
        self._note("entity", entity.urn, entity.types, entity.attributes)
        (version,) = next(self._run("SELECT version FROM entity WHERE id = ?", (row,)))
        return int(version)

    def _replace_whole(
        self, entity: Entity, found: tuple[int, tuple[str, ...]], permit: Permit, now_us: int
    ) -> int:
        row, types = found
        keep = {(self.name_id(a.name), a.dataset_id or "") for a in entity.attributes}
        rule = self._rule(permit, types)
        gone = self._run(
            "SELECT a.id, a.name, a.dataset, n.name FROM attribute a JOIN name n ON n.id = a.name "
            "WHERE a.entity = ? AND a.live",
            (row,),
        )
        for instance, name, dataset, text in list(gone):
            if (name, dataset) not in keep and rule.covers(text):
                self._drop(instance)
        if entity.types != types:
            self._set_types(row, entity.urn, entity.types)
        list(self._run("UPDATE entity SET scopes = ? WHERE id = ?", (" ".join(entity.scopes), row)))
        self._write_attributes(row, entity.urn, entity.attributes, now_us)
        self._note("entity", entity.urn, entity.types, entity.attributes)
        return self._touch(row, now_us)

    def _write_attributes(
        self, entity: int, urn: str, attributes: Iterable[Attribute], now_us: int
    ) -> None:
        for attribute in attributes:
            self.remembered.pop((urn, attribute.name, attribute.dataset_id), None)
            instance = self.write_state(entity, attribute, now_us)
            observed_us = attribute.observed_at_us
            if observed_us is None:
                continue  # without a moment of its own it is state, not an observation
            list(
                self._run(
                    "INSERT INTO history SELECT ?1, ?2, coalesce(max(sequence) + 1, 0), ?3, 0, ?4 "
                    "FROM history WHERE attribute = ?1 AND observed_us = ?2 "
                    "HAVING coalesce((SELECT value FROM history WHERE attribute = ?1 AND "
                    "observed_us = ?2 ORDER BY sequence DESC LIMIT 1) IS NOT ?4, 1)",
                    (instance, observed_us, now_us, history_value(attribute.value)),
                )
            )

    def _place(self, instance: int, attribute: Attribute) -> None:
        west, south, east, north = bounds(attribute.value)
        list(
            self._run(
                "INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?, ?)",
                (instance, west, east, south, north),
            )
        )

    def _touch(self, entity: int, now_us: int) -> int:
        row = next(
            self._run(
                "UPDATE entity SET version = version + 1, modified_us = ? WHERE id = ? "
                "RETURNING version",
                (now_us, entity),
            )
        )
        return int(row[0])

    def touch(self, entity: int, now_us: int) -> None:
        """The entity changed: a version more."""
        self._touch(entity, now_us)

    def _is_there(self, entity: int, attribute: Attribute) -> bool:
        rows = self._run(
            "SELECT 1 FROM attribute WHERE entity = ? AND name = ? AND dataset = ? AND live",
            (entity, self.name_id(attribute.name), attribute.dataset_id or ""),
        )
        return next(rows, None) is not None

    def _drop_attributes(self, entity: int) -> None:
        rows = self._run("SELECT id FROM attribute WHERE entity = ? AND live", (entity,))
        for (instance,) in list(rows):
            self._drop(instance)

    def _drop(self, instance: int) -> None:
        self.remembered.clear()  # rare enough not to look for the one
        list(self._run("UPDATE attribute SET live = 0 WHERE id = ?", (instance,)))
        list(self._run("DELETE FROM place WHERE id = ?", (instance,)))

    def _set_types(self, entity: int, urn: str, types: tuple[str, ...]) -> None:
        list(self._run("UPDATE entity SET types = ? WHERE id = ?", (" ".join(types), entity)))
        list(self._run("DELETE FROM entity_type WHERE urn = ? AND entity = ?", (urn, entity)))
        self._add_types(entity, urn, types)
        self._entities.pop(urn, None)

    def _more_types(
        self, entity: int, op: c.SetAttributes, permit: Permit, types: tuple[str, ...]
    ) -> tuple[str, ...]:
        if any(permit.rule(name) is None for name in op.add_types):
            raise Denied
        more = tuple(dict.fromkeys((*types, *op.add_types)))
        if more != types:
            self._set_types(entity, op.urn, more)
        return more

    def _set_scopes(self, entity: int, scopes: tuple[str, ...], beside: bool) -> None:
        if beside:
            (text,) = next(self._run("SELECT scopes FROM entity WHERE id = ?", (entity,)))
            scopes = tuple(dict.fromkeys((*text.split(), *scopes)))
        list(self._run("UPDATE entity SET scopes = ? WHERE id = ?", (" ".join(scopes), entity)))

    def _add_types(self, entity: int, urn: str, types: tuple[str, ...]) -> None:
        for name in types:
            list(
                self._run(
                    "INSERT OR REPLACE INTO entity_type VALUES (?, ?, ?)", (name, urn, entity)
                )
            )

    def _drop_types(self, urn: str, types: tuple[str, ...]) -> None:
        for name in types:
            list(self._run("DELETE FROM entity_type WHERE type = ? AND urn = ?", (name, urn)))

    def _must_find(self, urn: str, permit: Permit) -> tuple[int, tuple[str, ...]]:
        found = self.find(urn)
        if found is None or permit.rule_of(found[1]) is None:
            raise NotFound(f"{urn} is not there")
        return found

    def _rule(self, permit: Permit, types: tuple[str, ...]) -> TypeRule:
        rule = permit.rule_of(types)
        if rule is None:
            raise Denied
        return rule

    def _note(
        self, kind: str, urn: str, types: tuple[str, ...], attributes: tuple[Attribute, ...]
    ) -> None:
        self._outbox.add(kind, urn, types, tuple(dict.fromkeys(a.name for a in attributes)))


def _check(permit: Permit, types: tuple[str, ...], attributes: tuple[Attribute, ...]) -> None:
    if len(attributes) > ENTITY_ATTRIBUTES_MAX:
        raise TooLarge(f"an entity has at most {ENTITY_ATTRIBUTES_MAX} attributes")
    rule = permit.rule_of(types)
    if rule is None or not all(rule.covers(a.name) for a in attributes):
        raise Denied
