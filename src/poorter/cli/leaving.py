# SPDX-License-Identifier: EUPL-1.2
"""export, import, migrate."""

from __future__ import annotations

import argparse
import asyncio

from poorter.city.clock import SystemClock
from poorter.cli.backups import keys_of
from poorter.cli.moving import move_city
from poorter.config import read_config
from poorter.control import ask_served
from poorter.running import open_city


def export(arguments: argparse.Namespace) -> int:
    """Write all of it, by the city itself when it is being served."""
    from poorter.leaving.exporting import export as write
    from poorter.leaving.exporting import words

    config, folder = read_config(arguments.city), arguments.folder.resolve()

    async def make() -> str:
        said = await ask_served(config.paths_data, {"ask": "export", "into": str(folder)})
        if said is not None:
            return said
        running = await open_city(config, SystemClock())
        try:
            return words(folder, await write(running, folder))
        finally:
            running.close()

    print(asyncio.run(make()))
    return 0


def importing(arguments: argparse.Namespace) -> int:
    """Rebuild a city of an export and say what was compared."""
    from poorter.leaving.importing import import_city

    folder, keys = arguments.folder.resolve(), keys_of(arguments)
    found = asyncio.run(import_city(folder, arguments.city, keys, SystemClock()))
    for store, kind, number in found.compared:
        where = f"tenant {store}" if store else "city"
        print(f"{where:<20} {kind:<14} {number:>12}  equal")
    print(f"{found.leaves} leaves, all signed and in their place; nothing differs from the export")
    return 0


def migrating(arguments: argparse.Namespace) -> int:
    """Move the city to another engine and say what was compared: into PostgreSQL by the city
    itself when it is being served; out of it, stopped."""
    config, to = read_config(arguments.city), arguments.to
    if to != "files" and not config.store_url:
        print(asyncio.run(move_city(config, to, arguments.owner)))
        return 0
    from poorter.leaving.migrating import migrate
    from poorter.leaving.rebuilding import Engine

    url = "" if to == "files" else to
    done = asyncio.run(migrate(config, Engine(url, arguments.owner), SystemClock()))
    for _, kind, number in done.compared:
        print(f"{kind:<14} {number:>12}  equal")
    print(f"{done.leaves} leaves, all signed and in their place; city.toml says where the city is")
    print(f"the data as it was is in {done.kept_at}")
    return 0
