# SPDX-License-Identifier: EUPL-1.2
"""A connection as the tables need it: values bound on the server, bulk writes as arrays or in a
pipeline, and opened again by itself where the link broke."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import msgspec
import psycopg
from psycopg import errors
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from poorter.city.errors import TooLarge, Unavailable
from poorter.store.history.rows import Row
from poorter.store.postgres.bulk import KINDS, array, bulk, columns
from poorter.store.postgres.dialect import DIALECT, numbered
from poorter.store.tables.port import Statements

#: rows that are asked for before a cursor is opened for the rest
FIRST_ROWS = 200
_NEXT_ROWS = 2000
_READ_MS = 60_000
#: how often, and how long after one another, a commit is asked about whose answer was lost
_ASKED_MAX, _ASKED_S = 20, 0.25
#: what drives a query is decided by counting (tables/query.py): the order of joins is kept, and
#: queries are too short to be compiled
_SETTINGS = (
    "search_path = poorter, public",
    "client_min_messages = warning",
    "jit = off",
    "join_collapse_limit = 1",
)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_HISTORY = "attribute, observed_us, sequence, received_us, quality, value, num"
_ADD_WORDS = (
    f"INSERT INTO history ({_HISTORY}) SELECT * FROM unnest($1::bigint[], $2::bigint[], "
    "$3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::float8[]) ON CONFLICT DO NOTHING"
)
_CORRECT_WORDS = (
    f"INSERT INTO history ({_HISTORY}) SELECT $1, $2, coalesce(max(sequence) + 1, 0), $3, $4, $5, "
    "CAST($6 AS double precision) FROM history WHERE attribute = $1 AND observed_us = $2 "
    "HAVING (SELECT value FROM history WHERE attribute = $1 AND observed_us = $2 "
    "ORDER BY sequence DESC LIMIT 1) IS DISTINCT FROM $5"
)


class Connection:
    """`opened` is called on each new link, before anything else goes over it."""

    dialect = DIALECT

    def __init__(
        self, url: str, *, write: bool, opened: Callable[[psycopg.Connection], None] | None = None
    ) -> None:
        """Raises: Unavailable when there is no database at `url`."""
        self._url = url
        self._write = write
        self._opened = opened
        self._number = ""
        self._inside = self._to_begin = False
        try:
            self._link = self._open()
        except psycopg.Error as wrong:
            raise Unavailable(DIALECT.describe(wrong)) from None

    def _open(self) -> psycopg.Connection:
        link = psycopg.connect(
            self._url, autocommit=True, cursor_factory=psycopg.RawCursor, prepare_threshold=2
        )
        link.prepared_max = 500
        link.server_cursor_factory = psycopg.RawServerCursor
        link.adapters.register_dumper(int, Int8BinaryDumper)
        link.adapters.register_dumper(str, StrBinaryDumper)
        try:
            for setting in _SETTINGS:
                link.execute(f"SET {setting}")
            if self._write:
                link.execute("SET synchronous_commit = on")
            else:
                link.execute("SET default_transaction_read_only = on")
                link.execute(f"SET statement_timeout = {_READ_MS}")
            if self._opened is not None:
                self._opened(link)
        except BaseException:
            link.close()
            raise
        return link

    def close(self) -> None:
        """End the link."""
        self._link.close()

    def __del__(self) -> None:
        if hasattr(self, "_link"):
            self._link.close()

    # -- reading -----------------------------------------------------------------------------

    def execute(self, sql: str, values: Any = ()) -> Iterator[Any]:
        """Run one statement; its rows are here when it returns."""
        cursor = self._cursor(sql, values)
        return iter(cursor.fetchall() if cursor.description else ())

    def stream(self, sql: str, values: Any) -> Iterator[Any]:
        """The first of the rows at once; from a cursor on the server if there are more. In a
        transaction, so that all are of one moment. `sql` has no LIMIT."""
        first = self._cursor(f"{sql} LIMIT {FIRST_ROWS}", values).fetchall()
        yield from first
        if len(first) < FIRST_ROWS:
            return
        with self._link.cursor(f"stream_{id(first)}") as cursor:
            cursor.itersize = _NEXT_ROWS
            cursor.execute(numbered(sql), tuple(values), binary=True)
            cursor.scroll(FIRST_ROWS)
            yield from cursor

    def words(self, sql: str, values: Any) -> Iterator[Any]:
        """Rows whose last column is `history.value`."""
        for *row, value in self.stream(sql, values):
            yield (*row, _decode(value))

    @contextmanager
    def moment(self) -> Iterator[None]:
        """All that is read meanwhile is as of one moment."""
        self._cursor("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ())
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            self.roll_back()

    def _cursor(self, sql: str, values: Any) -> psycopg.Cursor[Any]:
        try:
            if not self._to_begin:
                return self._link.execute(numbered(sql), tuple(values), binary=True)
            with self._at_once():
                return self._link.execute(numbered(sql), tuple(values), binary=True)
        except errors.QueryCanceled:
            raise TooLarge("this takes too long: ask for less") from None
        except psycopg.OperationalError as wrong:
            if self._write or isinstance(wrong, DIALECT.refusals):
                raise
            if self._inside or not self._link.closed:
                raise Unavailable(DIALECT.describe(wrong)) from None
        try:  # the link had broken since it was used last: whoever reads asks over another
            self._link = self._open()
            return self._link.execute(numbered(sql), tuple(values), binary=True)
        except psycopg.OperationalError as wrong:
            raise Unavailable(DIALECT.describe(wrong)) from None

    # -- writing -----------------------------------------------------------------------------

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """The database is waited for once for all that is said inside, and for the beginning of
        the transaction if that has not been said."""
        number = None
        with self._link.pipeline():
            if self._to_begin:
                self._to_begin = False
                self._link.execute("BEGIN")
                number = self._link.execute("SELECT pg_current_xact_id()::text")
            yield
        if number is not None:
            ((self._number,),) = number.fetchall()

    def _say_begin(self) -> None:
        if self._to_begin:
            with self._at_once():
                pass

    def executemany(self, sql: str, rows: Any) -> None:
        """The same statement for each of `rows`, in a pipeline."""
        self.change(sql, rows)

    def change(self, sql: str, rows: Any) -> int:
        """The same; how many rows it changed."""
        if not rows:
            return 0
        self._say_begin()
        if sql in KINDS:
            return self._link.execute(bulk(sql), columns(sql, rows)).rowcount
        with self._link.cursor() as cursor:
            cursor.executemany(numbered(sql), rows)
            return max(0, cursor.rowcount)

    def write(self, statements: Statements, words: Sequence[Row] = ()) -> int:
        """All of it in one pipeline."""
        with self._at_once():
            for sql, rows in statements:
                if sql in KINDS:
                    self._link.execute(bulk(sql), columns(sql, rows))
                else:
                    self._link.cursor().executemany(numbered(sql), rows)
            added = self._add(words) if words else None
        return 0 if added is None else added.rowcount

    def add_words(self, rows: Sequence[Row]) -> int:
        """Rows of history, but those whose key is there already; how many were added."""
        return self.write((), rows) if rows else 0

    def _add(self, rows: Sequence[Row]) -> psycopg.Cursor[Any]:
        attribute, observed_us, sequence, received_us, quality, values = zip(*rows, strict=True)
        arrays = [
            array("i", column)
            for column in (attribute, observed_us, sequence, received_us, quality)
        ]
        arrays += array("b", map(_encode, values)), array("f", map(_number, values))
        return self._link.execute(_ADD_WORDS, arrays)

    def correct_words(self, rows: Sequence[Row]) -> None:
        """Each as the next word on its moment, unless the latest word says the same."""
        self._say_begin()
        with self._link.cursor() as cursor:
            cursor.executemany(
                _CORRECT_WORDS,
                [
                    (attribute, observed_us, received_us, quality, _encode(value), _number(value))
                    for attribute, observed_us, _, received_us, quality, value in rows
                ],
            )

    def overwriting(self) -> nullcontext[None]:
        """PostgreSQL leaves what was deleted until it is vacuumed: `scrub` sees to that."""
        return nullcontext()

    def spare(self) -> bool:
        """PostgreSQL sees to its free pages itself."""
        return False

    def give_back(self) -> None:
        """As above."""

    def settle(self) -> None:
        """As above."""

    def begin(self) -> None:
        """Begin to write, over a new link if the old one broke. It is said with what is said first:
        a beginning by itself would be waited for by itself."""
        if self._link.closed:
            self._link = self._open()
        self._to_begin = True

    def commit(self) -> None:
        """Make it durable. If the link breaks, what became of it is asked over another."""
        self._say_begin()
        try:
            # never prepared: that would be waited for by itself
            done = self._link.execute("COMMIT", prepare=False).statusmessage == "COMMIT"
        except psycopg.OperationalError:
            if not self._was_committed():
                raise
            return
        if not done:
            raise psycopg.InternalError("the transaction had failed before its end")

    def _was_committed(self) -> bool:
        """Of the last transaction. False also when nobody is there to say so."""
        self._link.close()
        for _ in range(_ASKED_MAX):
            try:
                if self._link.closed:
                    self._link = self._open()
                found = self._link.execute("SELECT pg_xact_status($1::xid8)", (self._number,))
                ((status,),) = found.fetchall()
            except (psycopg.Error, Unavailable):
                status = None  # the server, or the lock of the old link, is on its way
            if status in ("committed", "aborted"):
                return bool(status == "committed")
            time.sleep(_ASKED_S)
        return False

    def roll_back(self) -> None:
        """Undo all since `begin`, if anything has begun."""
        self._to_begin = False
        if self._link.closed or self._link.info.transaction_status == 0:
            return
        with suppress(psycopg.Error):
            self._link.execute("ROLLBACK")
            return
        self._link.close()


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
