# SPDX-License-Identifier: EUPL-1.2
"""Figures of the ledger: lines about people a second, where their time goes, and a decision's cost.

python -m bench.ledger
"""

from __future__ import annotations

import asyncio
import cProfile
import io
import pstats
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from poorter.city.clock import SystemClock
from poorter.city.text import Text
from poorter.config import read_config
from poorter.founding import found_city
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN_GOAL
from poorter.gate.policy import Dataset, Grant, Processor, Purpose
from poorter.running import Running, open_city

PEOPLE = 100_000
CHUNK = 1000
SECONDS = 8.0
OFFICERS = ("ada", "bob")


async def city(folder: Path) -> Running:
    """A city with one personal dataset that one app may read."""
    passwords = ("a-password-to-measure", "a-password-to-measure")
    await found_city(folder, {}, OFFICERS, "Council", SystemClock(), passwords)
    running = await open_city(read_config(folder), SystemClock())
    purpose = Purpose("care", RUN_GOAL, Text("Zorg", "Care"), "AVG 6(1)(e)", "Zorg")
    people = Dataset(
        "people",
        Text("Mensen", "People"),
        "care",
        "personal",
        "Zorg",
        {"Person": ()},
        retention_days=30,
    )
    app = Processor("app", Text("App", "App"), "City")
    grant = Grant("g", "app", "care", "people", ("read",), OFFICERS)
    await running.registry.put([purpose, people, app, grant], "ada", "to measure")
    return running


async def record(running: Running, seconds: float) -> tuple[int, float]:
    """(lines, seconds) of recording chunk after chunk, durable and in the signed tree."""
    people = [("people", "care", f"person-{n}") for n in range(PEOPLE)]
    began, lines, at, stepped = time.perf_counter(), 0, 0, time.perf_counter()
    tree: asyncio.Task[object] | None = None
    while time.perf_counter() - began < seconds:
        permit = running.gate.permit("app", "care", "read")
        chunks = [people[(at + n * CHUNK) % PEOPLE :][:CHUNK] for n in range(4)]
        at += 4 * CHUNK
        await asyncio.gather(*(running.recorder.record(permit, chunk) for chunk in chunks))
        lines += sum(map(len, chunks))
        if time.perf_counter() - stepped > 0.5 and (tree is None or tree.done()):
            tree = asyncio.create_task(asyncio.to_thread(running.sequencer.step))
            stepped = time.perf_counter()
    if tree is not None:
        await tree
    await asyncio.to_thread(running.sequencer.step)
    return lines, time.perf_counter() - began


def decisions(gate: Gate, number: int = 200_000) -> tuple[float, float]:
    """(median, p99) thread CPU of one decision, microseconds."""
    took = []
    for _ in range(number):
        began = time.thread_time_ns()
        gate.permit("app", "care", "read")
        took.append(time.thread_time_ns() - began)
    took.sort()
    return took[number // 2] / 1000, took[number * 99 // 100] / 1000


def profile_of(profile: cProfile.Profile, lines: int) -> Sequence[str]:
    """The dearest functions, microseconds a line."""
    stats = pstats.Stats(profile, stream=io.StringIO())
    rows = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:12]  # type: ignore[attr-defined]
    return [
        f"  {own * 1e6 / lines:7.2f} us  {Path(name[0]).name}:{name[1]} {name[2]}"
        for name, (_, _, own, _, _) in rows
    ]


async def main() -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as folder:
        running = await city(Path(folder) / "city")
        try:
            await record(running, 1.0)
            cpu = time.process_time()
            lines, seconds = await record(running, SECONDS)
            cpu = time.process_time() - cpu
            print(f"personal lines, durable and in the signed tree: {lines / seconds:,.0f}/s")
            print(f"  {cpu * 1e6 / lines:.1f} us of CPU a line, {lines:,} lines in {seconds:.1f} s")
            median, p99 = decisions(running.gate)
            print(f"decision: median {median:.2f} us, p99 {p99:.2f} us of thread CPU")
            profile = cProfile.Profile()
            profile.enable()
            lines, _ = await record(running, 2.0)
            profile.disable()
            print("where the time of the loop goes (profiled, so slower):")
            print("\n".join(profile_of(profile, lines)))
        finally:
            running.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
