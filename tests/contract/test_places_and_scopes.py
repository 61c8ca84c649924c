# SPDX-License-Identifier: EUPL-1.2
"""Scopes and places over HTTP, against evaluators that share nothing with the store: path by path,
and arithmetic on points and rectangles."""

import asyncio
import math
from itertools import product
from pathlib import Path
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ngsild.test_http import V1, open_city

LEVELS = ("A", "B", "C")
PATHS = ["/" + "/".join(parts) for n in (1, 2, 3) for parts in product(LEVELS[:2], repeat=n)]
SCOPES = st.lists(st.sampled_from(PATHS), max_size=2, unique=True)
PATTERN = st.builds(
    lambda parts, below: "/" + "/".join(parts) + ("/#" if below else ""),
    st.lists(st.sampled_from([*LEVELS, "+"]), min_size=1, max_size=3),
    st.booleans(),
) | st.just("/#")
ASKED = st.lists(st.lists(PATTERN, min_size=1, max_size=2), min_size=1, max_size=2)
POINT = st.tuples(st.integers(-60, 60), st.integers(-60, 60)).filter(any)
COUNT = 12


def in_scope(scope: str, pattern: str) -> bool:
    """4.19 word by word: + is one level, a last # is the scope and all below it."""
    if pattern == "/#":
        return True
    have, want = scope.split("/")[1:], pattern.split("/")[1:]
    below = want[-1] == "#"
    want = want[:-1] if below else want
    if len(have) < len(want) or (len(have) > len(want) and not below):
        return False
    return all(w in ("+", h) for h, w in zip(have, want, strict=False))


def away_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """By the spherical law of cosines, on the mean radius of the Earth."""
    lon1, lat1, lon2, lat2 = (math.radians(n) for n in (*a, *b))
    cosine = math.sin(lat1) * math.sin(lat2)
    cosine += math.cos(lat1) * math.cos(lat2) * math.cos(lon2 - lon1)
    return 6_371_008.8 * math.acos(max(-1.0, min(1.0, cosine)))


def test_what_a_plain_evaluator_selects_the_city_selects(tmp_path: Path) -> None:
    async def fill(client: httpx.AsyncClient, rows: Any) -> None:
        for n, (scopes, (x, y)) in enumerate(rows):
            place = {"type": "Point", "coordinates": [x / 10, y / 10]}
            body: dict[str, Any] = {"id": f"urn:ngsi-ld:City:{n:02}", "type": "City"}
            body["location"] = {"type": "GeoProperty", "value": place}
            if scopes:
                body["scope"] = scopes
            await client.post(f"{V1}/entityOperations/upsert", json=[body])

    async def ask(client: httpx.AsyncClient, **query: str) -> list[int]:
        answer = await client.get(
            f"{V1}/entities", params={"type": "City", "limit": "100", **query}
        )
        assert answer.status_code == 200, answer.text
        return [int(one["id"][-2:]) for one in answer.json()]

    async def check(client: httpx.AsyncClient, rows: Any, asked: Any, box: Any, far: int) -> None:
        await fill(client, rows)
        scope_q = "|".join(
            f"({';'.join(every)})" if len(every) > 1 else every[0] for every in asked
        )
        expected = [
            n
            for n, (scopes, _) in enumerate(rows)
            if any(all(any(in_scope(s, p) for s in scopes) for p in every) for every in asked)
        ]
        assert await ask(client, scopeQ=scope_q) == expected, scope_q
        (x1, y1), (x2, y2) = box
        west, east = sorted((x1 / 10 - 0.05, x2 / 10 + 0.05))
        south, north = sorted((y1 / 10 - 0.05, y2 / 10 + 0.05))
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        inside = [
            n
            for n, (_, (x, y)) in enumerate(rows)
            if west < x / 10 < east and south < y / 10 < north
        ]
        square = {"geometry": "Polygon", "coordinates": str([ring])}
        assert await ask(client, georel="within", **square) == inside
        assert await ask(client, georel="intersects", **square) == inside
        outside = [n for n in range(len(rows)) if n not in inside]
        assert await ask(client, georel="disjoint", **square) == outside
        here = (x1 / 10, y1 / 10)
        limit_m = far * 1000.5
        near = [
            n for n, (_, (x, y)) in enumerate(rows) if away_m(here, (x / 10, y / 10)) <= limit_m
        ]
        point = {"geometry": "Point", "coordinates": str(list(here))}
        assert await ask(client, georel=f"near;maxDistance=={limit_m}", **point) == near

    with asyncio.Runner() as runner:
        opened = open_city(tmp_path)
        _, client = runner.run(opened.__aenter__())
        rows = st.lists(st.tuples(SCOPES, POINT), min_size=COUNT, max_size=COUNT)

        @given(rows, ASKED, st.tuples(POINT, POINT), st.integers(1, 900))
        @settings(max_examples=25, deadline=None)
        def every(rows: Any, asked: Any, box: Any, far: int) -> None:
            runner.run(check(client, rows, asked, box, far))

        try:
            every()
        finally:
            runner.run(opened.__aexit__(None, None, None))
