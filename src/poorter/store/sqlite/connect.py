# SPDX-License-Identifier: EUPL-1.2
"""Connections: how SQLite is set up, and the schema brought forward."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import apsw

from poorter.city.errors import Unavailable
from poorter.city.pattern import occurs
from poorter.store.contract import SCHEMA_VERSION
from poorter.store.sqlite.dialect import BUSY_MS, Connection

FILE = "city.db"
_JOURNAL_BYTES = 32 * 1024 * 1024
_CACHE_KIB = 32 * 1024
_MMAP_BYTES = 1024 * 1024 * 1024


def connect(path: Path, *, write: bool, vfs: str | None = None) -> Connection:
    """A connection with full durability. Readers can't write, whatever SQL they are given."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    is_new = write and not (path.exists() and path.stat().st_size)
    connection = Connection(str(path), flags=flags, vfs=vfs, statementcachesize=400)
    try:
        _set_up(connection, write, is_new, vfs)
    except BaseException:
        shut(connection)
        raise
    return connection


def shut(connection: Connection) -> None:
    """Let go of a connection that is of no use; a disk that fails may refuse even that."""
    with suppress(apsw.Error):
        connection.close(True)


def _set_up(connection: Connection, write: bool, is_new: bool, vfs: str | None) -> None:
    connection.set_busy_timeout(BUSY_MS)
    if is_new:  # pages that compaction frees go back to the disk in steps
        list(connection.execute("PRAGMA auto_vacuum = INCREMENTAL"))
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 8000",  # 32 MiB: each changed page is copied less often
        f"journal_size_limit = {_JOURNAL_BYTES}",  # after something large it is cut to this
        f"cache_size = -{_CACHE_KIB}",
        f"mmap_size = {_MMAP_BYTES if vfs is None else 0}",
        "temp_store = MEMORY",
        "trusted_schema = OFF",
        f"query_only = {'OFF' if write else 'ON'}",
    ):
        list(connection.execute(f"PRAGMA {pragma}"))
    connection.create_scalar_function("regexp", _regexp, 2, deterministic=True)


def migrate(connection: Connection) -> None:
    """Bring the schema forward, one migration a transaction; never back.

    Raises: Unavailable when the file was written by a newer version.
    """
    (found,) = next(connection.execute("PRAGMA user_version"))
    if found > SCHEMA_VERSION:
        raise Unavailable(
            f"this city was written by a newer Poorter (schema {found}); "
            f"this one reads up to schema {SCHEMA_VERSION}"
        )
    folder = files("poorter.store.sqlite") / "migrations"
    for number in range(found + 1, SCHEMA_VERSION + 1):
        script = (folder / f"{number:04d}.sql").read_text("utf-8")
        with connection:
            list(connection.execute(script))
            list(connection.execute(f"PRAGMA user_version = {number}"))


def _regexp(*values: apsw.SQLiteValue) -> bool:
    pattern, text = values
    return isinstance(text, str) and occurs(str(pattern), text)
