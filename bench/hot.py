# SPDX-License-Identifier: EUPL-1.2
"""The hot routes at 10,000 entities: retrieve, update, batch, beside their bare limits."""

from __future__ import annotations

from pathlib import Path

from bench import bare, requests
from bench.cities import bare_server, serving
from bench.lines import Line, Lines
from bench.load_generator import Measured, best, ratio, wrk

ENTITIES = 10_000
ROUNDS = 6


def measure(folder: Path, scratch: Path) -> Lines:
    """Lines of a city with ten thousand entities."""
    with serving(folder) as city, bare_server() as bare_url:
        empty: list[Measured] = []
        found: dict[str, list[Measured]] = {"retrieve": [], "update": [], "batch": []}
        by_sqlite: list[float] = []
        for number in range(ROUNDS):
            found["retrieve"].append(wrk(city.url, requests.retrieve(ENTITIES), seconds=2))
            empty.append(wrk(bare_url, seconds=2))
            found["update"].append(wrk(city.url, requests.update(ENTITIES), seconds=2))
            batch = wrk(city.url, requests.batch(ENTITIES), connections=16, seconds=2)
            found["batch"].append(batch)
            by_sqlite.append(bare.batches(scratch / f"bare{number}", 2, ENTITIES, 100))
        yield Line("base: bare RSGI answering 204", "", f"{best(empty).per_second:,.0f}/s")
        yield _line("retrieve by id, gate on", 0.35, found["retrieve"], empty)
        what = "durable attribute update, fsync before the answer"
        yield _line(what, 0.14, found["update"], empty)
        batches = best(found["batch"])
        times = ratio([one.per_second * 100 for one in found["batch"]], by_sqlite)
        yield Line(
            "batch upsert, 100 entities a request, 16 connections",
            "0.5 x bare SQLite",
            f"{batches.per_second * 100:,.0f} entities/s = {times} x bare{batches.failures}",
            times.best >= 0.5 and not batches.failed,
        )
    started = []
    for _ in range(3):
        with serving(folder) as city:
            started.append(city.started_s)
    least = min(started)
    yield Line("start to serving, best of three", "2 s", f"{least:.2f} s", least < 2)


def _line(what: str, least: float, rounds: list[Measured], empty: list[Measured]) -> Line:
    found = best(rounds)
    times = ratio([one.per_second for one in rounds], [one.per_second for one in empty])
    text = f"{found.per_second:,.0f}/s = {times} x base, p50 {found.p50_ms:.1f} ms"
    text += f", p99 {found.p99_ms:.1f} ms{found.failures}"
    return Line(what, f"{least} x base", text, times.best >= least and not found.failed)
