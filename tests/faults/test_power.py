# SPDX-License-Identifier: EUPL-1.2
"""Power cuts and full disks: what was acknowledged is there, nothing is there by half."""

import random
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from tests.faults.power import Power, PowerVFS
from tests.permits import READ, WRITE

from poorter.city.clock import SystemClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError, NotFound, Unavailable
from poorter.store.contract import AppendLeaf, Change, Put, Store
from poorter.store.sqlite import open_store


def pair(number: int) -> Change:
    """Two entities that must always say the same, and a leaf."""
    entities = [
        Entity(f"urn:x:{side}", ("T",), (Attribute("n", number), Attribute("pad", "x" * 700)))
        for side in "ab"
    ]
    return Change((*(Put(e) for e in entities), AppendLeaf(b"%d" % number)))


def value(store: Store, side: str) -> int:
    try:
        found = store.decode(store.entity(READ, f"urn:x:{side}")).value("n")
    except NotFound:
        return -1
    assert isinstance(found, int)
    return found


def cut_once(folder: Path, seed: int) -> tuple[int, int]:
    """Write until the power goes; (last acknowledged, what is there after the restart)."""
    power = Power(seed, random.Random(seed).randrange(40, 900))
    name = f"power-{folder.name}-{seed}"
    vfs = PowerVFS(name, power)
    acknowledged = -1
    store = None
    try:
        store = open_store(folder, SystemClock(), vfs=name)
        for number in range(400):
            store.commit(WRITE, pair(number)).result(10)
            acknowledged = number
    except (CityError, apsw.Error):
        assert power.dead
    finally:
        power.cut()
        if store is not None:
            with suppress(apsw.Error):  # closing wants to write; the power is off
                store.close()
        vfs.unregister()
    for leftover in folder.glob("*-shm"):
        leftover.unlink()
    again = open_store(folder, SystemClock())
    there = value(again, "a")
    assert there == value(again, "b")
    assert [leaf for _, leaf in again.leaves(READ, 0, 1000)] == [
        b"%d" % n for n in range(there + 1)
    ]
    sequences = [event.sequence for event in again.events(READ, 0)]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) == 2 * (there + 1)
    again.close()
    check = apsw.Connection(str(folder / "city.db"))
    assert next(check.execute("PRAGMA integrity_check"))[0] == "ok"
    check.close()
    return acknowledged, there


@pytest.mark.parametrize("seed", range(12))
def test_after_a_power_cut_every_acknowledged_change_is_whole(tmp_path: Path, seed: int) -> None:
    acknowledged, there = cut_once(tmp_path / "city", seed)
    assert there >= acknowledged


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_power_cuts(tmp_path: Path) -> None:
    for seed in range(1000, 1400):
        acknowledged, there = cut_once(tmp_path / str(seed), seed)
        assert there >= acknowledged, seed


def test_a_full_disk_refuses_in_words_and_recovers(tmp_path: Path) -> None:
    power = Power(1, 10**9)
    vfs = PowerVFS("full-disk", power)
    store = open_store(tmp_path / "city", SystemClock(), vfs="full-disk")
    try:
        for number in range(20):
            store.commit(WRITE, pair(number)).result(10)
        power.full = True
        for number in range(20, 25):
            with pytest.raises(Unavailable, match="disk"):
                store.commit(WRITE, pair(number)).result(10)
        assert value(store, "a") == value(store, "b") == 19
        power.full = False
        store.commit(WRITE, pair(30)).result(10)
        assert value(store, "a") == value(store, "b") == 30
        assert len(store.leaves(READ, 0, 100)) == 21
    finally:
        store.close()
        vfs.unregister()
