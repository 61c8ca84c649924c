# SPDX-License-Identifier: EUPL-1.2
"""Parking works on a second city over HTTP as it does in process: no line of it changes."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.founded import founded, free, garage, observe, put
from tests.serving import serving

from poorter.city.clock import ManualClock
from poorter.city.errors import CityError, Conflict, Denied, NotFound, Unauthenticated, Unsupported
from poorter.city.query import Query
from poorter.city.time import HOUR_US
from poorter.client.broker import BrokerCity
from poorter.client.opening import open_city
from poorter.client.poorter import PoorterCity
from poorter.gate.genesis import RUN
from poorter.identity.credentials import new_credential
from poorter.running import Running
from poorter.server import make_app
from poorter.standards.ngsild.app import PREFIX
from poorter.store.contract import Change, PutRecord, Reading
from poorter.systems.catalogue import load_systems
from poorter.systems.city import CAPABILITIES, City
from poorter.systems.parking import work

(SYSTEM,) = load_systems(["parking"])
COUNT = "availableSpotNumber"
HOURS = 24 * 21


async def key_of(running: Running, processor: str, purpose: str) -> str:
    credential, key = new_credential(processor, purpose)
    permit = running.gate.permit("internal:identity", RUN, "administer")
    record = PutRecord("credential", credential.id, credential.to_doc(), expect=0)
    await running.store.commit_async(permit, Change((record,)))
    running.load_credentials()
    return key


@asynccontextmanager
async def remote(running: Running) -> AsyncIterator[BrokerCity]:
    """Parking's handle on a city, over HTTP."""
    key = await key_of(running, SYSTEM.processor, SYSTEM.purpose)
    async with serving(make_app(running)) as url:
        own = running.own[SYSTEM.processor]
        city = await open_city(url, running.clock, key, own)
        try:
            yield city
        finally:
            await city.close()


async def fill(running: Running) -> None:
    """Three garages with three weeks of counts; one full, one whose sign is wrong, and a field."""
    await put(
        running,
        garage("a", 100, disabledSpotNumber=2, priceRatePerMinute=0.05),
        garage("b", 60, east=0.002),
        garage("c", 40, east=0.004, category="overflow"),
    )
    now_us = running.clock.now_us()
    readings = [
        Reading(
            f"urn:ngsi-ld:OffStreetParking:{key}",
            COUNT,
            now_us - hour * HOUR_US,
            round(total * (0.5 + 0.45 * math.sin((hour + shift) * math.pi / 12))),
        )
        for key, total, shift in (("a", 100, 0), ("b", 60, 3), ("c", 40, 7))
        for hour in range(HOURS, 0, -1)
    ]
    await observe(running, "OffStreetParking", *readings)
    await observe(
        running,
        "OffStreetParking",
        free(running, "a", 0),
        free(running, "b", 4),
        free(running, "c", 1),
    )


async def one_round(city: City) -> None:
    """What its jobs do, each once, as the city runs them."""
    for name in ("forecasts", "signs", "overflow", "reservations"):
        (job,) = [job for job in SYSTEM.jobs if job.name == name]
        await job.run(city)


async def do(city: City, name: str, **inputs: Any) -> dict[str, Any]:
    operation = next(o for o in SYSTEM.operations if o.name == name)
    values = {field.name: field.default for field in operation.fields} | inputs
    return await operation.run(city, values)


def outcome(running: Running) -> dict[str, Any]:
    """What stands in the city after the work: entities, advice, decisions; without minted ids."""
    reading = running.gate.permit(SYSTEM.processor, SYSTEM.purpose, "read")
    entities = running.store.query(reading, Query(limit=1000)).entities
    permit = running.gate.permit("internal:decide", RUN, "read")
    advice = [r.doc for r in running.store.records(permit, "advice")]
    decisions = [r.doc for r in running.store.records(permit, "decision")]
    minted = ("decision", "advice", "leaf", "id")
    return {
        "entities": [
            (e.urn, sorted((a.name, a.dataset_id or "", a.body) for a in e.attributes))
            for e in entities
        ],
        "advice": sorted(repr({k: v for k, v in d.items() if k not in minted}) for d in advice),
        "decisions": sorted(
            repr({k: v for k, v in d.items() if k not in minted}) for d in decisions
        ),
    }


