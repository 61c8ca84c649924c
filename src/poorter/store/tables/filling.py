# SPDX-License-Identifier: EUPL-1.2
"""Brings all entities into memory, as far as there is room, once enough of them are asked for.

One that lies there costs half of what one in tables does. A small city's are there because each was
read; those of a city of a million would come one by one for an hour. A thread reads them in the
order of their numbers, some at a time and at most half of the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from poorter.store.tables.port import Connection
from poorter.store.tables.reading import whole
from poorter.store.tables.recent import Recent

#: reads of entities that were not in memory, before it begins
READ_MIN = 5_000
_AT_ONCE = 1000
_Row = tuple[str, int, str, str, int, int, int, int | None, str]
_decode = msgspec.json.Decoder(list[_Row]).decode


class Filling:
    """Of one store, once as long as it is open."""

    def __init__(self, reader: Callable[[], Connection], recent: Recent, can: bool) -> None:
        """`reader`: a connection of its own. `can`: whether the engine tells of its entities."""
        self._reader = reader
        self._recent = recent
        self._waiting = can
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def want(self) -> None:
        """Begin, if it is worth it by now."""
        if self._waiting and self._recent.read >= READ_MIN:
            self._waiting = False
            self._thread = threading.Thread(target=self._fill, name="filling", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Until it is done."""
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Go no further."""
        self._waiting = False
        self._stopped.set()
        self.wait()

    def _fill(self) -> None:
        connection = self._reader()
        packed = connection.dialect.packed
        assert packed is not None
        last = 0
        try:
            with suppress(*connection.dialect.failures):
                while not self._stopped.is_set():
                    began = time.thread_time()  # waiting for others is no work
                    self._recent.begin_filling()
                    ((text,),) = connection.execute(packed.wholes, (last, _AT_ONCE))
                    rows = _decode(text)
                    if not rows or not self._recent.fill([(r[1], whole(r, r[8])) for r in rows]):
                        break
                    last = rows[-1][1]
                    self._stopped.wait(time.thread_time() - began)
        finally:
            connection.close()
