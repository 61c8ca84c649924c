# SPDX-License-Identifier: EUPL-1.2
"""One change into the open transaction: each op checked against the permit, then written.

Runs on the writer's thread only, so its caches of ids need no lock. Whoever rolls back calls
`forget`, since cached ids may then be of rows that never were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from poorter.city.errors import Conflict, Denied, Invalid, NotFound
from poorter.city.limits import HOLD_DAYS_MAX
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.gate.permit import Permit
from poorter.ledger.lines import NO_LINE, complete, place_line
from poorter.store import contract as c
from poorter.store.evolving import AddInstances, DeleteInstances, ReplaceInstance
from poorter.store.series import urns_of
from poorter.store.tables.compacted import Compacted
from poorter.store.tables.compacting import Adopt, BringBack, Expire, GiveBack, Upkeep
from poorter.store.tables.entities import Entities, Outbox
from poorter.store.tables.erasing import Erasing
from poorter.store.tables.expiring import Expiry, expired
from poorter.store.tables.former import Former
from poorter.store.tables.instances import Instances
from poorter.store.tables.manifest import Files
from poorter.store.tables.port import Connection, Statements
from poorter.store.tables.readings import Readings
from poorter.store.tables.resealing import Resealing
from poorter.store.tables.rows import Rows
from poorter.store.tables.spots import Spots
from poorter.store.tables.taking import TakeIn, Taking

_encode = msgspec.json.Encoder().encode
#: ops of which the temporal evolution has to hear
_OF_ID = (c.SetAttributes, c.Delete, c.DeleteAttribute)
_OF_ENTITY = (c.Create, c.Put, c.Replace)
_NOTED = frozenset((c.SetAttributes, c.Delete, c.DeleteAttribute))
LEAVES = "INSERT INTO leaf VALUES (?, ?, NULL, ?)"
LINES = "INSERT INTO line VALUES (?, ?, ?)"
#: the newest line of each subject, one step down the index however many lines there are
_HEADS = (
    "SELECT v.column1, l.seq, l.leaf FROM (VALUES {}) v CROSS JOIN line l WHERE "
    "l.subject = v.column1 AND l.seq = (SELECT max(seq) FROM line WHERE subject = v.column1)"
)
#: subjects whose newest lines one statement asks for
HEADS_AT_ONCE = 250


class Applier:
    """Applies ops; collects the events they cause in `outbox`."""

    def __init__(self, connection: Connection, files: Files, expiry: Expiry, spots: Spots) -> None:
        self._connection = connection
        self._run = connection.execute
        self._many = connection.executemany
        self._record_key = connection.dialect.target.format("kind, id")
        self.compacted = Compacted(connection, files)
        upkeep = Upkeep(connection, self.compacted)
        self.outbox = Outbox()
        self._spots = spots
        self.rows = Rows(connection, expiry, spots)
        self.erasing = Erasing(
            connection, self.compacted, self.outbox, self.flush, self.forget_known
        )
        self.entities = Entities(connection, self.rows, self.compacted, self.outbox)
        self.readings = Readings(connection, self.rows, self.entities, self.compacted, self.outbox)
        self.instances = Instances(
            connection, self.entities, self.readings, self.compacted, self.outbox, self.flush
        )
        self.former = Former(connection, self.instances, self.flush)
        self._leaf = self._one("SELECT coalesce(max(idx) + 1, 0) FROM leaf")
        self._ops: dict[type, Callable[[Any, Permit, int], Any]] = {
            c.Create: self.entities.create,
            c.Put: self.entities.put,
            c.SetAttributes: self.entities.set_attributes,
            c.Replace: self.entities.replace,
            c.Delete: self.entities.delete,
            c.DeleteAttribute: self.entities.delete_attribute,
            c.Erase: self.erasing.erase,
            c.Prune: self.erasing.prune,
            c.Reseal: Resealing(connection, self.flush, self.rows.changed_in_place).reseal,
            c.Observe: self.readings.observe,
            AddInstances: self.instances.add,
            ReplaceInstance: self.instances.replace,
            DeleteInstances: self.instances.delete,
            c.PutRecord: self._put_record,
            c.Require: self._require,
            c.DeleteRecord: self._delete_record,
            c.Hold: self._hold,
            c.ExtendHold: self._extend_hold,
            c.EndHold: self._end_hold,
            c.AppendLeaf: self._append_leaf,
            c.AppendLines: self._append_lines,
            Adopt: upkeep.adopt,
            BringBack: upkeep.bring_back,
            Expire: upkeep.expire,
            GiveBack: upkeep.give_back,
            TakeIn: Taking(connection, self.flush, self.forget_all).take_in,
        }

    def apply(self, op: c.Op, permit: Permit, now_us: int) -> Any:
        """Write one op; its result as `Committed` describes. Raises what the contract names."""
        kind = type(op)
        if self.former.number:
            self.former.note(op, now_us)
        if kind in _NOTED:
            self.instances.note(op, now_us)
        return self._ops[kind](op, permit, now_us)

    def expired(self, now_us: int) -> tuple[c.Op, ...]:
        """What is to be done about all that has expired."""
        self.flush()
        return expired(self._connection, now_us)

    def expire(self, ops: tuple[c.Op, ...], now_us: int) -> None:
        """Do it."""
        for op in ops:
            self.former.note(op, now_us)
            self.instances.note(op, now_us)
            if isinstance(op, c.Erase):
                self.erasing.expire(op)
            elif isinstance(op, c.Delete | c.DeleteAttribute | c.SetAttributes):
                self.entities.expire(op, now_us)

    def fetch(self, ops: Iterable[c.Op]) -> None:
        """Get to know all entities that `ops` name, in one go rather than one by one."""
        urns: list[str] = []
        for op in ops:
            if isinstance(op, _OF_ID):
                urns.append(op.urn)
            elif isinstance(op, _OF_ENTITY):
                urns.append(op.entity.urn)
            elif isinstance(op, c.Observe):
                urns += urns_of(op.readings)
        self.rows.fetch(dict.fromkeys(urns))

    def flush(self, more: Statements = ()) -> None:
        """Write what is pending, before it is read or committed, and what else is said."""
        self.entities.flush([*self.rows.take_pending(), *more])

    def forget_known(self) -> None:
        """Rows went in another way: what is known of them is to be read again."""
        self.rows.forget()
        self.entities.forget()

    def forget_all(self) -> None:
        """Rows went in past all that keeps any of them in memory."""
        self.forget()
        self._spots.forget()

    def forget(self) -> None:
        """After a rollback: nothing cached is to be trusted, events of the change are void."""
        self.forget_known()
        self.compacted.look_again()
        self.outbox.pending.clear()
        self._leaf = self._one("SELECT coalesce(max(idx) + 1, 0) FROM leaf")

    def _one(self, sql: str) -> int:
        return int(next(self._run(sql))[0])

    def _version(self, kind: str, record_id: str) -> int:
        found = self._run("SELECT version FROM record WHERE kind = ? AND id = ?", (kind, record_id))
        row = next(found, None)
        return 0 if row is None else int(row[0])

    def _require(self, op: c.Require, permit: Permit, now_us: int) -> None:
        _check_kind(permit, op.kind)
        version = self._version(op.kind, op.id)
        if op.version != version:
            raise Conflict(f"{op.kind} {op.id} is at version {version}, not {op.version}")

    def _put_record(self, op: c.PutRecord, permit: Permit, now_us: int) -> int:
        _check_kind(permit, op.kind)
        version = self._version(op.kind, op.id)
        if op.expect is not None and op.expect != version:
            raise Conflict(f"{op.kind} {op.id} is at version {version}, not {op.expect}")
        list(
            self._run(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?) "
                f"ON CONFLICT ({self._record_key}) DO UPDATE "
                "SET doc = excluded.doc, version = excluded.version, "
                "modified_us = excluded.modified_us",
                (op.kind, op.id, _encode(op.doc), version + 1, now_us, now_us),
            )
        )
        self._set_keys(op)
        self.outbox.add("record", f"{op.kind}:{op.id}", (f"record:{op.kind}",), ())
        return version + 1

    def _set_keys(self, op: c.PutRecord) -> None:
        list(self._run("DELETE FROM record_key WHERE kind = ? AND id = ?", (op.kind, op.id)))
        for key, value in op.keys.items():
            list(
                self._run(
                    "INSERT INTO record_key VALUES (?, ?, ?, ?)", (op.kind, key, value, op.id)
                )
            )

    def _delete_record(self, op: c.DeleteRecord, permit: Permit, now_us: int) -> None:
        _check_kind(permit, op.kind)
        list(self._run("DELETE FROM record WHERE kind = ? AND id = ?", (op.kind, op.id)))
        list(self._run("DELETE FROM record_key WHERE kind = ? AND id = ?", (op.kind, op.id)))

    def _hold(self, op: c.Hold, permit: Permit, now_us: int) -> None:
        _check_kind(permit, "hold")
        if op.units < 1 or op.capacity < 0 or op.taken < 0:
            raise Invalid("a hold takes one unit or more of what there is")
        _check_end(op.until_us, now_us)
        list(self._run("DELETE FROM hold WHERE pool = ? AND until_us <= ?", (op.pool, now_us)))
        held = self._run("SELECT coalesce(sum(units), 0) FROM hold WHERE pool = ?", (op.pool,))
        left = op.capacity - op.taken - int(next(held)[0])
        if op.units > left:
            raise Conflict(Text("er is niets meer over", f"{op.pool} has {max(left, 0)} left"))
        added = list(
            self._run(
                "INSERT INTO hold VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
                (op.pool, op.id, op.units, op.until_us),
            )
        )
        if not added:
            raise Conflict(f"hold {op.id} is there already")
        self.outbox.add("hold", op.pool, ("record:hold",), ())

    def _extend_hold(self, op: c.ExtendHold, permit: Permit, now_us: int) -> None:
        _check_kind(permit, "hold")
        _check_end(op.until_us, now_us)
        found = list(
            self._run(
                "UPDATE hold SET until_us = ? WHERE pool = ? AND id = ? AND until_us > ? "
                "RETURNING 1",
                (op.until_us, op.pool, op.id, now_us),
            )
        )
        if not found:
            raise NotFound(Text("wat vastgehouden werd, is al voorbij", f"hold {op.id} is over"))
        self.outbox.add("hold", op.pool, ("record:hold",), ())

    def _end_hold(self, op: c.EndHold, permit: Permit, now_us: int) -> None:
        _check_kind(permit, "hold")
        found = list(
            self._run(
                "DELETE FROM hold WHERE pool = ? AND id = ? AND until_us > ? RETURNING 1",
                (op.pool, op.id, now_us),
            )
        )
        if not found:
            raise NotFound(Text("wat vastgehouden werd, is al voorbij", f"hold {op.id} is over"))
        self.outbox.add("hold", op.pool, ("record:hold",), ())

    def _append_leaf(self, op: c.AppendLeaf, permit: Permit, now_us: int) -> int:
        index = self._leaf
        list(
            self._run(
                "INSERT INTO leaf VALUES (?, ?, ?, ?)",
                (index, op.leaf, op.subject, op.payload or None),
            )
        )
        self._leaf = index + 1
        if op.trace:
            self._note_trace(op.trace, index, 1)
        return index

    def _append_lines(self, op: c.AppendLines, permit: Permit, now_us: int) -> int:
        """Each line gets its place in its subject's sequence, and its leaf binds it to that."""
        first = index = self._leaf
        leaves, places = [], []
        heads = self._heads_of([line.subject for line in op.lines])
        for line in op.lines:
            subject = line.subject
            seq, prev = heads.get(subject) or (0, NO_LINE)
            heads[subject] = (seq + 1, index)
            commitment, kept = place_line(line, seq + 1, prev)
            leaves.append((index, complete(op.prefix, commitment), kept))
            places.append((subject, seq + 1, index))
            index += 1
        self._many(LEAVES, leaves)
        self._many(LINES, places)
        self._leaf = index
        if op.trace and leaves:
            self._note_trace(op.trace, first, len(leaves))
        return first

    def _heads_of(self, subjects: list[bytes]) -> dict[bytes, tuple[int, int]]:
        """(number, leaf) of the newest line of each of them that has any."""
        heads: dict[bytes, tuple[int, int]] = {}
        for start in range(0, len(subjects), HEADS_AT_ONCE):
            some = subjects[start : start + HEADS_AT_ONCE]
            found: Any = self._run(_HEADS.format(", ".join(["(?)"] * len(some))), some)
            heads.update((subject, (seq, leaf)) for subject, seq, leaf in found)
        return heads

    def _note_trace(self, trace: bytes, first: int, number: int) -> None:
        list(self._run("INSERT INTO trace VALUES (?, ?, ?)", (trace, first, number)))


def _check_end(until_us: int, now_us: int) -> None:
    if not now_us < until_us <= now_us + HOLD_DAYS_MAX * DAY_US:
        raise Invalid(
            Text(
                f"vasthouden kan tot hoogstens {HOLD_DAYS_MAX} dagen van nu",
                f"a hold ends between now and {HOLD_DAYS_MAX} days from now",
            )
        )


def _check_kind(permit: Permit, kind: str) -> None:
    if permit.rule(f"record:{kind}") is None:
        raise Denied
