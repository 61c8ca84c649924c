# SPDX-License-Identifier: EUPL-1.2
"""One city in one folder: opening it, copying it while it is written, keeping others out."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from poorter.city.clock import Clock
from poorter.city.errors import Unavailable
from poorter.gate.permit import Permit
from poorter.store.lock import lock_directory
from poorter.store.sqlite.connect import FILE, connect, migrate, shut
from poorter.store.sqlite.dialect import Connection
from poorter.store.tables.manifest import FOLDER, names
from poorter.store.tables.store import TableStore
from poorter.store.tables.writer import HandedOver


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
        self._filling.stop()
        self._writer.close()
        own = getattr(self._local, "connection", None)
        if own is not None:  # those of other threads end with them
            shut(own)
            del self._local.connection
        try:
            self._writing.close()
        finally:
            self._lock.close()

    # -- while the city moves away -----------------------------------------------------------

    @property
    def writing(self) -> Connection:
        """The writer's connection: look at it while no group is under way."""
        return self._writing

    @property
    def lock(self) -> IO[str]:
        """That keeps other processes out."""
        return self._lock

    def new_reader(self) -> Connection:
        """A connection to read by, for whoever closes it."""
        return self._own_reader()

    @contextmanager
    def still(self, held: bool = False) -> Iterator[None]:
        """No group is under way meanwhile; `held`: there is none already."""
        if not held:
            self._writer.hold()
        try:
            yield
        finally:
            if not held:
                self._writer.go_on()

    def hold(self) -> None:
        """No group begins until `go_on`; what comes waits."""
        self._writer.hold()

    def go_on(self, handed: HandedOver | None = None) -> None:
        """What waits is written; `handed`: elsewhere, from here on."""
        if handed is not None:
            self._writer.hand_over(handed)
        self._writer.go_on()

    def stop_rounds(self, within_s: float) -> None:
        """No compaction and no copy until `start_rounds`. Raises Unavailable when one takes too
        long."""
        if not self._rounds.lock.acquire(timeout=within_s):
            raise Unavailable("history is being copied or compacted: try again later")

    def start_rounds(self) -> None:
        """They may begin again."""
        self._rounds.lock.release()

    # -- connections -------------------------------------------------------------------------

    def _own_reader(self) -> Connection:
        return connect(self._path, write=False, vfs=self._vfs)

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self._path, write=False, vfs=self._vfs)
            self._local.connection = connection
        return connection
