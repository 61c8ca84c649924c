# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions to persons: told under the purpose's ids, and no longer once somebody withdraws."""

import asyncio
from pathlib import Path
from typing import Any

from tests.ngsild.test_subscriptions import Receiver
from tests.walls.city import V1, App, City, city
from tests.walls.test_consents import FENNA, LOTTE, person, subject_in


async def renamed(app: App, urn: str, name: str) -> None:
    done = await app.client.patch(
        f"{V1}/entities/{urn}/attrs", json={"name": {"value": name}}, headers=app.headers
    )
    assert done.status_code == 204, done.text


async def told(receiver: Receiver, within_s: float = 1.0) -> list[dict[str, Any]]:
    """What arrives within a while."""
    found: list[dict[str, Any]] = []
    try:
        while True:
            _, body = await asyncio.wait_for(receiver.got.get(), within_s if not found else 0.3)
            found += body["data"]
    except TimeoutError:
        return found


async def subscribe(c: City, app: App, url: str, **entity: str) -> None:
    body = {
        "type": "Subscription",
        "entities": [{"type": "Client", **entity}],
        "notification": {"endpoint": {"uri": url}},
    }
    made = await app.post(f"{V1}/subscriptions", body)
    assert made.status_code == 201, made.text


def test_a_subscriber_is_told_what_its_purpose_may_see_until_it_is_withdrawn(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        more = {"network.allowed_hosts": ["127.0.0.1"]}
        async with (
            city(tmp_path, more=more) as c,
            Receiver() as all_of_them,
            Receiver() as one_of_them,
        ):
            assert c.running.engine is not None
            await c.running.engine.start()
            care, planning = c.apps["home-care"], c.apps["care-planning"]
            fenna = await care.make("Client", resident=FENNA, name="Fenna")
            lotte = await care.make("Client", resident=LOTTE, name="Lotte")
            await c.running.people.consents.give(person(c), "care-planning")
            (shown,) = await planning.ids("Client")
            await subscribe(c, planning, all_of_them.url)
            await subscribe(c, planning, one_of_them.url, id=shown)
            await renamed(care, lotte, "Lotte S")
            await renamed(care, fenna, "Fenna W")
            for receiver in (all_of_them, one_of_them):
                data = await told(receiver, 15)
                assert {one["id"] for one in data} == {shown}
                assert {one["name"]["value"] for one in data} == {"Fenna W"}
            await c.running.people.consents.withdraw(person(c), "care-planning")
            await renamed(care, fenna, "Fenna X")
            assert await told(all_of_them) == []
            await c.running.people.consents.give(person(c), "care-planning")
            await renamed(care, fenna, "Fenna Y")
            assert [one["name"]["value"] for one in await told(all_of_them, 15)] == ["Fenna Y"]
            await c.running.people.erasing.erase(subject_in(c)("care"), "care", "ada", "asked")
            await told(all_of_them)
            await renamed(care, lotte, "Lotte T")
            assert await told(all_of_them) == []
            await c.running.engine.stop()

    asyncio.run(run())


def test_purge_and_batches_reach_persons_under_the_purposes_ids(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            made = [await care.make("Client", n=n) for n in range(5)]
            patched = await care.post(
                f"{V1}/entityOperations/update",
                [{"id": made[0], "type": "Client", "n": {"value": 10}}],
            )
            assert patched.status_code == 204, patched.text
            merged = await care.post(
                f"{V1}/entityOperations/merge",
                [{"id": made[1], "type": "Client", "n": {"value": 11}}],
            )
            assert merged.status_code == 204, merged.text
            values = (await care.get(f"{V1}/entities?type=Client&options=keyValues")).json()
            assert sorted(one["n"] for one in values) == [2, 3, 4, 10, 11]
            theirs = await research.ids("Client")
            wrong = await care.post(f"{V1}/entityOperations/delete", theirs[:2])
            assert wrong.status_code == 404 or wrong.json()["errors"]
            gone = await care.post(f"{V1}/entityOperations/delete", made[:2])
            assert gone.status_code == 204, gone.text
            purged = await care.client.delete(
                f"{V1}/entities?type=Client&q=n>=3", headers=care.headers
            )
            assert purged.status_code in (200, 204), purged.text
            assert await care.ids("Client") == [made[2]]

    asyncio.run(run())
