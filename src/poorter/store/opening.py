# SPDX-License-Identifier: EUPL-1.2
"""The store of a city: embedded in its folder, or in PostgreSQL where city.toml says so."""

from __future__ import annotations

from pathlib import Path

from poorter.city.clock import Clock
from poorter.city.errors import Unavailable
from poorter.store import sqlite
from poorter.store.tables.recent import allowance, machine_bytes
from poorter.store.tables.store import TableStore


def allow(memory_mib: int) -> None:
    """Let the stores of this process keep so much of what they read in memory, all together; 0: an
    eighth of what the machine has."""
    allowance.bytes_max = memory_mib * 1024 * 1024 or machine_bytes() // 8


def open_store(folder: Path, clock: Clock, url: str = "", owner_url: str = "") -> TableStore:
    """Open the store of the city in `folder`. `url`, `owner_url`: as `store/postgres` takes them;
    empty: embedded.

    Raises: Invalid, Unavailable as the engines do; Unavailable when psycopg is not installed.
    """
    if not url:
        return sqlite.open_store(folder, clock)
    try:
        from poorter.store.postgres import store as postgres
    except ImportError:
        raise Unavailable(
            "store.url asks for PostgreSQL, and psycopg is not here: install poorter[postgres]"
        ) from None
    return postgres.open_store(url, folder, clock, owner_url)
