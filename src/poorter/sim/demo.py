# SPDX-License-Identifier: EUPL-1.2
"""Makes the example city where there is none, and runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from poorter.city.clock import SystemClock
from poorter.config import FILE, read_config
from poorter.founding import found_city
from poorter.running import Running
from poorter.server import serve

OFFICERS = ("Noor de Wit", "Sam Vermeer")
PASSWORD = "welkom-in-poorterstad"  # noqa: S105 - an example city on this machine only, said on its page


async def run_demo(folder: Path, port: int, seed: int, say: Callable[[str], None]) -> None:
    """Found the example city in `folder` unless it is there, then serve it."""
    if not (folder / FILE).exists():
        settings = {
            "city.id": "poorterstad",
            "city.name_nl": "Poorterstad",
            "city.name_en": "Poorterstad",
            "systems.enabled": [],
        }
        await found_city(
            folder, settings, OFFICERS, "Gemeenteraad", SystemClock(), (PASSWORD, PASSWORD)
        )
    config = replace(read_config(folder), server_port=port)

    async def ready(running: Running) -> None:
        del running
        say(f"Poorterstad: http://{config.server_host}:{port}")

    await serve(config, SystemClock(), ready)
