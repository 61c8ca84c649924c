# SPDX-License-Identifier: EUPL-1.2
"""The keys by which walls name their rows (`gate.pseudonyms`), outside the data folder.

The first of a wall is a file, made when it is first needed. Once it was changed, keys lie in a
database of their own, where a change is one transaction; the first file goes, its mark stays:
without the new one nothing is named at all, rather than by another key.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import apsw

from poorter.city.errors import Conflict, Unavailable
from poorter.city.limits import IDEMPOTENCY_HOURS
from poorter.city.time import DAY_US, HOUR_US, format_us
from poorter.gate.pseudonyms import Naming
from poorter.identity.keys import SEED_BYTES, WALL_NAMES, kept_secret

_SCHEMA = (
    # `former`: the key before, kept until `over_us`; its ids lead to their rows until `until_us`
    "CREATE TABLE IF NOT EXISTS naming (wall TEXT PRIMARY KEY, secret BLOB NOT NULL,"
    " since_us INTEGER NOT NULL, former BLOB, until_us INTEGER NOT NULL,"
    " over_us INTEGER NOT NULL, told INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS due (wall TEXT PRIMARY KEY, days INTEGER NOT NULL) WITHOUT ROWID;"
)
#: a journal that is overwritten, not a log that is kept: nothing of a key stays behind
_PRAGMAS = (("journal_mode", "DELETE"), ("synchronous", "EXTRA"), ("secure_delete", "ON"))
#: as long as an answer may be given again, ids that stand in it are known
KEPT_US = IDEMPOTENCY_HOURS * HOUR_US


@dataclass(frozen=True, slots=True)
class Changed:
    """A wall whose key was changed: since when, and until when ids of the one before count."""

    wall: str
    since_us: int
    until_us: int


class WallKeys:
    """Safe to use from any thread, and from another process that orders a change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / WALL_NAMES
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = None
        if self._file.exists():
            self._open()

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
            try:
                connection = apsw.Connection(str(self._file))
                connection.set_busy_timeout(5000)
                for name, value in _PRAGMAS:
                    list(connection.execute(f"PRAGMA {name} = {value}"))
                list(connection.execute(_SCHEMA))
            except apsw.Error as wrong:
                text = f"the keys by which walls name can't be read: {type(wrong).__name__}"
                raise Unavailable(text) from None
            self._connection = connection
        return self._connection

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Nothing before a first change was ordered, by this process or another."""
        with self._lock:
            if self._connection is None and not self._file.exists():
                return []
            return list(self._open().execute(sql, values))

    def naming(self, wall: str) -> Naming:
        """The keys of a wall. Raises Unavailable when they are gone."""
        for secret, former, until_us in self._rows(
            "SELECT secret, former, until_us FROM naming WHERE wall = ?", (wall,)
        ):
            assert isinstance(secret, bytes) and isinstance(until_us, int)
            return Naming(secret, former if isinstance(former, bytes) else None, until_us)
        return Naming(kept_secret(self._folder, f"pseudonyms-{wall}"))

    # -- other keys --------------------------------------------------------------------------

    def order(self, wall: str, days: int, now_us: int) -> None:
        """The key of a wall is due to change; ids of the one in use count `days` longer. Nothing
        changes yet. Raises Conflict when it was changed too short ago."""
        for (since_us,) in self._rows("SELECT since_us FROM naming WHERE wall = ?", (wall,)):
            assert isinstance(since_us, int)
            if now_us < since_us + KEPT_US:
                again = format_us(since_us + KEPT_US)
                raise Conflict(f"the key of {wall} was changed already: again from {again} on")
        with self._lock, self._open():
            sql = "INSERT INTO due VALUES (?, ?) ON CONFLICT (wall) DO UPDATE SET days = ?2"
            list(self._open().execute(sql, (wall, days)))

    def due(self) -> list[tuple[str, int]]:
        """Walls whose key is to change: (wall, days)."""
        return [(str(w), int(str(d))) for w, d in self._rows("SELECT wall, days FROM due")]

    def change(self, wall: str, days: int, now_us: int) -> None:
        """A new key from now on, in one transaction; the one before is kept for a while."""
        before = self.naming(wall).secret
        until_us = now_us + days * DAY_US
        over_us = max(until_us, now_us + KEPT_US)
        row = (wall, os.urandom(SEED_BYTES), now_us, before, until_us, over_us)
        with self._lock, self._open():
            sql = "INSERT OR REPLACE INTO naming VALUES (?, ?, ?, ?, ?, ?, 0)"
            list(self._open().execute(sql, row))
            list(self._open().execute("DELETE FROM due WHERE wall = ?", (wall,)))
        (self._folder / f"pseudonyms-{wall}.secret").unlink(missing_ok=True)

    def untold(self) -> list[Changed]:
        """Changes of which the ledger has not been told."""
        return self._changed("NOT told", ())

    def told(self, wall: str) -> None:
        """It has."""
        self._run("UPDATE naming SET told = 1 WHERE wall = ?", wall)

    def kept(self) -> list[Changed]:
        """Those of which the key before is still there."""
        return self._changed("former IS NOT NULL", ())

    def over(self, now_us: int) -> list[Changed]:
        """Those whose key before is of no use any more."""
        return self._changed("former IS NOT NULL AND over_us <= ?", (now_us,))

    def settle(self, wall: str) -> None:
        """The key before is gone: ids made with it lead to nothing, and no text of a copy of them
        can be turned into what they stood for."""
        (self._folder / f"pseudonyms-{wall}.secret").unlink(missing_ok=True)
        self._run("UPDATE naming SET former = NULL WHERE wall = ?", wall)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _run(self, sql: str, wall: str) -> None:
        with self._lock, self._open():
            list(self._open().execute(sql, (wall,)))

    def _changed(self, where: str, values: tuple[object, ...]) -> list[Changed]:
        columns = "wall, since_us, until_us"
        sql = f"SELECT {columns} FROM naming WHERE {where} ORDER BY wall"  # noqa: S608 - ours
        rows = self._rows(sql, values)
        return [Changed(str(wall), int(str(s)), int(str(u))) for wall, s, u in rows]
