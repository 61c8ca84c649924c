# SPDX-License-Identifier: EUPL-1.2
"""The compiled table answers as Cedar does; what is outside the subset is refused."""

import json
import random
from dataclasses import replace

import cedarpy
import pytest
from tests.gate.policies import random_policy, small

from poorter.city.errors import Invalid
from poorter.gate.cedar import ACTIONS, to_cedar, validate
from poorter.gate.compile import FOREVER_US, Table, compile_table
from poorter.gate.policy import Policy

MOMENTS = (0, 99, 100, 101, 399, 400, 401, 499, 500, 501, 700, 899, 900, 901, 10**9)


def requests(policy: Policy, table: Table, seed: int, count: int):
    """Requests; half start from a grant, so that permits, forbids and bounds are all hit."""
    chance = random.Random(seed)
    grants = list(policy.grants.values())
    names = [sorted(getattr(policy, kind)) for kind in ("processors", "purposes", "datasets")]
    for _ in range(count):
        if chance.random() < 0.75:
            grant = chance.choice(grants)
            key = (grant.processor, grant.purpose, grant.dataset, chance.choice(grant.actions))
            live = table.intervals.get(key)
            if live and chance.random() < 0.7:
                start, end = chance.choice(live)
                moment = chance.choice([start, end - 1 if end < FOREVER_US else start + 7, end])
                yield key, min(moment, 10**12)
                continue
        else:
            key = (*map(chance.choice, names), chance.choice(ACTIONS))
        yield key, chance.choice(MOMENTS)


def cedar_answers(text: str, asked: list) -> list[bool]:
    batch = [
        {
            "principal": f"Processor::{json.dumps(key[0])}",
            "action": f"Action::{json.dumps(key[3])}",
            "resource": f"Dataset::{json.dumps(key[2])}",
            "context": {"purpose": key[1], "now": now},
        }
        for key, now in asked
    ]
    answers = cedarpy.is_authorized_batch(batch, text, [])
    return [answer.decision == cedarpy.Decision.Allow for answer in answers]


def compared(seeds: range, count: int) -> tuple[int, int]:
    """(requests, permits), after asserting that all answers agree."""
    total = permits = 0
    for seed in seeds:
        policy = random_policy(seed)
        text = to_cedar(policy)
        table = compile_table(text)
        asked = list(requests(policy, table, seed, count))
        ours = [table.allows(key, now) for key, now in asked]
        assert ours == cedar_answers(text, asked), f"seed {seed}"
        total += len(asked)
        permits += sum(ours)
    return total, permits


def test_the_table_answers_as_cedar_does() -> None:
    total, permits = compared(range(10), 200)
    assert total == 2000
    assert permits / total >= 0.3


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_table_answers_as_cedar_does_on_a_hundred_thousand() -> None:
    total, permits = compared(range(1000, 1100), 1000)
    assert total == 100_000
    assert permits / total >= 0.4


def test_a_mutated_table_is_caught() -> None:
    policy = random_policy(3)
    text = to_cedar(policy)
    table = compile_table(text)
    asked = list(requests(policy, table, 3, 300))
    truth = cedar_answers(text, asked)
    used = {key for key, now in asked if table.allows(key, now)}
    chance = random.Random(1)
    for key in chance.sample(sorted(used), 5):
        mutated = replace(table, intervals={k: v for k, v in table.intervals.items() if k != key})
        assert [mutated.allows(k, now) for k, now in asked] != truth


def test_generated_text_passes_cedars_own_validator() -> None:
    validate(to_cedar(small()))
    with pytest.raises(Invalid, match="Cedar"):
        validate(
            'permit (principal == Processor::"a", action, resource) when { context.nope == 1 };'
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("permit (principal, action, resource);", "line 1.*names its principal"),
        ('permit (principal == Processor::"a", action, resource);', "names its actions"),
        ("\n\nallow (principal);", "line 3.*neither permit nor forbid"),
        ("permit (principal ~ 1)", "not in the subset"),
        (
            "forbid (principal, action, resource) when { context.now >= 3 };",
            "names one purpose",
        ),
        (
            'forbid (principal, action, resource) when { context.purpose != "x" };',
            "not in the subset|can't be compared",
        ),
        (
            'forbid (principal, action, resource) when { context.purpose == "x" } unless { true };',
            "expected ;",
        ),
        ('forbid (principal, action == Action::"fly", resource) when', "no action fly"),
        ("permit (", "its end|expected"),
    ],
)
def test_what_is_not_in_the_subset_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        compile_table(text)
