# SPDX-License-Identifier: EUPL-1.2
"""What compaction takes out of SQLite goes back to the disk."""

from pathlib import Path

from tests.permits import READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.time import HOUR_US
from poorter.store.contract import Change, Observe, Reading
from poorter.store.sqlite import open_store

T0 = 1_767_225_600_000_000


def test_the_file_shrinks(tmp_path: Path) -> None:
    file = tmp_path / "city.db"
    store = open_store(tmp_path, ManualClock(), near=True)
    for number in range(20):
        hours = range(3000)
        some = [Reading(f"urn:p:{number}", "free", T0 + h * HOUR_US, 1 + h) for h in hours]
        store.commit(WRITE, Change((Observe("P", some),))).result(10)
    store.close()  # the journal goes into the file
    full = file.stat().st_size
    store = open_store(tmp_path, ManualClock(), near=True)
    try:
        before = store.history_size(READ)
        store.compact(permit("administer"), T0 + 2990 * HOUR_US)
        after = store.history_size(READ)
        assert after.bytes_each is not None
        assert after.bytes_each < 2 < 20 < (before.bytes_each or 0)
        assert file.stat().st_size < full / 2
    finally:
        store.close()
