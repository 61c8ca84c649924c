# SPDX-License-Identifier: EUPL-1.2
"""Which rows are written while a city moves away: their keys, in a file that has no name.

SQLite tells of each row as it changes, whatever statement does it: so deletions that leave no event
are among them. What is rolled back is noted too, and costs whoever reads the keys a look at a row.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw
import msgspec

from poorter.city.errors import Unavailable
from poorter.city.limits import MOVE_KEYS_BYTES_MAX
from poorter.store.tables.whole import Table, Values

_BLOCK_KEYS = 2000
_LENGTH_BYTES = 4
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, tuple[Any, ...]]]).decode


class Touched:
    """Notes keys from the moment it is made until `stop`. Both, and `mark`, while no group is under
    way; `keys` at any time."""

    def __init__(
        self, connection: apsw.Connection, tables: Mapping[str, Table], folder: Path
    ) -> None:
        """`connection`: the writer's. `folder`: where the file is. Raises OSError."""
        self._connection = connection
        self._keys = {name: table.key for name, table in tables.items()}
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open until `stop`
        self._waiting: list[tuple[str, Values]] = []
        self._size = 0
        self._lost = ""
        connection.preupdate_hook(self._note, id=self)

    def stop(self) -> None:
        """Note no more."""
        self._connection.preupdate_hook(None, id=self)
        self._file.close()

    def mark(self) -> int:
        """How far it has come. Raises Unavailable where something could not be noted."""
        self._write()
        if self._lost:
            raise Unavailable(self._lost)
        return self._size

    def keys(self, after: int, until: int) -> Iterator[dict[str, list[Values]]]:
        """What was noted between two marks, some at a time, in the order in which it was written;
        by table, each key once."""
        handle = self._file.fileno()
        while after < until:
            length = int.from_bytes(os.pread(handle, _LENGTH_BYTES, after))
            block = _decode(os.pread(handle, length, after + _LENGTH_BYTES))
            after += _LENGTH_BYTES + length
            found: dict[str, list[Values]] = {}
            for table, key in dict.fromkeys(block):
                found.setdefault(table, []).append(key)
            yield found

    def _note(self, update: apsw.PreUpdate) -> None:
        key = self._keys.get(update.table_name)
        if key is None or self._lost:
            return
        for row in (update.old, update.new):
            if row is not None:
                self._waiting.append((update.table_name, tuple(row[at] for at in key)))
        if len(self._waiting) >= _BLOCK_KEYS:
            self._write()

    def _write(self) -> None:
        """Never fails: a city is written to whether it moves or not."""
        if not self._waiting or self._lost:
            return
        block = _encode(list(dict.fromkeys(self._waiting)))
        self._waiting = []
        if self._size + len(block) > MOVE_KEYS_BYTES_MAX:
            self._lost = "more is written than can be kept track of: move when it is quieter"
            return
        try:
            os.write(self._file.fileno(), len(block).to_bytes(_LENGTH_BYTES) + block)
        except OSError as wrong:
            self._lost = f"what is written meanwhile can't be noted: {wrong.strerror}"
            return
        self._size += _LENGTH_BYTES + len(block)
