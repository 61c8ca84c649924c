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
