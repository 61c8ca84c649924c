"""Entities kept by the store are what is in the file, whatever was written, refused, undone."""

import itertools
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from tests.permits import READ, WRITE

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError, NotFound
from poorter.store import contract as c
from poorter.store.sqlite import SqliteStore, open_store
from poorter.store.sqlite.connect import FILE, connect
from poorter.store.tables import filling, recent
from poorter.store.tables.reading import whole_entity
from poorter.store.tables.recent import allowance, weight

URNS = [f"urn:ngsi-ld:City:{n}" for n in range(6)]
NAMES = ("n", "name", "location")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(tmp_path / "city", ManualClock())
    yield opened
    opened.close()


def _attribute(dice: random.Random, moment_us: int) -> Attribute:
    name = dice.choice(NAMES)
    if name == "location":
        value: Any = {"type": "Point", "coordinates": [5 + dice.random(), 52]}
        return Attribute(name, value, "GeoProperty")
    dataset = dice.choice((None, "urn:x:other"))
    observed_us = dice.choice((None, moment_us))
    return Attribute(name, dice.randrange(100), observed_at_us=observed_us, dataset_id=dataset)


def _op(dice: random.Random, moment_us: int, backfill: bool) -> c.Op:
    urn = dice.choice(URNS)
    one = _attribute(dice, moment_us)
    entity = Entity(urn, ("City",), (one,))
    kind = dice.randrange(12)
    if kind < 5:
        mode: Any = dice.choice(("append", "append", "update", "keep"))
        scopes = dice.choice((None, None, None, ("/a",)))
        return c.SetAttributes(urn, (one,), mode, scopes=scopes)
    if kind == 5:
        return c.Put(entity, replace=dice.random() < 0.5)
    if kind == 6:
        readings = [
            c.Reading(dice.choice(URNS), "n", moment_us + dice.randrange(-5, 5), dice.randrange(9))
            for _ in range(3)
        ]
        return c.Observe("City", readings, one_event=backfill)
    ops: dict[int, c.Op] = {
        7: c.Delete(urn, missing_ok=True),
        8: c.DeleteAttribute(urn, one.name, one.dataset_id),
        9: c.Replace(entity),
        10: c.Create(entity),
        11: c.SetAttributes(urn, (one,), expect=dice.randrange(20)),
    }
    return ops[kind]


@pytest.mark.parametrize("backfill", [True, False])
def test_kept_entities_are_those_of_the_file(
    store: SqliteStore, tmp_path: Path, backfill: bool
) -> None:
    dice = random.Random(7)
    reader = connect(tmp_path / "city" / FILE, write=False)
    refused = lived = 0
    seen: dict[str, list[c.Changed]] = {urn: [] for urn in URNS}
    watching = store.watch(lambda changed: [seen[one.urn].append(one) for one in changed] and None)
    watching.types = frozenset("*")
    for round_ in range(400):
        futures = []
        for _ in range(dice.randrange(1, 6)):
            ops = [_op(dice, round_ * 10, backfill) for _ in range(dice.choice((1, 1, 2, 3)))]
            futures.append(store.commit(WRITE, c.Change(tuple(ops))))
        refused += sum(isinstance(future.exception(10), CityError) for future in futures)
        for urn in URNS:
            kept = store._recent.get(urn)
            there = whole_entity(reader, urn)
            lived += kept is not None
            assert kept is None or kept == there
            try:
                assert store.entity(READ, urn) == there
            except NotFound:
                assert there is None
    assert refused > 100 and lived > 100
    store.close()
    for urn, changes in seen.items() if not backfill else ():  # of which nobody is told one by one
        assert len(changes) > 50
        for earlier, later in itertools.pairwise(changes):
            assert later._before == earlier._after
        assert changes[-1]._after == whole_entity(reader, urn)
    reader.close()


def test_a_kept_entity_outlives_its_update(store: SqliteStore) -> None:
    urn = URNS[0]
    entity = Entity(urn, ("City",), (Attribute("n", 1), Attribute("name", "a")))
    store.commit(WRITE, c.Change((c.Create(entity),))).result(10)
    before = store.entity(READ, urn)
    store.commit(WRITE, c.Change((c.SetAttributes(urn, (Attribute("n", 2),)),))).result(10)
    kept = store._recent.get(urn)
    assert kept is not None and kept is not before
    assert [a.name for a in kept.attributes] == ["n", "name"]
    assert b'"value":2' in kept.attributes[0].body and kept.version == before.version + 1
    assert kept.attributes[1] is before.attributes[1]


