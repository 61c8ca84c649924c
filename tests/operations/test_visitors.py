# SPDX-License-Identifier: EUPL-1.2
"""One visitor can't hold a whole garage; who it was is not kept, and no longer than the hold."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.client.test_parking_elsewhere import SYSTEM, key_of
from tests.decide.test_decisions import ready
from tests.founded import founded, free, garage, observe, put
from tests.web.test_pages import hidden

from poorter.city.clock import ManualClock
from poorter.city.errors import Conflict, TooMany
from poorter.city.text import Text
from poorter.server import make_app
from poorter.standards.http.address import UNKNOWN, address_of
from poorter.standards.operations.visitors import Visitors
from poorter.systems.shape import Runs

A = "urn:ngsi-ld:OffStreetParking:a"
URL = "/api/parking/reserve"


def browser(app: Any, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://city")


def test_a_visitor_has_four_at_once_and_another_is_not_in_the_way(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await ready(running)
            await put(running, garage("b", 20, east=0.002))
            await observe(running, "OffStreetParking", free(running, "a", 90))
            await observe(running, "OffStreetParking", free(running, "b", 9))
            app = make_app(running)
            async with browser(app, "192.0.2.1") as one, browser(app, "192.0.2.2") as two:
                answers = await asyncio.gather(
                    *(one.post(URL, json={"place": A}) for _ in range(20))
                )
                made = [a.json()["token"] for a in answers if a.status_code == 200]
                assert len(made) == 4
                late = next(a for a in answers if a.status_code != 200)
                assert late.status_code == 429
                assert 1 <= int(late.headers["retry-after"]) <= 30 * 60
                assert (await running.city_of(SYSTEM).held(A)).units == 4
                assert (await two.post(URL, json={"place": A})).status_code == 200
                page = await one.post("/nl/parking/reserve", data={"place": A})
                assert page.status_code == 429
                assert "u hebt er al 4 lopen" in page.text
                cancel = {"token": made[0].upper()}
                assert (await two.post("/api/parking/cancel", json=cancel)).status_code == 200
                assert (await one.post(URL, json={"place": A})).status_code == 200
                moved = await one.post("/api/parking/occupied", json={"token": made[1]})
                assert moved.status_code == 200
                assert (await one.post(URL, json={"place": A})).status_code == 429
                back = {"token": moved.json()["token"]}
                assert (await one.post("/api/parking/cancel", json=back)).status_code == 200
                assert (await one.post(URL, json={"place": A})).status_code == 200
                clock.forward_s(31 * 60)
                await observe(running, "OffStreetParking", free(running, "a", 90))
                assert (await one.post(URL, json={"place": A})).status_code == 200

    asyncio.run(run())


def test_a_refused_reservation_takes_no_place_and_a_repeated_one_no_second(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            app = make_app(running)
            async with browser(app, "2001:db8::1") as one, browser(app, "2001:db8::2") as two:
                wrong = {"place": "urn:ngsi-ld:OffStreetParking:none"}
                for _ in range(6):
                    assert (await one.post(URL, json=wrong)).status_code == 404
                for number in (1, 1, 1, 1, 1, 2, 3):
                    headers = {"idempotency-key": str(number)}
                    answer = await one.post(URL, json={"place": A}, headers=headers)
                    assert answer.status_code == 200
                assert (await two.post(URL, json={"place": A})).status_code == 200
                assert (await two.post(URL, json={"place": A})).status_code == 429

    asyncio.run(run())


def test_an_app_with_a_key_reserves_for_many(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            await observe(running, "OffStreetParking", free(running, "a", 90))
            key = await key_of(running, "public", "open-data")
            headers = {"authorization": f"Bearer {key}"}
            async with browser(make_app(running), "192.0.2.1") as one:
                for _ in range(9):
                    answer = await one.post(URL, json={"place": A}, headers=headers)
                    assert answer.status_code == 200

    asyncio.run(run())


def test_the_form_of_a_page_reserves_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            async with browser(make_app(running), "192.0.2.1") as one:
                page = await one.get("/en/parking?destination=5.3,52.6&stay_minutes=60")
                form = {"place": hidden(page.text, "place")}
                statuses = [
                    (await one.post("/en/parking/reserve", data=form)).status_code for _ in range(5)
                ]
                assert statuses == [200, 200, 200, 200, 429]

    asyncio.run(run())


def test_this_machine_stands_for_many(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            await observe(running, "OffStreetParking", free(running, "a", 90))
            app = make_app(running)
            for address in ("127.0.0.1", "::1", "::ffff:127.0.0.9"):
                async with browser(app, address) as one:
                    for _ in range(5):
                        assert (await one.post(URL, json={"place": A})).status_code == 200

    asyncio.run(run())


def test_what_ends_is_forgotten_and_no_address_is_kept() -> None:
    clock = ManualClock()
    visitors = Visitors(clock)
    for number in range(50):
        with visitors.place(f"address 192.0.2.{number}", 2) as left:
            left.append(Runs(f"k{number}", clock.now_us() + 10_000_000))
    assert len(visitors) == 50
    assert "192.0.2" not in repr(vars(visitors))
    with pytest.raises(Conflict), visitors.place("address 192.0.2.1", 2):
        raise Conflict("the garage is full")
    one = "address 192.0.2.1"
    with visitors.place(one, 2), pytest.raises(TooMany) as many, visitors.place(one, 2):
        raise AssertionError("one too many")
    assert many.value.retry_after_s == 10
    assert isinstance(many.value.words, Text)
    visitors.note(Runs("k7", 0))
    assert len(visitors) == 49
    clock.forward_s(11)
    assert len(visitors) == 0


@pytest.mark.parametrize(
    ("client", "forwarded", "proxies", "address"),
    [
        ("192.0.2.1", "", 0, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", 0, "192.0.2.1"),
        ("127.0.0.1", "198.51.100.7", 1, "198.51.100.7"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.7", 1, "198.51.100.7"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", 2, "198.51.100.7"),
        ("127.0.0.1", "", 1, "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "", 0, "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "", 0, "192.0.2.1"),
        ("fe80::1%eth0", "", 0, "fe80::"),
        ("127.0.0.1", "nonsense", 1, UNKNOWN),
        (None, "", 0, UNKNOWN),
    ],
)
def test_an_address_is_what_the_citys_own_proxies_saw(
    client: str | None, forwarded: str, proxies: int, address: str
) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"client": (client, 1) if client else None, "headers": headers}
    assert address_of(scope, proxies) == address
