# SPDX-License-Identifier: EUPL-1.2
"""history: what it takes on the disk, and bringing it into columns by hand."""

from __future__ import annotations

import argparse
import asyncio

from poorter.city.clock import SystemClock
from poorter.config import read_config
from poorter.gate.genesis import HISTORY, RUN
from poorter.jobs import compact
from poorter.running import open_city
from poorter.store.history.report import HistorySize


def history(arguments: argparse.Namespace) -> int:
    """Say how many bytes an observation takes; first compact what is old enough if asked to."""
    config = read_config(arguments.city)

    async def work() -> HistorySize:
        running = await open_city(config, SystemClock())
        try:
            if arguments.compact:
                done = await compact(running)
                print(f"{done.moved} readings went into columns, {done.segments} segments written")
            permit = running.gate.permit(HISTORY, RUN, "read")
            return await asyncio.to_thread(running.store.history_size, permit)
        finally:
            running.close()

    size = asyncio.run(work())
    print(f"{size.rows} readings in rows: {size.rows_bytes} bytes")
    print(f"{size.compacted} in {size.segments} segments: {size.compacted_bytes} bytes")
    if size.bytes_each is not None:
        print(f"{size.bytes_each:.2f} bytes an observation")
    return 0
