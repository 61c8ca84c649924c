# SPDX-License-Identifier: EUPL-1.2
"""One random history on both engines: each change is answered alike, and so is each question."""

import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.database import Database
from tests.permits import READ, WRITE, permit

from poorter.city import query as q
from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError
from poorter.city.time import DAY_US, HOUR_US, MINUTE_US
from poorter.ledger.lines import SealedLine
from poorter.store import contract as c
from poorter.store.contents import Movable, digest_of
from poorter.store.evolving import AddInstances, DeleteInstances
from poorter.store.history.groups import GroupQuery
from poorter.store.postgres.store import open_store as open_postgres
from poorter.store.sqlite import open_store as open_sqlite

#: ids that a store mints are its own
_MINTED = re.compile(r"urn:poorter:instance:[a-z0-9]{20}")
ADMINISTER = permit("administer")
T0 = 1_767_225_600_000_000
TYPES = ("Sensor", "Room", "Road")
NAMES = ("n", "name", "status", "location", "refRoom")
DATASETS = (None, None, None, "urn:d:1")
TEXTS = ("", "a", "b", "\u00e9\u00e9n", "\u6f22", "A", "x" * 300, "a b", "\x00", "7", "%", "_")
NUMBERS: tuple[Any, ...] = (0, 1, -1, 7, 2.5, -0.125, 1e300, 2**53 + 1, 1.0)


