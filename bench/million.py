# SPDX-License-Identifier: EUPL-1.2
"""A million entities: queries, and whether the hot routes keep their pace."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path

from bench import requests
from bench.cities import SIDE, SOUTH, memory_mib, serving
from bench.lines import Line, Lines
from bench.load_generator import Measured, best, ratio, wrk

ENTITIES = 1_000_000
ROUNDS = 4


def radius_m(share: float) -> float:
    """Of a circle that holds this share of the square."""
    height = SIDE * 111_195
    width = height * math.cos(math.radians(SOUTH + SIDE / 2))
    return math.sqrt(share * width * height / math.pi)


def measure(million: Path, small: Path, entities_small: int) -> Lines:
    """Lines of a city with a million entities, beside one with ten thousand."""
    with ExitStack() as stack:
        city, other = stack.enter_context(serving(million)), stack.enter_context(serving(small))
        found: dict[str, list[Measured]] = {}
        for _ in range(ROUNDS):
            for what, script in (("retrieve", requests.retrieve), ("update", requests.update)):
                for url, entities in ((other.url, entities_small), (city.url, ENTITIES)):
                    measured = wrk(url, script(entities), seconds=3)
                    found.setdefault(f"{what} {entities}", []).append(measured)
            for what, q, share in (("all", "n%3C333", 0.001), ("few", "n=={k}", 0.02)):
                measured = wrk(city.url, requests.query(q, radius_m(share)), seconds=3)
                found.setdefault(what, []).append(measured)
        assert city.process is not None
        used = memory_mib(city.process.pid)
    yield Line("memory, PSS of all processes, 1,000,000 entities", "", f"{used:,.0f} MiB")
    for what in ("retrieve", "update"):
        big, little = best(found[f"{what} {ENTITIES}"]), best(found[f"{what} {entities_small}"])
        bigs, littles = found[f"{what} {ENTITIES}"], found[f"{what} {entities_small}"]
        times = ratio([one.per_second for one in bigs], [one.per_second for one in littles])
        yield Line(
            f"{what} at 1,000,000 entities",
            "0.9 x that at 10,000",
            f"{big.per_second:,.0f}/s beside {little.per_second:,.0f} = {times}{big.failures}",
            times.best >= 0.9 and not big.failed,
        )
    retrieve = best(found[f"retrieve {ENTITIES}"])
    yield _query("query type + q + near, 0.1 % near, of 1,000,000", best(found["all"]), retrieve)
    yield _query("the same, 0.1 % by q, 20 of them near", best(found["few"]), retrieve)


def _query(what: str, found: Measured, retrieve: Measured) -> Line:
    times = found.p99_ms / retrieve.p50_ms
    return Line(
        what,
        "2,000/s; p99 under 10 x p50 of retrieve",
        f"{found.per_second:,.0f}/s, p50 {found.p50_ms:.1f}, p99 {found.p99_ms:.1f} ms = "
        f"{times:.1f} x {retrieve.p50_ms:.1f}{found.failures}",
        found.per_second >= 2000 and times < 10 and not found.failed,
    )
