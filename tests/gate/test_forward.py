"""A city founded before this release gets what the platform needs, and nobody else gets more."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.founded import OFFICERS, founded

from poorter.city.clock import ManualClock
from poorter.city.errors import Denied
from poorter.city.text import Text
from poorter.cli import main
from poorter.config import read_config
from poorter.founding import bring_forward
from poorter.gate.forward import forward
from poorter.gate.genesis import OPEN, RUN, genesis
from poorter.gate.lawful import unlawful
from poorter.gate.policy import Dataset, Policy, check_policy, with_parts
from poorter.running import Running, open_city

NOW = ManualClock().now_us()
NOW_WANTED = genesis("city", "-", "-", ("poorter", "release"))


def older(*datasets: str, kinds: tuple[str, ...] = (), processors: tuple[str, ...] = ()) -> Policy:
    """The first policy as a release wrote it that knew less."""
    first = genesis("city", "Council", "2026-01-01", OFFICERS)
    held = {
        name: replace(d, types={t: a for t, a in d.types.items() if t not in kinds})
        for name, d in first.datasets.items()
        if name not in datasets
    }
    return replace(
        first,
        datasets=held,
        purposes={n: p for n, p in first.purposes.items() if n != "log-in" or not datasets},
        processors={n: p for n, p in first.processors.items() if n not in processors},
        grants={
            n: g
            for n, g in first.grants.items()
            if g.dataset in held
            and g.processor not in processors
            and (g.purpose != "log-in" or not datasets)
        },
    )


def brought(policy: Policy) -> Policy:
    found = forward(policy, NOW_WANTED, NOW)
    new = with_parts(policy, found.parts)
    assert not list(unlawful(new))
    assert not forward(new, NOW_WANTED, NOW).parts, "once is enough"
    return new


def reach(policy: Policy, inside: bool) -> set[tuple[str, str, str, str]]:
    """(processor, purpose, type, action) of all that holds."""
    return {
        (g.processor, g.purpose, name, action)
        for g in policy.grants.values()
        if g.processor.startswith("internal:") == inside
        for name in policy.datasets[g.dataset].types
        for action in g.actions
    }


def test_a_city_of_today_lacks_nothing() -> None:
    assert forward(older(), NOW_WANTED, NOW).parts == ()
    assert forward(older(), NOW_WANTED, NOW).waits == ()


@pytest.mark.parametrize(
    "before",
    [
        older("rights", "residents", "letters"),
        older(kinds=("record:device", "record:inspection", "record:lattice")),
        older(kinds=("record:notice", "ReleasedFigure", "GtfsStop", "Device")),
        older(kinds=("record:objection",), processors=("internal:release", "internal:uses")),
        older("answers", "metrics", processors=("internal:rights",)),
    ],
)
def test_the_platform_gets_what_it_needs_and_nobody_else_more(before: Policy) -> None:
    check_policy(before)
    after = brought(before)
    assert reach(after, True) == reach(NOW_WANTED, True)
    assert reach(after, False) <= reach(before, False)


def test_what_would_widen_others_lies_beside_and_waits() -> None:
    before = older(kinds=("record:notice", "GtfsStop"))
    found = forward(before, NOW_WANTED, NOW)
    beside = [part for part in found.parts if isinstance(part, Dataset)]
    assert {d.id: tuple(d.types) for d in beside if "ledger" in d.id or "context" in d.id} == {
        "context-from-v2": ("GtfsStop",),
        "ledger-from-v2": ("record:notice",),
    }
    assert f"public {OPEN} context-from-v2 read" in found.waits
    assert "staff inspect-ledger ledger-from-v2 read" in found.waits


def test_what_a_city_keeps_elsewhere_or_ended_stays_so() -> None:
    own = Dataset("stops", Text("a", "a"), "open", "open", "OV", {"GtfsStop": ()})
    before = with_parts(older(kinds=("GtfsStop",)), [own])
    assert not forward(before, NOW_WANTED, NOW).parts
    first = older()
    public = replace(first.grants["public-open"], until_us=NOW)
    ended = replace(
        older(kinds=("GtfsStop",)),
        grants={**first.grants, "public-open": public},
    )
    assert not any("public" in words for words in forward(ended, NOW_WANTED, NOW).waits)


def counted(running: Running) -> int:
    permit = running.gate.permit("internal:ledger", RUN, "read")
    return len(running.store.leaves(permit, 0, 1000))


def test_starting_brings_it_forward_once_with_a_leaf(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = ManualClock()

    async def run() -> None:
        async with founded(tmp_path, clock, ()) as running:
            policy = running.gate.policy
            less = older("rights", kinds=("record:device", "GtfsStop"))
            await running.registry._publish(
                replace(less, version=policy.version + 1), "an older release", "as it was", "-"
            )
            with pytest.raises(Denied):
                running.gate.permit("internal:rights", RUN, "read")
            version, leaves = running.gate.policy.version, counted(running)
        running = await open_city(read_config(tmp_path), clock)
        try:
            assert running.gate.policy.version == version + 1
            assert counted(running) == leaves + 1
            running.gate.permit("internal:rights", RUN, "administer")
            assert "GtfsStop" not in running.gate.permit("public", OPEN, "read").rules
            assert running.brought.added
            again = await bring_forward(running.registry, running.config, clock.now_us())
            assert again.parts == ()
        finally:
            running.close()

    asyncio.run(run())
    assert main(["upgrade", "--city", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "nothing was missing" in said
    assert "public open-data context-from-v3 read" in said