class History:
    """Changes and questions, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def urn(self) -> str:
        return f"urn:x:{self.dice.randrange(60):03d}"

    def moment_us(self) -> int:
        return T0 + self.dice.randrange(-40 * 24 * 60, 24 * 60) // 15 * 15 * MINUTE_US

    def value(self) -> Any:
        kind = self.dice.randrange(10)
        if kind < 6:
            return self.dice.choice(NUMBERS)
        if kind < 9:
            return self.dice.choice(TEXTS)
        return self.dice.choice([True, [1, "a"], {"k": {"d": 1.5}}])

    def attribute(self) -> Attribute:
        name, dataset = self.dice.choice(NAMES), self.dice.choice(DATASETS)
        at_us = self.moment_us() if self.dice.random() < 0.5 else None
        if name == "location":
            lon, lat = 5 + self.dice.random() / 20, 52 + self.dice.random() / 20
            point = {"type": "Point", "coordinates": [lon, lat]}
            line = {"type": "LineString", "coordinates": [[lon, lat], [5.02, 52.02]]}
            shape = point if self.dice.random() < 0.95 else line
            return Attribute(name, shape, "GeoProperty", dataset_id=dataset)
        if name == "refRoom":
            return Attribute(name, self.urn(), "Relationship", dataset_id=dataset)
        sub = (Attribute("why", self.dice.choice(TEXTS)),) if self.dice.random() < 0.2 else ()
        return Attribute(name, self.value(), observed_at_us=at_us, dataset_id=dataset, sub=sub)

    def attributes(self, most: int = 4) -> tuple[Attribute, ...]:
        found = {a.key: a for a in (self.attribute() for _ in range(self.dice.randrange(most + 1)))}
        return tuple(found.values())

    def entity(self) -> Entity:
        types = tuple(self.dice.sample(TYPES, self.dice.choice((1, 1, 2))))
        scopes = self.dice.choice(((), (), ("/a/b",), ("/a", "/c/d")))
        return Entity(self.urn(), types, self.attributes(), scopes=scopes)

    def readings(self) -> c.Observe:
        number = self.dice.choice((1, 1, 2, 5, 30))
        some = [
            c.Reading(
                self.urn(),
                self.dice.choice(("n", "status")),
                self.moment_us(),
                self.value(),
                self.dice.choice(DATASETS),
                self.dice.randrange(4),
            )
            for _ in range(number)
        ]
        return c.Observe(self.dice.choice(TYPES), some, self.dice.random() < 0.2)

    def op(self) -> c.Op:
        dice = self.dice
        kind = dice.choices(range(15), (6, 8, 30, 4, 3, 4, 20, 6, 2, 2, 3, 3, 2, 1, 1))[0]
        made: tuple[Any, ...] = (
            lambda: c.Create(self.entity()),
            lambda: c.Put(self.entity(), dice.random() < 0.5),
            lambda: c.SetAttributes(
                self.urn(),
                self.attributes(3),
                dice.choice(("append", "keep", "update")),
                dice.choice((None, None, None, 2, 3)),
                dice.choice(((), (), ("Road",))),
                dice.choice((None, None, None, (), ("/z",))),
                dice.choice((None, None, None, T0 + dice.randrange(10**12))),
            ),
            lambda: c.Replace(self.entity()),
            lambda: c.Delete(self.urn(), dice.random() < 0.5),
            lambda: c.DeleteAttribute(
                self.urn(), dice.choice(NAMES), dice.choice(DATASETS), dice.random() < 0.3
            ),
            self.readings,
            lambda: c.PutRecord(
                dice.choice(("note", "goal")),
                f"r{dice.randrange(20)}",
                {"v": dice.randrange(9)},
                dice.choice((None, None, 0, 1)),
                {"state": dice.choice("ab")},
            ),
            lambda: c.DeleteRecord("note", f"r{dice.randrange(20)}"),
            lambda: c.Require("note", f"r{dice.randrange(20)}", dice.randrange(2)),
            lambda: c.Hold(
                "p",
                f"h{dice.randrange(12)}",
                dice.randrange(1, 4),
                12,
                1,
                T0 + dice.randrange(30) * DAY_US,
            ),
            lambda: c.AppendLeaf(bytes([dice.randrange(256)]), b"p", self.urn(), b"t"),
            lambda: c.Erase(self.urn()),
            lambda: c.Prune(self.urn(), self.moment_us()),
            lambda: DeleteInstances(self.urn(), dice.choice(("n", None)), every_dataset=True),
        )
        return made[kind]()  # type: ignore[no-any-return]

    def change(self) -> c.Change:
        ops = [self.op() for _ in range(self.dice.choice((1, 1, 1, 2, 6)))]
        if self.dice.random() < 0.05:
            moment = self.attributes(3)
            dated = tuple(a for a in moment if a.observed_at_us is not None)
            ops.append(AddInstances(Entity(self.urn(), ("Sensor",), dated)))
        if self.dice.random() < 0.05:
            lines = [SealedLine(bytes([self.dice.randrange(3)]) * 16, b"i" * 32, b"sealed")]
            ops.append(c.AppendLines(b"prefix", b"trace", lines))
        key = f"k{self.dice.randrange(200)}" if self.dice.random() < 0.05 else None
        return c.Change(tuple(ops), key)

    # -- questions ---------------------------------------------------------------------------

    def condition(self) -> q.Condition:
        dice = self.dice
        path = q.Path(dice.choice(("n", "name", "status", "refRoom", "none")))
        op = dice.choice(("==", "!=", "<", ">", ">=", "<="))
        return dice.choice(
            [
                q.Exists(path),
                q.Compare(path, op, (dice.choice((0, 1, 7, 2.5, "a", "b", "urn:x:001")),)),
                q.Compare(q.Path("n"), "==", (q.Range(0, 5),)),
                q.Compare(path, "~=", ("^a",)),
            ]
        )

    def query(self) -> q.Query:
        dice = self.dice
        point = {"type": "Point", "coordinates": [5.02, 52.02]}
        box = [[5.0, 52.0], [5.03, 52.0], [5.03, 52.03], [5.0, 52.03], [5.0, 52.0]]
        area = {"type": "Polygon", "coordinates": [box]}
        geo = dice.choice(
            [
                None,
                None,
                q.Geo("near", point, max_distance_m=dice.choice((500, 3000))),
                q.Geo("within", area),
                q.Geo("intersects", area),
                q.Geo("disjoint", area),
            ]
        )
        return q.Query(
            dice.choice(((), ("Sensor",), ("Room", "Road"))),
            id_pattern=dice.choice((None, None, None, "0[0-3]\\d$")),
            condition=self.condition() if dice.random() < 0.6 else None,
            attributes=dice.choice(((), (), ("name", "n"))),
            geo=geo,
            limit=dice.choice((3, 20, 100)),
            after=dice.choice((None, None, self.urn())),
            count=True,
        )

    def questions(self) -> list[Callable[[Any], Any]]:
        dice, urn = self.dice, self.urn()
        asked = q.HistoryQuery(
            urn,
            from_us=dice.choice((None, self.moment_us())),
            last=dice.choice((None, 3)),
            corrections=dice.random() < 0.5,
        )
        width_us = dice.choice((HOUR_US, 7 * HOUR_US, DAY_US))
        span = (T0 - 40 * DAY_US, T0 + DAY_US)
        groups = GroupQuery("Sensor", "n", *span, by="refRoom", width_us=DAY_US)
        queries = [self.query() for _ in range(6)]
        subject = bytes([1]) * 16
        return [
            *(lambda s, one=one: s.query(READ, one) for one in queries),
            lambda s: s.entity(READ, urn),
            lambda s: s.history(READ, asked),
            lambda s: s.aggregate(READ, asked, width_us),
            lambda s: s.evolution(READ, q.EvolutionQuery(urn, limit=50)),
            lambda s: s.evolving(READ, q.Query(("Sensor",), limit=30)),
            lambda s: s.grouped(READ, groups),
            lambda s: s.records(READ, "note", {"state": "a"}),
            lambda s: s.records(READ, "note", newest=True, limit=5),
            lambda s: (s.pool(READ, "p"), s.types(READ), s.facets(READ), s.sequence()),
            lambda s: s.events(READ, max(0, s.sequence() - 20)),
            lambda s: (s.leaves(READ, 0, 50), s.leaves_about(READ, urn)),
            lambda s: (s.lines(READ, subject), s.line_count(READ, subject)),
            lambda s: (s.heads(READ), s.traced(READ, b"t", 10, newest=True)),
            lambda s: s.expires_next_us(),
        ]


def answered(store: c.Store, change: c.Change) -> Any:
    try:
        done = store.commit(WRITE, change).result(60)
    except CityError as wrong:
        return type(wrong).__name__, str(wrong.detail)
    return done.results, done.sequence, done.at_us, done.replayed


def asked(store: c.Store, question: Callable[[Any], Any]) -> Any:
    try:
        return question(store)
    except CityError as wrong:
        return type(wrong).__name__, str(wrong.detail)


def alike(a: Any, b: Any) -> bool:
    """Equal; sums of doubles but for the order in which they were added."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    if isinstance(a, c.Bucket) and isinstance(b, c.Bucket):
        return alike(
            (a.start_us, a.count, a.mean, a.minimum, a.maximum, a.total),
            (b.start_us, b.count, b.mean, b.minimum, b.maximum, b.total),
        )
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    return type(a) is type(b) and (a == b or _MINTED.sub("", repr(a)) == _MINTED.sub("", repr(b)))