def test_the_work_of_a_day_is_the_same_here_and_there(tmp_path: Path) -> None:
    async def run() -> None:
        here_clock, there_clock = ManualClock(), ManualClock()
        async with (
            founded(tmp_path / "here", here_clock) as here,
            founded(tmp_path / "there", there_clock) as there,
            remote(there) as far,
        ):
            near = here.city_of(SYSTEM)
            assert isinstance(far, PoorterCity)
            assert far.capabilities == near.capabilities == CAPABILITIES
            for running in (here, there):
                await fill(running)
            for _ in range(3):
                await asyncio.gather(one_round(near), one_round(far))
                for clock in (here_clock, there_clock):
                    clock.forward_s(120)
            told = outcome(here)
            assert told == outcome(there)
            assert len(told["advice"]) >= 3
            assert len(told["decisions"]) >= 2
            assert sum(urn.startswith("urn:ngsi-ld:ParkingForecast") for urn, _ in told["entities"])
            assert await work.full_on_arrival(far) == await work.full_on_arrival(near)
            assert await work.incidents(far) == await work.incidents(near)
            question = {"destination": (5.3, 52.6), "stay_minutes": 60}
            assert await do(far, "find", **question) == await do(near, "find", **question)

    asyncio.run(run())


def test_reservations_elsewhere_are_holds_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as there, remote(there) as far:
            await put(there, garage("a", 100), garage("b", 100, east=0.002))
            await observe(there, "OffStreetParking", free(there, "a", 5), free(there, "b", 9))
            place = "urn:ngsi-ld:OffStreetParking:a"
            tries = [do(far, "reserve", place=place) for _ in range(12)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            made = [r for r in results if isinstance(r, dict)]
            assert len(made) == 5
            assert all(isinstance(r, dict | Conflict) for r in results)
            assert (await far.held(place)) == await there.city_of(SYSTEM).held(place)
            assert (await do(far, "arrive", token=made[0]["token"]))["state"] == "arrived"
            assert (await do(far, "cancel", token=made[1]["token"]))["state"] == "cancelled"
            with pytest.raises(CityError):
                await do(far, "cancel", token=made[1]["token"])
            moved = await do(far, "occupied", token=made[2]["token"])
            assert moved["place"].endswith(":b")
            with pytest.raises(NotFound):
                await do(far, "reservation", token="nothing")

    asyncio.run(run())


def test_a_key_is_bound_and_a_rescinded_goal_ends_the_work(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as there, remote(there) as far:
            await fill(there)
            assert await far.entities(Query(types=("OffStreetParking",)))
            await there.registry.rescind("less-searching", "ada")
            with pytest.raises(Denied):
                await far.entities(Query(types=("OffStreetParking",)))
            with pytest.raises(Denied):
                await one_round(far)
            url = far.remote.url
            with pytest.raises(Unauthenticated):
                await open_city(url, there.clock, "poorter_x_y")
            with pytest.raises(Denied):
                await open_city(url, there.clock, None, purpose="control-room")

    asyncio.run(run())


def test_on_a_broker_that_is_no_poorter_it_reads_and_the_rest_is_off(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as there:
            await fill(there)
            whole = make_app(there)

            async def plain(scope: Any, receive: Any, send: Any) -> None:
                if scope["type"] == "http" and not scope["path"].startswith(PREFIX):
                    await send({"type": "http.response.start", "status": 404, "headers": []})
                    await send({"type": "http.response.body", "body": b"no such page"})
                    return
                await whole(scope, receive, send)

            async with serving(plain) as url:
                far = await open_city(url, there.clock, own=there.own[SYSTEM.processor])
                near = there.city("public", "open-data")
                assert not isinstance(far, PoorterCity)
                assert far.capabilities == frozenset()
                places = await do(far, "places")
                assert len(places["places"]) == 3
                assert places == await do(near, "places")
                question = {"destination": (5.3, 52.6), "stay_minutes": 60}
                assert (await do(far, "find", **question))["advice"]
                day = await do(far, "place", place="urn:ngsi-ld:OffStreetParking:b")
                assert day == await do(near, "place", place="urn:ngsi-ld:OffStreetParking:b")
                with pytest.raises(Unsupported):
                    await do(far, "reserve", place="urn:ngsi-ld:OffStreetParking:b")
                with pytest.raises(Unsupported):
                    await work.advise_signs(far)
                await far.close()

    asyncio.run(run())
