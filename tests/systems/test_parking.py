# SPDX-License-Identifier: EUPL-1.2
"""Parking: guidance by cost, reservations as holds, signs, what it does when it can't know."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.founded import founded, free, garage, observe, put

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError, Conflict, Denied, Invalid, NotFound
from poorter.city.time import HOUR_US, MINUTE_US, format_us
from poorter.gate.permit import Permit
from poorter.running import Running
from poorter.store.contract import Reading
from poorter.systems.catalogue import load_systems
from poorter.systems.parking import views, work

(SYSTEM,) = load_systems(["parking"])
A, B = (f"urn:ngsi-ld:OffStreetParking:{key}" for key in "ab")


async def do(running: Running, name: str, **inputs: Any) -> dict[str, Any]:
    operation = next(o for o in SYSTEM.operations if o.name == name)
    values = {field.name: field.default for field in operation.fields} | inputs
    return await operation.run(running.city_of(SYSTEM), values)


async def two(running: Running, free_a: int = 10, free_b: int = 50) -> None:
    await put(
        running,
        garage("a", 100, disabledSpotNumber=2, priceRatePerMinute=0.05),
        garage("b", 100, east=0.002, priceRatePerMinute=0.05),
    )
    await observe(
        running, "OffStreetParking", free(running, "a", free_a), free(running, "b", free_b)
    )


def find(running: Running, **inputs: Any) -> Any:
    return do(running, "find", destination=(5.3, 52.6), stay_minutes=60, **inputs)


def test_the_nearest_wins_until_it_may_be_full(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await two(running)
            best = (await find(running))["advice"]
            assert [one["place"] for one in best] == [A, B]
            assert best[0]["reasons"][0]["nl"].startswith("0 minuten lopen")
            for _ in range(10):
                await do(running, "reserve", place=A)
            later = (await find(running))["advice"]
            assert [one["place"] for one in later] == [B, A]
            assert later[1]["on_the_way"] == 10
            assert later[1]["risk_full"] > 0.5
            assert later[1]["reservable"] is False

    asyncio.run(run())


def test_a_thousand_tries_on_a_hundred_units_hold_a_hundred(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await two(running, free_a=100)
            tries = [do(running, "reserve", place=A) for _ in range(1000)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            held = [r for r in results if isinstance(r, dict)]
            assert len(held) == 100
            assert len({r["token"] for r in held}) == 100
            assert all(isinstance(r, dict | Conflict) for r in results)
            assert (await running.city_of(SYSTEM).held(A)).units == 100

    asyncio.run(run())


def test_a_reservation_from_begin_to_end(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await two(running, free_a=1)
            made = await do(running, "reserve", place=A)
            with pytest.raises(Conflict):
                await do(running, "reserve", place=A)
            later = format_us(clock.now_us() + 40 * MINUTE_US)
            assert made["until"] < later
            with pytest.raises(CityError, match="until"):
                await do(running, "extend", token=made["token"], until=clock.now_us() + 5 * HOUR_US)
            clock.forward_s(25 * 60)
            await observe(running, "OffStreetParking", free(running, "a", 1))
            until_us = clock.now_us() + 20 * MINUTE_US
            longer = await do(running, "extend", token=made["token"], until=until_us)
            assert longer["until"] == format_us(until_us)
            here = await do(running, "arrive", token=made["token"])
            assert here["state"] == "arrived"
            with pytest.raises(Conflict):
                await do(running, "cancel", token=made["token"])
            clock.forward_s(200)
            await work.end_reservations(running.city_of(SYSTEM))
            assert (await do(running, "reservation", token=made["token"]))["state"] == "ended"
            clock.forward_s(3700)
            await work.end_reservations(running.city_of(SYSTEM))
            with pytest.raises(NotFound):
                await do(running, "reservation", token=made["token"])

    asyncio.run(run())


def test_late_is_half_an_hour_more_than_agreed_however_often_asked(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await two(running, free_a=1)
            made = await do(running, "reserve", place=A)
            arrival_us = clock.now_us() + 15 * MINUTE_US
            for minutes in (40, 45, 60):  # at once, before anybody is late
                await do(
                    running,
                    "extend",
                    token=made["token"],
                    until=clock.now_us() + minutes * MINUTE_US,
                )
            with pytest.raises(Conflict, match="as long as"):
                await do(running, "extend", token=made["token"], until=arrival_us + 46 * MINUTE_US)
            clock.forward_s(59 * 60)
            with pytest.raises(Conflict, match="as long as"):
                await do(
                    running, "extend", token=made["token"], until=clock.now_us() + 20 * MINUTE_US
                )
            clock.forward_s(120)
            with pytest.raises(CityError):
                await do(running, "extend", token=made["token"], until=clock.now_us() + MINUTE_US)

    asyncio.run(run())


def test_who_does_not_come_gives_the_unit_back_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await two(running, free_a=1)
            made = await do(running, "reserve", place=A)
            clock.forward_s(31 * 60)
            await observe(running, "OffStreetParking", free(running, "a", 1))
            await do(running, "reserve", place=A)  # no job ran in between
            await work.end_reservations(running.city_of(SYSTEM))
            assert (await do(running, "reservation", token=made["token"]))["state"] == "no-show"
            with pytest.raises(CityError):
                await do(running, "arrive", token=made["token"])

    asyncio.run(run())


def test_somebody_stands_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await two(running, free_a=1)
            made = await do(running, "reserve", place=A)
            moved = await do(running, "occupied", token=made["token"])
            assert moved["place"] == B
            assert moved["token"] != made["token"]
            city = running.city_of(SYSTEM)
            assert ((await city.held(A)).units, (await city.held(B)).units) == (0, 1)
            (incident,) = await work.incidents(city)
            assert incident.severity == "high"
            assert incident.owner == "Parkeertoezicht"

    asyncio.run(run())


def test_blue_badge_units_are_their_own(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await two(running, free_a=0)
            count = Reading(A, "availableDisabledSpotNumber", clock.now_us(), 2)
            await observe(running, "OffStreetParking", count)
            with pytest.raises(Conflict):
                await do(running, "reserve", place=A)
            before = (await find(running, badge=True))["advice"][0]
            one = await do(running, "reserve", place=A, badge=True)
            await do(running, "reserve", place=A, badge=True)
            with pytest.raises(Conflict):
                await do(running, "reserve", place=A, badge=True)
            await do(running, "arrive", token=one["token"])
            found = await find(running, badge=True)
            assert [one["place"] for one in found["advice"]] == [A]
            after = found["advice"][0]
            assert (before["on_the_way"], after["on_the_way"]) == (0, 2), "come is not yet counted"
            assert before["risk_full"] < 0.05
            assert after["risk_full"] > 0.5
            assert found["left_out"][0]["place"] == B

    asyncio.run(run())


def test_who_is_on_the_way_is_counted_beyond_one_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setattr(views, "RESERVATIONS_PAGE", 3)
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await two(running)
            for _ in range(7):
                await do(running, "reserve", place=A)
            ways = {one["place"]: one["on_the_way"] for one in (await find(running))["advice"]}
            assert ways == {A: 7, B: 0}
            clock.forward_s(31 * 60)
            await work.end_reservations(running.city_of(SYSTEM))
            left = await views.reservations(running.city_of(SYSTEM), "no-show")
            assert len(left) == 7

    asyncio.run(run())


def test_more_free_than_there_are_holds_what_there_are(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await put(running, garage("a", 3))
            await observe(running, "OffStreetParking", free(running, "a", 5))
            for _ in range(3):
                await do(running, "reserve", place=A)
            with pytest.raises(Conflict):
                await do(running, "reserve", place=A)

    asyncio.run(run())


def test_guidance_is_for_the_coming_day(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await two(running)
            for hours in (-2, 25):
                with pytest.raises(Invalid, match="arrival"):
                    await find(running, arrival=clock.now_us() + hours * HOUR_US)

    asyncio.run(run())


def test_what_is_old_is_not_promised_and_what_is_silent_not_advised(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await two(running)
            clock.forward_s(45 * 60)
            with pytest.raises(Conflict, match="count well enough"):
                await do(running, "reserve", place=A)
            assert not (await find(running))["advice"][0]["reservable"]
            clock.forward_s(90 * 60)
            found = await find(running)
            assert found["advice"] == []
            assert {one["place"] for one in found["left_out"]} == {A, B}
            assert {i.key for i in await work.incidents(running.city_of(SYSTEM))} == {
                f"silent:{A}",
                f"silent:{B}",
            }

    asyncio.run(run())


def test_a_place_that_never_counted_is_unknown_not_empty(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await put(running, garage("a", 100))
            view = (await do(running, "places"))["places"][0]
            assert view["free"] is None
            assert view["freshness"] == "silent"
            with pytest.raises(Conflict):
                await do(running, "reserve", place=A)

    asyncio.run(run())


def test_signs_follow_counts_and_holds(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await two(running, free_a=2)
            city = running.city_of(SYSTEM)
            await work.advise_signs(city)
            signs = {v["place"]: v["sign"] for v in (await do(running, "places"))["places"]}
            assert signs == {A: "few", B: "free"}
            for _ in range(2):
                await do(running, "reserve", place=A)
            clock.forward_s(61)
            await work.advise_signs(city)
            signs = {v["place"]: v["sign"] for v in (await do(running, "places"))["places"]}
            assert signs[A] == "full"
            await put(running, Entity(B, ("OffStreetParking",), (Attribute("status", "closed"),)))
            clock.forward_s(61)
            await work.advise_signs(city)
            signs = {v["place"]: v["sign"] for v in (await do(running, "places"))["places"]}
            assert signs[B] == "closed"

    asyncio.run(run())


def test_a_stuck_counter_is_found(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await put(running, garage("a", 100))
            now_us = clock.now_us()
            hours = range(-100, 1)
            readings = [
                Reading(A, "availableSpotNumber", now_us + h * HOUR_US, 50 if h > -8 else h % 24)
                for h in hours
            ]
            await observe(running, "OffStreetParking", *readings)
            (incident,) = await work.incidents(running.city_of(SYSTEM))
            assert incident.key == f"stuck:{A}"

    asyncio.run(run())


def test_forecasts_come_from_the_past_and_from_crowds(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await put(running, garage("a", 100))
            now_us = clock.now_us()
            readings = [
                Reading(A, "availableSpotNumber", now_us + h * HOUR_US, 80 - 3 * (h % 24))
                for h in range(-24 * 28, 1)
            ]
            await observe(running, "OffStreetParking", *readings)
            await work.make_forecasts(running.city_of(SYSTEM))
            (view,) = (await do(running, "places"))["places"]
            assert [round(p["free"]) for p in view["forecast"][:3]] == [77, 74, 71]
            assert all(p["low"] <= p["free"] <= p["high"] for p in view["forecast"])
            assert (await work.full_on_arrival(running.city_of(SYSTEM))) == pytest.approx(0, abs=1)

    asyncio.run(run())


def test_nothing_runs_before_the_vote_or_after_the_goal_is_gone(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await two(running)
            made = await do(running, "reserve", place=A)
            await running.registry.rescind("less-searching", "ada")
            for name, inputs in (
                ("places", {}),
                ("reserve", {"place": A}),
                ("reservation", {"token": made["token"]}),
            ):
                with pytest.raises(Denied):
                    await do(running, name, **inputs)

    asyncio.run(run())


def test_no_trace_of_a_person_is_kept(tmp_path: Path) -> None:
    """The token is nowhere in the store: who copies the disk can't use or link a reservation."""

    async def run() -> str:
        async with founded(tmp_path, ManualClock()) as running:
            await two(running)
            token: str = (await do(running, "reserve", place=A))["token"]
            permit = running.gate.permit("internal:backup", "run", "read")
            assert isinstance(permit, Permit)
            return token

    token = asyncio.run(run())
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes(), file
