# SPDX-License-Identifier: EUPL-1.2
"""A city with persons behind two walls, and apps with keys for several purposes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.founded import OFFICERS, founded

from poorter.city.clock import ManualClock
from poorter.city.text import Text
from poorter.gate.policy import Dataset, Goal, Grant, Part, Processor, Purpose, Vote
from poorter.identity.credentials import Credential, new_credential
from poorter.running import Running
from poorter.server import make_app

T = Text("woord", "word")
V1 = "/ngsi-ld/v1"
RATES: dict[str, object] = {
    "server.rate_per_second": 1e6,
    "server.rate_burst": 1_000_000,
    "server.public_rate_per_second": 1e6,
    "server.public_rate_burst": 1_000_000,
}
VOTE = Vote("Council", "2026-01-01", 2, 1)

#: purpose -> (wall's dataset, GDPR 6(1), more)
PURPOSES: dict[str, tuple[str, dict[str, Any]]] = {
    "home-care": ("clients", {"art6": "e", "art9": "h", "assessment": "dpia-1"}),
    "care-planning": ("clients", {"art6": "a", "art9": "h", "assessment": "dpia-1"}),
    "care-research": ("clients", {"art6": "f", "art9": "j", "assessment": "dpia-2"}),
    "debt-help": ("debts", {"art6": "e"}),
}


def parts() -> list[Part]:
    """Care and debts, each behind its wall; an app for each purpose reads and writes."""
    found: list[Part] = [
        Goal("people", T, T, vote=VOTE),
        Dataset(
            "clients",
            T,
            "care",
            "special",
            "Zorg",
            {"Client": (), "Visit": ()},
            retention_days=100,
        ),
        Dataset("debts", T, "debt", "personal", "Schulden", {"Debtor": ()}, retention_days=100),
    ]
    for purpose, (dataset, more) in PURPOSES.items():
        app = f"app:{purpose}"
        found += [
            Purpose(purpose, "people", T, "Wmo 2015", "Zorg", **more),
            Processor(app, T, "city"),
            Grant(f"{purpose}-g", app, purpose, dataset, ("read", "write"), OFFICERS),
            Grant(f"{purpose}-o", app, purpose, "context", ("read",), OFFICERS),
        ]
    return found


@dataclass
class App:
    """What one app of the city does over HTTP."""

    client: httpx.AsyncClient
    headers: dict[str, str]

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, headers={**self.headers, **more.pop("headers", {})})

    async def post(self, path: str, body: Any, **more: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers={**self.headers, **more})

    async def ids(self, kind: str) -> list[str]:
        found = await self.get(f"{V1}/entities?type={kind}&limit=100")
        assert found.status_code == 200, found.text
        return [one["id"] for one in found.json()]

    async def make(self, kind: str, **values: Any) -> str:
        body: dict[str, Any] = {"id": f"urn:ngsi-ld:{kind}:new", "type": kind}
        for name, value in values.items():
            whole = isinstance(value, dict) and "type" in value
            body[name] = value if whole else {"type": "Property", "value": value}
        made = await self.post(f"{V1}/entities", body)
        assert made.status_code == 201, made.text
        return made.headers["location"].rpartition("/")[2]


@dataclass
class City:
    """A running city and its apps by purpose."""

    running: Running
    client: httpx.AsyncClient
    apps: dict[str, App]
    clock: ManualClock


@asynccontextmanager
async def city(
    folder: Path, clock: ManualClock | None = None, more: dict[str, object] | None = None
) -> AsyncIterator[City]:
    clock = clock or ManualClock()
    async with founded(folder, clock, (), RATES | (more or {})) as running:
        await running.registry.put(parts(), "ada", "a test")
        keys: list[Credential] = []
        headers = {}
        for purpose in PURPOSES:
            credential, key = new_credential(f"app:{purpose}", purpose)
            keys.append(credential)
            headers[purpose] = {"authorization": f"Bearer {key}"}
        running.credentials.replace(keys)
        transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
            apps = {purpose: App(client, given) for purpose, given in headers.items()}
            yield City(running, client, apps, clock)
