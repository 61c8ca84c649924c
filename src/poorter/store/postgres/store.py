# SPDX-License-Identifier: EUPL-1.2
"""One city in a database that may hold others; its segments of history in its own folder."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO
from weakref import WeakSet

import psycopg
from psycopg import conninfo

from poorter.city.clock import Clock
from poorter.city.errors import Unavailable
from poorter.gate.permit import Permit
from poorter.store.lock import lock_directory, share_lock
from poorter.store.postgres.arriving import END, STATE, WHOLE, Arrival
from poorter.store.postgres.connection import Connection
from poorter.store.postgres.copying import copy_into
from poorter.store.postgres.dialect import DIALECT
from poorter.store.postgres.schema import bring_forward, check, checked_url, role_of
from poorter.store.sqlite.connect import FILE
from poorter.store.tables.manifest import FOLDER, names
from poorter.store.tables.store import TableStore
from poorter.store.tables.whole import Table, Unfinished

#: a link that moves a city and hears nothing is given up
_PATIENCE = {"connect_timeout": "10", "tcp_user_timeout": "20000", "keepalives_idle": "10"}
_WRITER = 0x50  # the first key of the lock of a city's one writer; the second is the city


def open_store(
    url: str, directory: Path, clock: Clock, owner_url: str = "", near: bool = False
) -> PostgresStore:
    """Open the city of the role that `url` logs in with. `directory`: its segments. `owner_url`:
    the tables are made or brought forward first, and the role is given a city. `near`: compact in
    this process, not in a child.

    Raises: Invalid for an address that is none, or that has a password in it; Unavailable when the
    database can't be reached, another process writes this city, its tables are of another version,
    or the role is let past the wall between cities.
    """
    checked_url(url, "store.url")
    if owner_url:
        bring_forward(checked_url(owner_url, "store.owner_url"), role_of(url))
    return PostgresStore(url, directory, clock, owner_url, near)


def open_arrival(
    url: str, owner_url: str, tables: Mapping[str, Table], instead: bool = False
) -> tuple[Arrival, Callable[[], None]]:
    """For a city that moves into the database, the tables of which are made or brought forward if
    there is an `owner_url`; and how to let go of it. `instead`: of the city that is there.

    Raises: Conflict where there is one, else; Invalid, Unavailable as `open_store` does.
    """
    checked_url(url, "the address")
    if owner_url:
        bring_forward(checked_url(owner_url, "the owner's address"), role_of(url))
    writing = Connection(conninfo.make_conninfo(url, **_PATIENCE), write=True, opened=as_writer)

    def let_go() -> None:
        with suppress(psycopg.Error):
            writing.execute("SELECT pg_advisory_unlock_all()")
        writing.close()

    try:
        return Arrival(writing, tables, instead), let_go
    except BaseException:
        let_go()
        raise


def open_moved(
    url: str, directory: Path, clock: Clock, owner_url: str, lock: IO[str]
) -> PostgresStore:
    """The city that has arrived, whole, while this process has it elsewhere too and holds the lock
    of its folder. Raises Unavailable."""
    try:
        return PostgresStore(url, directory, clock, owner_url, lock=lock)
    except psycopg.Error as wrong:
        raise Unavailable(DIALECT.describe(wrong)) from None


class PostgresStore(TableStore):
    """Each thread has a reading connection; the writer's keeps other processes out."""

    def __init__(
        self,
        url: str,
        directory: Path,
        clock: Clock,
        owner_url: str = "",
        near: bool = False,
        lock: IO[str] | None = None,
    ) -> None:
        """`lock`: of the folder, where this process has it already: the city moves in, and may
        still go back until `moved_in`."""
        self._url = url
        self._owner_url = owner_url
        self._local = threading.local()
        self._readers: WeakSet[Connection] = WeakSet()
        self._lock = lock_directory(directory) if lock is None else share_lock(lock)
        try:
            self._writing = Connection(url, write=True, opened=as_writer)
            self._check_whole()
            if lock is None:
                self._forget_move()
        except BaseException:
            self._lock.close()
            raise
        child = ("poorter.store.postgres.folding", url)
        try:
            super().__init__(self._writing, directory / FOLDER, clock, child, near, 0)
        except BaseException:
            self._writing.close()
            self._lock.close()
            raise

    def close(self) -> None:
        """Finish what is queued, then stop."""
        self._rounds.stop()
        self._writer.close()
        self._writing.close()
        self._local = threading.local()
        for reader in tuple(self._readers):
            reader.close()
        self._lock.close()

    def moved_in(self) -> None:
        """Nobody goes back to where the city was before. If it can't be said now, the next start
        says it."""
        self._writer.hold()
        try:
            self._forget_move()
        except DIALECT.failures:
            self._writing.roll_back()
        finally:
            self._writer.go_on()

    def _check_whole(self) -> None:
        if any(bytes(doc) != WHOLE for (doc,) in self._writing.execute(STATE)):
            raise Unfinished("a move into this database was broken off: move the city again")

    def _forget_move(self) -> None:
        self._writing.begin()
        self._writing.execute(END)
        self._writing.commit()

    def scrub(self, permit: Permit) -> None:
        """Rewrite what erased rows have left. The database's own journal is its administrator's."""
        permit.check("read", self.clock.now_us())
        if not self._owner_url:
            raise Unavailable("store.owner_url is not set: only the owner rewrites tables")
        with psycopg.connect(self._owner_url, autocommit=True) as link:
            for table in ("entity", "attribute", "history", "instance", "event", "leaf"):
                link.execute(f"VACUUM (FULL) poorter.{table}")

    def backup(self, permit: Permit, target: str) -> None:
        """A consistent copy into the folder `target`, as the embedded store keeps it, while writing
        goes on."""
        permit.check("read", self.clock.now_us())
        folder = Path(target)
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        with self._rounds.lock:  # files of the copied manifest stay until they are copied
            copy_into(self._reader(), folder / FILE)
            for name in names(self._reader()):
                shutil.copy2(self._files.folder / name, folder / FOLDER / name)

    def _own_reader(self) -> Connection:
        return Connection(self._url, write=False, opened=as_reader)

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._own_reader()
            self._local.connection = connection
            self._readers.add(connection)
        return connection


def as_reader(link: psycopg.Connection) -> None:
    """The city that rows are of; which ones are seen is the database's own matter."""
    city = check(link)
    link.execute("SELECT set_config('poorter.city', $1, false)", (str(city),))


def as_writer(link: psycopg.Connection) -> None:
    """The same, for the one who writes it. Raises Unavailable when somebody else does."""
    city = check(link)
    link.execute("SELECT set_config('poorter.city', $1, false)", (str(city),))
    ((ours,),) = link.execute(
        "SELECT pg_try_advisory_lock($1::integer, $2::integer)", (_WRITER, city)
    ).fetchall()
    if not ours:
        raise Unavailable("another process writes this city")
