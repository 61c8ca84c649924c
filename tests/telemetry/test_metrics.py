# SPDX-License-Identifier: EUPL-1.2
"""Figures for who watches over a city: right, behind the gate, and without anybody's data."""

import asyncio
import json
import logging
import re
from pathlib import Path

import httpx
import pytest
from tests.founded import founded

from poorter.city.clock import ManualClock
from poorter.city.text import Text
from poorter.gate.policy import Grant, Processor
from poorter.offices.keys import make_key
from poorter.running import Running
from poorter.server import make_app
from poorter.telemetry.logs import JsonLines

CANARY = "urn:ngsi-ld:City:canary-4711"
_LINE = re.compile(r"[a-z_]+(\{[^}]*\})? [0-9.e+-]+(nan|inf)?\Z|# (HELP|TYPE) .*\Z")


async def watcher(running: Running) -> str:
    officers = ("ada", "bob")
    app = Processor("app:watch", Text("Wacht", "Watch"), "x")
    grant = Grant("w2", "app:watch", "control-room", "metrics", ("read",), officers)
    await running.registry.put([app, grant], "ada", "for a test")
    _, key = await make_key(running, "app:watch", "control-room", 1, "ada")
    return key


def test_metrics(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock(1_790_000_000_000_000)) as running:
            transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                assert (await client.get("/metrics")).status_code == 403
                assert (
                    await client.get("/metrics", headers={"authorization": "Bearer x"})
                ).status_code == 401
                for _ in range(3):
                    await client.get(f"/ngsi-ld/v1/entities/{CANARY}")
                await client.get(f"/nl/{CANARY}?q={CANARY}")
                headers = {"authorization": f"Bearer {await watcher(running)}"}
                answer = await client.get("/metrics", headers=headers)
                assert (await client.post("/metrics", headers=headers)).status_code == 404
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        lines = answer.text.splitlines()
        assert all(_LINE.match(line) for line in lines), answer.text
        assert 'poorter_answers_total{face="ngsi-ld",status="404"} 3.0' in lines
        assert 'poorter_answer_seconds_count{face="ngsi-ld"} 3.0' in lines
        assert "poorter_ledger_written 1.0" in lines
        assert "canary" not in answer.text

    asyncio.run(run())


def test_ready_follows_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock(1_790_000_000_000_000)) as running:
            transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                assert (await client.get("/ready")).status_code == 200
                running.sequencer.failing = "no space left"
                answer = await client.get("/ready")
                assert (answer.status_code, answer.json()["ready"]) == (503, False)
                running.sequencer.failing = None
                assert (await client.get("/ready")).json() == {"ready": True, "failing_jobs": []}

    asyncio.run(run())


def test_log_lines_as_json() -> None:
    try:
        raise ValueError("odd\nthing")
    except ValueError as wrong:
        info = (type(wrong), wrong, wrong.__traceback__)
    record = logging.LogRecord("poorter.x", logging.ERROR, "f", 1, "a %s\nb", ("x",), info)
    line = JsonLines().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"]) == ("error", "poorter.x", "a x\nb")
    assert found["error"] == "ValueError" and "odd" in found["trace"]
