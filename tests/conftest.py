# SPDX-License-Identifier: EUPL-1.2
"""What tests of several folders share: one database server for each process that runs tests."""

from collections.abc import Iterator

import pytest
from tests.database import Database, database


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """Started when the first test asks for it, stopped with the last."""
    with database() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Cities that `tests.founded` founds lie in this engine."""
    if request.param == "postgres":
        server: Database = request.getfixturevalue("server")
        monkeypatch.setattr(
            "tests.founded.where",
            lambda: {"store.url": server.new_city(), "store.owner_url": server.owner_url},
        )
    return str(request.param)
