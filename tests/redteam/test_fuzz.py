# SPDX-License-Identifier: EUPL-1.2
"""Thousands of odd requests on every route: a clear answer each, never a 500, never a fall."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.founded import free, garage, observe, put
from tests.ngsild.test_http import V1, open_city

from poorter.city.clock import ManualClock
from poorter.jobs import record_uses
from poorter.standards.ngsild.app import ROUTES
from poorter.web.app import TABLE


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


IDS = ("urn:ngsi-ld:City:a", "urn:ngsi-ld:OffStreetParking:a", "x", "%2e%2e", "%00", "%ff", "é")
VALUES: tuple[Any, ...] = (
    None,
    -1,
    1e308,
    2**70,
    "",
    "urn:ngsi-ld:null",
    "2026-01-01T00:00:00Z",
    True,
    [],
    [1, [2]],
    {"a": {"b": 1}},
    {"type": "Point", "coordinates": [5, 52]},
    {"type": "Point", "coordinates": "x"},
    {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2], [1, 2]]]},
)
MEMBERS = ("type", "value", "object", "languageMap", "vocab", "json", "valueList", "objectList")
MORE = ("observedAt", "unitCode", "datasetId", "sub", "createdAt")
KINDS = ("Property", "Relationship", "GeoProperty", "LanguageProperty", "ListProperty", "X", ["a"])
PARAMETERS = words(
    "type q id idPattern attrs georel geometry coordinates limit offset count options after "
    "timerel timeAt lastN aggrMethods aggrPeriodDuration destination place token arrival "
    "stay_minutes thing leaf about near index"
)
ARGUMENTS = words(
    "City n==1 n urn:ngsi-ld:City:a -1 0 10 true near;maxDistance==10 Point [5,52] [[5]] keyValues "
    "aggregatedValues avg,max PT1H P9999D before 2026-01-01T00:00:00Z 5,52 5.3,52.6 nan,nan 1e400 "
    "%ff ((( a~=(b)* 99999999999999999999 within Polygon"
)
FIELDS = words("token act place kind about text code receipt name password form csrf minutes")


class Odd:
    """Seeded odd requests."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def attribute(self) -> Any:
        some = self.dice.sample(MEMBERS + MORE, self.dice.randint(0, 5))
        body = {m: self.dice.choice(KINDS if m == "type" else VALUES) for m in some}
        return self.dice.choice([body, body, [body, body], self.dice.choice(VALUES)])

    def entity(self) -> Any:
        names = ("n", "location", "scope", "@context", "https://x.org/y", "a b", "signText")
        some = self.dice.sample(names, self.dice.randint(0, 4))
        head = {
            "id": self.dice.choice([*IDS[:2], 1]),
            "type": self.dice.choice(["City", "OffStreetParking", ["City", "Road"], 1, []]),
        }
        return head | {name: self.attribute() for name in some}

    def body(self, form: bool) -> bytes:
        if form:
            return "&".join(f"{f}={self.dice.choice(ARGUMENTS)}" for f in FIELDS).encode()
        odd = self.dice.choice(
            [
                self.entity(),
                {"n": self.attribute()},
                [self.entity() for _ in range(self.dice.randint(0, 3))],
                {"token": self.dice.choice(VALUES), "place": self.dice.choice(VALUES)},
            ]
        )
        raw = json.dumps(odd).encode()
        return raw[: self.dice.randint(0, len(raw))] if self.dice.random() < 0.1 else raw

    def query(self) -> str:
        some = self.dice.sample(PARAMETERS, self.dice.randint(0, 4))
        return "&".join(f"{name}={self.dice.choice(ARGUMENTS)}" for name in some)


def routes() -> list[tuple[str, str]]:
    """(method, path) of everything that is served."""
    found = [
        (method, f"{V1}/{'/'.join(pattern)}")
        for pattern, methods in ROUTES.items()
        for method in methods
    ]
    found += [(m, f"/en/{path}") for path, methods, _ in TABLE for m in methods]
    for name in ("find", "place", "places", "reservation"):
        found.append(("GET", f"/api/parking/{name}"))
    for name in ("reserve", "extend", "cancel", "arrive", "occupied"):
        found.append(("POST", f"/api/parking/{name}"))
    for path in ("/api/crowds/now", "/api/crowds/quiet", "/ledger/receipt", "/ledger/tile/0/000"):
        found.append(("GET", path))
    return found


@pytest.mark.parametrize("seed", range(2))
def test_no_request_brings_the_city_down(tmp_path: Path, seed: int) -> None:
    odd = Odd(seed)
    every = routes()
    assert len(every) > 40

    async def run() -> None:
        clock = ManualClock()
        async with open_city(tmp_path, clock=clock) as (running, client):
            await record_uses(running)
            await put(running, garage("a", 100))
            await observe(running, "OffStreetParking", free(running, "a", 41))
            seen: dict[int, int] = {}
            for number in range(2500):
                clock.forward_s(2)
                method, path = every[number % len(every)]
                for name in ("{id}", "{attr}", "{system}", "{operation}"):
                    path = path.replace(name, odd.dice.choice(IDS))
                form = path.startswith("/en/")
                media = "application/x-www-form-urlencoded" if form else "application/json"
                if odd.dice.random() < 0.05:
                    media = "application/ld+json"
                content = b"" if method in ("GET", "DELETE") else odd.body(form)
                try:
                    answer = await client.request(
                        method,
                        f"{path}?{odd.query()}",
                        content=content,
                        headers={"content-type": media},
                    )
                except httpx.InvalidURL:
                    continue
                status = answer.status_code
                seen[status] = seen.get(status, 0) + 1
                wrong = status >= 500 and status not in (501, 503)
                assert not wrong, (method, path, content, answer.text)
            assert {200, 400, 404} <= set(seen), seen
            fine = await client.get(f"{V1}/entities/{IDS[1]}")
            assert fine.status_code in (200, 404)

    asyncio.run(run())
