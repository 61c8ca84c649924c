# SPDX-License-Identifier: EUPL-1.2
"""Found a city to run a conformance suite against: `python tools/conformance.py FOLDER [--setting
TABLE.KEY=TOML ...]`, then `poorter serve --city FOLDER`. There is no test mode: its policy grants
`public` to read and write every type, and it may call any host. Never give it real data."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tomllib
from pathlib import Path

from poorter.city.clock import SystemClock
from poorter.city.text import Text
from poorter.config import read_config
from poorter.founding import found_city
from poorter.gate.policy import Dataset, Grant, Processor
from poorter.running import open_city

OFFICERS = ("first-officer", "second-officer")
SETTINGS = {
    "systems.enabled": [],
    "history.page_instances": 30,
    "history.former_values": 100,
    "network.allowed_hosts": ["*"],
    "federation.strict": False,  # the suite was written for the versions before it
    "network.context_unavailable": 503,  # likewise
    "federation.split_entities": False,  # what it takes to be the default
    "server.public_rate_per_second": 1e6,
    "server.public_rate_burst": 1_000_000,
}


async def found(folder: Path, settings: dict[str, object]) -> None:
    """The city in `folder`, with the dataset of everything open and its one grant."""
    clock = SystemClock()
    await found_city(folder, SETTINGS | settings, OFFICERS, "Conformance", clock)
    running = await open_city(read_config(folder), clock)
    everything = Dataset(
        "suite",
        Text("Wat de proef raakt", "What the suite touches"),
        "open",
        "open",
        "-",
        {"*": ()},
    )
    anywhere = Processor("public@*", Text("Iedereen, in een tenant", "Everybody, in a tenant"), "-")
    grants = [
        Grant(f"{who}-{dataset}", who, "open-data", dataset, ("read", "write"), OFFICERS)
        for who in ("public", anywhere.id)
        for dataset in ("suite", "sources")
    ]
    await running.registry.put(
        [everything, anywhere, *grants], OFFICERS[0], "for a conformance suite"
    )
    running.close()


def main(arguments: list[str]) -> int:
    """Read the arguments, found the city."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--setting", action="append", default=[], metavar="TABLE.KEY=TOML")
    given = parser.parse_args(arguments)
    settings: dict[str, object] = {}
    for one in given.setting:
        name, _, value = one.partition("=")
        settings[name] = tomllib.loads(f"value = {value}")["value"]
    asyncio.run(found(given.folder, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
