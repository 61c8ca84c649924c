# SPDX-License-Identifier: EUPL-1.2
"""History that was compacted, at any moment and in any order, answers as a plain list does."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.conftest import ADMINISTER, Opens
from tests.permits import FAR_US, READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute
from poorter.city.errors import Denied
from poorter.city.query import HistoryQuery
from poorter.city.time import DAY_US, HOUR_US
from poorter.gate.permit import TypeRule
from poorter.store.contents import digest_of
from poorter.store.contract import Change, Observe, Reading, SetAttributes
from poorter.store.sqlite import open_store
from poorter.store.tables.store import TableStore

T0 = 1_767_225_600_000_000
TYPE = "OffStreetParking"
MINUTES = st.integers(-90, 60 * 30).map(lambda n: n - n % 15)
VALUES = st.sampled_from((0, 1, 7, 1.0, 2.5, -3.25, "open", "7", True, [1, {"a": 2}]))
READING = st.tuples(st.integers(0, 2), MINUTES, VALUES, st.integers(0, 3))
STEP = (
    st.tuples(st.just("observe"), st.lists(READING, min_size=1, max_size=12))
    | st.tuples(st.just("compact"), MINUTES, st.booleans())
    | st.tuples(st.just("write"), READING)
    | st.tuples(st.just("restart"))
    | st.tuples(st.just("wait"), st.integers(0, 90_000))
)


def urn(number: int) -> str:
    return f"urn:ngsi-ld:{TYPE}:{number}"


class Plain:
    """The rule written out: (value, quality) by moment, in the order in which it was said."""

    def __init__(self) -> None:
        self.said: dict[int, dict[int, list[tuple[Any, int]]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def observe(self, number: int, at_us: int, value: Any, quality: int) -> None:
        words = self.said[number][at_us]
        if not any(same(value, known) for known, _ in words):
            words.append((value, quality))

    def write(self, number: int, at_us: int, value: Any) -> None:
        words = self.said[number][at_us]
        if not words or not same(words[-1][0], value):
            words.append((value, 0))

    def history(self, number: int, corrections: bool) -> list[tuple[int, int, Any, int]]:
        rows = [
            (at_us, sequence, value, quality)
            for at_us in sorted(self.said[number])
            for sequence, (value, quality) in enumerate(self.said[number][at_us])
        ]
        if corrections:
            return rows
        return [list(one)[-1] for _, one in itertools.groupby(rows, lambda row: row[0])]

    def buckets(self, number: int, width_us: int, query: HistoryQuery) -> list[tuple[Any, ...]]:
        found: dict[int, list[float]] = defaultdict(list)
        low = -FAR_US if query.from_us is None else query.from_us
        high = FAR_US if query.until_us is None else query.until_us
        for at_us, _, value, quality in self.history(number, False):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if quality < 3 and is_number and low <= at_us < high:
                found[at_us // width_us * width_us].append(value)
        return [
            (start, len(v), sum(v) / len(v), min(v), max(v), sum(v))
            for start, v in sorted(found.items())
        ]


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


@pytest.fixture
def reopening(
    opens: Opens, tmp_path: Path, clock: ManualClock
) -> Iterator[Callable[[], TableStore]]:
    opened: list[TableStore] = []

    def again() -> TableStore:
        if opened:
            opened.pop().close()
        opened.append(opens(tmp_path / "city", clock))
        return opened[0]

    yield again
    opened.pop().close()


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, min_size=2, max_size=14), minute=MINUTES)
def test_any_course_answers_as_a_list_does(
    opens: Opens,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[Any],
    minute: int,
) -> None:
    clock = ManualClock()
    folder = tmp_path_factory.mktemp("city")
    store = opens(folder, clock)
    plain = Plain()
    try:
        for step in steps:
            if step[0] == "observe":
                readings = []
                for number, at, value, quality in step[1]:
                    at_us = T0 + at * 60_000_000
                    readings.append(Reading(urn(number), "free", at_us, value, quality=quality))
                    plain.observe(number, at_us, value, quality)
                store.commit(WRITE, Change((Observe(TYPE, readings),))).result(10)
            elif step[0] == "write":
                number, at, value, _ = step[1]
                if plain.said[number]:
                    at_us = T0 + at * 60_000_000
                    attribute = Attribute("free", value, observed_at_us=at_us)
                    op = SetAttributes(urn(number), (attribute,))
                    store.commit(WRITE, Change((op,))).result(10)
                    plain.write(number, at_us, value)
            elif step[0] == "compact":
                store.compact(ADMINISTER, T0 + step[1] * 60_000_000, step[2])
            elif step[0] == "wait":
                clock.forward_s(step[1])
            else:
                store.close()
                store = opens(folder, clock)
        _agree(store, plain, T0 + minute * 60_000_000)
    finally:
        store.close()


def _agree(store: TableStore, plain: Plain, cut_us: int) -> None:
    for number, said in plain.said.items():
        if not said:
            continue
        for corrections in (False, True):
            expected = plain.history(number, corrections)
            for query, part in (
                (HistoryQuery(urn(number), corrections=corrections), expected),
                (HistoryQuery(urn(number), corrections=corrections, last=3), expected[-3:]),
                (HistoryQuery(urn(number), corrections=corrections, limit=4), expected[:4]),
                (
                    HistoryQuery(urn(number), corrections=corrections, from_us=cut_us),
                    [row for row in expected if row[0] >= cut_us],
                ),
            ):
                got = [
                    (o.observed_at_us, o.sequence, o.value, o.quality)
                    for o in store.history(READ, query)
                ]
                assert repr(got) == repr(part)
        for width in (HOUR_US // 4, HOUR_US, 5 * HOUR_US, DAY_US):
            for query in (HistoryQuery(urn(number)), HistoryQuery(urn(number), until_us=cut_us)):
                buckets = store.aggregate(READ, query, width)["free"]
                got = [
                    (b.start_us, b.count, b.mean, b.minimum, b.maximum, b.total) for b in buckets
                ]
                assert got == plain.buckets(number, width, query)


def readings(number: int, hours: range, value: int = 1) -> list[Reading]:
    return [Reading(urn(number), "free", T0 + h * HOUR_US, value + h) for h in hours]


def observe(store: TableStore, some: list[Reading], kind: str = TYPE) -> Any:
    return store.commit(WRITE, Change((Observe(kind, some),))).result(10).results[0]


def test_rows_leave_the_store(reopening: Callable[[], TableStore]) -> None:
    store = reopening()
    for number in range(20):
        observe(store, readings(number, range(3000)))
    before = store.history_size(READ)
    assert (before.rows, before.compacted) == (60_000, 0)
    done = store.compact(ADMINISTER, T0 + 2990 * HOUR_US)
    assert done.moved == 20 * 2990
    after = store.history_size(READ)
    assert (after.rows, after.compacted) == (200, 59_800)
    assert len(store.history(READ, HistoryQuery(urn(7), limit=5000))) == 3000


def test_personal_history_stays_in_rows(reopening: Callable[[], TableStore]) -> None:
    store = reopening()
    observe(store, readings(1, range(10)))
    observe(store, [Reading("urn:x:1", "steps", T0 + h * HOUR_US, h) for h in range(10)], "Person")
    observe(store, [Reading("urn:x:2", "free", T0 + h * HOUR_US, h) for h in range(10)], "Other")
    rules = {TYPE: TypeRule(), "Person": TypeRule(personal=True)}
    store.compact(permit("administer", rules), FAR_US, all_of_it=True)
    size = store.history_size(READ)
    assert (size.compacted, size.rows) == (10, 20)  # what the permit does not name stays too
    with pytest.raises(Denied):
        store.compact(READ, FAR_US)


def test_what_becomes_personal_goes_back_to_rows(reopening: Callable[[], TableStore]) -> None:
    store = reopening()
    observe(store, readings(1, range(10)))
    observe(store, [Reading("urn:x:1", "steps", T0 + h * HOUR_US, h) for h in range(10)], "Person")
    store.compact(ADMINISTER, FAR_US, all_of_it=True)
    assert store.history_size(READ).compacted == 20
    rules = {TYPE: TypeRule(), "Person": TypeRule(personal=True)}
    store.compact(permit("administer", rules), FAR_US, all_of_it=True)
    size = store.history_size(READ)
    assert (size.compacted, size.rows) == (10, 10)
    assert len(store.history(READ, HistoryQuery("urn:x:1"))) == 10


def test_what_is_past_retention_goes_from_segments_too(
    reopening: Callable[[], TableStore], clock: ManualClock
) -> None:
    store = reopening()
    observe(store, readings(1, range(100)))
    observe(store, [Reading("urn:x:1", "n", T0 + h * HOUR_US, h) for h in range(100)], "Other")
    store.compact(ADMINISTER, T0 + 90 * HOUR_US)
    clock.set_us(T0 + 100 * HOUR_US)
    rules = {TYPE: TypeRule(retention_us=50 * HOUR_US), "Other": TypeRule()}
    store.compact(permit("administer", rules), T0 + 90 * HOUR_US)
    assert store.history_size(READ).compacted == 40 + 90
    assert len(store.history(READ, HistoryQuery(urn(1)))) == 50
    assert len(store.history(READ, HistoryQuery("urn:x:1"))) == 100


def test_a_backup_has_the_segments_of_its_moment(
    reopening: Callable[[], TableStore], tmp_path: Path, clock: ManualClock
) -> None:
    store = reopening()
    observe(store, readings(1, range(100)))
    store.compact(ADMINISTER, T0 + 50 * HOUR_US)
    with store.contents(READ) as contents:
        wanted = digest_of(contents)
    store.backup(READ, str(tmp_path / "copy"))
    observe(store, readings(1, range(100, 200)))
    store.compact(ADMINISTER, FAR_US, all_of_it=True)
    store.compact(ADMINISTER, FAR_US, all_of_it=True)  # what was replaced is off the disk
    copy = open_store(tmp_path / "copy", clock, near=True)  # whichever engine it is of
    try:
        assert len(copy.history(READ, HistoryQuery(urn(1)))) == 100
        with copy.contents(READ) as contents:
            assert digest_of(contents) == wanted
    finally:
        copy.close()


def test_a_child_compacts_as_this_process_does(
    opens: Opens, tmp_path: Path, clock: ManualClock
) -> None:
    store = opens(tmp_path / "city", clock, near=False)
    try:
        observe(store, readings(1, range(100)))
        assert store.compact(ADMINISTER, T0 + 50 * HOUR_US).moved == 50
        assert observe(store, readings(1, range(100))).duplicates == 100
        assert observe(store, readings(1, range(10), value=5)).corrections == 10
        found = store.history(READ, HistoryQuery(urn(1)))
        assert [o.value for o in found] == [*range(5, 15), *range(11, 101)]
    finally:
        store.close()
