# SPDX-License-Identifier: EUPL-1.2
"""Ops written together come to what they come to one by one, whatever came before in the group."""

import random
from pathlib import Path

import pytest
from tests.contract.conftest import Opens
from tests.permits import READ, WRITE

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError, NotFound
from poorter.city.query import Compare, HistoryQuery, Query
from poorter.city.query import Path as ValuePath
from poorter.store import contract as c

URNS = [f"urn:ngsi-ld:Thing:{number}" for number in range(5)]
TYPES = (("Thing",), ("Thing", "Lamp"), ("Lamp",))
NOW_US = ManualClock().now_us()


def attribute(dice: random.Random) -> Attribute:
    name = dice.choice(("a", "b", "c"))
    dataset = dice.choice((None, None, "urn:d:1"))
    if dice.random() < 0.15:
        point = {"type": "Point", "coordinates": [dice.randrange(1, 9), 52]}
        return Attribute(name, point, "GeoProperty", dataset_id=dataset)
    value: object = dice.choice((1, 2, 3, "x", "y", True, [1]))
    seen = NOW_US + dice.randrange(3) if dice.random() < 0.3 else None
    return Attribute(name, value, observed_at_us=seen, dataset_id=dataset)


def attributes(dice: random.Random) -> tuple[Attribute, ...]:
    found = {one.key: one for one in (attribute(dice) for _ in range(dice.randrange(4)))}
    return tuple(found.values())


def op(dice: random.Random) -> c.Op:
    urn = dice.choice(URNS)
    entity = Entity(
        urn, dice.choice(TYPES), attributes(dice), dice.choice(((), ("/a",), ("/a", "/b")))
    )
    one = attribute(dice)
    choices: tuple[c.Op, ...] = (
        c.Create(entity),
        c.Put(entity, replace=True),
        c.Put(entity, replace=False),
        c.Replace(entity),
        c.SetAttributes(urn, attributes(dice), dice.choice(("append", "keep", "update"))),
        c.SetAttributes(urn, attributes(dice), expect=dice.randrange(1, 4)),
        c.SetAttributes(urn, attributes(dice), add_types=("More",), scopes=("/c",)),
        c.Delete(urn),
        c.DeleteAttribute(urn, one.name, one.dataset_id),
        c.DeleteAttribute(urn, one.name, every_instance=True),
        c.Observe(
            dice.choice(("Thing", "Lamp")),
            [
                c.Reading(
                    dice.choice(URNS), one.name, NOW_US + dice.randrange(4), dice.randrange(3)
                )
                for _ in range(dice.randrange(4))
            ],
        ),
    )
    return dice.choice(choices)


def state(store: c.Store) -> list[object]:
    """All that a reader can see: entities, what queries find, history."""
    seen: list[object] = [store.query(READ, Query(types=("Thing", "Lamp", "More"), count=True))]
    seen.append(store.types(READ))
    for value in (1, 2, "x"):
        condition = Compare(ValuePath("a"), "==", (value,))
        seen.append([e.urn for e in store.query(READ, Query(condition=condition)).entities])
    for urn in URNS:
        try:
            seen.append((store.entity(READ, urn), store.history(READ, HistoryQuery(urn))))
        except NotFound:
            seen.append(None)
    return seen


@pytest.mark.parametrize("seed", range(12))
def test_together_or_one_by_one_is_the_same(seed: int, opens: Opens, tmp_path: Path) -> None:
    dice = random.Random(seed)
    clock = ManualClock()
    apart = opens(tmp_path / "apart", clock)
    good: list[tuple[c.Op, object]] = []
    try:
        for _ in range(150):
            one = op(dice)
            try:
                good.append((one, apart.commit(WRITE, c.Change((one,))).result(10).results[0]))
            except CityError:
                continue
        wanted = state(apart)
    finally:
        apart.close()
    assert len(good) > 50
    together = opens(tmp_path / "together", clock)
    try:
        done = 0
        while done < len(good):
            part = good[done : done + dice.randrange(1, 25)]
            done += len(part)
            change = c.Change(tuple(one for one, _ in part))
            results = together.commit(WRITE, change).result(10).results
            assert list(results) == [result for _, result in part]
            with pytest.raises(CityError):  # a refused change in between leaves nothing behind
                together.commit(WRITE, c.Change((*change.ops, c.Delete("urn:x:none")))).result(10)
            if dice.random() < 0.3:
                together.close()
                together = opens(tmp_path / "together", clock)
        assert state(together) == wanted
    finally:
        together.close()
