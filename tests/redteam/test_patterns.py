# SPDX-License-Identifier: EUPL-1.2
"""No pattern of a caller holds up the city, and patterns mean what they mean in either engine."""

import asyncio
import random
import re
import time
from pathlib import Path

import pytest
from tests.walls.city import V1, App, city
from tests.walls.test_consents import FENNA

from poorter.city.errors import CityError
from poorter.city.pattern import _linear, checked, occurs

#: what takes a backtracking engine from minutes to centuries over LONG or MANY
EXPLODING = (
    *("(a|a)*$", "(a|aa)+$", "(a|b|ab)*c", "^(a?){40}a{40}$", "(.*.*)*x", "(a|a?)+$"),
    *(
        ".*.*.*.*.*.*=x",
        "a*a*a*a*a*b",
        "([a-z]|a)*[^a]$",
        "(a*b?)*c",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
    ),
    *("(x+x+)+y", "a+$", "[a]+b", "\\w+\\d+\\w+\\d+!x", "(a{1,30}){1,30}b", "(?:a|a)*$"),
)
LONG = "a" * 60_000 + "!"
MANY = "a" * 45 + "!"


@pytest.mark.parametrize("pattern", EXPLODING)
def test_it_ends_whatever_the_pattern(pattern: str) -> None:
    try:
        checked(pattern, "q")
    except CityError:
        return  # refused: that ends too
    for text in (LONG, MANY, "ab" * 20_000, "x" * 5000, "é" * 10_000 + "\ud800"):
        began = time.thread_time()
        occurs(pattern, text)
        assert time.thread_time() - began < 2, (pattern, len(text))


def test_both_engines_find_the_same() -> None:
    dice = random.Random(4)
    parts = (
        "a",
        "b",
        ".",
        "[ab]",
        "[^a]",
        "\\.",
        "^",
        "$",
        "a*",
        "b+",
        ".*",
        "(a|b)",
        "(ab)?",
        "\\[",
    )
    tried = 0
    for _ in range(3000):
        pattern = "".join(dice.choices(parts, k=dice.randint(1, 5)))
        text = "".join(dice.choices("ab.[é ", k=dice.randint(0, 12)))
        try:
            checked(pattern, "q")
        except CityError:
            continue
        tried += 1
        told = re.search(pattern, text) is not None
        assert occurs(pattern, text) == told, (pattern, text)
        assert (_linear(pattern).search(text.encode()) is not None) == told, (pattern, text)
    assert tried > 2000


def test_nobody_stops_the_city_by_a_question(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, public = c.apps["home-care"], App(c.client, {})
            for _ in range(3):
                await care.make("Client", resident=FENNA, name=MANY)
            for pattern in EXPLODING:
                for app in (care, public):
                    for params in (
                        {"type": "Client", "q": f'name~="{pattern}"'},
                        {"type": "Client", "idPattern": pattern},
                    ):
                        began = time.perf_counter()
                        answer = await app.client.get(
                            f"{V1}/entities", params=params, headers=app.headers
                        )
                        assert answer.status_code in (200, 400), answer.text
                        assert time.perf_counter() - began < 5, params

    asyncio.run(run())
