# SPDX-License-Identifier: EUPL-1.2
"""A copy of an embedded store while it is written; a database has its own tools for that."""

from pathlib import Path

import pytest
from tests.database import Database
from tests.permits import FAR_US, READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.errors import Unavailable
from poorter.city.query import HistoryQuery
from poorter.city.time import HOUR_US
from poorter.store.contract import Change, Observe, Reading
from poorter.store.postgres.store import open_store as open_postgres
from poorter.store.sqlite import open_store

T0 = 1_767_225_600_000_000
ADMINISTER = permit("administer")


def observed(hours: range) -> Change:
    return Change((Observe("P", [Reading("urn:p:1", "n", T0 + h * HOUR_US, h) for h in hours]),))


def test_a_backup_has_the_segments_of_its_moment(tmp_path: Path) -> None:
    store = open_store(tmp_path / "city", ManualClock(), near=True)
    store.commit(WRITE, observed(range(100))).result(10)
    store.compact(ADMINISTER, T0 + 50 * HOUR_US)
    store.backup(READ, str(tmp_path / "copy"))
    store.commit(WRITE, observed(range(100, 200))).result(10)
    store.compact(ADMINISTER, FAR_US, all_of_it=True)
    store.compact(ADMINISTER, FAR_US, all_of_it=True)  # what was replaced is off the disk
    store.close()
    copy = open_store(tmp_path / "copy", ManualClock(), near=True)
    try:
        assert len(copy.history(READ, HistoryQuery("urn:p:1"))) == 100
    finally:
        copy.close()


def test_a_database_says_that_it_is_not_copied_into_a_folder(
    server: Database, tmp_path: Path
) -> None:
    url = server.new_city()
    store = open_postgres(url, tmp_path / "city", ManualClock(), server.owner_url)
    try:
        with pytest.raises(Unavailable, match="pg_dump"):
            store.backup(READ, str(tmp_path / "copy"))
    finally:
        store.close()
