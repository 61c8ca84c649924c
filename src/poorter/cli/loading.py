# SPDX-License-Identifier: EUPL-1.2
"""load, maps."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from poorter.city.clock import SystemClock
from poorter.config import read_config
from poorter.gate.genesis import RUN
from poorter.load.mapping import read_map, shipped_maps
from poorter.load.run import Load, Progress, Totals
from poorter.running import open_city

PROCESSOR = "internal:load"


def load(arguments: argparse.Namespace) -> int:
    """Load a file; 0 when all of it is in or accounted for in the rejects file."""
    map_ = read_map(arguments.map)
    config = read_config(arguments.city)
    beside = config.folder / arguments.file.with_suffix(".rejects.csv").name
    rejects: Path = arguments.rejects or beside
    progress = None if arguments.quiet or not sys.stderr.isatty() else _bar()

    async def run() -> Totals:
        running = await open_city(config, SystemClock())
        try:
            work = Load(
                running.store,
                lambda action: running.gate.permit(PROCESSOR, RUN, action),
                running.clock,
                map_,
                arguments.file,
                rejects,
                progress,
            )
            return await asyncio.to_thread(work.run)
        finally:
            running.close()

    started = time.perf_counter()
    try:
        totals = asyncio.run(run())
        if progress is not None:
            sys.stderr.write(_drawn(1.0, totals.rows))
    finally:
        if progress is not None:
            sys.stderr.write("\n")
    print(summary(totals, time.perf_counter() - started))
    if totals.rejects:
        print(f"refused rows, each with line, column and reason: {rejects}")
    if totals.unseen:
        print(f"no row has {', '.join(totals.unseen)}, which the map names")
    return 0


def summary(totals: Totals, seconds: float) -> str:
    """What a load came to, in one line or two."""
    parts = [f"{totals.rows} rows"]
    if totals.new or totals.known or totals.corrections:
        parts.append(f"{totals.new} new readings, {totals.known} known already")
    if totals.corrections:
        parts.append(f"{totals.corrections} corrections, both kept")
    if totals.things or totals.things_same:
        parts.append(f"{totals.things} things written, {totals.things_same} the same as before")
    parts += [f"{totals.missing} cells without a value", f"{totals.rejects} refused"]
    if totals.resumed_at:
        parts.append(f"went on after row {totals.resumed_at}")
    return ", ".join(parts) + f" ({seconds:.1f} s)"


def maps(arguments: argparse.Namespace) -> int:
    """List the maps that come with Poorter."""
    for name, title in shipped_maps():
        print(f"{name:32} {title}")
    return 0


def _bar() -> Progress:
    """A line on the terminal, redrawn at most ten times a second."""
    last = [0.0]

    def show(read: int, total: int, rows: int) -> None:
        now = time.monotonic()
        if now - last[0] < 0.1:
            return
        last[0] = now
        sys.stderr.write(_drawn(min(1.0, read / total) if total else 0.0, rows))
        sys.stderr.flush()

    return show


def _drawn(share: float, rows: int) -> str:
    return f"\r[{'#' * round(share * 30):30}] {share:4.0%} {rows} rows"
