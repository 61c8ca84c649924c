# SPDX-License-Identifier: EUPL-1.2
"""python -m bench.sizing [ENTITIES ...]: what a city of so many entities, each with a week of
readings by the quarter of an hour, takes of disk and memory, and how long it takes to start, to
back up, to leave and to come back."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.founded import OFFICERS

from bench.cities import City, found, memory_mib, urn
from poorter.backups.taking import take_backup
from poorter.city.clock import SystemClock
from poorter.city.text import Text
from poorter.city.time import DAY_US, HOUR_US
from poorter.config import Config, read_config
from poorter.gate.genesis import HISTORY, RUN
from poorter.gate.lawful import LEAVER
from poorter.gate.policy import Grant, Processor
from poorter.leaving.exporting import export
from poorter.leaving.importing import import_city
from poorter.running import Running, open_city
from poorter.store.contract import Change, Observe, Reading

READINGS = 7 * 96
SENSORS_SHARE = 0.1


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def observe(running: Running, sensors: int) -> None:
    """A week of readings of every tenth entity, then compacted as far as they are old enough."""
    now_us = running.clock.now_us()
    for number in range(sensors):
        start_us = now_us - 7 * DAY_US + number
        readings = [
            Reading(urn(number), "level", start_us + n * HOUR_US // 4, (n * number) % 1000 / 10)
            for n in range(READINGS)
        ]
        permit = running.gate.permit("internal:load", RUN, "write")
        await running.store.commit_async(permit, Change((Observe("City", readings, True),)))


def compact(running: Running) -> None:
    """As the job does each half hour."""

    def permit() -> object:
        return running.gate.permit(HISTORY, RUN, "administer")

    until_us = running.clock.now_us() - 48 * HOUR_US
    running.store.compact(permit(), until_us, True, permit)


async def let_leave(running: Running) -> None:
    """Two officers grant it."""
    until_us = running.clock.now_us() + DAY_US
    grant = Grant("leave", LEAVER, RUN, "everything", ("read",), OFFICERS, until_us=until_us)
    words = Text("Vertrek", "Leaving")
    await running.registry.put([Processor(LEAVER, words, "city"), grant], "ada", "measured")


async def work(
    config: Config, sensors: int, scratch: Path, say: Callable[[str, str], None]
) -> None:
    """Fill, then measure what works on a city that is not being served."""
    running = await open_city(config, SystemClock())
    try:
        await observe(running, sensors)
        before = running.store.history_size(running.gate.permit(HISTORY, RUN, "read"))
        compact(running)
        after = running.store.history_size(running.gate.permit(HISTORY, RUN, "read"))
        await let_leave(running)
        number = sensors * READINGS
        say("readings", f"{number:,}")
        say("a reading in rows", f"{before.rows_bytes / before.rows:.0f} bytes")
        columns = after.compacted_bytes / after.compacted
        say("a reading in columns", f"{columns:.1f} bytes")
        began = time.perf_counter()
        taken = await take_backup(running, scratch / "backups")
        say("backup", f"{time.perf_counter() - began:.1f} s, {size(taken.folder) / 1e6:.0f} MB")
        began = time.perf_counter()
        await export(running, scratch / "export")
        seconds = time.perf_counter() - began
        say("export", f"{seconds:.1f} s, {size(scratch / 'export') / 1e6:.0f} MB")
    finally:
        running.close()


def measure(entities: int, scratch: Path, say: Callable[[str, str], None]) -> None:
    """One city."""
    folder = scratch / "city"
    rate = found(folder, entities)
    config = read_config(folder)
    say("entities", f"{entities:,}")
    say("written through the store", f"{rate:,.0f}/s")
    say(
        "database, an entity of three attributes", f"{size(config.paths_data) / entities:.0f} bytes"
    )
    asyncio.run(work(config, int(entities * SENSORS_SHARE), scratch, say))
    shutil.copytree(config.paths_keys, scratch / "new" / "keys")
    keys = scratch / "new" / "keys"
    back = import_city(scratch / "export", scratch / "new", keys, SystemClock())
    say("import and proof", f"{timed(lambda: asyncio.run(back)):.1f} s")
    city = City(folder)
    try:
        say("start to serving", f"{city.start(60):.2f} s")
        assert city.process is not None
        say("memory after the start (PSS)", f"{memory_mib(city.process.pid):.0f} MiB")
    finally:
        city.stop()


def main() -> int:
    """Print a table a city."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__)
    parser.add_argument("entities", nargs="*", type=int, default=[10_000, 100_000])
    for entities in parser.parse_args().entities:
        with tempfile.TemporaryDirectory() as scratch:
            measure(
                entities,
                Path(scratch),
                lambda what, value: void(sys.stdout.write(f"{what:44} {value}\n")),
            )
        sys.stdout.write("\n")
    return 0


def void(_: object) -> None:
    """Whatever came of it."""


if __name__ == "__main__":
    sys.exit(main())
