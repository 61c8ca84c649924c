# SPDX-License-Identifier: EUPL-1.2
"""What is in order says so: a database finds rows as it likes."""

from pathlib import Path

import pytest
from tests.contract.conftest import ADMINISTER
from tests.database import Database
from tests.permits import READ, WRITE

from poorter.city.clock import ManualClock
from poorter.city.query import HistoryQuery
from poorter.city.time import HOUR_US
from poorter.store.contract import Change, Observe, Reading
from poorter.store.postgres.store import open_store

URN, T0 = "urn:ngsi-ld:OffStreetParking:1", 1_767_225_600_000_000
MINUTES = (45, 0, 30, 15, 90, 75)


def test_history_is_in_the_order_of_time_also_without_an_index(
    server: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("indexscan", "indexonlyscan", "bitmapscan")
    monkeypatch.setenv("PGOPTIONS", " ".join(f"-c enable_{kind}=off" for kind in kinds))
    store = open_store(server.new_city(), tmp_path, ManualClock(), server.owner_url)
    try:
        for minute in MINUTES:
            at_us = T0 + minute * 60_000_000
            reading = Reading(URN, "free", at_us, minute)
            store.commit(WRITE, Change((Observe("OffStreetParking", (reading,)),))).result(20)
        for until_us in (T0 + HOUR_US, T0 + 3 * HOUR_US):
            store.compact(ADMINISTER, until_us, True)
            said = [o.value for o in store.history(READ, HistoryQuery(URN, ("free",)))]
            assert said == sorted(MINUTES)
    finally:
        store.close()
