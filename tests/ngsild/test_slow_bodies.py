# SPDX-License-Identifier: EUPL-1.2
"""A body that takes longer than a permit lasts is written under the permit of when it is there."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from tests.ngsild.test_http import ID, V1, city, open_city, prop


def test_a_body_slower_than_a_lease_is_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (running, client):
            whole = json.dumps(city(n=prop(1))).encode()

            async def slowly() -> AsyncIterator[bytes]:
                yield whole[:20]
                running.clock._clock.forward_s(3)  # type: ignore[attr-defined]
                yield whole[20:]

            headers = {"content-type": "application/json", "content-length": str(len(whole))}
            made = await client.post(f"{V1}/entities", content=slowly(), headers=headers)
            assert made.status_code == 201, made.text
            assert (await client.get(f"{V1}/entities/{ID}")).status_code == 200

    asyncio.run(run())
