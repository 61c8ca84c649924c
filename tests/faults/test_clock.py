# SPDX-License-Identifier: EUPL-1.2
"""Clocks that jump, over HTTP: nothing is lost, nothing that was over comes back."""

import asyncio
from pathlib import Path

from tests.founded import free, garage, observe, put
from tests.ngsild.test_http import V1, city, open_city, prop

from poorter.city.clock import ManualClock
from poorter.jobs import record_uses
from poorter.running import Running
from poorter.standards.operations.app import PREFIX
from poorter.systems.parking.model import pool_of

DAY_S = 86_400
YEAR_S = 365 * DAY_S


async def _units(running: Running) -> int:
    parking = running.systems[0]
    permit = running.gate.permit(parking.processor, parking.purpose, "read")
    return running.store.pool(permit, pool_of("urn:ngsi-ld:OffStreetParking:north", False)).units


def test_a_clock_set_back_and_forth(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with open_city(tmp_path, clock=clock) as (running, client):
            url = f"{V1}/entities/urn:ngsi-ld:City:a"
            assert (await client.post(f"{V1}/entities", json=city(n=prop(0)))).status_code == 201
            await put(running, garage("north", 10))
            await observe(running, "OffStreetParking", free(running, "north", 5))
            body = {"place": "urn:ngsi-ld:OffStreetParking:north"}
            held = await client.post(f"{PREFIX}parking/reserve", json=body)
            assert held.status_code in (200, 201), held.text
            pools = await _units(running)
            assert pools == 1
            for number, jump_s in enumerate((-DAY_S, DAY_S, -YEAR_S, 5, -5, YEAR_S), 1):
                clock.forward_s(jump_s)
                patched = await client.patch(f"{url}/attrs/n", json={"value": number})
                assert patched.status_code == 204, (jump_s, patched.text)
                assert (await client.get(url)).json()["n"]["value"] == number
                await record_uses(running)
                assert (await client.get("/health")).status_code == 200
            clock.forward_s(YEAR_S)
            assert await _units(running) == 0, "the hold is over"
            assert (await client.patch(f"{url}/attrs/n", json={"value": 9})).status_code == 204
            clock.forward_s(-2 * YEAR_S)
            assert await _units(running) == 0, "a clock set back does not bring it to life again"
            stamped = (await client.get(f"{url}?options=sysAttrs")).json()
            assert stamped["n"]["createdAt"] <= stamped["n"]["modifiedAt"]
            late = await client.post(
                f"{V1}/entities",
                json={"id": "urn:x:y", "type": "City"},
                headers={"idempotency-key": "k"},
            )
            again = await client.post(
                f"{V1}/entities",
                json={"id": "urn:x:y", "type": "City"},
                headers={"idempotency-key": "k"},
            )
            assert (late.status_code, again.status_code) == (201, 201)

    asyncio.run(run())