def differ(seed: int, ops: int, server: Database, folder: Path) -> int:
    """Run a history of so many operations on both; how many there were."""
    clocks = [ManualClock(), ManualClock()]
    stores: list[Any] = [open_sqlite(folder / "sqlite", clocks[0], near=True)]
    url = server.new_city()
    stores.append(open_postgres(url, folder / "pg", clocks[1], server.owner_url, near=True))
    done = 0
    histories = [History(seed), History(seed)]
    dice = random.Random(seed)
    try:
        while done < ops:
            changes = [one.change() for one in histories]
            assert changes[0] == changes[1]
            done += len(changes[0].ops)
            one, other = map(answered, stores, changes)
            assert repr(one) == repr(other), (seed, done, changes[0])
            step_s = dice.choice((0, 0, 0.25, 60))
            for clock in clocks:
                clock.forward_s(step_s)
            if dice.random() < 0.02:
                pairs = zip(*(one.questions() for one in histories), strict=True)
                for number, pair in enumerate(pairs):
                    mine, theirs = map(asked, stores, pair)
                    assert alike(mine, theirs), (seed, done, number, mine, theirs)
            if dice.random() < 0.002:
                until_us = T0 - dice.randrange(40) * DAY_US
                rounds = [store.compact(ADMINISTER, until_us, True) for store in stores]
                assert rounds[0].moved == rounds[1].moved
            if dice.random() < 0.002:
                for place in range(2):
                    stores[place].close()
                stores[0] = open_sqlite(folder / "sqlite", clocks[0], near=True)
                stores[1] = open_postgres(url, folder / "pg", clocks[1], near=True)
        digests = []
        for store in stores:
            assert isinstance(store, Movable)
            with store.contents(READ) as contents:
                found_here = digest_of(contents)
            number, _ = found_here["instances"]
            digests.append({**found_here, "instances": (number, "")})
        assert digests[0] == digests[1]
        return done
    finally:
        for store in stores:
            store.close()


@pytest.mark.parametrize("seed", range(3))
def test_both_engines_answer_alike(seed: int, server: Database, tmp_path: Path) -> None:
    assert differ(seed, 1000, server, tmp_path) >= 1000


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_operations_are_answered_alike(server: Database, tmp_path: Path) -> None:
    seed = int(os.environ.get("POORTER_SEED", "7"))
    assert differ(seed, 100_000, server, tmp_path) >= 100_000
