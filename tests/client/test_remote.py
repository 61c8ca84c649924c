# SPDX-License-Identifier: EUPL-1.2
"""What goes wrong between two cities: lost answers, slow ones, nonsense, missing events."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.client.test_parking_elsewhere import SYSTEM, fill, key_of, one_round, outcome
from tests.founded import founded, free, garage, observe, put
from tests.serving import serving

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Denied, Invalid, NotFound, TooMany, Unavailable
from poorter.city.query import Query
from poorter.city.time import HOUR_US
from poorter.client.following import read_events
from poorter.client.opening import open_city
from poorter.client.poorter import PoorterCity
from poorter.client.reading import read_entity, read_history
from poorter.client.remote import Patience, Remote
from poorter.decide.advice import Proposal
from poorter.gate.genesis import RUN
from poorter.running import Running
from poorter.server import make_app
from poorter.standards.operations.handle import PREFIX, ROUTES
from poorter.systems.city import Changed, Missed

Send = Callable[[Any], Awaitable[None]]
A = "urn:ngsi-ld:OffStreetParking:a"
QUICK = Patience(request_s=2.0, tries=4, total_s=10.0)


def losing(app: Any, every: int) -> tuple[Any, list[str]]:
    """Does each write as asked, and of `every` answers to writes brings only the last over."""
    seen: list[str] = []

    async def lossy(scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            await app(scope, receive, send)
            return
        seen.append(scope["path"])
        if len(seen) % every == 0:
            await app(scope, receive, send)
            return

        async def nowhere(_: Any) -> None:
            return

        await app(scope, receive, nowhere)
        await send({"type": "http.response.start", "status": 502, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>bad gateway</html>"})

    return lossy, seen


async def at(running: Running, url: str) -> PoorterCity:
    key = await key_of(running, SYSTEM.processor, SYSTEM.purpose)
    own = running.own[SYSTEM.processor]
    city = await open_city(url, running.clock, key, own, patience=QUICK)
    assert isinstance(city, PoorterCity)
    return city


def test_lost_answers_change_nothing(tmp_path: Path) -> None:
    """Each write is done, its answer lost twice, and sent again: the city is as if it came once."""

    async def run() -> None:
        here_clock, there_clock = ManualClock(), ManualClock()
        async with (
            founded(tmp_path / "a", here_clock) as here,
            founded(tmp_path / "b", there_clock) as there,
        ):
            for running in (here, there):
                await fill(running)
            app, seen = losing(make_app(there), 3)
            async with serving(app) as url:
                far = await at(there, url)
                near = here.city_of(SYSTEM)
                await asyncio.gather(one_round(far), one_round(near))
                until = here_clock.now_us() + HOUR_US
                for city in (far, near):
                    await city.hold("p", "one", capacity=2, taken=1, until_us=until)
                    with pytest.raises(Conflict):
                        await city.hold("p", "two", capacity=2, taken=1, until_us=until)
                    await city.end_hold("p", "one")
                    with pytest.raises(NotFound):
                        await city.end_hold("p", "one")
                    assert (await city.held("p")).units == 0
                await far.close()
            assert outcome(here) == outcome(there)
            assert len(seen) >= 24

    asyncio.run(run())


def test_compare_and_set_and_what_holds_write_beside_them(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as there, serving(make_app(there)) as url:
            await put(there, garage("a", 3))
            far = await at(there, url)
            forecast = Entity(
                "urn:ngsi-ld:ParkingForecast:x",
                ("ParkingForecast",),
                (
                    Attribute("n", 1.5, observed_at_us=there.clock.now_us(), unit_code="C62"),
                    Attribute("n", 2, dataset_id="urn:d:1", sub=(Attribute("why", "so"),)),
                    Attribute("all", {"a": [1, None]}, "JsonProperty"),
                    Attribute("https://example.org/long", True),
                ),
                scopes=("/a/b",),
            )
            await far.put(forecast)
            near = there.city_of(SYSTEM)
            assert await far.entity(forecast.urn) == await near.entity(forecast.urn)
            found = await far.entity(forecast.urn)
            assert found is not None
            assert found.version == 1
            await far.set(forecast.urn, [Attribute("n", 3)], expect=1)
            with pytest.raises(Conflict):
                await far.set(forecast.urn, [Attribute("n", 4)], expect=1)
            assert [e.value("n") for e in await far.entities(Query(types=forecast.types))] == [3]
            await far.remove(forecast.urn)
            await far.remove(forecast.urn)
            assert await far.entity(forecast.urn) is None
            with pytest.raises(Denied):
                await far.put(garage("mine", 3))
            with pytest.raises(NotFound):  # what it may not write does not exist for a write
                await far.set(A, [Attribute("signText", "free")])
            await far.close()

    asyncio.run(run())


def test_only_who_may_change_an_entity_sees_its_version(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as there, serving(make_app(there)) as url:
            await put(there, garage("a", 3))
            far = await at(there, url)
            anybody = await open_city(url, there.clock)
            advising, public = await far.entity(A), await anybody.entity(A)
            assert advising is not None and public is not None
            assert (advising.version, public.version) == (1, 0)
            stale = Proposal("parking-signs", A, "signText", "few", ("x",), {}, "t/1", expect=1)
            await observe(there, "OffStreetParking", free(there, "a", 2))
            await far.advise(stale)
            permit = there.gate.permit("internal:decide", RUN, "read")
            (advice,) = there.store.records(permit, "advice")
            assert advice.doc["expect"] == 1
            with pytest.raises(Denied):
                await anybody.advise(stale)
            await far.close()
            await anybody.close()

    asyncio.run(run())


def test_changes_come_by_number_and_what_is_missing_is_noticed(tmp_path: Path) -> None:
    async def run() -> None:
        down = False
        async with founded(tmp_path, ManualClock()) as there:
            app = make_app(there)

            async def flaky(scope: Any, receive: Any, send: Send) -> None:
                if scope["type"] == "http" and down:
                    await send({"type": "http.response.start", "status": 503, "headers": []})
                    await send({"type": "http.response.body", "body": b""})
                    return
                await app(scope, receive, send)

            async with serving(flaky) as url:
                await put(there, garage("before", 1))
                far = await at(there, url)
                far.remote.patience = Patience(2.0, 1, 5.0)
                changes = far.changes(("OffStreetParking",))
                first = asyncio.ensure_future(anext(changes))
                await asyncio.sleep(0.3)
                await put(there, garage("a", 1))
                one = await asyncio.wait_for(first, 5)
                assert (one.urn, one.types) == (A, ("OffStreetParking",))
                down = True
                await put(there, *(garage(f"n{number}", 1) for number in range(30)))
                later = asyncio.ensure_future(anext(changes))
                await asyncio.sleep(0.5)
                down = False
                got = [await asyncio.wait_for(later, 10)]
                got += [await asyncio.wait_for(anext(changes), 5) for _ in range(29)]
                assert len({change.urn for change in got}) == 30
                numbers = [one.sequence, *(change.sequence for change in got)]
                assert numbers == sorted(set(numbers))
                waiting = asyncio.ensure_future(anext(changes))
                await asyncio.sleep(0.2)
                await there.registry.rescind("less-searching", "ada")
                await put(there, garage("last", 1))
                with pytest.raises(StopAsyncIteration):
                    await asyncio.wait_for(waiting, 5)
                await far.close()

    asyncio.run(run())


def test_a_page_of_events_that_does_not_join_on_is_a_loss() -> None:
    def page(last: Any, *sequences: int) -> dict[str, Any]:
        one = {"urn": "urn:x:y", "types": ["T"], "names": ["n"]}
        return {"last": last, "events": [one | {"sequence": s} for s in sequences]}

    assert read_events(page(9, 5, 8), 4) == (
        [Changed(5, "urn:x:y", ("T",), ("n",)), Changed(8, "urn:x:y", ("T",), ("n",))],
        9,
    )
    assert read_events(page(4), 4) == ([], 4)
    for lost in (page(3), page(9, 8, 5), page(9, 4), page(7, 8)):
        with pytest.raises(Missed) as missed:
            read_events(lost, 4)
        assert missed.value.after == 4
    for nonsense in (None, [], {}, page("x"), {"last": 1, "events": 3}):
        with pytest.raises(Unavailable):
            read_events(nonsense, 0)


def test_no_answer_and_wrong_answers_are_said_within_their_time() -> None:
    async def run() -> None:
        answers: dict[str, tuple[int, bytes, bytes]] = {
            "/html": (200, b"<html>", b""),
            "/busy": (429, b"", b"1"),
            "/odd": (418, b'{"detail": 7}', b""),
            "/told": (400, b'{"detail": "this is why"}', b""),
        }
        tries: list[str] = []

        async def app(scope: Any, receive: Any, send: Send) -> None:
            if scope["type"] != "http":
                return
            tries.append(scope["path"])
            if scope["path"] == "/never":
                await asyncio.sleep(1.5)
            status, body, retry = answers.get(scope["path"], (500, b"", b""))
            headers = [(b"retry-after", retry)] if retry else []
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        async with serving(app) as url:
            remote = Remote(url, patience=Patience(0.3, 2, 1.8))
            for path, error, times in (
                ("/html", Unavailable, 1),
                ("/busy", TooMany, 2),
                ("/odd", Unavailable, 1),
                ("/told", Invalid, 1),
                ("/never", Unavailable, 2),
                ("/broken", Unavailable, 2),
            ):
                tries.clear()
                began = asyncio.get_running_loop().time()
                with pytest.raises(error) as wrong:
                    await remote.get(path)
                assert asyncio.get_running_loop().time() - began < 2
                assert (len(tries), type(wrong.value).__mro__[0:3].count(error)) == (times, 1)
            with pytest.raises(Invalid, match="this is why"):
                await remote.get("/told")
            await remote.close()
        gone = Remote(url, patience=Patience(0.3, 2, 1))
        with pytest.raises(Unavailable):
            await gone.get("/gone")
        await gone.close()
        for no_url in ("", "ftp://x", "http://", "http://[bad", "nothing"):
            with pytest.raises(Invalid):
                Remote(no_url)

    asyncio.run(run())


@pytest.mark.parametrize(
    "doc",
    [None, 3, [], {}, {"id": "urn:x:y"}, {"id": "x", "type": "T"}, {"id": "urn:x:y", "type": 3}],
)
def test_what_is_no_entity_is_the_citys_fault(doc: Any) -> None:
    with pytest.raises(Unavailable):
        read_entity(doc)


def test_history_of_another_broker_reads_as_observations() -> None:
    doc = {
        "id": "urn:x:y",
        "type": "T",
        "n": [
            {"type": "Property", "value": 2, "observedAt": "2026-01-01T01:00:00Z"},
            {"type": "Property", "value": 1, "observedAt": "2026-01-01T00:00:00.5Z"},
            {"type": "Property", "value": 9},
        ],
        "one": {"type": "Property", "value": "x", "observedAt": "2026-01-01T00:00:00Z"},
    }
    found = read_history("urn:x:y", doc)
    assert [(o.name, o.value) for o in found] == [("n", 1), ("n", 2), ("one", "x")]
    assert found[1].observed_at_us - found[0].observed_at_us == HOUR_US - 500_000
    with pytest.raises(Unavailable):
        read_history("urn:x:y", {"n": [{"type": "Property", "observedAt": "now", "value": 1}]})


def test_every_route_of_the_handle_meets_the_gate(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as there:
            transport = httpx.ASGITransport(app=make_app(there))  # type: ignore[arg-type]
            key = await key_of(there, "public", "parking-guidance")  # no grant joins these two
            none = {"authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                for path, (method, _) in ROUTES.items():
                    answer = await client.request(method, PREFIX + path, headers=none, json=[])
                    assert answer.status_code == 403, path
                    wrong = "POST" if method == "GET" else "GET"
                    assert (await client.request(wrong, PREFIX + path)).status_code == 405
                assert (await client.get(f"{PREFIX}/nothing")).status_code == 404
                own = await key_of(there, SYSTEM.processor, SYSTEM.purpose)
                may = {"authorization": f"Bearer {own}"}
                held = json.dumps([{"op": "hold", "pool": "p", "id": "x", "capacity": 1}])
                for body in (b"", b"{", b"[]", b"[3]", b'[{"op":"x"}]', held.encode()):
                    got = await client.post(f"{PREFIX}/commit", content=body, headers=may)
                    assert got.status_code == 400, body
                for bad in ({}, {"mandate": 3}, [], {"reasons": [1]}):
                    got = await client.post(f"{PREFIX}/advise", json=bad, headers=may)
                    assert got.status_code == 400, bad
                for query in ("after=x", "after=-1", "wait_s=31", f"after={'9' * 30}"):
                    got = await client.get(f"{PREFIX}/events?{query}", headers=may)
                    assert got.status_code == 400, query
                for query in ("limit=0", "limit=1001", "q=(", "x=1"):
                    got = await client.get(f"{PREFIX}/entities?{query}", headers=may)
                    assert got.status_code == 400, query

    asyncio.run(run())


def test_events_hide_what_the_permit_hides(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as there:
            city = there.city_of(SYSTEM)
            transport = httpx.ASGITransport(app=make_app(there))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                before = (await client.get(f"{PREFIX}/events")).json()["last"]
                await put(there, garage("a", 3))
                until = city.clock.now_us() + HOUR_US
                await city.hold("p", "h", capacity=1, taken=0, until_us=until)
                await city.put(Entity("urn:ngsi-ld:ParkingReservation:x", ("ParkingReservation",)))
                answer = (await client.get(f"{PREFIX}/events?after={before}")).json()
                assert [event["urn"] for event in answer["events"]] == [A]
                assert answer["last"] >= before + 3
                back = (await client.get(f"{PREFIX}/events?after={answer['last'] + 9}")).json()
                assert back["last"] < answer["last"] + 9

    asyncio.run(run())