def test_what_was_read_before_a_commit_is_not_kept_after_it(store: SqliteStore) -> None:
    """A reader that was on its way during a commit may not bring back what was before it."""
    urn = URNS[0]
    entity = Entity(urn, ("City",), (Attribute("n", 1),))
    store.commit(WRITE, c.Change((c.Create(entity),))).result(10)
    kept = store._recent
    generation, old = kept.generation, store.entity(READ, urn)
    store.commit(WRITE, c.Change((c.Delete(urn),))).result(10)
    kept.keep([(1, old)], generation)
    assert kept.get(urn) is None
    kept.keep([(1, old)], kept.generation)
    assert kept.get(urn) is old


def test_all_come_into_memory_once_enough_are_asked_for(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none of them says anything but what the file says, though half of them were written or
    deleted meanwhile."""
    monkeypatch.setattr(filling, "READ_MIN", 20)
    monkeypatch.setattr(filling, "_AT_ONCE", 7)
    urns = [f"urn:ngsi-ld:City:{n}" for n in range(600)]
    new = (Entity(urn, ("City",), (Attribute("n", n),)) for n, urn in enumerate(urns))
    store.commit(WRITE, c.Change(tuple(map(c.Create, new)))).result(10)
    for urn in urns[:30]:
        store.entity(READ, urn)
    dice = random.Random(3)
    for round_ in range(150):
        urn = dice.choice(urns)
        set_n = c.SetAttributes(urn, (Attribute("n", -round_),))
        op = c.Delete(urn, missing_ok=True) if round_ % 3 == 0 else set_n
        with suppress(NotFound):
            store.commit(WRITE, c.Change((op,))).result(10)
    store._filling.wait()
    kept = {urn: store._recent.get(urn) for urn in urns}
    there = {urn: whole_entity(store._reader(), urn) for urn in urns}
    assert sum(one is not None for one in kept.values()) > 400
    for urn, one in kept.items():
        assert one is None or one == there[urn]
    for number in range(1, 601):
        known = store._recent.numbered(number)
        assert known is None or known.urn == f"urn:ngsi-ld:City:{number - 1}"


def test_what_is_kept_has_a_bound(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    urns = [f"urn:ngsi-ld:City:{n}" for n in range(300)]
    new = (Entity(urn, ("City",), (Attribute("n", n),)) for n, urn in enumerate(urns))
    store.commit(WRITE, c.Change(tuple(map(c.Create, new)))).result(10)
    one = weight(store.entity(READ, urns[0]))
    assert one > len(urns[0])
    monkeypatch.setattr(recent, "_open", WeakSet([store._recent]))
    monkeypatch.setattr(allowance, "bytes_max", 100 * one)
    for urn in urns:
        assert store.entity(READ, urn).urn == urn
    kept = [urn for urn in urns if store._recent.get(urn) is not None]
    assert 45 <= len(kept) <= 101 and kept == urns[-len(kept) :]


def test_a_refused_change_beside_a_backfill_leaves_the_rest(store: SqliteStore) -> None:
    """A backfill's event names one of many, and what a group with a refusal wrote is done twice:
    those that it wrote are read again, no others."""
    new = (Entity(urn, ("City",), (Attribute("n", 1),)) for urn in URNS)
    store.commit(WRITE, c.Change(tuple(map(c.Create, new)))).result(10)
    before = {urn: store.entity(READ, urn) for urn in URNS}
    store._writer._lock.acquire()  # while one waits for it, the next three become one group
    waiting = store.commit(WRITE, c.Change(()))
    while store._writer._queue.qsize():
        time.sleep(0.001)
    readings = [c.Reading(urn, "m", 10, 7) for urn in URNS[1:3]]
    first = store.commit(WRITE, c.Change((c.Observe("City", readings, one_event=True),)))
    refused = store.commit(WRITE, c.Change((c.Create(Entity(URNS[0], ("City",))),)))
    last = store.commit(WRITE, c.Change((c.SetAttributes(URNS[3], (Attribute("n", 9),)),)))
    store._writer._release()
    assert waiting.result(10) and isinstance(refused.exception(10), CityError)
    assert first.result(10) and last.result(10)
    for urn in (*URNS[:1], *URNS[4:]):
        assert store._recent.get(urn) is before[urn]
    for urn in URNS[1:4]:
        assert store.entity(READ, urn) == whole_entity(store._reader(), urn) != before[urn]
