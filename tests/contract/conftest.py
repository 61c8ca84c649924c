# SPDX-License-Identifier: EUPL-1.2
"""One suite for every engine: the store fixture runs each test on each, and once more with all of
its history compacted after every commit."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.permits import FAR_US, permit

from poorter.city.clock import ManualClock
from poorter.gate.permit import Permit
from poorter.store.contract import Change, Committed, Store
from poorter.store.sqlite import SqliteStore, open_store

ADMINISTER = permit("administer")


class Compacting(SqliteStore):
    """No row stays a row for longer than it takes to answer."""

    def commit(self, permit: Permit, change: Change) -> Future[Committed]:
        future = super().commit(permit, change)
        if permit.action != "administer" and future.exception(10) is None:
            self.compact(ADMINISTER, FAR_US, all_of_it=True)
        return future


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "sqlite, compacted"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    if request.param == "sqlite":
        opened = open_store(tmp_path / "city", clock)
    else:
        opened = Compacting(tmp_path / "city", clock, near=True)
    yield opened
    opened.close()
