# SPDX-License-Identifier: EUPL-1.2
"""The hot routes at 10,000 entities: retrieve, update, batch, beside their bare limits."""

from __future__ import annotations

from pathlib import Path

from bench import bare, requests
from bench.cities import bare_server, memory_mib, serving
from bench.lines import Line, Lines
from bench.load_generator import Measured, best, wrk

ENTITIES = 10_000
ROUNDS = 4


def measure(folder: Path, scratch: Path) -> Lines:
    """Lines of a city with ten thousand entities."""
    with serving(folder) as city, bare_server() as bare_url:
        empty: list[Measured] = []
        found: dict[str, list[Measured]] = {"retrieve": [], "update": [], "batch": []}
        by_sqlite: list[float] = []
        for number in range(ROUNDS):
            empty.append(wrk(bare_url, seconds=2))
            found["retrieve"].append(wrk(city.url, requests.retrieve(ENTITIES), seconds=3))
            found["update"].append(wrk(city.url, requests.update(ENTITIES), seconds=3))
            batch = wrk(city.url, requests.batch(ENTITIES), connections=16, seconds=3)
            found["batch"].append(batch)
            by_sqlite.append(bare.batches(scratch / f"bare{number}", 2, ENTITIES, 100))
        base = best(empty)
        yield Line("base: bare RSGI answering 204", "", f"{base.per_second:,.0f}/s")
        yield _line("retrieve by id, gate on", 0.35, best(found["retrieve"]), base)
        what = "durable attribute update, fsync before the answer"
        yield _line(what, 0.14, best(found["update"]), base)
        batches = best(found["batch"])
        ratio = batches.per_second * 100 / max(by_sqlite)
        yield Line(
            "batch upsert, 100 entities a request, 16 connections",
            "0.5 x bare SQLite",
            f"{batches.per_second * 100:,.0f} entities/s = {ratio:.2f} of {max(by_sqlite):,.0f}"
            f"{batches.failures}",
            ratio >= 0.5 and not batches.failed,
        )
        assert city.process is not None
        used = memory_mib(city.process.pid)
        yield Line(
            "memory, PSS, two systems, 10,000 entities", "150 MiB", f"{used:.0f} MiB", used < 150
        )
    with serving(folder) as city:
        yield Line("start to serving", "2 s", f"{city.started_s:.2f} s", city.started_s < 2)


def _line(what: str, least: float, found: Measured, base: Measured) -> Line:
    ratio = found.per_second / base.per_second
    text = (
        f"{found.per_second:,.0f}/s = {ratio:.2f}, p50 {found.p50_ms:.1f} p99 {found.p99_ms:.1f} ms"
    )
    met = ratio >= least and not found.failed
    return Line(what, f"{least} x base", f"{text}{found.failures}", met)
