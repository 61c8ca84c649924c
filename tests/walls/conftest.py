# SPDX-License-Identifier: EUPL-1.2
"""These hold whichever engine keeps the city."""

import pytest


@pytest.fixture(autouse=True)
def _either(engine: str) -> None:
    """Each test runs on both."""
