# SPDX-License-Identifier: EUPL-1.2
"""The keys of persons, outside the data folder and outside its backup.

A key that is destroyed makes all that was ever written about its person unreadable, in every copy.
A tombstone says since when; what a restored backup brings back from before it is erased again.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import apsw

from poorter.city.errors import Unavailable

FILE = "persons.db"
KEY_BYTES = 32
CACHED = 200_000
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS key (subject TEXT PRIMARY KEY, secret BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS tombstone (subject TEXT PRIMARY KEY, erased_us INTEGER NOT NULL)"
    " WITHOUT ROWID;"
)


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
            list(self._connection.execute("DELETE FROM key WHERE subject = ?", (subject,)))
            list(
                self._connection.execute(
                    "INSERT INTO tombstone VALUES (?1, ?2) ON CONFLICT (subject) "
                    "DO UPDATE SET erased_us = max(erased_us, ?2)",
                    (subject, now_us),
                )
            )
            self._known.pop(subject, None)
            self._pending.pop(subject, None)

    def tombstones(self) -> dict[str, int]:
        """Who was erased, and when."""
        with self._lock:
            rows = list(self._connection.execute("SELECT subject, erased_us FROM tombstone"))
        return {str(subject): int(at) for subject, at in rows}

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
