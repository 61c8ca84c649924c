# SPDX-License-Identifier: EUPL-1.2
"""CONTRIBUTING.md's system, as it stands there, in a founded city."""

import asyncio
import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.founded import founded

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied
from poorter.jobs import indicator_urn, measure_indicators

PAGE = Path(__file__).parent.parent.parent / "CONTRIBUTING.md"
URN = "urn:ngsi-ld:Fountain:1"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    files: dict[str, str] = defaultdict(str)
    for name, code in re.findall(r"```\w+ file=(\S+)\n(.*?)```", PAGE.read_text("utf-8"), re.S):
        files[name] += code
    assert len(files) == 3
    for name, code in files.items():
        file = tmp_path / "packages" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, "utf-8")
    metadata = tmp_path / "packages" / "poorter_fountains-1.0.dist-info" / "METADATA"
    metadata.write_text("Metadata-Version: 2.1\nName: poorter-fountains\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("poorter_fountains")]:
        del sys.modules[name]


def test_the_system_of_the_page_runs_from_goal_to_outcome_and_stops(package: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(package / "city", clock, ("fountains",)) as running:
            (system,) = running.systems
            city = running.city_of(system)

            async def degrees(value: float) -> None:
                await city.put(
                    Entity(
                        URN, ("Fountain",), (Attribute("temperature", value), Attribute("flow", 1))
                    )
                )

            await degrees(30)
            await system.jobs[0].run(city)
            found = await city.entity(URN)
            assert found is not None
            assert found.value("valve") == "open"
            operation = system.operations[0]
            assert await operation.run(city, {"limit": 20}) == {"fountains": [URN]}
            await measure_indicators(running)
            public = running.city("public", "open-data")
            indicator = await public.entity(indicator_urn(system.indicators[0]))
            assert indicator is not None
            assert indicator.value("kpiValue") == 100
            clock.forward_s(700)
            assert await running.decisions.measure() == 1
            await running.registry.rescind("water-in-the-heat", "ada")
            with pytest.raises(Denied):
                await operation.run(city, {"limit": 20})
            assert await public.entity(URN) is not None  # what is open stays open

    asyncio.run(run())


def test_its_safety_table_holds(package: Path) -> None:
    async def run() -> None:
        async with founded(package / "city", ManualClock(), ("fountains",)) as running:
            (system,) = running.systems
            city = running.city_of(system)
            await city.put(Entity(URN, ("Fountain",), (Attribute("temperature", -3),)))
            policy = sys.modules["poorter_fountains"].policy
            assert policy.SAFETY[0].id == "no-frozen-fountain-runs"
            proposal = sys.modules["poorter_fountains"].Proposal(
                "fountain-valves", URN, "valve", "open", ("why not",), {}, "test/1"
            )
            await city.advise(proposal)
            found = await city.entity(URN)
            assert found is not None
            assert found.value("valve") is None

    asyncio.run(run())
