"""One suite for every engine: the store fixture runs each test on each, and once more with all of
its history compacted after every commit."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.database import Database
from tests.permits import FAR_US, permit

from poorter.city.clock import ManualClock
from poorter.gate.permit import Permit
from poorter.store.contract import Change, Committed, Store
from poorter.store.postgres.store import PostgresStore
from poorter.store.postgres.store import open_store as open_postgres
from poorter.store.sqlite import SqliteStore
from poorter.store.tables.store import TableStore

ADMINISTER = permit("administer")
ENGINES = ("sqlite", "postgres")
#: opens the store of a folder, again and again
Opens = Callable[..., TableStore]


class _Compacting(TableStore):
    """No row stays a row for longer than it takes to answer."""

    def commit(self, permit: Permit, change: Change) -> Future[Committed]:
        future = super().commit(permit, change)
        if permit.action != "administer" and future.exception(10) is None:
            self.compact(ADMINISTER, FAR_US, all_of_it=True)
        return future


class CompactingSqlite(_Compacting, SqliteStore):
    """Of SQLite."""


class CompactingPostgres(_Compacting, PostgresStore):
    """Of PostgreSQL."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=ENGINES, scope="module")
def opens(request: pytest.FixtureRequest) -> Opens:
    """A way to open a folder's store on this engine; the folder's city is found again."""
    if request.param == "sqlite":
        return lambda folder, clock, kind=SqliteStore, near=True: kind(folder, clock, near=near)
    server: Database = request.getfixturevalue("server")
    urls: dict[Path, str] = {}

    def opened(folder: Path, clock: ManualClock, kind: Any = None, near: bool = True) -> TableStore:
        url = urls.setdefault(folder, "") or server.new_city()
        urls[folder] = url
        if kind is None:
            return open_postgres(url, folder, clock, server.owner_url, near)
        open_postgres(url, folder, clock, server.owner_url, near).close()
        return kind(url, folder, clock, server.owner_url, near)  # type: ignore[no-any-return]

    return opened


@pytest.fixture(params=["rows", "compacted"])
def store(
    request: pytest.FixtureRequest, opens: Opens, tmp_path: Path, clock: ManualClock
) -> Iterator[Store]:
    if request.param == "rows":
        opened = opens(tmp_path / "city", clock)
    else:
        engine = request.node.callspec.params["opens"]
        kind = CompactingSqlite if engine == "sqlite" else CompactingPostgres
        opened = opens(tmp_path / "city", clock, kind)
    yield opened
    opened.close()
