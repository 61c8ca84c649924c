# SPDX-License-Identifier: EUPL-1.2
"""init, serve, demo."""

from __future__ import annotations

import argparse
import asyncio
import logging
from dataclasses import replace

from poorter.city.clock import SystemClock
from poorter.city.errors import Invalid
from poorter.cli import loop
from poorter.config import Config, read_config
from poorter.founding import found_city
from poorter.running import Running
from poorter.telemetry.logs import set_up


def init(arguments: argparse.Namespace) -> int:
    """Found a city and show the officers' passwords, once."""
    if len(arguments.officer) != 2:
        raise Invalid("name two first officers: --officer A --officer B")
    settings = {
        "city.id": arguments.id,
        "city.name_nl": arguments.name_nl,
        "city.name_en": arguments.name_en,
        "store.url": arguments.store,
        "store.owner_url": arguments.store_owner,
    }
    officers = (arguments.officer[0], arguments.officer[1])
    founded = asyncio.run(
        found_city(arguments.city, settings, officers, arguments.body, SystemClock())
    )
    print(f"A city in {founded.config.folder}. Shown once, write them down:")
    for name, password in founded.passwords.items():
        print(f"  {name}: {password}")
    print("Next: poorter serve, then adopt a goal: poorter goals")
    return 0


def serve(arguments: argparse.Namespace) -> int:
    """Run the city of city.toml."""
    config = read_config(arguments.city)
    if arguments.port is not None:
        config = replace(config, server_port=arguments.port)
    return _run(config)


def _run(config: Config) -> int:
    from poorter.server import serve as run_server

    set_up(config.server_log)

    async def ready(running: Running) -> None:
        print(
            f"http://{config.server_host}:{config.server_port}  ({config.city_name_en})", flush=True
        )

    loop.run(run_server(config, SystemClock(), ready))
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Make the example city if there is none yet, then run it with its simulation."""
    from poorter.sim.demo import run_demo

    set_up("text", logging.WARNING)
    folder = arguments.city / "example-city"
    loop.run(run_demo(folder, arguments.port, arguments.seed, _say))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)
