# SPDX-License-Identifier: EUPL-1.2
"""A city from its file into PostgreSQL while it goes on being served (docs/leaving.md).

The file is copied as of one moment and compared, row by row; what is written meanwhile is followed
in rounds that grow shorter. Then writers wait for as long as the last round takes, city.toml says
where the city is, and what waited is written there. Until that file is replaced nothing of the city
has changed, whatever breaks; from then on it is in PostgreSQL, whole.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Protocol, TypeVar

from poorter.backups.manifest import stamp
from poorter.backups.taking import BACKUP, note_leaf
from poorter.city.errors import CityError, Invalid, Unavailable
from poorter.city.limits import MOVE_PAUSE_S_MAX
from poorter.config import set_store
from poorter.gate.genesis import RUN
from poorter.gate.lawful import LEAVER
from poorter.running import Running
from poorter.store.sqlite.connect import FILE
from poorter.store.sqlite.departing import Departure
from poorter.store.sqlite.store import SqliteStore
from poorter.store.tables.whole import parts

if TYPE_CHECKING:
    from poorter.store.postgres.arriving import Arrival
    from poorter.store.postgres.store import PostgresStore

T = TypeVar("T")
#: a round that takes no longer is short enough for writers to wait for the next
_SHORT_S = 0.3
#: writers that are faster than rounds wait so long, then write for so long, by turns; in all
_LEAN_S, _BREATH_S, _FOLLOW_S_MAX = 0.4, 0.05, 900.0
_BESIDE = ("", "-wal", "-shm")


class Asker(Protocol):
    """Whoever wants the city to move."""

    @property
    def gone(self) -> bool:
        """Not any more."""
        ...

    def tell(self, words: str) -> None:
        """How far it is."""
        ...


@dataclass(slots=True)
class Moved:
    """Rows that were compared, by table; seconds for which nobody could write; where the file is
    that the city was in."""

    equal: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    pause_s: float = 0.0
    kept_at: Path | None = None

    def words(self) -> str:
        """For who asked for it."""
        lines = [f"{name:<14} {number:>12}  equal" for name, number in self.equal.items()]
        lines += [
            f"{self.rounds} rounds after it; nobody could write for {self.pause_s:.2f} s",
            "city.toml says where the city is; segments, ledger and tenants stay where they were",
            f"the file as it was is in {self.kept_at}: remove it when you have a backup",
        ]
        return "\n".join(lines)


async def move(
    running: Running, url: str, owner_url: str, asker: Asker, instead: bool = False
) -> Moved:
    """Move the city to the database at `url`, as `store/postgres` takes it. `instead`: of the city
    that is there.

    Raises: Invalid when it is in a database already, Conflict when there is a city in that one or
    what was copied differs, Unavailable when anything breaks or `asker` is gone: the city has
    stayed where it was, and may try again.
    """
    before = running.store.inner
    if not isinstance(before, SqliteStore):
        raise Invalid("a city moves on from a database while it is stopped")
    if not os.access(running.config.folder, os.W_OK):
        raise Unavailable(f"{running.config.folder} can't be written: city.toml would not change")
    running.gate.permit(BACKUP, RUN, "read")
    await note_leaf(running, LEAVER, "everything", "migrate", "begun")
    moving = _Moving(running, before, url, owner_url, asker, instead)
    try:
        await asyncio.to_thread(moving.copy)
        await asyncio.to_thread(moving.catch_up)
        after = await moving.switch()
    finally:
        await asyncio.to_thread(moving.end)
    await asyncio.to_thread(moving.leave_behind, after)
    found = moving.found
    rows = sum(found.equal.values())
    outcome = f"to PostgreSQL: {rows} rows, equal; {found.pause_s:.2f} s without writing"
    await note_leaf(running, LEAVER, "everything", "migrate", outcome)
    return found


class _Moving:
    """One move. What is no coroutine is called in a thread, one after the other."""

    def __init__(
        self,
        running: Running,
        before: SqliteStore,
        url: str,
        owner_url: str,
        asker: Asker,
        instead: bool,
    ) -> None:
        self.found = Moved()
        self._running = running
        self._before = before
        self._url = url
        self._owner_url = owner_url
        self._asker = asker
        self._instead = instead
        self._loop = asyncio.get_running_loop()
        self._departure: Departure | None = None
        self._let_go: Callable[[], None] | None = None
        self._arrival: Arrival

    @property
    def _leaving(self) -> Departure:
        assert self._departure is not None
        return self._departure

    def copy(self) -> None:
        """The file as of one moment, every row, and every row read again."""
        from poorter.store.postgres.store import open_arrival

        data = self._running.config.paths_data
        folder = data.with_name(f"{data.name}.moving")
        permit = self._running.gate.permit(BACKUP, RUN, "read")
        self._departure = Departure(self._before, permit, folder)
        tables = self._leaving.tables
        self._arrival, self._let_go = open_arrival(
            self._url, self._owner_url, tables, self._instead
        )
        self._leaving.copy()
        for name, table in tables.items():
            self._tell(f"copying {name}")
            for part in self._each(parts(self._leaving.rows(table))):
                self._arrival.add(table, part)
        for part in self._each(parts(self._leaving.places())):
            self._arrival.add_places(part)
        for name, table in tables.items():
            self._tell(f"comparing {name}")
            rows = (row for part in self._each(parts(self._leaving.rows(table))) for row in part)
            self.found.equal[name] = self._arrival.compare(table, rows)
        self.found.equal["place"] = self._arrival.compare_places(self._leaving.places())
        self._leaving.forget_copy()

    def catch_up(self) -> None:
        """What was written meanwhile, until that is little. Where it doesn't get less, writers are
        slowed: each waits for part of a second, again and again."""
        self._leaving.quiet()
        start, before, lean = perf_counter(), 0, False
        while True:
            began = perf_counter()
            number = self._round(lean)
            self._tell(f"{number} rows that were written meanwhile")
            if perf_counter() - began < _SHORT_S:
                return
            if perf_counter() - start > _FOLLOW_S_MAX:
                raise Unavailable("the city is written to faster than it moves: try when it rests")
            lean = lean or 0 < before < 1.5 * number
            before = number

    async def switch(self) -> PostgresStore:
        """Writers wait; the last of it; then the city is there."""
        running, departure = self._running, self._leaving
        await asyncio.to_thread(departure.hold)
        began = perf_counter()
        last = asyncio.create_task(asyncio.to_thread(self._last))
        done, _ = await asyncio.wait({last}, timeout=MOVE_PAUSE_S_MAX)
        if not done:
            departure.go_on()
            with suppress(CityError):
                await asyncio.to_thread((await last).close)
            raise Unavailable(f"the database took longer than {MOVE_PAUSE_S_MAX} s: try again")
        after = last.result()
        try:
            set_store(running.config.folder, self._url, self._owner_url)
        except OSError as wrong:
            await asyncio.to_thread(after.close)
            raise Unavailable(f"city.toml can't be written: {wrong.strerror}") from wrong
        running.config = replace(
            running.config, store_url=self._url, store_owner_url=self._owner_url
        )
        running.store.stand_over(after)
        departure.go_on(after.take_over(self._before, running.gate.renewed))
        self.found.pause_s = perf_counter() - began
        return after

    def end(self) -> None:
        """Whatever came of it, nothing is kept track of any more."""
        if self._departure is not None:
            self._departure.end()
        if self._let_go is not None:
            self._let_go()

    def leave_behind(self, after: PostgresStore) -> None:
        """The file is not the city's any more: nobody opens it by accident."""
        after.moved_in()
        self._before.close()
        data, now = self._running.config.paths_data, stamp(self._running.clock.now_us())
        self.found.kept_at = data / f"{FILE}.before-{now}"
        for more in _BESIDE:
            with suppress(FileNotFoundError):
                (data / f"{FILE}{more}").rename(data / f"{FILE}.before-{now}{more}")

    def _last(self) -> PostgresStore:
        from poorter.store.postgres.store import open_moved

        self._round()
        self._arrival.whole()
        if self._let_go is not None:
            self._let_go()
            self._let_go = None
        data, clock = self._running.config.paths_data, self._before.clock
        return open_moved(self._url, data, clock, self._owner_url, self._before.lock)

    def _round(self, lean: bool = False) -> int:
        """All that was written since the last one; how many rows. `lean`: writers wait for most of
        it."""
        number, held_at = 0, None
        self.found.rounds += 1
        try:
            for changed, written, boxes in self._each(self._leaving.changed()):
                if lean and held_at is None:
                    self._leaving.hold()
                    held_at = perf_counter()
                for table, keys, rows in changed:
                    self._arrival.replace(table, keys, rows)
                    number += len(keys)
                if written:
                    self._arrival.replace_places(written, boxes)
                if held_at is not None and perf_counter() - held_at > _LEAN_S:
                    self._leaving.go_on()
                    held_at = None
                    sleep(_BREATH_S)
        finally:
            if held_at is not None:
                self._leaving.go_on()
        return number

    def _each(self, items: Iterator[T]) -> Iterator[T]:
        """The same, as long as somebody wants it and the grant holds."""
        for item in items:
            if self._asker.gone:
                raise Unavailable("the move was broken off; the city stays where it is")
            self._running.gate.permit(BACKUP, RUN, "read")
            yield item

    def _tell(self, words: str) -> None:
        self._loop.call_soon_threadsafe(self._asker.tell, words)
