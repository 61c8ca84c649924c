# SPDX-License-Identifier: EUPL-1.2
"""Memory of all processes with two systems and 10,000 entities, all of which were asked for and
written to; before and after history in columns was read. What lies where is said beside it."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import httpx

from bench import requests
from bench.cities import City, children, memory_mib, serving, urn
from bench.lines import Line, Lines
from bench.load_generator import wrk

RETRIEVES, UPDATES, BATCHES = 60_000, 20_000, 500
READ = 100
WAIT_S, QUIET_S = 180, 2.0
BAR_MIB = 150


def measure(folder: Path, entities: int) -> Lines:
    """One line for the bar, one for where it lies."""
    with serving(folder) as city:
        _asked(city, requests.retrieve(entities), RETRIEVES)
        _asked(city, requests.update(entities, requests.PAST), UPDATES)
        _asked(city, requests.batch(entities, requests.PAST), BATCHES, connections=16)
        before = memory_mib(_pid(city))
    with serving(folder) as city:
        _await_columns(city, folder / "data" / "history")
        for number in range(0, entities, entities // READ):
            path = f"/ngsi-ld/v1/temporal/entities/{urn(number)}?attrs=n"
            answer = httpx.get(city.url + path, timeout=60)
            assert answer.status_code in (200, 206), answer.text
        _asked(city, requests.retrieve(entities), RETRIEVES)
        _asked(city, requests.update(entities), UPDATES)
        after, where, alone = memory_mib(_pid(city)), _where(_pid(city)), _alone_mib(_pid(city))
    yield Line(
        f"memory of all processes, two systems, {entities:,} entities",
        f"{BAR_MIB} MiB",
        f"{alone:.0f} MiB once history in columns was read; PSS {after:.0f}, {before:.0f} before: "
        "the bench shares some of the libraries",
        alone < BAR_MIB,
    )
    told = ", ".join(f"{what} {mib:.0f}" for what, mib in where.most_common())
    yield Line("where that lies, in MiB", "", told)


def _pid(city: City) -> int:
    assert city.process is not None
    return city.process.pid


def _asked(city: City, script: str, number: int, connections: int = 64) -> None:
    """So many requests, however quick the machine is."""
    done = 0.0
    while done < number:
        found = wrk(city.url, script, connections=connections, seconds=2)
        assert found.per_second and not found.failed, found.failures
        done += found.per_second * 2


def _await_columns(city: City, segments: Path) -> None:
    """Until history has gone into columns, and nobody is at work on it."""
    until = time.monotonic() + WAIT_S
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S:
        if children(_pid(city)) or not any(segments.glob("*.parquet")):
            quiet_since = time.monotonic()
        assert time.monotonic() < until, "history did not go into columns"
        time.sleep(0.1)


def _alone_mib(pid: int) -> float:
    """All that is mapped, whoever else has it mapped too, of a process and all that it started."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) for line in rollup if line.startswith("Rss:")) / 1024
    return own + sum(map(_alone_mib, children(pid)))


def _where(pid: int) -> Counter[str]:
    """MiB (PSS) of the city's own process by what is mapped there."""
    found: Counter[str] = Counter()
    what = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            file = Path(words[5] if len(words) > 5 else "").name
            library = ".so" in file
            what = "libraries" if library else "database" if file.startswith("city.db") else "heap"
        elif words[0] == "Pss:":
            found[what] += int(words[1]) / 1024
    return found
