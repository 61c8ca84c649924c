# SPDX-License-Identifier: EUPL-1.2
"""A city over PostgreSQL under wrk, beside a SensorThings peer where one is named.

python -m bench.postgres [--peer http://127.0.0.1:PORT/ROOT] [--many PATH]: as many sensors in both,
the same readings, as many connections, one after the other in each round. A reading a request; a
hundred a request, of a hundred sensors (a feed); a thousand a request, of one of them (its past).
Of a peer those readings count that are there afterwards.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from tests.database import database

from bench import requests
from bench.cities import City, found, serving, urn
from bench.lines import Line, Lines
from bench.load_generator import Measured, best, ratio, wrk
from bench.peer import DATA_ARRAY, Peer

SENSORS = 1_000
FEED, PAST = 100, 1_000
ROUNDS = 3
SECONDS = 5
#: what was under way when time was up does not disturb what is measured next
SETTLE_S = 2
#: what is done, how many readings each request holds, and what of a peer's rate it is to be
KINDS = (
    ("one", "a reading a request", 1, 5),
    ("snapshot", f"{FEED:,} readings a request, of as many sensors", FEED, 2),
    ("series", f"{PAST:,} readings a request, of one sensor", PAST, 2),
)


@contextmanager
def served(folder: Path) -> Iterator[City]:
    """A city in a database of its own; each sensor has one reading, as the peer's have."""
    with database() as server:
        store = {"store.url": server.new_city(), "store.owner_url": server.owner_url}
        found(folder, SENSORS, store)
        with serving(folder) as city:
            upsert = f"{city.url}/ngsi-ld/v1/entityOperations/upsert?options=update"
            first = httpx.post(upsert, json=list(map(_reading, range(SENSORS))), timeout=60)
            assert first.status_code == 204, first.text
            yield city


def _reading(number: int) -> dict[str, Any]:
    n = {"type": "Property", "value": 0, "observedAt": "2000-01-01T00:00:00Z"}
    return {"id": urn(number), "type": "City", "n": n}


def measure(scratch: Path, peer: Peer | None, connections: int) -> Lines:
    """Lines of both, in one run."""
    ours: dict[str, list[Measured]] = {name: [] for name, *_ in KINDS}
    theirs: dict[str, list[Measured]] = {name: [] for name, *_ in KINDS}
    scripts: dict[str, Callable[[], str]] = {
        "one": lambda: requests.one(SENSORS),
        "snapshot": lambda: requests.snapshot(SENSORS, FEED),
        "series": lambda: requests.series(SENSORS, PAST),
    }
    with served(scratch / "city") as city:
        for _ in range(ROUNDS):
            for name, _, rows, _ in KINDS:
                ours[name].append(wrk(city.url, scripts[name](), connections, SECONDS))
                time.sleep(SETTLE_S)
                if peer is not None:
                    script = peer.one() if name == "one" else getattr(peer, name)(rows)
                    theirs[name].append(_counted(peer, script, rows, connections))
        retrieved = wrk(city.url, requests.retrieve(SENSORS), connections, SECONDS)
    for name, what, rows, least in KINDS:
        yield _line(f"PostgreSQL: {what}", rows, least, ours[name], theirs[name])
    yield Line("PostgreSQL: retrieve by id", "", f"{retrieved.per_second:,.0f}/s")


def _counted(peer: Peer, script: str, rows: int, connections: int) -> Measured:
    """What a peer answers well, and no more than what is there afterwards."""
    before = peer.observations()
    found = wrk(peer.url, script, connections, SECONDS)
    time.sleep(SETTLE_S)
    kept = (peer.observations() - before) / rows / SECONDS
    return replace(found, per_second=min(found.per_second - found.failed / SECONDS, kept))


def _line(what: str, rows: int, least: int, ours: list[Measured], theirs: list[Measured]) -> Line:
    top = best(ours)
    said = f"{top.per_second * rows:,.0f}/s, p50 {top.p50_ms:.1f} ms{top.failures}"
    pairs = [(a.per_second, b.per_second) for a, b in zip(ours, theirs, strict=False)]
    pairs = [pair for pair in pairs if pair[1]]
    if not pairs:
        return Line(what, "", said + (", beside none in time" if theirs else ""))
    times = ratio(*zip(*pairs, strict=True))
    other = best(theirs)
    said += f" = {times} x the peer's {other.per_second * rows:,.0f}/s{other.failures}"
    if len(pairs) < len(theirs):
        said += ", which did none in time in another round"
    met = times.middle >= least and not top.failed
    return Line(what, f"{least} x a SensorThings peer", said, met)


def main() -> int:
    """Print the lines."""
    parser = argparse.ArgumentParser(prog="python -m bench.postgres", description=__doc__)
    parser.add_argument("--peer", default="", metavar="URL", help="root of its SensorThings API")
    words = "what takes a data array there, if not the standard's own"
    parser.add_argument("--many", default=DATA_ARRAY, metavar="PATH", help=words)
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    peer = Peer(given.peer, SENSORS, given.many) if given.peer else None
    with tempfile.TemporaryDirectory() as folder:
        for line in measure(Path(folder), peer, given.connections):
            mark = {True: "met", False: "MISSED", None: ""}[line.met]
            sys.stdout.write(f"{line.what:62} {line.bar:26} {line.measured}  {mark}\n")
            sys.stdout.flush()
    if peer is not None:
        peer.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
