# SPDX-License-Identifier: EUPL-1.2
"""An Idempotency-Key that comes again: with the same request the same answer, with another none of
it is done and nothing is called done; nobody else's key is in the way."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.walls.city import V1, App, city
from tests.walls.test_consents import FENNA, LOTTE

pytestmark = pytest.mark.usefixtures("engine")
KEY = {"idempotency-key": "the-same"}


def client(name: str, number: str = FENNA) -> dict[str, Any]:
    values = {"resident": number, "name": name}
    body: dict[str, Any] = {n: {"type": "Property", "value": v} for n, v in values.items()}
    return {"id": f"urn:ngsi-ld:Client:{name}", "type": "Client", **body}


async def names(app: App) -> list[str]:
    found = (await app.get(f"{V1}/entities?type=Client&options=keyValues&limit=100")).json()
    return sorted(one["name"] for one in found)


def test_a_key_stands_for_what_was_asked_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            first = await care.post(f"{V1}/entities", client("a"), **KEY)
            again = await care.post(f"{V1}/entities", client("a"), **KEY)
            assert first.status_code == again.status_code == 201
            assert first.headers["location"] == again.headers["location"]
            debtor = {**client("a"), "type": "Debtor"}
            for other in (client("b"), client("a", LOTTE), debtor, {**client("a"), "x": 1}):
                refused = await care.post(f"{V1}/entities", other, **KEY)
                assert refused.status_code in (400, 403, 409), refused.text
            assert await names(care) == ["a"]
            # another credential's key of the same letters is another key
            mine = await research.post(f"{V1}/entities", client("c"), **KEY)
            assert mine.status_code == 201
            assert mine.headers["location"] != first.headers["location"]
            assert await names(care) == ["a", "c"]

    asyncio.run(run())


def test_each_part_of_a_batch_is_done_once_and_all_of_them_are(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            urns = [await care.make("Client", resident=FENNA, name=n) for n in ("a", "b", "c")]
            new = [
                {"id": urn, "type": "Client", "name": {"type": "Property", "value": f"n{n}"}}
                for n, urn in enumerate(urns)
            ]
            for _ in range(2):
                merged = await care.post(f"{V1}/entityOperations/merge", new, **KEY)
                assert merged.status_code == 204, merged.text
                assert await names(care) == ["n0", "n1", "n2"]
            turned = [{**one, "name": {"type": "Property", "value": "x"}} for one in new]
            refused = await care.post(f"{V1}/entityOperations/merge", turned, **KEY)
            assert refused.status_code == 409
            batch = [client("d"), {**client("e"), "type": "Debtor"}]
            created = f"{V1}/entityOperations/create"
            one = await care.post(created, batch, **KEY)
            two = await care.post(created, batch, **KEY)
            assert one.status_code == two.status_code == 207
            assert one.json()["success"] == two.json()["success"] != []
            other = await care.post(created, [client("f"), client("g")], **KEY)
            assert other.status_code == 201, "the batch as a whole was not done under this key"
            assert (await care.post(created, batch, **KEY)).status_code == 409
            assert await names(care) == ["d", "f", "g", "n0", "n1", "n2"]
            path = f"{V1}/entities?type=Client"
            for _ in range(2):
                gone = await care.client.delete(path, headers={**care.headers, **KEY})
                assert gone.status_code == 204
            assert await names(care) == []

    asyncio.run(run())
