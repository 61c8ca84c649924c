# SPDX-License-Identifier: EUPL-1.2
"""A feed's readings: known, new, late, corrected; a feed never overwrites newer state."""

import math
from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.permits import READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied, Invalid, NotFound
from poorter.city.query import HistoryQuery
from poorter.city.time import HOUR_US
from poorter.gate.permit import TypeRule
from poorter.store.contract import (
    Change,
    Create,
    Observe,
    ObserveResult,
    Reading,
    SetAttributes,
    Store,
)
from poorter.store.series import InSeries, series_of

URN = "urn:ngsi-ld:OffStreetParking:noord"
T0 = 1_767_225_600_000_000


def observe(store: Store, *readings: Reading, one_event: bool = False) -> ObserveResult:
    return observe_all(store, readings, one_event)


def observe_all(
    store: Store, readings: Sequence[Reading], one_event: bool = False
) -> ObserveResult:
    change = Change((Observe("OffStreetParking", readings, one_event),))
    result = store.commit(WRITE, change).result(10).results[0]
    assert isinstance(result, ObserveResult)
    return result


def at(hours: float, value: object, quality: int = 0) -> Reading:
    return Reading(URN, "free", T0 + round(hours * HOUR_US), value, quality=quality)


def state(store: Store) -> object:
    return store.decode(store.entity(READ, URN)).value("free")


def test_known_new_correction_and_late(store: Store) -> None:
    assert observe(store, at(0, 5), at(1, 6)) == ObserveResult(new=2)
    assert observe(store, at(0, 5), at(1, 6)) == ObserveResult(duplicates=2)
    assert observe(store, at(0, 7)) == ObserveResult(corrections=1)
    assert state(store) == 6
    assert observe(store, at(0.5, 1)) == ObserveResult(new=1)
    assert state(store) == 6
    assert observe(store, at(1, 9)) == ObserveResult(corrections=1)
    assert state(store) == 9
    kept = store.history(READ, HistoryQuery(URN, corrections=True))
    assert [(o.value, o.sequence) for o in kept] == [(5, 0), (7, 1), (1, 0), (6, 0), (9, 1)]
    assert [o.value for o in store.history(READ, HistoryQuery(URN))] == [7, 1, 9]


def test_a_reading_in_another_unit_is_refused_not_mixed_in(store: Store) -> None:
    def warm(hours: float, value: float, unit: str | None) -> Reading:
        return Reading(URN, "temperature", T0 + round(hours * HOUR_US), value, unit_code=unit)

    def unit() -> str | None:
        found = store.decode(store.entity(READ, URN)).get("temperature")
        assert found is not None
        return found.unit_code

    assert observe(store, warm(0, 21.5, "CEL"), warm(1, 22.5, None)).new == 2
    assert unit() == "CEL", "a reading that names no unit is in the one that is kept"
    with pytest.raises(Invalid, match="temperature is kept in CEL, this one is in FAH"):
        observe(store, warm(2, 23.0, "CEL"), warm(3, 72.5, "FAH"))
    assert len(store.history(READ, HistoryQuery(URN))) == 2, "none of that change is there"
    fahrenheit = Attribute("temperature", 70, observed_at_us=T0 + 4 * HOUR_US, unit_code="FAH")
    store.commit(WRITE, Change((SetAttributes(URN, (fahrenheit,)),))).result(10)
    with pytest.raises(Invalid, match="kept in FAH"):  # the API may change it, aloud
        observe(store, warm(5, 22.0, "CEL"))
    assert observe(store, warm(5, 71.0, "FAH")).new == 1


def test_a_feed_does_not_overwrite_what_the_api_wrote_later(store: Store) -> None:
    observe(store, at(0, 5))
    newer = Attribute("free", 50, observed_at_us=T0 + 2 * HOUR_US)
    store.commit(WRITE, Change((SetAttributes(URN, (newer,)),))).result(10)
    assert observe(store, at(1, 6)) == ObserveResult(new=1)
    assert state(store) == 50
    assert observe(store, at(2, 50)) == ObserveResult(duplicates=1)
    assert observe(store, at(2, 51)) == ObserveResult(corrections=1)
    assert [o.value for o in store.history(READ, HistoryQuery(URN))] == [5, 6, 51]


def test_state_written_without_a_moment_counts_from_its_writing(
    store: Store, clock: ManualClock
) -> None:
    clock.set_us(T0 + 5 * HOUR_US)
    entity = Entity(URN, ("OffStreetParking",), (Attribute("free", 3),))
    store.commit(WRITE, Change((Create(entity),))).result(10)
    observe(store, at(1, 6))
    assert state(store) == 3
    observe(store, at(6, 7))
    assert state(store) == 7


