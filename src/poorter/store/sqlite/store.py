# SPDX-License-Identifier: EUPL-1.2
"""One city in one folder: opening it, copying it while it is written, keeping others out."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from poorter.city.clock import Clock
from poorter.gate.permit import Permit
from poorter.store.lock import lock_directory
from poorter.store.sqlite.connect import FILE, connect, migrate, shut
from poorter.store.sqlite.dialect import Connection
from poorter.store.tables.manifest import FOLDER, names
from poorter.store.tables.store import TableStore


def open_store(
    directory: Path, clock: Clock, vfs: str | None = None, near: bool = False
) -> SqliteStore:
    """Open (or make) the store in `directory`. `near`: compact in this process, not in a child.

    Raises: Unavailable when another process has it, or a newer version wrote it.
    """
    return SqliteStore(directory, clock, vfs, near)


class SqliteStore(TableStore):
    """Each thread has a reading connection."""

    def __init__(
        self, directory: Path, clock: Clock, vfs: str | None = None, near: bool = False
    ) -> None:
        self._lock = lock_directory(directory)
        self._path = directory / FILE
        self._vfs = vfs
        self._local = threading.local()
        child = ("poorter.store.sqlite.folding", str(self._path))
        try:
            self._writing = connect(self._path, write=True, vfs=vfs)
            try:
                migrate(self._writing)
                folder = directory / FOLDER
                super().__init__(self._writing, folder, clock, child, near or vfs is not None)
            except BaseException:
                shut(self._writing)
                raise
        except BaseException:
            self._lock.close()
            raise

    def scrub(self, permit: Permit) -> None:
        """Copy the write-ahead log into the file and make it empty."""
        permit.check("read", self.clock.now_us())
        connection = connect(self._path, write=True, vfs=self._vfs)
        try:
            list(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        finally:
            connection.close()

    def backup(self, permit: Permit, target: str) -> None:
        """A consistent copy into the folder `target` while writing goes on."""
        permit.check("read", self.clock.now_us())
        folder = Path(target)
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        with self._rounds.lock:  # files of the copied manifest stay until they are copied
            copy = Connection(str(folder / FILE))
            with copy.backup("main", self._reader(), "main") as work:
                work.step()
            for name in names(copy):
                shutil.copy2(self._files.folder / name, folder / FOLDER / name)
            copy.close()

    def close(self) -> None:
        """Finish what is queued, then stop."""
        self._rounds.stop()
        self._spots.stop()
        self._writer.close()
        own = getattr(self._local, "connection", None)
        if own is not None:  # those of other threads end with them
            shut(own)
            del self._local.connection
        try:
            self._writing.close()
        finally:
            self._lock.close()

    def _own_reader(self) -> Connection:
        return connect(self._path, write=False, vfs=self._vfs)

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self._path, write=False, vfs=self._vfs)
            self._local.connection = connection
        return connection
