# SPDX-License-Identifier: EUPL-1.2
"""Poorterstad lives: its past weeks are written once, then readings and travellers go on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from poorter.city.errors import CityError
from poorter.city.time import DAY_US, HOUR_US, MINUTE_US, format_us
from poorter.gate.genesis import RUN
from poorter.jobs import measure_indicators
from poorter.running import Running
from poorter.sim.badges import look_up
from poorter.sim.course import counts, footfall, garage_urn
from poorter.sim.plan import GARAGES
from poorter.sim.town import VOTES, things
from poorter.store.contract import Change, Observe, Op, Put, Reading
from poorter.systems.shape import Operation

PAST_DAYS = 42
BATCH = 4000
STEP_S = 15.0
LOOK_UPS = 0.3  # of the steps, in which a warden looks up a badge
RECORDER = "Griffie"


async def begin(running: Running, seed: int) -> None:
    """Adopt the goals, place the things, write the past up to now. A second time adds nothing."""
    for goal_id, vote in VOTES.items():
        goal = running.gate.policy.goals.get(goal_id)
        if goal is not None and goal.vote is None and goal.rescinded_at_us is None:
            await running.registry.adopt(goal_id, vote, RECORDER)
    await _write(running, [Put(thing, replace=False) for thing in things()])
    await catch_up(running, seed, running.clock.now_us() - PAST_DAYS * DAY_US)
    for system in running.systems:
        for job in system.jobs:
            with suppress(CityError):
                await job.run(running.city_of(system))
    await measure_indicators(running)


async def catch_up(running: Running, seed: int, from_us: int) -> None:
    """All readings from a moment until now."""
    now_us = running.clock.now_us()
    faults_us = now_us // DAY_US * DAY_US - 8 * HOUR_US
    for kind, readings in (
        ("OffStreetParking", counts(seed, from_us, now_us, faults_us)),
        ("CrowdFlowObserved", footfall(seed, from_us, now_us)),
    ):
        for batch in _batches(readings):
            await _write(running, [Observe(kind, batch, one_event=True)])


def _batches(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    rest = iter(readings)
    while batch := list(islice(rest, BATCH)):
        yield batch


async def _write(running: Running, ops: list[Op]) -> None:
    permit = running.gate.permit("internal:load", RUN, "write")
    await running.store.commit_async(permit, Change(tuple(ops)))


async def live(running: Running, seed: int) -> None:
    """Go on until cancelled: new readings, and travellers who reserve, come, or don't."""
    dice = random.Random(seed)
    expected: list[tuple[int, str]] = []
    while True:
        await catch_up(running, seed, running.clock.now_us() - HOUR_US)
        await _travellers(running, dice, expected)
        if dice.random() < LOOK_UPS:
            await look_up(running, dice)
        await asyncio.sleep(STEP_S)


async def _travellers(
    running: Running, dice: random.Random, expected: list[tuple[int, str]]
) -> None:
    """Now and then somebody reserves; most come, some don't."""
    acts = {
        operation.name: operation
        for system in running.systems
        if system.name == "parking"
        for operation in system.operations
    }
    if not acts or dice.random() > 0.4:
        return
    now_us = running.clock.now_us()
    while expected and expected[0][0] <= now_us:
        _, token = expected.pop(0)
        if dice.random() < 0.9:
            await _run(running, acts["arrive"], {"token": token})
    arrival_us = now_us + dice.randrange(4, 20) * MINUTE_US
    garage = dice.choice(GARAGES[:8])
    told = await _run(
        running,
        acts["reserve"],
        {"place": garage_urn(garage), "arrival": arrival_us, "badge": False},
    )
    if told is not None:
        expected.append((arrival_us, str(told["token"])))
        expected.sort()


async def _run(
    running: Running, operation: Operation, inputs: dict[str, object]
) -> dict[str, object] | None:
    system = next(system for system in running.systems if system.name == "parking")
    try:
        return await operation.run(running.city_of(system), inputs)
    except CityError:
        return None  # full, silent or rescinded: this traveller goes elsewhere


def told(running: Running) -> str:
    """What to look at, in a few lines."""
    config = running.config
    base = f"http://{config.server_host}:{config.server_port}"
    return "\n".join(
        (
            f"Poorterstad runs on {base} ({format_us(running.clock.now_us())})",
            f"  residents     {base}/nl/ or {base}/en/",
            f"  control room  {base}/en/control",
            f"  data          {base}/ngsi-ld/v1/entities?type=OffStreetParking",
            f"  operations    {base}/api/openapi.json",
            "Stop with Ctrl-C.",
        )
    )
