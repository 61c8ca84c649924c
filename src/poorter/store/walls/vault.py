# SPDX-License-Identifier: EUPL-1.2
"""The keys of persons, outside the data folder and outside its backup.

A key that is destroyed makes all that was ever written about its person unreadable, in every copy.
A tombstone says since when; what a restored backup brings back from before it is erased again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import apsw

from poorter.city.errors import Conflict, Invalid, Unavailable

FILE = "persons.db"
KEY_BYTES = 32
CACHED = 200_000
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS key (subject TEXT PRIMARY KEY, secret BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS tombstone (subject TEXT PRIMARY KEY, erased_us INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    # a key that was: what it sealed is being sealed anew. `due`: those whose turn it is to change
    "CREATE TABLE IF NOT EXISTS former (subject TEXT PRIMARY KEY, secret BLOB NOT NULL,"
    " since_us INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS due (subject TEXT PRIMARY KEY) WITHOUT ROWID;"
)

_TOMBSTONES = "SELECT subject, erased_us FROM tombstone"


class Vault:
    """One key a person and wall. Safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.Lock()
        self._known: dict[str, bytes] = {}
        self._pending: dict[str, bytes] = {}
        try:
            self._connection = apsw.Connection(str(folder / FILE))
            self._connection.set_busy_timeout(5000)
            # a journal that is overwritten, not a log that is kept: nothing of a key stays behind
            for pragma in ("journal_mode = DELETE", "synchronous = EXTRA", "secure_delete = ON"):
                list(self._connection.execute(f"PRAGMA {pragma}"))
            list(self._connection.execute(_SCHEMA))
            rows = self._connection.execute("SELECT subject, secret FROM former")
            self._former = {str(subject): bytes(secret) for subject, secret in rows}
        except apsw.Error as wrong:
            raise Unavailable(
                f"the keys of persons can't be read: {type(wrong).__name__}"
            ) from None

    def key(self, subject: str) -> bytes | None:
        """The key of a person; None when there is none (any more)."""
        known = self._known.get(subject)
        if known is None:
            with self._lock:
                rows = list(
                    self._connection.execute("SELECT secret FROM key WHERE subject = ?", (subject,))
                )
                if not rows:
                    return None
                if len(self._known) >= CACHED:
                    self._known = dict(self._pending)
                known = self._known[subject] = bytes(rows[0][0])
        return known

    def keys(self, subject: str) -> tuple[bytes, ...]:
        """The keys by which something of a person may be sealed, the one in use first."""
        key = self.key(subject)
        if key is None:
            return ()
        former = self._former.get(subject) if self._former else None
        return (key,) if former is None else (key, former)

    def made(self, subject: str) -> bytes:
        """The key of a person, made if need be. It counts once `flush` has returned: nothing is
        sealed under a key that a crash could take."""
        known = self.key(subject)
        if known is None:
            with self._lock:
                known = self._known.setdefault(subject, os.urandom(KEY_BYTES))
                self._pending[subject] = known
        return known

    def flush(self) -> None:
        """All keys that were made are on disk when this returns, in one transaction. Raises
        Unavailable; then they are tried again the next time."""
        if not self._pending:
            return
        with self._lock:
            rows = list(self._pending.items())
            try:
                with self._connection:
                    self._connection.executemany("INSERT OR IGNORE INTO key VALUES (?, ?)", rows)
            except apsw.Error as wrong:
                words = f"the keys of persons can't be written: {type(wrong).__name__}"
                raise Unavailable(words) from None
            self._pending.clear()

    def destroy(self, subject: str, now_us: int) -> None:
        """No key any more, and a tombstone in its place, in one transaction."""
        with self._lock, self._connection:
            for table in ("key", "former", "due"):
                gone = f"DELETE FROM {table} WHERE subject = ?"  # noqa: S608 - names of our own
                list(self._connection.execute(gone, (subject,)))
            list(
                self._connection.execute(
                    "INSERT INTO tombstone VALUES (?1, ?2) ON CONFLICT (subject) "
                    "DO UPDATE SET erased_us = max(erased_us, ?2)",
                    (subject, now_us),
                )
            )
            self._known.pop(subject, None)
            self._pending.pop(subject, None)
            self._former.pop(subject, None)

    # -- other keys --------------------------------------------------------------------------

    def begin_rotation(self) -> int:
        """Everybody's key is due to change; how many. Nothing changes yet."""
        with self._lock, self._connection:
            list(self._connection.execute("INSERT OR IGNORE INTO due SELECT subject FROM key"))
            ((number,),) = self._connection.execute("SELECT count(*) FROM due")
        return int(number)

    def due(self, limit: int) -> list[str]:
        """Some of those whose key is to change; whoever has two keys still waits."""
        with self._lock:
            rows = list(
                self._connection.execute(
                    "SELECT subject FROM due WHERE subject NOT IN (SELECT subject FROM former) "
                    "ORDER BY 1 LIMIT ?",
                    (limit,),
                )
            )
        return [str(subject) for (subject,) in rows]

    def left(self) -> int:
        """How many persons have a key that is due, or one that was beside the one in use."""
        with self._lock:
            ((number,),) = self._connection.execute(
                "SELECT (SELECT count(*) FROM due) + (SELECT count(*) FROM former)"
            )
        return int(number)

    def change(self, subject: str, now_us: int) -> None:
        """A new key from now on; the old one still opens what it sealed, until `settle`."""
        anew = os.urandom(KEY_BYTES)
        with self._lock:
            with self._connection:
                for sql, values in (
                    (
                        "INSERT OR IGNORE INTO former SELECT subject, secret, ? FROM key "
                        "WHERE subject = ?",
                        (now_us, subject),
                    ),
                    ("UPDATE key SET secret = ? WHERE subject = ?", (anew, subject)),
                    ("DELETE FROM due WHERE subject = ?", (subject,)),
                ):
                    list(self._connection.execute(sql, values))
                rows = self._connection.execute(
                    "SELECT secret FROM former WHERE subject = ?", (subject,)
                )
                former = [bytes(secret) for (secret,) in rows]
            if former:
                self._former[subject] = former[0]
            self._known.pop(subject, None)

    def former(self, before_us: int, limit: int) -> list[str]:
        """Some of those with two keys since before a moment."""
        with self._lock:
            rows = list(
                self._connection.execute(
                    "SELECT subject FROM former WHERE since_us < ? ORDER BY 1 LIMIT ?",
                    (before_us, limit),
                )
            )
        return [str(subject) for (subject,) in rows]

    def settle(self, subject: str) -> None:
        """The old key is gone: nothing is sealed with it any more."""
        with self._lock, self._connection:
            list(self._connection.execute("DELETE FROM former WHERE subject = ?", (subject,)))
            self._former.pop(subject, None)

    def older(self, file: Path) -> dict[str, bytes]:
        """From an older copy of this file: the keys that are not those of now, of whoever was not
        erased since. Raises Invalid for a file that is no such copy."""
        try:
            copy = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
            keys = {str(s): bytes(k) for s, k in copy.execute("SELECT subject, secret FROM key")}
            erased = {str(s): int(at) for s, at in copy.execute(_TOMBSTONES)}
            copy.close()
        except apsw.Error as wrong:
            raise Invalid(f"{file} holds no keys of persons: {type(wrong).__name__}") from None
        now = self.tombstones()
        return {
            subject: key
            for subject, key in keys.items()
            if erased.get(subject) == now.get(subject) and key != self.key(subject)
        }

    def take_former(self, keys: Mapping[str, bytes], now_us: int) -> None:
        """Keys that were before: they open what they sealed until all of it is sealed anew. Raises
        Conflict while keys are being changed."""
        if self.left():
            text = "keys of persons are being changed: serve the city until `poorter keys` says 0"
            raise Conflict(text)
        with self._lock, self._connection:
            for subject, key in keys.items():
                known = "SELECT 1 FROM key WHERE subject = ?"
                if list(self._connection.execute(known, (subject,))):
                    into = "INSERT INTO former VALUES (?, ?, ?)"
                    list(self._connection.execute(into, (subject, key, now_us)))
                    self._former[subject] = key
                else:
                    into = "INSERT INTO key VALUES (?, ?)"
                    list(self._connection.execute(into, (subject, key)))

    def tombstones(self) -> dict[str, int]:
        """Who was erased, and when."""
        with self._lock:
            rows = list(self._connection.execute(_TOMBSTONES))
        return {str(subject): int(at) for subject, at in rows}

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
