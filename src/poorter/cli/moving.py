# SPDX-License-Identifier: EUPL-1.2
"""A city into PostgreSQL: by itself when it is being served, else by this process."""

from __future__ import annotations

from poorter.city.clock import SystemClock
from poorter.config import Config
from poorter.control import ask_served
from poorter.running import open_city


async def move_city(config: Config, url: str, owner_url: str, instead: bool = False) -> str:
    """Move it and say what was compared. `instead`: of the city that is in that database."""
    if not instead:
        asked = {"ask": "migrate", "to": url, "owner": owner_url}
        said = await ask_served(config.paths_data, asked, print)
        if said is not None:
            return said
    from poorter.leaving.moving import move

    running = await open_city(config, SystemClock())
    try:
        return (await move(running, url, owner_url, _Printing(), instead)).words()
    finally:
        running.close()


class _Printing:
    """Whoever stands before this terminal."""

    gone = False

    def tell(self, words: str) -> None:
        """How far it is."""
        print(words)
