# SPDX-License-Identifier: EUPL-1.2
"""kill -9 in the middle of compaction, over and over: nothing lost, nothing doubled."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.contract.conftest import ADMINISTER
from tests.permits import FAR_US, READ
from tests.served import SRC

from poorter.city.clock import SystemClock
from poorter.city.query import HistoryQuery
from poorter.city.time import HOUR_US
from poorter.store.sqlite import open_store

ROOT = Path(__file__).parents[2]
T0 = 1_700_000_000_000_000
SENSORS = 7

#: writes hours one after another, says which are acknowledged, and compacts all the time
WORK = """
import sys, threading
from pathlib import Path
from tests.faults.test_compaction_kill import SENSORS, T0, reading
from tests.contract.conftest import ADMINISTER
from tests.permits import FAR_US, WRITE
from poorter.city.clock import SystemClock
from poorter.city.errors import Conflict
from poorter.store.contract import Change, Observe
from poorter.store.sqlite import open_store

store = open_store(Path(sys.argv[1]), SystemClock(), near=sys.argv[2] == "near")
def write():
    hour = int(sys.argv[3])
    while True:
        some = [reading(n, h) for h in range(hour, hour + 40) for n in range(SENSORS)]
        some += [reading(n, h) for h in range(max(0, hour - 300), hour, 50) for n in range(SENSORS)]
        store.commit(WRITE, Change((Observe("City", some, True),))).result(10)
        hour += 40
        print(hour, flush=True)
threading.Thread(target=write, daemon=True).start()
while True:
    try:
        store.compact(ADMINISTER, FAR_US, all_of_it=True)
    except Conflict:
        print("conflict", file=sys.stderr)
"""


def reading(number: int, hour: int) -> object:
    from poorter.store.contract import Reading

    return Reading(f"urn:ngsi-ld:City:{number}", "n", T0 + hour * HOUR_US, hour * 10 + number)


@pytest.mark.parametrize("where", ["near", "child"])
def test_kill_while_compacting(tmp_path: Path, where: str) -> None:
    dice = random.Random(where)
    hours = 0
    for _ in range(5):
        work = subprocess.Popen(
            [sys.executable, "-c", WORK, str(tmp_path), where, str(hours)],
            env={"PYTHONPATH": f"{SRC}:{ROOT}", "PATH": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert work.stdout is not None
        assert work.stdout.readline()  # it has begun
        time.sleep(dice.uniform(0.1, 1.2))
        work.kill()
        said = work.stdout.read().split()
        work.stdout.close()
        work.wait()
        hours = int(said[-1]) if said else hours + 40
    store = open_store(tmp_path, SystemClock(), near=True)
    try:
        for again in (False, True):
            if again:
                store.compact(ADMINISTER, FAR_US, all_of_it=True)
                assert store.history_size(READ).rows == 0
            for number in range(SENSORS):
                urn, at = f"urn:ngsi-ld:City:{number}", 0
                while True:
                    start = T0 + at * HOUR_US
                    query = HistoryQuery(urn, from_us=start, limit=1000, corrections=True)
                    found = store.history(READ, query)
                    expected = range(at, at + len(found))
                    assert [(o.observed_at_us, o.value) for o in found] == [
                        (T0 + hour * HOUR_US, hour * 10 + number) for hour in expected
                    ]
                    at += len(found)
                    if len(found) < 1000:
                        break
                assert at >= hours > 200
        files = {file.name.split(".")[0] for file in (tmp_path / "history").iterdir()}
        store.compact(ADMINISTER, FAR_US)
        left = {file.name.split(".")[0] for file in (tmp_path / "history").iterdir()}
        assert len(left) == store.history_size(READ).segments <= len(files)
    finally:
        store.close()
