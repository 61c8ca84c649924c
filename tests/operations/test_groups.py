# SPDX-License-Identifier: EUPL-1.2
"""GET /api/city/groups: through the gate, as the store answers; questions that make no sense."""

import asyncio
from pathlib import Path

import httpx
from tests.founded import founded, garage, observe, put

from poorter.city.clock import ManualClock
from poorter.city.time import HOUR_US
from poorter.server import make_app
from poorter.store.contract import Reading

T0 = 1_767_225_600_000_000
ASKED = {
    "type": "OffStreetParking",
    "attr": "availableSpotNumber",
    "by": "status",
    "from": "2026-01-01T00:00:00Z",
    "until": "2026-01-02T00:00:00Z",
}


def test_groups_over_http(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock(T0 + 40 * HOUR_US)) as running:
            await put(running, garage("a", 10), garage("b", 10), garage("c", 10, status="shut"))
            for key, value in (("a", 4), ("b", 6), ("c", 1)):
                urn = f"urn:ngsi-ld:OffStreetParking:{key}"
                readings = [
                    Reading(urn, "availableSpotNumber", T0 + h * HOUR_US, value) for h in range(30)
                ]
                await observe(running, "OffStreetParking", *readings)
            transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://c") as client:

                async def asked(**more: str) -> httpx.Response:
                    params = {k: v for k, v in (ASKED | more).items() if v}
                    return await client.get("/api/city/groups", params=params)

                found = (await asked(hours="12")).json()
                assert found["columns"] == ["start", "count", "mean", "least", "most", "total"]
                assert found["groups"]["open"] == [
                    ["2026-01-01T00:00:00Z", 24, 5.0, 4.0, 6.0, 120.0],
                    ["2026-01-01T12:00:00Z", 24, 5.0, 4.0, 6.0, 120.0],
                ]
                assert (await asked(type="Person")).json()["groups"] == {}
                for wrong in (
                    {"areas": "Area"},
                    {"by": ""},
                    {"from": "yesterday"},
                    {"until": "2025-01-01T00:00:00Z"},
                    {"hours": "0"},
                    {"colour": "red"},
                ):
                    assert (await asked(**wrong)).status_code == 400, wrong
                assert (await asked(**{"from": "1026-01-01T00:00:00Z"})).status_code == 413

    asyncio.run(run())