def test_many_of_many_at_once_and_then_again_beside_others(store: Store) -> None:
    """More than one statement holds, of some moments more than one word, kinds mixed."""

    def readings(until: int) -> list[Reading]:
        return [
            Reading(f"{URN}:{one}", name, T0 + hour * HOUR_US, value, quality=quality)
            for one in range(3)
            for name, value, quality in (("free", 5, 0), ("air", 1.5, 1), ("note", "ok", 0))
            for hour in range(until)
        ]

    assert observe_all(store, InSeries(series_of(readings(100)))) == ObserveResult(new=900)
    changed = [r._replace(value=6) for r in readings(3) if r.name == "free"]
    assert observe_all(store, InSeries(series_of(changed))) == ObserveResult(corrections=9)
    whole = InSeries(series_of([*changed, *readings(110)]))
    assert observe_all(store, whole) == ObserveResult(new=90, duplicates=909)
    kept = store.history(READ, HistoryQuery(f"{URN}:1", names=("free",)))
    assert [o.value for o in kept] == [6, 6, 6, *[5] * 107]
    found = store.decode(store.entity(READ, f"{URN}:2")).get("air")
    assert found is not None
    assert (found.value, found.observed_at_us) == (1.5, T0 + 109 * HOUR_US)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_nothing_is_no_reading(store: Store, value: object) -> None:
    with pytest.raises(Invalid, match="no reading"):
        observe(store, at(0, 1), at(1, value))
    with pytest.raises(NotFound):
        store.entity(READ, URN)


def test_a_bad_reading_is_kept_but_is_not_the_state(store: Store) -> None:
    observe(store, at(0, 5), at(1, 999, quality=3))
    assert state(store) == 5
    assert [o.quality for o in store.history(READ, HistoryQuery(URN))] == [0, 3]
    buckets = store.aggregate(READ, HistoryQuery(URN), 24 * HOUR_US)
    assert [(b.count, b.mean) for b in buckets["free"]] == [(1, 5.0)]


def test_buckets_apply_corrections_and_leave_gaps_empty(store: Store) -> None:
    observe(store, at(0, 2), at(0.5, 4), at(3, 10))
    observe(store, at(0.5, 6))
    buckets = store.aggregate(READ, HistoryQuery(URN), HOUR_US)["free"]
    assert [(b.start_us - T0, b.count, b.mean) for b in buckets] == [
        (0, 2, 4.0),
        (3 * HOUR_US, 1, 10.0),
    ]


def test_the_newest_few_come_in_order(store: Store) -> None:
    observe(store, *(at(n, n) for n in range(10)))
    assert [o.value for o in store.history(READ, HistoryQuery(URN, last=3))] == [7, 8, 9]
    window = HistoryQuery(URN, from_us=T0 + 2 * HOUR_US, until_us=T0 + 4 * HOUR_US)
    assert [o.value for o in store.history(READ, window)] == [2, 3]


def test_what_is_past_retention_is_gone_at_reading(store: Store, clock: ManualClock) -> None:
    observe(store, at(0, 1), at(5, 2))
    clock.set_us(T0 + 6 * HOUR_US)
    rule = TypeRule(retention_us=2 * HOUR_US)
    short = permit("read", {"OffStreetParking": rule})
    assert [o.value for o in store.history(short, HistoryQuery(URN))] == [2]
    assert [b.count for b in store.aggregate(short, HistoryQuery(URN), HOUR_US)["free"]] == [1]


def test_a_backfill_is_one_event(store: Store) -> None:
    before = len(store.events(READ, 0))
    observe(store, *(at(n, n) for n in range(100)), one_event=True)
    events = store.events(READ, 0)[before:]
    assert [e.kind for e in events] == ["backfill"]


def test_a_feed_without_grant_is_denied(store: Store) -> None:
    narrow = permit("write", {"OffStreetParking": TypeRule(frozenset({"other"}))})
    with pytest.raises(Denied):
        store.commit(narrow, Change((Observe("OffStreetParking", (at(0, 1),)),))).result(10)


def test_another_type_under_the_same_id_is_refused(store: Store) -> None:
    observe(store, at(0, 1))
    with pytest.raises(Invalid, match="no Other"):
        store.commit(WRITE, Change((Observe("Other", (at(1, 1),)),))).result(10)


READINGS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=25)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=READINGS, cut=st.integers(0, 25), as_series=st.booleans())
def test_any_order_agrees_with_the_plain_rule(
    store: Store, data: list, cut: int, as_series: bool
) -> None:
    """Against the rule written out: same moment and value is nothing, other value a correction."""
    urn = f"urn:x:{len(store.types(READ))}-{id(data)}-{len(store.events(READ, 0, 1000))}-{cut}"
    words: dict[int, list[int]] = defaultdict(list)
    expected = ObserveResult()
    for hour, value in data:
        known = words[hour]
        new, corrected, same = expected.new, expected.corrections, expected.duplicates
        if not known:
            new += 1
        elif value in known:
            same += 1
        else:
            corrected += 1
        if value not in known:
            known.append(value)
        expected = ObserveResult(new, corrected, same)
    readings = [Reading(urn, "free", T0 + h * HOUR_US, v) for h, v in data]
    parts = (readings[:cut], readings[cut:])
    if as_series:
        got = [observe_all(store, InSeries(series_of(part))) for part in parts]
    else:
        got = [observe_all(store, part) for part in parts]
    assert (
        ObserveResult(
            sum(r.new for r in got), sum(r.corrections for r in got), sum(r.duplicates for r in got)
        )
        == expected
    )
    if data:
        latest = [words[hour][-1] for hour in sorted(words) if words[hour]]
        assert [o.value for o in store.history(READ, HistoryQuery(urn))] == latest
        assert store.decode(store.entity(READ, urn)).value("free") == latest[-1]
