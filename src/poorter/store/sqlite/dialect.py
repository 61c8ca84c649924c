# SPDX-License-Identifier: EUPL-1.2
"""What SQLite says its own way, and a connection as the tables need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import apsw
import msgspec

from poorter.store.history.rows import Row
from poorter.store.tables.port import Dialect, Packed, Statements

BUSY_MS = 5000
#: free pages that a database may keep for what comes next; more go back to the disk
FREE_PAGES = 256
_VACUUM_PAGES = 500
_TRUNCATE_MS = 20
#: rows of history a statement: each statement hands the interpreter to whatever thread waits
_WORDS_AT_ONCE = 64
_WORD = "(?, ?, ?, ?, ?, ?)"
_ADD_WORD = f"INSERT INTO history VALUES {_WORD} ON CONFLICT DO NOTHING"
_ADD_WORDS = (
    f"INSERT INTO history VALUES {', '.join([_WORD] * _WORDS_AT_ONCE)} ON CONFLICT DO NOTHING"
)
_CORRECT_WORDS = (
    "INSERT INTO history SELECT ?1, ?2, coalesce(max(sequence) + 1, 0), ?4, ?5, ?6 "
    "FROM history WHERE attribute = ?1 AND observed_us = ?2 "
    "HAVING NOT EXISTS (SELECT 1 FROM (SELECT value FROM history WHERE attribute = ?1 "
    "AND observed_us = ?2 ORDER BY sequence DESC LIMIT 1) last "
    "WHERE last.value = ?6 AND typeof(last.value) = typeof(?6))"
)

_INSTANCES = (
    "(SELECT json_group_array(json_array(a.id, n.name, a.dataset, a.created_us, a.modified_us, "
    "a.expires_us, a.version, CAST(a.body AS TEXT))) FROM attribute a "
    "CROSS JOIN name n ON n.id = a.name WHERE a.entity = {0} AND a.live)"
)


def _many(values: Sequence[Any]) -> str:
    return msgspec.json.encode(values).decode()


def _describe(wrong: Exception) -> str:
    if isinstance(wrong, apsw.FullError):
        return "the disk is full; nothing was written"
    if isinstance(wrong, apsw.IOError):
        return "the disk did not take the write; nothing was written"
    return f"the store cannot write now: {type(wrong).__name__}"


DIALECT = Dialect(
    then="CROSS JOIN {0} {1} ON {2}",
    texts="json_each({0}) {1}",
    numbers="json_each({0}) {1}",
    pairs="json_each({0}) {1}",
    many=_many,
    greatest="max",
    target="{}",
    indexed="INDEXED BY {}",
    apart="+{0}",
    fence="",
    regexp=True,
    number="h.value",
    is_number="typeof(h.value) IN ('integer', 'real')",
    newest_lines="SELECT subject, max(seq), leaf FROM line WHERE {} GROUP BY subject",
    kind_of_body="json_extract(CAST(a.body AS TEXT), '$.type')",
    put_place="INSERT OR REPLACE INTO place (id, west, south, east, north) VALUES (?, ?, ?, ?, ?)",
    in_box="SELECT 1 FROM place WHERE east >= ? AND north >= ? AND west <= ? AND south <= ?",
    placed=(
        "SELECT a.entity AS entity, a.body AS body FROM place p CROSS JOIN attribute a "
        "ON a.id = p.id WHERE p.east >= ? AND p.north >= ? AND p.west <= ? AND p.south <= ? "
        "AND a.name = ? AND a.live"
    ),
    near=(
        "EXISTS (SELECT 1 FROM attribute g CROSS JOIN place p ON p.id = g.id WHERE p.east >= ? "
        "AND p.north >= ? AND p.west <= ? AND p.south <= ? AND g.name = ? AND g.live "
        "AND g.entity = e.id)"
    ),
    history_bytes=(
        "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = 'history' AND aggregate = 1"
    ),
    instances=_INSTANCES,
    refusals=(apsw.ConstraintError, apsw.TooBigError),
    failures=(apsw.Error,),
    describe=_describe,
    packed=Packed(
        entities=(
            "SELECT group_concat(id ORDER BY urn), max(urn) FROM "
            "(SELECT id, urn FROM entity WHERE urn > ?1 ORDER BY urn LIMIT ?2)"
        ),
        places=(
            "SELECT group_concat(format('%d,%d,%d,%.6f,%.6f', attribute, entity, cell, west, "
            "south)) FROM (SELECT c.attribute, c.entity, c.cell, p.west, p.south FROM cell c "
            "CROSS JOIN place p ON p.id = c.attribute WHERE c.cell >= ?1 AND c.cell < ?2 "
            "ORDER BY c.cell LIMIT ?3)"
        ),
        numbers=(
            "SELECT group_concat(format('%d,%!.17g', entity, num)) FROM attribute "
            "WHERE entity > ?2 AND entity <= ?3 AND +name = ?1 AND num IS NOT NULL AND live"
        ),
        wholes=(
            "SELECT json_group_array(json_array(e.urn, e.id, e.types, e.scopes, e.version, "
            f"e.created_us, e.modified_us, e.expires_us, {_INSTANCES.format('e.id')} || '')) "
            "FROM (SELECT * FROM entity WHERE id > ?1 AND live ORDER BY id LIMIT ?2) e"
        ),
    ),
)


class Connection(apsw.Connection):
    """SQLite's own, with what the tables need beside it."""

    dialect = DIALECT

    def stream(self, sql: str, values: Any) -> Iterator[Any]:
        """SQLite gives its rows one by one."""
        return self.execute(sql, values)

    def change(self, sql: str, rows: Any) -> int:
        """The same statement for each of `rows`; how many rows it changed."""
        before = self.total_changes()
        self.executemany(sql, rows)
        return self.total_changes() - before

    def write(self, statements: Statements, words: Sequence[Row] = ()) -> int:
        """One after the other."""
        for sql, rows in statements:
            self.executemany(sql, rows)
        return self.add_words(words) if words else 0

    def words(self, sql: str, values: Any) -> apsw.Cursor:
        """Values lie in history as they are."""
        return self.cursor().execute(sql, values)

    def add_words(self, rows: Sequence[Row]) -> int:
        """Rows of history, but those whose key is there already; how many were added."""
        whole = len(rows) - len(rows) % _WORDS_AT_ONCE
        added = self.change(_ADD_WORD, rows[whole:]) if whole < len(rows) else 0
        if whole:
            cells = list(chain.from_iterable(rows[:whole]))
            width = 6 * _WORDS_AT_ONCE
            together = [cells[start : start + width] for start in range(0, len(cells), width)]
            added += self.change(_ADD_WORDS, together)
        return added

    def correct_words(self, rows: Sequence[Row]) -> None:
        """Each as the next word on its moment, unless the latest word says the same."""
        self.executemany(_CORRECT_WORDS, rows)

    @contextmanager
    def overwriting(self) -> Iterator[None]:
        """What is deleted meanwhile is overwritten."""
        list(self.execute("PRAGMA secure_delete = ON"))
        try:
            yield
        finally:
            list(self.execute("PRAGMA secure_delete = OFF"))

    def moment(self) -> _Moment:
        """A transaction to read in."""
        return _Moment(self)

    def spare(self) -> bool:
        """Whether there are many free pages, in a file that can give back in steps."""
        ((free,),) = self.execute("PRAGMA freelist_count")
        ((mode,),) = self.execute("PRAGMA auto_vacuum")
        return bool(free > FREE_PAGES and mode == 2)

    def give_back(self) -> None:
        """Some free pages go back to the disk."""
        list(self.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})"))

    def settle(self) -> None:
        """The write-ahead log into the file and, if nobody is in the way, off the disk."""
        list(self.execute("PRAGMA wal_checkpoint(PASSIVE)"))
        self.set_busy_timeout(_TRUNCATE_MS)  # nobody waits for it: it comes when it can
        try:
            list(self.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        except apsw.BusyError:
            pass
        finally:
            self.set_busy_timeout(BUSY_MS)

    def begin(self) -> None:
        """Begin to write."""
        list(self.execute("BEGIN IMMEDIATE"))

    def commit(self) -> None:
        """Make it durable."""
        list(self.execute("COMMIT"))

    def roll_back(self) -> None:
        """Undo all since `begin`, if anything has begun."""
        if self.in_transaction:
            try:
                list(self.execute("ROLLBACK"))
            except apsw.Error:
                self.interrupt()


class _Moment:
    """As a class: it is entered for each query, and a generator costs more."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        list(self._connection.execute("BEGIN"))

    def __exit__(self, *_: object) -> None:
        list(self._connection.execute("ROLLBACK"))  # nothing was written: the quickest end
