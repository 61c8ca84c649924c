# SPDX-License-Identifier: EUPL-1.2
"""The gate: absence is denial, leases are short, a rescinded goal stops all under it."""

import time
from dataclasses import replace

import pytest
from tests.gate.policies import T, small

from poorter.city.clock import ManualClock
from poorter.city.errors import Denied, Invalid, Unavailable
from poorter.city.limits import PERMIT_LEASE_US
from poorter.city.time import DAY_US
from poorter.gate.bundle import make_bundle, open_bundle
from poorter.gate.cedar import to_cedar
from poorter.gate.compile import compile_table
from poorter.gate.gate import Compiled, Gate, arrange
from poorter.gate.policy import Grant, Policy, Purpose, with_parts
from poorter.identity.keys import KeyPair

KEY = KeyPair("city/policy", bytes(range(64)), 65)
OTHER = KeyPair("city/policy", bytes(64), 65)


def compiled(policy: Policy) -> Compiled:
    return arrange(policy, compile_table(to_cedar(policy)))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000)


@pytest.fixture
def gate(clock: ManualClock) -> Gate:
    return Gate(compiled(small()), clock)


def test_a_grant_gives_a_lease_of_at_most_a_second(gate: Gate, clock: ManualClock) -> None:
    permit = gate.permit("app", "find", "read")
    assert permit.valid_until_us - clock.now_us() <= PERMIT_LEASE_US
    assert gate.permit("app", "find", "read") is permit
    clock.forward_s(1)
    assert gate.permit("app", "find", "read") is not permit


@pytest.mark.parametrize(
    ("processor", "purpose", "action"),
    [
        ("app", "find", "write"),
        ("app", "Find", "read"),
        ("app", "find ", "read"),
        ("app", "", "read"),
        ("nobody", "find", "read"),
        ("app", "less-search", "read"),
        ("", "", "read"),
    ],
)
def test_absence_is_denial_in_the_same_words(
    gate: Gate, processor: str, purpose: str, action: str
) -> None:
    with pytest.raises(Denied) as refused:
        gate.permit(processor, purpose, action)  # type: ignore[arg-type]
    assert refused.value.detail == Denied().detail


def test_a_grant_begins_and_ends_to_the_microsecond(gate: Gate, clock: ManualClock) -> None:
    clock.set_us(99)
    assert not gate.allows("app", "find", "read")
    clock.set_us(100)
    assert gate.permit("app", "find", "read").valid_until_us == 1_000_100
    clock.set_us(4_999_999)
    assert gate.permit("app", "find", "read").valid_until_us == 5_000_000
    clock.set_us(5_000_000)
    assert not gate.allows("app", "find", "read")


def test_a_clock_set_back_does_not_stretch_a_lease(gate: Gate, clock: ManualClock) -> None:
    clock.set_us(200)
    gate.permit("app", "find", "read")
    clock.set_us(50)
    assert not gate.allows("app", "find", "read")


def test_commands_are_apart_from_writing(gate: Gate) -> None:
    writing = gate.permit("system", "find", "write").rules["OffStreetParking"]
    assert not writing.covers("signText")
    assert writing.covers("name")
    commanding = gate.permit("system", "find", "command").rules["OffStreetParking"]
    assert commanding.covers("signText")
    assert not commanding.covers("name")


def test_personal_data_carry_their_retention(gate: Gate) -> None:
    permit = gate.permit("system", "find", "read")
    assert permit.personal
    assert permit.rules["Person"].retention_us == 2 * DAY_US
    assert permit.rules["Person"].attributes == frozenset({"name"})
    assert not gate.permit("app", "find", "read").personal


def test_a_rescinded_goal_stops_everything_under_it(gate: Gate, clock: ManualClock) -> None:
    heard: list[int] = []
    gate.on_swap(lambda: heard.append(gate.policy.version))
    held = gate.permit("app", "find", "read")
    ended = replace(gate.policy.goals["less-search"], rescinded_at_us=clock.now_us())
    gate.swap(compiled(with_parts(gate.policy, [ended])))
    assert heard == [2]
    for action in ("read", "write", "command"):
        assert not gate.allows("system", "find", action)  # type: ignore[arg-type]
    clock.forward_s(1)
    with pytest.raises(Unavailable):  # the lease is over; who asks for another one is denied
        held.check("read", clock.now_us())
    with pytest.raises(Denied):
        gate.permit("app", "find", "read")


def test_a_goal_without_vote_opens_nothing() -> None:
    policy = small()
    unvoted = replace(policy.goals["less-search"], vote=None)
    gate = Gate(compiled(with_parts(policy, [unvoted])), ManualClock(1000))
    assert not gate.allows("app", "find", "read")


def test_an_older_or_equal_policy_is_refused(gate: Gate) -> None:
    with pytest.raises(Invalid, match="not above"):
        gate.swap(compiled(small()))


def test_a_bundle_needs_both_signatures_and_a_rising_version() -> None:
    bundle = make_bundle(small(), KEY)
    ring = [KEY.public()]
    assert open_bundle(bundle, ring).policy == small()
    with pytest.raises(Invalid, match="both ways"):
        open_bundle(bundle, [OTHER.public()])
    mine, others = bundle.signatures, make_bundle(small(), OTHER).signatures
    for half in ((mine[0], others[1]), (others[0], mine[1]), (mine[0], b""), (b"", mine[1])):
        forged = type(bundle)(bundle.version, bundle.policy, bundle.cedar, half)
        with pytest.raises(Invalid, match="both ways"):
            open_bundle(forged, ring)
    with pytest.raises(Invalid, match="not above 1"):
        open_bundle(bundle, ring, above=1)
    for change in (
        {"version": 2},
        {"cedar": bundle.cedar + " "},
        {"policy": bundle.policy.replace(b"anna", b"hans")},
    ):
        parts = {f: getattr(bundle, f) for f in ("version", "policy", "cedar", "signatures")}
        with pytest.raises(Invalid, match="both ways"):
            open_bundle(type(bundle)(**(parts | change)), ring)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Purpose("new", "no-goal", T, "law", "o"), "no known goal"),
        (Purpose("new", "less-search", T, " ", "o"), "no legal basis"),
        (Grant("g", "app", "find", "parking", ("read",), ("anna", "anna")), "two people"),
        (Grant("g", "app", "find", "parking", ("read",), ("anna", "Anna ")), "two people"),
        (Grant("g", "app", "find", "parking", (), ("anna", "ben")), "allows nothing"),
        (Grant("g", "app", "find", "none", ("read",), ("anna", "ben")), "no known dataset"),
        (Grant("g", "app", "find", "parking", ("read",), ("a", "b"), 5, 5), "ends before"),
        (Purpose("f\u0456nd", "less-search", T, "law", "o"), "must be ASCII"),
        (Purpose("FIND", "less-search", T, "law", "o"), "look alike"),
        (Purpose("f1nd", "less-search", T, "law", "o"), "look alike"),
    ],
)
def test_wrong_policy_is_refused_with_its_reason(part: object, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        with_parts(small(), [part])  # type: ignore[list-item]


def test_a_lookup_costs_microseconds(gate: Gate) -> None:
    gate.permit("app", "find", "read")
    spent = []
    for _ in range(2000):
        start = time.thread_time_ns()
        gate.permit("app", "find", "read")
        spent.append(time.thread_time_ns() - start)
    assert sorted(spent)[int(len(spent) * 0.99)] < 20_000
