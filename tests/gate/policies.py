# SPDX-License-Identifier: EUPL-1.2
"""Random but valid policies, and the small one that most tests use."""

import random

from poorter.city.text import Text
from poorter.gate.cedar import ACTIONS
from poorter.gate.policy import (
    Dataset,
    Goal,
    Grant,
    Policy,
    Processor,
    Purpose,
    Vote,
    with_parts,
)

T = Text("woord", "word")
VOTE = Vote("raad", "2026-01-01", 12, 3)


def small() -> Policy:
    """One goal, purpose, dataset with a command attribute, and grants for an app and a system."""
    return with_parts(
        Policy(),
        [
            Goal("less-search", T, T, vote=VOTE),
            Purpose("find", "less-search", T, "AVG 6(1)(e)", "Parkeerbedrijf"),
            Dataset("parking", T, "open", "open", "P", {"OffStreetParking": ()}, ("signText",)),
            Dataset("names", T, "care", "personal", "P", {"Person": ("name",)}, retention_days=2),
            Processor("app", T, "o"),
            Processor("system", T, "o"),
            Grant("g1", "app", "find", "parking", ("read",), ("anna", "ben"), 100, 5_000_000),
            Grant("g2", "system", "find", "parking", ("read", "write", "command"), ("anna", "ben")),
            Grant("g3", "system", "find", "names", ("read",), ("anna", "ben")),
        ],
    )


def random_policy(seed: int) -> Policy:
    """Goals with and without vote, some rescinded; grants that overlap, begin and end."""
    chance = random.Random(seed)
    goals = [
        Goal(
            f"goal{n}x",
            T,
            T,
            vote=VOTE if chance.random() < 0.8 else None,
            rescinded_at_us=chance.choice([None, None, 500]),
        )
        for n in range(4)
    ]
    purposes = [Purpose(f"purpose{n}x", f"goal{n % 4}x", T, "law", "office") for n in range(8)]
    datasets = [Dataset(f"data{n}x", T, "w", "open", "c", {"T": ()}) for n in range(5)]
    processors = [Processor(f"app{n}x", T, "o") for n in range(5)]
    grants = []
    for number in range(40):
        start = chance.choice([0, 0, 100, 400])
        grants.append(
            Grant(
                f"grant{number}x",
                chance.choice(processors).id,
                chance.choice(purposes).id,
                chance.choice(datasets).id,
                tuple(chance.sample(ACTIONS, chance.randint(1, 3))),  # type: ignore[arg-type]
                ("anna", "ben"),
                start,
                chance.choice([None, start + 1, start + 300, 900]),
            )
        )
    return with_parts(Policy(), [*goals, *purposes, *datasets, *processors, *grants])
