# SPDX-License-Identifier: EUPL-1.2
"""A city over PostgreSQL under wrk, beside a SensorThings peer where one is named.

python -m bench.postgres [--peer http://127.0.0.1:PORT/v4/v1.1]: the peer's address is all that is
known of it. A Thing with a Datastream is made there by the standard's own API (OGC 18-088), then
Observations are posted, one a request and a hundred a request (CreateObservations).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.database import database

from bench import requests
from bench.cities import City, found, serving
from bench.lines import Line, Lines
from bench.load_generator import Measured, best, ratio, wrk

ENTITIES = 2_000
ROUNDS = 3
SECONDS = 4
CONNECTIONS = 16


@contextmanager
def served(folder: Path) -> Iterator[City]:
    """A city in a database of its own."""
    with database() as server:
        store = {"store.url": server.new_city(), "store.owner_url": server.owner_url}
        found(folder, ENTITIES, store)
        with serving(folder) as city:
            yield city


class Peer:
    """A SensorThings service with one datastream to post to."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        thing = {
            "name": "bench",
            "description": "bench",
            "Locations": [
                {
                    "name": "here",
                    "description": "here",
                    "encodingType": "application/vnd.geo+json",
                    "location": {"type": "Point", "coordinates": [5.0, 52.0]},
                }
            ],
            "Datastreams": [
                {
                    "name": "bench",
                    "description": "bench",
                    "observationType": "http://www.opengis.net/def/observationType/OGC-OM/2.0/"
                    "OM_Measurement",
                    "unitOfMeasurement": {"name": "n", "symbol": "n", "definition": "n"},
                    "Sensor": {
                        "name": "s",
                        "description": "s",
                        "encodingType": "application/pdf",
                        "metadata": "http://example.org/s.pdf",
                    },
                    "ObservedProperty": {
                        "name": "n",
                        "description": "n",
                        "definition": "http://example.org/n",
                    },
                }
            ],
        }
        made = httpx.post(f"{self.url}/Things", json=thing, timeout=30)
        made.raise_for_status()
        newest = {"$orderby": "id desc", "$top": "1"}
        listed = httpx.get(f"{self.url}/Datastreams", params=newest, timeout=30)
        listed.raise_for_status()
        self.datastream = json.dumps(listed.json()["value"][0]["@iot.id"])

    def one(self) -> str:
        """An observation a request."""
        return self._script(
            "/Observations",
            """'{"result":' .. n % 1000 .. ',"phenomenonTime":"' .. at .. '","resultTime":"' .. at
    .. '","Datastream":{"@iot.id":' .. datastream .. '}}'""",
        )

    def many(self) -> str:
        """A hundred a request."""
        return self._script(
            "/CreateObservations",
            """'[{"Datastream":{"@iot.id":' .. datastream .. '},"components":["result",'
    .. '"phenomenonTime","resultTime"],"dataArray":[' .. rows() .. ']}]'""",
        )

    def _script(self, path: str, body: str) -> str:
        root = "/" + self.url.split("/", 3)[3]
        return f"""{requests.SEED}{requests.MOMENT}
local datastream = '{self.datastream}'
local function rows()
  local parts = {{}}
  for i = 1, 100 do
    local at = moment()
    parts[i] = '[' .. n % 1000 .. ',"' .. at .. '","' .. at .. '"]'
  end
  return table.concat(parts, ",")
end
request = function()
  local at = moment()
  return wrk.format("POST", "{root}{path}", {requests.JSON}, {body})
end
"""


def measure(scratch: Path, peer: Peer | None) -> Lines:
    """Lines of both, in one run: each round measures one after the other."""
    ours: dict[str, list[Measured]] = {"one": [], "many": [], "retrieve": []}
    theirs: dict[str, list[Measured]] = {"one": [], "many": []}
    with served(scratch / "city") as city:
        for _ in range(ROUNDS):
            rest = (CONNECTIONS, SECONDS)
            ours["one"].append(wrk(city.url, requests.update(ENTITIES), *rest))
            ours["many"].append(wrk(city.url, requests.batch(ENTITIES), *rest))
            ours["retrieve"].append(wrk(city.url, requests.retrieve(ENTITIES), *rest))
            if peer is not None:
                theirs["one"].append(wrk(peer.url, peer.one(), *rest))
                theirs["many"].append(wrk(peer.url, peer.many(), *rest))
    for name, what, each, least in (
        ("one", "PostgreSQL: a reading a request", 1, 5),
        ("many", "PostgreSQL: 100 readings a request, readings", 100, 2),
        ("retrieve", "PostgreSQL: retrieve by id", 1, None),
    ):
        top = best(ours[name])
        said = f"{top.per_second * each:,.0f}/s, p50 {top.p50_ms:.1f} ms{top.failures}"
        met = None
        if theirs.get(name):
            rates = [[one.per_second for one in side[name]] for side in (ours, theirs)]
            times = ratio(*rates)
            other = best(theirs[name])
            said += f" = {times} x the peer's {other.per_second * each:,.0f}/s{other.failures}"
            met = least is not None and times.middle >= least and not top.failed
        yield Line(what, f"{least} x a SensorThings peer" if least else "", said, met)


def main() -> int:
    """Print the lines."""
    parser = argparse.ArgumentParser(prog="python -m bench.postgres", description=__doc__)
    parser.add_argument("--peer", default="", metavar="URL", help="root of its SensorThings API")
    url = parser.parse_args().peer
    with tempfile.TemporaryDirectory() as folder:
        for line in measure(Path(folder), Peer(url) if url else None):
            mark = {True: "met", False: "MISSED", None: ""}[line.met]
            sys.stdout.write(f"{line.what:48} {line.bar:26} {line.measured}  {mark}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
