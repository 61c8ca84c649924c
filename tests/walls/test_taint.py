# SPDX-License-Identifier: EUPL-1.2
"""What is made behind a wall carries it: advice, figures and answers go nowhere else."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.founded import OFFICERS
from tests.walls.city import T, city

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied, Invalid, Unsupported
from poorter.city.query import Query
from poorter.decide.advice import Proposal
from poorter.decide.mandate import Bounds, Mandate, Measure
from poorter.gate.genesis import RUN
from poorter.gate.lawful import reads_behind
from poorter.gate.policy import Dataset, Grant, Processor, Purpose
from poorter.jobs import indicator_urn, measure_indicators
from poorter.standards.operations.app import Operations
from poorter.systems.shape import Field, Indicator, Operation, System


def care_system() -> System:
    """A careless system behind a wall, which would tell everybody what it reads."""

    async def count(handle: Any) -> float:
        return float(len(await handle.entities(Query(types=("Client",)))))

    async def names(handle: Any, inputs: Any) -> dict[str, Any]:
        found = await handle.entities(Query(types=("Client",)))
        return {"names": [one.value("name") for one in found]}

    ask = Operation("names", "ask", T, (Field("limit", "integer", T, False, 1, 9, 1),), names)
    return System(
        name="care",
        version="1",
        title=T,
        question=T,
        never=T,
        office="Zorg",
        goals=(),
        purposes=(Purpose("home-care", "people", T, "Wmo 2015", "Zorg", art6="e"),),
        datasets=(),
        asks=(),
        operations=(ask,),
        indicators=(Indicator("people", "clients-now", T, T, count),),
    )


def test_figures_and_answers_stay_behind_the_wall(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await c.apps["home-care"].make("Client", name="Fenna")
            running = c.running
            read = Grant("s", "system:care", "home-care", "clients", ("read",), OFFICERS)
            await running.registry.put([Processor("system:care", T, "c"), read], "ada", "it")
            assert reads_behind(running.gate.policy, "system:care") == {"care"}
            system = care_system()
            running.systems = (system,)
            await measure_indicators(running)
            public = running.gate.permit("public", "open-data", "read")
            told = running.store.query(public, Query(types=("KeyPerformanceIndicator",)))
            assert indicator_urn(system.indicators[0]) not in [e.urn for e in told.entities]
            acts = Operations(
                (system,),
                running.city_of,
                None,
                running.gate,
                running.store,
                running.clock,
                0,  # type: ignore[arg-type]
            )
            for purpose in ("open-data", "debt-help", "care-research"):
                with pytest.raises(Denied):
                    await acts.run(system, system.operations[0], {}, purpose=purpose)
            mine = await acts.run(system, system.operations[0], {}, purpose="home-care")
            assert mine == {"names": ["Fenna"]}

    asyncio.run(run())


def test_advice_from_behind_a_wall_is_kept_nowhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            dataset = Dataset("homes", T, "care", "personal", "Zorg", {"Home": ()}, ("lock",), 9)
            parts = [
                dataset,
                Grant("h", "app:home-care", "home-care", "homes", ("read", "command"), OFFICERS),
            ]
            await c.running.registry.put(parts, "ada", "a test")
            mandate = Mandate(
                "locks", T, "Zorg", "operator", "app:home-care", "home-care", "Home", "lock",
                Bounds(choices=("open",)), Measure("lock", 60),
            )  # fmt: skip
            c.running.decisions.mandates = {"locks": mandate}
            urn = await c.apps["home-care"].make("Client", name="Fenna")
            proposal = Proposal("locks", urn, "lock", "open", ("she fell",), {"name": "Fenna"}, "x")
            with pytest.raises(Unsupported):
                await c.running.decisions.advise(proposal, "app:home-care")
            own = c.running.gate.permit("internal:decide", RUN, "read")
            assert c.running.store.records(own, "advice") == []

    asyncio.run(run())


def test_laundering_by_a_second_purpose_or_a_second_step_is_refused(tmp_path: Path) -> None:
    """Read behind the wall under one purpose, write in the open under another: no such policy."""

    async def run() -> None:
        async with city(tmp_path) as c:
            for actions in (("write",), ("command",), ("read", "write")):
                out = Grant("out", "app:home-care", "open-data", "context", actions, OFFICERS)  # type: ignore[arg-type]
                with pytest.raises(Invalid, match="through a release"):
                    await c.running.registry.put([out], "ada", "laundering")
            clean = [
                Processor("app:clean", T, "c"),
                replace(
                    Grant("w", "app:clean", "open-data", "context", ("write",), OFFICERS),
                ),
            ]
            await c.running.registry.put(clean, "ada", "no wall so far")
            later = Grant("r", "app:clean", "home-care", "clients", ("read",), OFFICERS)
            with pytest.raises(Invalid, match="through a release"):
                await c.running.registry.put([later], "ada", "and now a wall")
            write = c.running.gate.permit("app:clean", "open-data", "write")
            from poorter.store.contract import Change, Put

            forged = Entity("urn:ngsi-ld:Client:1", ("Client",), (Attribute("n", 1),))
            with pytest.raises(Denied):
                await c.running.store.commit_async(write, Change((Put(forged),)))
            sealed = Entity("urn:ngsi-ld:City:1", ("~Client",), (Attribute("n", 1),))
            with pytest.raises(Denied):
                await c.running.store.commit_async(write, Change((Put(sealed),)))

    asyncio.run(run())
