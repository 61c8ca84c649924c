# SPDX-License-Identifier: EUPL-1.2
"""The contract over tables: one writer takes what writes; each thread reads for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from poorter.city.clock import Clock, CommittedClock
from poorter.city.entity import Entity, Observation
from poorter.city.errors import Denied, NotFound, Unavailable
from poorter.city.limits import PAGE_MAX
from poorter.city.query import EvolutionQuery, HistoryQuery, Query
from poorter.gate.permit import Permit
from poorter.ledger.leaf import LINE_TYPE, decode_leaf
from poorter.ledger.lines import back_to, unpack_kept
from poorter.store import contract as c
from poorter.store.body import decode_entity
from poorter.store.contents import Row
from poorter.store.evolving import Evolution
from poorter.store.history.groups import GroupQuery
from poorter.store.history.report import HistorySize, Round
from poorter.store.tables import reading
from poorter.store.tables.compacting import Compaction, Rounds
from poorter.store.tables.contents import TableContents
from poorter.store.tables.evolution import evolution, evolving
from poorter.store.tables.expiring import LASTS, Expiry
from poorter.store.tables.filling import Filling
from poorter.store.tables.grouping import grouped
from poorter.store.tables.history import aggregate, history
from poorter.store.tables.images import Watching
from poorter.store.tables.manifest import Files, size
from poorter.store.tables.port import Connection
from poorter.store.tables.query import Asked, Names, run_query
from poorter.store.tables.recent import Recent
from poorter.store.tables.spots import Spots
from poorter.store.tables.taking import TakeIn
from poorter.store.tables.writer import (
    NEAR_WEIGHT_MAX,
    HandedOver,
    Writer,
    loop_job,
    thread_job,
)

T = TypeVar("T")
SNAPSHOT_TRIES = 5
_RECORD = "kind, id, doc, version, created_us, modified_us"
_decode = msgspec.json.Decoder().decode


class TableStore:
    """One city in the tables of an engine, its segments in a folder. Safe to use from any thread.

    An engine adds how it is opened, `_reader` and what is its own: scrub, backup, close."""

    def __init__(
        self,
        connection: Connection,
        folder: Path,
        clock: Clock,
        child: tuple[str, ...],
        near: bool,
        near_weight_max: int = NEAR_WEIGHT_MAX,
    ) -> None:
        """`connection`: the writer's. `child`: the module that folds and where the tables are;
        `near`: fold in this process instead."""
        (last_us,) = next(connection.execute("SELECT coalesce(max(at_us), 0) FROM event"))
        self.clock = CommittedClock(clock, int(last_us))
        self._child = child
        self._near = near
        self._names = Names()
        self._recent = Recent()
        self._files = Files(folder)
        self._expiry = Expiry(connection)
        packed = connection.dialect.packed
        self._spots = Spots(self._reader, packed is not None)
        self._filling = Filling(self._own_reader, self._recent, packed is not None)
        self._writer = Writer(
            connection,
            self._files,
            self.clock,
            self._recent,
            self._expiry,
            self._spots,
            near_weight_max,
        )
        self._rounds = Rounds()

    def take_over(self, before: TableStore, renewed: Callable[[Permit], Permit]) -> HandedOver:
        """Go on where another store has ended, which keeps the same city: with those who listen to
        it and those who watch, and with its clock. What hands its writer's work to this one's."""
        self._writer.listeners = before._writer.listeners
        self._writer.images.take_over(before._writer.images)
        before.clock.follow(self.clock)
        return HandedOver(self._writer, renewed)

    def _reader(self) -> Connection:
        """A connection to read by, of this thread alone."""
        raise NotImplementedError

    def _own_reader(self) -> Connection:
        """One more, for whoever asks alone: they close it."""
        raise NotImplementedError

    def scrub(self, permit: Permit) -> None:
        """What was erased leaves the engine's journal and free pages."""
        raise NotImplementedError

    def backup(self, permit: Permit, target: str) -> None:
        """A consistent copy into the folder `target` while writing goes on."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish what is queued, then stop."""
        raise NotImplementedError

    # -- writing -----------------------------------------------------------------------------

    def commit(self, permit: Permit, change: c.Change) -> Future[c.Committed]:
        """Queue one transaction; the future ends after fsync."""
        job = thread_job(permit, change)
        self._writer.submit(job)
        future: Future[c.Committed] = job.future
        return future

    def commit_async(self, permit: Permit, change: c.Change) -> asyncio.Future[c.Committed]:
        """The same for a coroutine; the loop is woken once a group."""
        job = loop_job(permit, change, asyncio.get_running_loop())
        self._writer.submit(job)
        future: asyncio.Future[c.Committed] = job.future
        return future

    def keep_former(self, number: int) -> None:
        """From now on keep so many former values of each attribute that has no moment of its own,
        as instances of its evolution; 0: none, as at first. Each write then reads what it
        overwrites."""
        self._writer.former.number = number

    def on_commit(self, listener: Callable[[Sequence[c.Event]], None]) -> Callable[[], None]:
        """Call `listener` after each group; returns how to stop."""
        self._writer.listeners.append(listener)
        return lambda: self._writer.listeners.remove(listener)

    def watch(self, listener: Callable[[Sequence[c.Changed]], None]) -> c.Watch:
        """Call `listener` after each group with what changed of the watched types."""
        watching = Watching(self._writer.images, listener)
        self._writer.images.watching.append(watching)
        return watching

    # -- reading -----------------------------------------------------------------------------

    def entity(self, permit: Permit, urn: str) -> c.StoredEntity:
        """One entity; NotFound when absent or hidden."""
        now_us = self.clock.now_us()
        permit.check("read", now_us)
        found = reading.recent_entity(self._reader(), self._recent, permit, urn, now_us)
        self._filling.want()
        if found is None:
            raise NotFound(f"{urn} is not there")
        return found

    def decode(self, stored: c.StoredEntity) -> Entity:
        """The entity as values."""
        return decode_entity(stored)

    def query(self, permit: Permit, query: Query) -> c.Page:
        """Entities that match, by ascending id."""
        permit.check("read", self.clock.now_us())
        self._filling.want()
        return self._run_query(permit, query)

    def _run_query(self, permit: Permit, query: Query) -> c.Page:
        at = (self._reader(), self._names, self._spots)
        return run_query(Asked(*at, permit, query, self._expiring()), self._recent)

    def expires_next_us(self) -> int:
        """When the next of what is kept expires, or has."""
        return self._expiry.next_us

    def _expiring(self) -> tuple[int, bool]:
        """The moment of a question, and whether something is over that is not taken out yet."""
        now_us = self.clock.now_us()
        return now_us, self._expiry.next_us <= now_us

    def types(self, permit: Permit) -> tuple[tuple[str, int], ...]:
        """Entity types present and how many of each."""
        permit.check("read", self.clock.now_us())
        rows = self._numbers(self._reader(), *self._expiring())
        return tuple((name, number) for name, number in rows if permit.rule(name) is not None)

    def _numbers(self, connection: Connection, now_us: int, overdue: bool) -> list[tuple[str, int]]:
        """Entities of each type."""
        sql = "SELECT t.type, count(*) FROM entity_type t"
        values: tuple[int, ...] = ()
        if overdue:
            sql += f" JOIN entity e ON e.id = t.entity WHERE {LASTS.format('e')}"
            values = (now_us,)
        rows: Any = connection.execute(f"{sql} GROUP BY t.type ORDER BY t.type", values)
        return list(rows)

    def facets(self, permit: Permit) -> list[c.Facet]:
        """Types with their attributes and kinds, as far as they exist for the permit."""
        permit.check("read", self.clock.now_us())
        connection = self._reader()
        now_us, overdue = self._expiring()
        entities = dict(self._numbers(connection, now_us, overdue))
        lasting = f" AND {LASTS.format('a')} AND {LASTS.format('e')}" if overdue else ""
        rows = connection.execute(
            f"SELECT t.type, n.name, {connection.dialect.kind_of_body} AS kind, "
            "count(*) FROM entity_type t JOIN attribute a ON a.entity = t.entity AND a.live "
            "JOIN name n ON n.id = a.name JOIN entity e ON e.id = t.entity "
            f"WHERE TRUE{lasting} GROUP BY 1, 2, 3 ORDER BY 1, min(a.id)",
            (now_us, now_us) if overdue else (),
        )
        found = [
            c.Facet(type_name, name, kind, instances, entities[type_name])
            for type_name, name, kind, instances in rows
            if (rule := permit.rule(type_name)) is not None and rule.covers(name)
        ]
        bare = set(entities) - {facet.type for facet in found}
        found += [
            c.Facet(name, "", "", 0, entities[name])
            for name in sorted(bare)
            if permit.rule(name) is not None
        ]
        return found

    def history(self, permit: Permit, query: HistoryQuery) -> list[Observation]:
        """Observations by attribute, then event time."""
        permit.check("read", self.clock.now_us())
        now_us = self.clock.now_us()
        return self._snapshot(lambda at: history(at, self._files, permit, query, now_us))

    def aggregate(
        self, permit: Permit, query: HistoryQuery, width_us: int
    ) -> dict[str, list[c.Bucket]]:
        """Buckets per attribute of one entity; empty ones absent."""
        permit.check("read", self.clock.now_us())
        now_us = self.clock.now_us()
        return self._snapshot(
            lambda at: aggregate(at, self._files, permit, query, width_us, now_us)
        )

    def grouped(self, permit: Permit, query: GroupQuery) -> dict[str, list[c.Bucket]]:
        """Buckets by group."""
        permit.check("read", self.clock.now_us())
        now_us = self.clock.now_us()
        return self._snapshot(lambda at: grouped(at, self._files, permit, query, now_us))

    def compact(
        self,
        permit: Permit,
        until_us: int,
        all_of_it: bool = False,
        renewed: Callable[[], Permit] | None = None,
    ) -> Round:
        """Bring history of before `until_us` into segments."""
        permit.check("administer", self.clock.now_us())
        renew = renewed or (lambda: permit)
        compaction = Compaction(
            self._child,
            self._files,
            self._writer.compacted,
            self.clock,
            self._reader,
            lambda op: void(self.commit(renew(), c.Change((op,))).result()),
            self._near,
            self._rounds,
        )
        return compaction.run(permit, until_us, self.clock.committed_us, all_of_it)

    def history_size(self, permit: Permit) -> HistorySize:
        """What history takes on the disk."""
        permit.check("read", self.clock.now_us())
        return self._snapshot(size)

    def evolution(self, permit: Permit, query: EvolutionQuery) -> Evolution:
        """Instances of one entity, also of one that is gone."""
        permit.check("read", self.clock.now_us())
        now_us = self.clock.now_us()
        return self._snapshot(lambda at: evolution(at, self._files, permit, query, now_us))

    def evolving(self, permit: Permit, query: Query) -> tuple[str, ...]:
        """A page of ids of entities, also of those gone, by type, id and pattern."""
        permit.check("read", self.clock.now_us())
        bare = replace(query, condition=None, geo=None, scopes=None, attributes=(), count=False)
        reader = self._reader()
        live = self._run_query(permit, bare)
        return evolving(reader, permit, bare, live, query.limit)

    def record(self, permit: Permit, kind: str, record_id: str) -> c.Record:
        """One record; NotFound when absent or its kind is not covered."""
        permit.check("read", self.clock.now_us())
        found = None
        if permit.rule(f"record:{kind}") is not None:
            rows = self._reader().execute(
                f"SELECT {_RECORD} FROM record WHERE kind = ? AND id = ?", (kind, record_id)
            )
            found = next(iter(list(rows)), None)
        if found is None:
            raise NotFound(f"{kind} {record_id} is not there")
        return _record(found)

    def records(
        self,
        permit: Permit,
        kind: str,
        where: Mapping[str, str] | None = None,
        limit: int = PAGE_MAX,
        after: str | None = None,
        newest: bool = False,
    ) -> list[c.Record]:
        """Records of a kind by ascending id, or newest first."""
        permit.check("read", self.clock.now_us())
        if permit.rule(f"record:{kind}") is None:
            return []
        reader = self._reader()
        fence = reader.dialect.fence
        sql = f"SELECT {_RECORD} FROM record r WHERE r.kind = ? AND r.id > ?"
        values: list[object] = [kind, "" if newest else after or ""]
        for key, value in (where or {}).items():
            sql += (
                " AND EXISTS (SELECT 1 FROM record_key k WHERE k.kind = r.kind AND k.key = ? "
                "AND k.value = ? AND k.id = r.id" + fence + ")"
            )
            values += [key, value]
        sql += f" ORDER BY {'r.created_us DESC, r.id' if newest else 'r.id'} LIMIT ?"
        values.append(min(limit, PAGE_MAX))
        return [_record(row) for row in reader.execute(sql, tuple(values))]

    def pool(self, permit: Permit, pool: str) -> c.Pool:
        """The running holds of a pool."""
        permit.check("read", self.clock.now_us())
        if permit.rule("record:hold") is None:
            return c.Pool(0, ())
        rows = self._reader().execute(
            "SELECT id, units, until_us FROM hold WHERE pool = ? AND until_us > ? ORDER BY id",
            (pool, self.clock.now_us()),
        )
        holds = tuple((str(i), int(u), int(e)) for i, u, e in rows)
        return c.Pool(sum(units for _, units, _ in holds), holds)

    def events(self, permit: Permit, after: int, limit: int = PAGE_MAX) -> list[c.Event]:
        """Events after a sequence number, of types that the permit covers."""
        permit.check("read", self.clock.now_us())
        rows = self._reader().execute(
            "SELECT sequence, at_us, kind, urn, types, names FROM event WHERE sequence > ? "
            "ORDER BY sequence LIMIT ?",
            (after, min(limit, PAGE_MAX)),
        )
        events = (
            c.Event(s, at, kind, urn, tuple(types.split()), tuple(names.split()))
            for s, at, kind, urn, types, names in rows
        )
        told = (c.tell(event, permit.rule_of(event.types)) for event in events)
        return [event for event in told if event is not None]

    def told(self, permit: Permit, event: c.Event) -> c.Event | None:
        """The event, where the permit covers its types."""
        permit.check("read", self.clock.now_us())
        return c.tell(event, permit.rule_of(event.types))

    def leaves(self, permit: Permit, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Committed ledger leaves from index `after` on."""
        permit.check("read", self.clock.now_us())
        if permit.rule("record:leaf") is None:
            return []
        rows = self._reader().execute(
            "SELECT idx, leaf FROM leaf WHERE idx >= ? ORDER BY idx LIMIT ?", (after, limit)
        )
        return [(int(index), bytes(leaf)) for index, leaf in rows]

    def leaves_about(self, permit: Permit, subject: str) -> list[int]:
        """The indices of the leaves about a subject, oldest first, at most a page."""
        permit.check("read", self.clock.now_us())
        if permit.rule("record:leaf") is None:
            return []
        rows = self._reader().execute(
            "SELECT idx FROM leaf WHERE subject = ? ORDER BY idx LIMIT ?", (subject, PAGE_MAX)
        )
        return [int(index) for (index,) in rows]

    def leaf_payload(self, permit: Permit, index: int) -> bytes:
        """The private payload of a leaf; NotFound when absent or erased."""
        permit.check("read", self.clock.now_us())
        rows = list(self._reader().execute("SELECT payload FROM leaf WHERE idx = ?", (index,)))
        if permit.rule("record:leaf") is None or not rows or rows[0][0] is None:
            raise NotFound(f"leaf {index} has no payload here")
        return bytes(rows[0][0])

    def lines(
        self, permit: Permit, subject: bytes, after_seq: int = 0, limit: int = PAGE_MAX
    ) -> list[c.StoredLine]:
        """The lines about one data subject, in the order of their sequence."""
        self._check_leaf(permit)
        rows = self._reader().execute(
            "SELECT l.leaf, f.leaf, f.payload FROM line l JOIN leaf f ON f.idx = l.leaf "
            "WHERE l.subject = ? AND l.seq > ? ORDER BY l.seq LIMIT ?",
            (subject, after_seq, min(limit, PAGE_MAX)),
        )
        pages: dict[int, bytes] = {}
        return [self._line(index, leaf, kept, pages) for index, leaf, kept in list(rows)]

    def line_count(self, permit: Permit, subject: bytes) -> int:
        """How many lines there are about one data subject."""
        self._check_leaf(permit)
        sql = "SELECT coalesce(max(seq), 0) FROM line WHERE subject = ?"
        rows: Any = self._reader().execute(sql, (subject,))
        (number,) = next(rows)
        return int(number)

    def traced(
        self, permit: Permit, trace: bytes, limit: int = PAGE_MAX, newest: bool = False
    ) -> list[int]:
        """The indices of the leaves of one trace, oldest first, or the newest first."""
        self._check_leaf(permit)
        rows = self._reader().execute(
            "SELECT first, number FROM trace WHERE trace = ? "
            f"ORDER BY first {'DESC' if newest else ''}",
            (trace,),
        )
        runs = (range(first, first + number) for first, number in rows)
        found = (index for run in runs for index in (reversed(run) if newest else run))
        return list(islice(found, min(limit, PAGE_MAX)))

    def line_at(self, permit: Permit, index: int) -> c.StoredLine:
        """The line behind a leaf; NotFound when it is no line about a person."""
        self._check_leaf(permit)
        rows = self._reader().execute(
            "SELECT leaf, payload FROM leaf WHERE idx = ? AND payload IS NOT NULL", (index,)
        )
        found = list(rows)
        if not found or decode_leaf(found[0][0]).type != LINE_TYPE:
            raise NotFound(f"leaf {index} is no line about a person")
        return self._line(index, found[0][0], found[0][1], {})

    def _line(
        self, index: int, leaf: bytes, payload: bytes, pages: dict[int, bytes]
    ) -> c.StoredLine:
        """With the page that it lies on, which stands beside the first line of it."""
        kept = unpack_kept(payload)
        back = back_to(kept)
        if back:
            if index - back not in pages:
                sql = "SELECT payload FROM leaf WHERE idx = ? AND payload IS NOT NULL"
                found = list(self._reader().execute(sql, (index - back,)))
                pages[index - back] = unpack_kept(found[0][0]).sealed if found else b""
            kept = replace(kept, sealed=pages[index - back], place=back)
        return c.StoredLine(index, leaf, kept)

    def heads(self, permit: Permit, size: int | None = None) -> c.Heads:
        """The last line of every data subject among the first `size` leaves."""
        self._check_leaf(permit)
        connection = self._reader()
        with connection.moment():  # one reading transaction: size and heads belong together
            newest: Any = next(connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM leaf"))
            covered = int(newest[0]) if size is None else size
            of_each = connection.dialect.newest_lines.format("leaf < ?")
            sql = f"SELECT * FROM ({of_each}) s ORDER BY 1"
            heads = list(connection.execute(sql, (covered,)))
        return c.Heads(covered, heads)

    def _check_leaf(self, permit: Permit) -> None:
        permit.check("read", self.clock.now_us())
        if permit.rule("record:leaf") is None:
            raise Denied

    def sequence(self) -> int:
        """The number of the newest committed event: the writer's own is ahead of what one reads."""
        (newest,) = next(self._reader().execute("SELECT coalesce(max(sequence), 0) FROM event"))
        return int(newest)

    def contents(
        self, permit: Permit, renewed: Callable[[], Permit] | None = None
    ) -> TableContents:
        """All that the permit covers, as of now."""
        renew = renewed or (lambda: permit)
        lock = self._rounds.lock
        return TableContents(self._own_reader(), self._files, self.clock, renew, lock)

    def take_in(self, permit: Permit, rows: Sequence[Row]) -> None:
        """Write rows as they are; the store is opened anew before it serves."""
        self.commit(permit, c.Change((TakeIn(rows),))).result()

    def _snapshot(self, read: Callable[[Connection], T]) -> T:
        """Read rows and manifest as of one moment. A segment that was replaced since may be gone
        from the disk when it comes to reading it: then it is done again."""
        connection = self._reader()
        for _ in range(SNAPSHOT_TRIES):
            try:
                with connection.moment():
                    return read(connection)
            except FileNotFoundError:
                continue
        raise Unavailable("history is being rewritten; try again in a moment")


def void(_: object) -> None:
    """Whatever came out of it."""


def _record(row: Sequence[object]) -> c.Record:
    kind, record_id, doc, version, created_us, modified_us = row
    return c.Record(
        str(kind),
        str(record_id),
        _decode(doc),  # type: ignore[arg-type]
        version,  # type: ignore[arg-type]
        created_us,  # type: ignore[arg-type]
        modified_us,  # type: ignore[arg-type]
    )
