# SPDX-License-Identifier: EUPL-1.2
"""One suite for every engine: the store fixture runs each test on each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from poorter.city.clock import ManualClock
from poorter.store.contract import Store
from poorter.store.sqlite import open_store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    opened = open_store(tmp_path / "city", clock)
    yield opened
    opened.close()
