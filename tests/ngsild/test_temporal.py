# SPDX-License-Identifier: EUPL-1.2
"""Temporal evolutions over HTTP: forms, paging over time, aggregates, queries, and the gate."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.founded import OFFICERS, founded
from tests.ngsild.test_http import V1, open_city

from poorter.city.clock import ManualClock
from poorter.city.text import Text
from poorter.gate.policy import Dataset, Grant
from poorter.server import make_app
from poorter.standards.ngsild.temporal.aggregates import parse_period

URL = f"{V1}/temporal/entities"
URN = "urn:ngsi-ld:City:t"
START = datetime(2026, 1, 1, tzinfo=UTC)


def moment(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def instance(hours: float, value: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, "observedAt": moment(hours), **more}


def evolving(urn: str = URN, type: str = "City", **attributes: Any) -> dict[str, Any]:
    return {"id": urn, "type": type, **attributes}


def test_an_evolution_from_first_instance_to_last(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            body = evolving(n=[instance(0, 1), instance(1, 2, unitCode="MTR", source="x")])
            made = await client.post(URL, json=body)
            assert (made.status_code, made.headers["location"]) == (201, f"{URL}/{URN}")
            assert (await client.post(URL, json=body)).status_code == 204
            got = (await client.get(f"{URL}/{URN}")).json()["n"]
            assert [i["value"] for i in got] == [1, 2]
            assert (got[1]["unitCode"], got[1]["source"]["value"]) == ("MTR", "x")
            one = f"{URL}/{URN}/attrs/n/{got[0]['instanceId']}"
            assert (await client.patch(one, json={"n": [instance(3, 7)]})).status_code == 204
            values = (await client.get(f"{URL}/{URN}?options=temporalValues")).json()["n"]
            assert values == {"type": "Property", "values": [[2, moment(1)], [7, moment(3)]]}
            assert (await client.delete(one)).status_code == 204
            assert (await client.delete(one)).status_code == 404
            more = {"ref": {"type": "Relationship", "object": "urn:x:y", "observedAt": moment(0)}}
            assert (await client.post(f"{URL}/{URN}/attrs", json=more)).status_code == 204
            pairs = (await client.get(f"{URL}/{URN}?format=temporalValues&pick=ref")).json()
            assert pairs == {"ref": {"type": "Relationship", "objects": [["urn:x:y", moment(0)]]}}
            assert (await client.delete(f"{URL}/{URN}/attrs/ref")).status_code == 204
            assert (await client.delete(f"{URL}/{URN}")).status_code == 204
            assert (await client.get(f"{URL}/{URN}")).status_code == 404

    asyncio.run(run())


def test_a_long_answer_comes_in_stretches_of_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path, more={"history.page_instances": 10}) as (_, client):
            body = evolving(
                n=[instance(h, h) for h in range(24)], late=[instance(h, h) for h in (20, 21)]
            )
            await client.post(URL, json=body)
            params = {"timerel": "after", "timeAt": moment(0)}
            seen: list[int] = []
            while True:
                answer = await client.get(f"{URL}/{URN}", params=params)
                seen += [i["value"] for i in answer.json()["n"]]
                if answer.status_code == 200:
                    break
                assert answer.status_code == 206
                unit, _, covered = answer.headers["content-range"].partition(" ")
                assert (unit, covered[-2:]) == ("date-time", "/*")
                assert covered.startswith(params["timeAt"] + "-")
                if len(seen) <= 20:
                    assert answer.json()["late"] == []
                end = datetime.fromisoformat(covered[len(params["timeAt"]) + 1 : -2])
                params["timeAt"] = (
                    (end + timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
                )
            assert seen == list(range(24))
            back = {"timerel": "before", "timeAt": moment(30), "lastN": "15"}
            answer = await client.get(f"{URL}/{URN}", params=back)
            assert answer.status_code == 206
            assert answer.headers["content-range"].endswith("/15")
            assert [i["value"] for i in answer.json()["n"]][:3] == [23, 22, 21]

    asyncio.run(run())


def test_q_and_place_are_judged_within_the_interval(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            for key, value in (("a", 5), ("b", 50)):
                place = {
                    "type": "GeoProperty",
                    "value": {"type": "Point", "coordinates": [5.0 + value, 52.0]},
                    "observedAt": moment(1),
                }
                body = evolving(
                    f"urn:ngsi-ld:City:{key}",
                    n=[instance(0, 99), instance(1, value)],
                    location=[place],
                )
                await client.post(URL, json=body)
            window = {"type": "City", "timerel": "after", "timeAt": moment(0.5)}
            asked = [
                ({"q": "n>10"}, ["b"]),
                ({"q": "n==99"}, []),
                (
                    {
                        "georel": "near;maxDistance==1000",
                        "geometry": "Point",
                        "coordinates": "[10,52]",
                    },
                    ["a"],
                ),
                ({"orderBy": "id;desc"}, ["b", "a"]),
                ({"limit": "1", "offset": "1"}, ["b"]),
                ({"attrs": "other"}, []),
                ({"scopeQ": "/x"}, []),
            ]
            for more, expected in asked:
                answer = await client.get(URL, params={**window, **more})
                assert answer.status_code == 200, answer.text
                assert [e["id"][-1] for e in answer.json()] == expected
            counted = await client.get(URL, params={**window, "limit": "1", "count": "true"})
            assert counted.headers["ngsild-results-count"] == "2"
            assert 'rel="next"' in counted.headers["link"]
            posted = await client.post(
                f"{V1}/temporal/entityOperations/query",
                json={
                    "type": "Query",
                    "entities": [{"type": "City"}],
                    "q": "n>10",
                    "temporalQ": {"timerel": "after", "timeAt": moment(0.5)},
                },
            )
            assert [e["id"][-1] for e in posted.json()] == ["b"]
            temporal = {"timerel": "after", "timeAt": moment(0), "aggrPeriodDuration": "soon"}
            wrong = await client.post(
                f"{V1}/temporal/entityOperations/query",
                json={"type": "Query", "entities": [{"type": "City"}], "temporalQ": temporal},
            )
            assert wrong.status_code == 400, "no duration, whether it applies or not"
            for bad in (
                {},
                {"timerel": "after"},
                {"timerel": "during", "timeAt": moment(0)},
                {"timerel": "between", "timeAt": moment(0)},
                {"timerel": "after", "timeAt": "2026-01-01"},
                {"timerel": "after", "timeAt": "2026-01-01T00:00:00+01:00"},
                {**window, "timeproperty": "sometimes"},
                {**window, "lastN": "0"},
                {**window, "orderBy": "n"},
                {**window, "q": "ref{n}==1"},
                {**window, "pick": "ref{n}"},
                {**window, "options": "aggregatedValues"},
                {
                    **window,
                    "options": "aggregatedValues",
                    "aggrMethods": "avg",
                    "aggrPeriodDuration": "P",
                },
            ):
                answer = await client.get(URL, params={"type": "City", **bad})
                assert answer.status_code == 400, bad

    asyncio.run(run())


def test_an_attribute_without_a_grant_is_absent_from_evolutions_too(tmp_path: Path) -> None:
    """For q, place, aggregates and count: as if it had never been written."""

    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            hidden = Dataset("c", Text("S", "C"), "open", "open", "-", {"Vault": ("n",)})
            whole = Dataset("w", Text("A", "A"), "open", "open", "-", {"Vault": ()})
            await running.registry.put([hidden, whole], "ada", "for a test")
            grants = [
                Grant("r", "public", "open-data", "c", ("read",), OFFICERS),
                Grant("w", "public", "open-data", "w", ("write",), OFFICERS),
            ]
            await running.registry.put(grants, "ada", "for a test")
            transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                made = await client.post(
                    URL, json=evolving(type="Vault", n=[instance(0, 1)], plate=[instance(0, "A-1")])
                )
                assert made.status_code == 201
                url = f"{URL}/{URN}"
                assert set((await client.get(url)).json()) == {"id", "type", "n"}
                assert (await client.get(f"{url}?attrs=plate")).status_code == 404
                aggregates = "options=aggregatedValues&aggrMethods=distinctCount,totalCount"
                found = (
                    await client.get(f"{url}?{aggregates}&timerel=after&timeAt={moment(0)}")
                ).json()
                assert set(found) == {"id", "type", "n"}
                window = {"type": "Vault", "timerel": "after", "timeAt": moment(0)}
                for q in ('plate=="A-1"', "plate", 'plate!="B"', "n==1;plate"):
                    answer = await client.get(URL, params={**window, "q": q, "count": "true"})
                    assert answer.json() == []
                    assert answer.headers["ngsild-results-count"] == "0"
                assert (await client.delete(f"{url}/attrs/plate")).status_code == 204

    asyncio.run(run())


NUMBERS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(-50, 50)),
    min_size=1,
    max_size=12,
    unique_by=lambda p: p[0],
)
PERIODS = {"PT1H": 1.0, "PT2H30M": 2.5, "P1D": 24.0, "PT0S": None}


METHODS = ("avg", "max", "min", "sum", "sumsq", "stddev", "totalCount", "distinctCount")


def test_aggregates_are_what_a_plain_evaluator_gives(tmp_path: Path) -> None:
    async def check(client: httpx.AsyncClient, points: Any, period: str, first: int) -> None:
        await client.post(URL, json=evolving(n=[instance(h, v) for h, v in points]))
        for asked in (METHODS, ("avg", "max", "min", "sum", "totalCount")):
            params = {
                "options": "aggregatedValues",
                "aggrMethods": ",".join(asked),
                "aggrPeriodDuration": period,
                "timerel": "after",
                "timeAt": moment(first),
            }
            answer = await client.get(f"{URL}/{URN}", params=params)
            got = answer.json().get("n", {m: [] for m in asked})
            for method in asked:
                expected = plain(points, method, PERIODS[period], first)
                assert len(got[method]) == len(expected)
                for (value, start, _), (wanted, at) in zip(got[method], expected, strict=True):
                    assert math.isclose(value, wanted, abs_tol=1e-9), (method, got, expected)
                    assert start == moment(at)
        await client.delete(f"{URL}/{URN}")

    with asyncio.Runner() as runner:
        opened = open_city(tmp_path)
        _, client = runner.run(opened.__aenter__())

        @given(NUMBERS, st.sampled_from(sorted(PERIODS)), st.integers(0, 10))
        @settings(max_examples=60, deadline=None)
        def every(points: Any, period: str, first: int) -> None:
            runner.run(check(client, points, period, first))

        try:
            every()
        finally:
            runner.run(opened.__aexit__(None, None, None))


def plain(
    points: list[tuple[int, int]], method: str, width: float | None, first: int
) -> list[tuple[float, float]]:
    """(value, start in hours) of each period that has points, by the words of 4.5.19.1."""
    groups: dict[float, list[int]] = {}
    for hour, value in sorted(points):
        if hour >= first:
            start = first if width is None else first + math.floor((hour - first) / width) * width
            groups.setdefault(start, []).append(value)
    calculate = {
        "avg": lambda v: sum(v) / len(v),
        "max": max,
        "min": min,
        "sum": sum,
        "sumsq": lambda v: sum(x * x for x in v),
        "stddev": lambda v: math.sqrt(sum((x - sum(v) / len(v)) ** 2 for x in v) / len(v)),
        "totalCount": len,
        "distinctCount": lambda v: len(set(v)),
    }[method]
    return [(calculate(values), start) for start, values in sorted(groups.items())]


def test_periods_count_months_by_the_calendar() -> None:
    month = parse_period("P1M")
    start = int(datetime(2026, 1, 31, tzinfo=UTC).timestamp()) * 1_000_000
    ends = [
        datetime.fromtimestamp(month.after(start, times) / 1e6, UTC).strftime("%m-%d")
        for times in range(4)
    ]
    assert ends == ["01-31", "02-28", "03-31", "04-30"]
    assert parse_period("P1Y2M10DT2H30M").months == 14
    assert parse_period("P2W").us == 14 * 86_400_000_000
