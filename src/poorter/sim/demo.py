# SPDX-License-Identifier: EUPL-1.2
"""Makes the example city where there is none, and runs it with its simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from poorter.city.clock import SystemClock
from poorter.config import FILE, Config, read_config
from poorter.founding import found_city
from poorter.identity.paper import spelled
from poorter.offices.letters import give_code
from poorter.running import Running
from poorter.server import serve
from poorter.sim.badges import issue_badges
from poorter.sim.issuer import running_beside, trusting
from poorter.sim.life import begin, live, told
from poorter.sim.people import APPOINTED, appoint, hand_out
from poorter.sim.plan import CENTRE

OFFICERS = ("noor", "sam")
PASSWORD = "welkom-in-poorterstad"  # noqa: S105 - an example city on this machine, said aloud
#: which sort of example city this is: rises when what is founded changes
MARK, VERSION = "example", "5"


async def run_demo(folder: Path, port: int, seed: int, say: Callable[[str], None]) -> None:
    """Found the example city in `folder` unless it is there, then serve it until stopped."""
    before = _put_aside(folder)
    if before is not None:
        say(f"The example city here was of another version of Poorter: it is in {before} now.")
    if not (folder / FILE).exists():
        settings = {
            "city.id": "poorterstad",
            "city.name_nl": "Poorterstad",
            "city.name_en": "Poorterstad",
            "city.longitude": CENTRE[0],
            "city.latitude": CENTRE[1],
            "network.allowed_hosts": ["localhost", "127.0.0.1"],  # to try subscriptions with
        }
        passwords = (PASSWORD, PASSWORD)
        await found_city(folder, settings, OFFICERS, "Gemeenteraad", SystemClock(), passwords)
        (folder / MARK).write_text(VERSION)
    config = replace(read_config(folder), server_port=port)
    with running_beside(config.url) as issuer:
        await _run(replace(config, identity_providers=trusting(issuer)), seed, say)


async def _run(config: Config, seed: int, say: Callable[[str], None]) -> None:

    async def ready(running: Running) -> None:
        say(told(running))
        say(f"  staff         {' or '.join(OFFICERS)}, password {PASSWORD}")
        await appoint(running)
        say(f"                or {' or '.join(APPOINTED)} at the example login service")
        letter = spelled(await give_code(running, "letter", "street", OFFICERS[0]))
        say(f"  a letter      carries {letter}: is it the city's? {config.url}/nl/check")
        for resident, code in await hand_out(running, OFFICERS[0]):
            say(f"  {resident.name}: comes in once at {config.url}/nl/enter with {code}")

    async def alive(running: Running) -> None:
        await issue_badges(running, OFFICERS)
        await begin(running, seed)
        say("Six weeks of readings are in, forecasts are made.")
        await live(running, seed)

    await serve(config, SystemClock(), ready, alive)


def _put_aside(folder: Path) -> Path | None:
    """An example city of another version goes aside; where it went."""
    mark = folder / MARK
    if not (folder / FILE).exists() or (mark.exists() and mark.read_text() == VERSION):
        return None
    number = 1
    while (before := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(before)
    return before
