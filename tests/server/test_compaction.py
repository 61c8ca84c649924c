# SPDX-License-Identifier: EUPL-1.2
"""The city compacts its history by itself, under a grant of its own; health says when it can't."""

import asyncio
from pathlib import Path

import httpx
import pytest
from tests.contract.test_compaction import readings, urn
from tests.founded import founded, observe

from poorter.city.clock import ManualClock
from poorter.city.errors import Denied
from poorter.city.query import HistoryQuery
from poorter.city.time import HOUR_US
from poorter.gate.genesis import HISTORY, RUN
from poorter.jobs import Jobs, compact
from poorter.server import make_app

T0 = 1_767_225_600_000_000


def test_what_is_older_than_the_recent_hours_is_compacted(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock(T0 + 100 * HOUR_US)
        async with founded(tmp_path, clock) as running:
            await observe(running, "OffStreetParking", *readings(1, range(100)))
            done = await compact(running)
            assert (done.moved, done.segments) == (52, 1)  # 48 hours stay rows
            assert (await compact(running)).segments == 0
            size = running.store.history_size(running.gate.permit(HISTORY, RUN, "read"))
            assert (size.rows, size.compacted) == (48, 52)
            permit = running.gate.permit("public", "open-data", "read")
            assert len(running.store.history(permit, HistoryQuery(urn(1)))) == 100
            with pytest.raises(Denied):
                running.gate.permit(HISTORY, RUN, "write")

    asyncio.run(run())


def test_a_system_with_a_dataset_of_its_own_has_its_history_compacted(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            grants = running.gate.policy.grants.values()
            covered = {g.dataset for g in grants if g.processor == HISTORY}
            for system in running.systems:
                for dataset in system.datasets:
                    assert (dataset.id in covered) == (dataset.data_class in ("open", "internal"))

    asyncio.run(run())


def test_health_says_when_compaction_fails(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock(T0 + 100 * HOUR_US)
        async with founded(tmp_path, clock) as running:
            await observe(running, "OffStreetParking", *readings(1, range(100)))
            (running.config.paths_data / "history").write_text("in the way")
            jobs = Jobs(running)
            jobs.start()
            for _ in range(200):
                if running.job_failures.get("history"):
                    break
                await asyncio.sleep(0.05)
            await jobs.stop()
            transport = httpx.ASGITransport(app=make_app(running))
            async with httpx.AsyncClient(transport=transport, base_url="http://c") as client:
                found = (await client.get("/health")).json()
            assert found["status"] == "degraded"
            assert "failed" in found["history"]

    asyncio.run(run())
