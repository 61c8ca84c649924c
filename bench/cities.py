# SPDX-License-Identifier: EUPL-1.2
"""Cities to measure: served by a process of their own, filled straight through the store."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from tests.served import Served, free_port, make_city

from poorter.city.clock import SystemClock
from poorter.city.entity import Attribute, Entity
from poorter.config import read_config
from poorter.running import open_city
from poorter.store.contract import Change, Committed, Create

ROOT = Path(__file__).parent.parent
#: the square that all places lie in, and what of it is 0.1 %
WEST, SOUTH, SIDE = 5.0, 52.0, 0.5
_BATCH = 1000
_IN_FLIGHT = 4


def urn(number: int) -> str:
    """The id of the nth entity."""
    return f"urn:ngsi-ld:City:{number}"


def entity(number: int, dice: random.Random) -> Entity:
    """A number of 0 to 999, a name, a place somewhere in the square."""
    point = [WEST + dice.random() * SIDE, SOUTH + dice.random() * SIDE]
    return Entity(
        urn(number),
        ("City",),
        (
            Attribute("n", dice.randrange(1000)),
            Attribute("name", f"entity {number}"),
            Attribute("location", {"type": "Point", "coordinates": point}, "GeoProperty"),
        ),
    )


def found(folder: Path, entities: int, store: Mapping[str, str] | None = None) -> float:
    """Found a city with so many entities; entities a second that were written. `store`: settings
    of where it lies."""
    make_city(folder, store=store)
    dice = random.Random(1)

    async def fill() -> float:
        running = await open_city(read_config(folder), SystemClock())
        waiting: deque[Future[Committed]] = deque()
        began = time.perf_counter()
        for start in range(0, entities, _BATCH):
            ops = (Create(entity(n, dice)) for n in range(start, min(entities, start + _BATCH)))
            change = Change(tuple(ops))
            permit = running.gate.permit("public", "open-data", "write")
            waiting.append(running.store.commit(permit, change))
            if len(waiting) > _IN_FLIGHT:
                waiting.popleft().result()
        for one in waiting:
            one.result()
        seconds = time.perf_counter() - began
        running.close()
        return entities / seconds

    return asyncio.run(fill())


class City(Served):
    """A served city that knows how long it took to start."""

    started_s = 0.0


@contextmanager
def serving(folder: Path) -> Iterator[City]:
    """A founded city, served until the end."""
    city = City(folder)
    city.started_s = city.start()
    try:
        yield city
    finally:
        city.stop()


@contextmanager
def bare_server() -> Iterator[str]:
    """The base: 204 and nothing else."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port)], cwd=ROOT)
    try:
        for _ in range(200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except httpx.HTTPError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, in user code and in the kernel for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The processes that a process has started and that run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, parent = file.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(file.parent.name))
    return found


def memory_mib(pid: int) -> float:
    """Proportional set size of a process and of all that it started."""
    return _pss_mib(pid) + sum(map(memory_mib, children(pid)))


def _pss_mib(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
