# SPDX-License-Identifier: EUPL-1.2
"""What of a request's CPU the gate and the ledger take, non-personal.

What the gate takes is measured by thread CPU clocks put around its functions, in a city that runs
in this process; what the ledger takes by the CPU time of its steps there, which come twice a second
however many requests there are; what a request takes in all by the CPU time of a served city under
wrk, and how many of them come between two steps by its rate. All in turn.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import requests
from bench.cities import cpu_s, serving, urn
from bench.inside import asking
from bench.lines import Line, Lines
from bench.load_generator import wrk
from poorter.gate.gate import Gate
from poorter.gate.permit import Permit
from poorter.gate.uses import Uses
from poorter.jobs import LEDGER_S

REQUESTS, STEPS = 12_800, 10
ROUNDS, SECONDS = 3, 3
_TIMED: tuple[tuple[type, str], ...] = (
    (Gate, "permit"),
    (Permit, "check"),
    (Permit, "rule_of"),
    (Uses, "count"),
)


class Timer:
    """CPU seconds inside the named functions, without the cost of the timer itself."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = 0
        self._kept: list[tuple[type, str, Any]] = []
        self._own = self._cost()

    def __enter__(self) -> Timer:
        for owner, name in _TIMED:
            original = getattr(owner, name)
            self._kept.append((owner, name, original))
            setattr(owner, name, self._timed(original))
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, original in self._kept:
            setattr(owner, name, original)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        clock = time.thread_time

        def timed(*given: Any, **named: Any) -> Any:
            began = clock()
            try:
                return function(*given, **named)
            finally:
                self.seconds += clock() - began - self._own

        return timed

    def _cost(self) -> float:
        self._own = 0.0
        empty = self._timed(lambda: None)
        for _ in range(20_000):
            empty()
        cost, self.seconds = self.seconds / 20_000, 0.0
        return cost


def measure(folder: Path, entities: int) -> Lines:
    """One line for reading, one for writing."""
    for what, method in (("retrieve", "GET"), ("update", "POST")):
        script = requests.retrieve if method == "GET" else requests.update
        found = []
        for _ in range(ROUNDS):
            with Timer() as timer:
                step_s = asyncio.run(_run(folder, entities, method))
            whole_s, per_second = _served(folder, script(entities))
            gate_s, ledger_s = timer.seconds / REQUESTS, step_s / LEDGER_S / per_second
            found.append(((gate_s + ledger_s) / whole_s, gate_s, ledger_s, whole_s))
        share, gate_s, ledger_s, whole_s = sorted(found)[ROUNDS // 2]
        yield Line(
            f"share of gate and ledger in CPU, {what}",
            "under 10 %, non-personal",
            f"{share:.1%}: {gate_s * 1e6:.1f} and {ledger_s * 1e6:.1f} of {whole_s * 1e6:.0f} us",
            share < 0.1,
        )


def _served(folder: Path, script: str) -> tuple[float, float]:
    """CPU seconds a request, all threads of the server and its jobs included; requests a second."""
    with serving(folder) as city:
        assert city.process is not None
        wrk(city.url, script, seconds=1)
        before = cpu_s(city.process.pid)
        found = wrk(city.url, script, seconds=SECONDS)
        spent = cpu_s(city.process.pid) - before
        return spent / (found.per_second * SECONDS), found.per_second


async def _run(folder: Path, entities: int, method: str) -> float:
    """So many requests, steps of the ledger among them: CPU seconds of one step, all threads."""
    dice = random.Random(2)
    doc = None if method == "GET" else {"n": {"type": "Property", "value": 5}}
    end = "" if method == "GET" else "/attrs"
    spent = 0.0
    async with asking(folder) as ask:

        async def some(number: int) -> None:
            for _ in range(number):
                path = f"/ngsi-ld/v1/entities/{urn(dice.randrange(entities))}{end}"
                assert (await ask(method, path, doc)).status in (200, 204)

        for _ in range(STEPS):
            await asyncio.gather(*(some(REQUESTS // 64 // STEPS) for _ in range(64)))
            before = time.process_time()
            await ask("LEDGER", "")
            spent += time.process_time() - before
    return spent / STEPS
