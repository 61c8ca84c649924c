# SPDX-License-Identifier: EUPL-1.2
"""Canary residents in a served city: whoever has no permit meets no trace of them, at any route,
by any method, in any log, figure, file or backup."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from tests.founded import OFFICERS, PASSWORD
from tests.served import Served
from tests.walls.city import PURPOSES, V1, City, city
from tests.walls.test_consents import FENNA, person, subject_in
from tests.web.test_pages import hidden

from poorter.city.clock import ManualClock
from poorter.gate.genesis import RUN
from poorter.identity.credentials import new_credential
from poorter.standards.ngsild.app import ROUTES
from poorter.standards.operations import handle
from poorter.store.contract import Change, PutRecord
from poorter.web.app import TABLE, make_pages

NAME, STREET, ILLNESS = "Zanzibarina Quickenborne", "Canarystraat 4711", "morbus canarius"
PULSE, PLACE = 61.734512, [5.3818273645, 52.1619283746]
CANARIES = (NAME, "Zanzibarina", STREET, ILLNESS, str(PULSE), str(PLACE[0]), FENNA)
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@dataclass
class Prepared:
    """What the attacker of this test knows, which is more than anybody should."""

    folder: Path
    backup: Path
    keys: dict[str, str]
    shown: dict[str, str]
    secrets: tuple[str, ...]
    routes: tuple[str, ...]


async def keys_of(c: City) -> dict[str, str]:
    """A key for each app, kept where a served city finds it."""
    found, puts = {}, []
    for purpose in PURPOSES:
        credential, found[purpose] = new_credential(f"app:{purpose}", purpose)
        puts.append(PutRecord("credential", credential.id, credential.to_doc()))
    own = c.running.gate.permit("internal:identity", RUN, "administer")
    await c.running.store.commit_async(own, Change(tuple(puts)))
    return found


async def prepare(folder: Path) -> Prepared:
    clock = ManualClock(int(time.time() * 1e6) - 60_000_000)
    async with city(folder / "city", clock) as c:
        care = c.apps["home-care"]
        shown = {}
        shown["home-care"] = await care.make(
            "Client",
            resident=FENNA,
            name=NAME,
            address=STREET,
            diagnosis=ILLNESS,
            pulse={"type": "Property", "value": PULSE, "observedAt": "2026-11-01T00:00:00Z"},
            location={"type": "GeoProperty", "value": {"type": "Point", "coordinates": PLACE}},
        )
        (shown["care-research"],) = await c.apps["care-research"].ids("Client")
        await c.running.people.consents.object(person(c), "care-research")
        subject = subject_in(c)("care")
        (row,) = c.running.people.erasing.rows_of(subject)
        keys = await keys_of(c)
        backup = c.running.gate.permit("internal:backup", RUN, "read")
        c.running.store.backup(backup, str(folder / "backup"))
        pages = make_pages(c.running, None, None)  # type: ignore[arg-type]
        routes = tuple(getattr(route, "path", "") for route in pages.routes)
    secrets = (row.urn, row.urn[-26:], subject)
    return Prepared(folder / "city", folder / "backup", keys, shown, secrets, routes)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return asyncio.run(prepare(tmp_path_factory.mktemp("canaries")))


@pytest.fixture(scope="module")
def served(prepared: Prepared) -> Iterator[Served]:
    running = Served(prepared.folder, prepared.folder.parent / "log.txt")
    running.start()
    yield running
    running.stop()


def addresses(prepared: Prepared) -> Iterator[str]:
    """Every route of every table, with each id that there is to try."""
    ids = [*prepared.shown.values(), prepared.secrets[0], FENNA, NAME]
    for pattern in ROUTES:
        path = "/".join(pattern)
        if "{" not in path:
            yield f"{V1}/{path}"
            continue
        for one in ids:
            filled = path.replace("{id}", quote(one, safe="")).replace("{type}", "Client")
            yield f"{V1}/{filled.replace('{attr}', 'name').replace('{context}', 'x')}"
    for asked in (
        "type=Client&count=true",
        f"id={quote(','.join(prepared.shown.values()))}",
        f"type=Client&q=name~={quote('Zanz')}&count=true",
        "type=Client&georel=near;maxDistance==9999999&geometry=Point&coordinates=[5,52]",
        "idPattern=.*&count=true&limit=1000",
        "attrs=diagnosis&options=sysAttrs",
    ):
        yield f"{V1}/entities?{asked}"
        yield f"/api/city/entities?{asked}"
        yield f"{V1}/temporal/entities?{asked}"
    yield from (f"{handle.PREFIX}{path}" for path in handle.ROUTES)
    yield f"{handle.PREFIX}/events?after=0"
    assert len(prepared.routes) > len(TABLE), "the pages' own table, and what stands beside it"
    shown = quote(prepared.shown["home-care"], safe="")
    for path in prepared.routes:
        yield re.sub(r"\{[^}]*\}", shown, path.replace("{language}", "nl"))
    yield from ("/health", "/metrics", "/static/", "/static/..%2f..%2fdata/city.db", "/", "/x")
    yield from ("/api/openapi.json", "/ledger/checkpoint", "/ledger/tile/entries/000.p/1")
    yield from ("/data/city.db", "/keys/persons.db", "/.well-known/x", f"/{quote(NAME)}/x")


def check(answer: httpx.Response, prepared: Prepared, what: str) -> None:
    asked = str(answer.request.url)
    told = answer.text + "\n" + "\n".join(f"{k}: {v}" for k, v in answer.headers.items())
    for canary in (*CANARIES, *prepared.secrets):
        if canary in told and canary not in asked and quote(canary) not in asked:
            raise AssertionError(f"{what}: {canary!r} in {told[:500]}")
    assert answer.status_code < 500 or answer.status_code in (501, 503), what
    if answer.status_code == 429:
        assert "/nl/" in asked, f"{what}: nothing was tried"


def callers(prepared: Prepared, served: Served) -> dict[str, dict[str, str]]:
    """Everybody but whom the data is for."""
    with httpx.Client(base_url=served.url) as browser:
        page = browser.get("/nl/login")
        form = {"name": OFFICERS[0], "password": PASSWORD}
        for name in ("csrf", "form"):
            if f'name="{name}"' in page.text:
                form[name] = hidden(page.text, name)
        browser.post("/nl/login", data=form)
        assert browser.get("/nl/control/grants").status_code == 200, "staff is in"
        cookies = "; ".join(f"{k}={v}" for k, v in browser.cookies.items())
    bearer = {name: {"authorization": f"Bearer {key}"} for name, key in prepared.keys.items()}
    return {
        "the public": {},
        "debt-help": bearer["debt-help"],
        "objected to": bearer["care-research"],
        "not consented to": bearer["care-planning"],
        "no key": {"authorization": "Bearer poorter_x_y"},
        "staff": {"cookie": cookies},
    }


def test_whom_it_is_for_sees_it(prepared: Prepared, served: Served) -> None:
    headers = {"authorization": f"Bearer {prepared.keys['home-care']}"}
    got = httpx.get(f"{served.url}{V1}/entities/{prepared.shown['home-care']}", headers=headers)
    assert all(canary in got.text for canary in (NAME, STREET, ILLNESS, str(PULSE)))
    assert FENNA not in got.text
    assert not any(secret in got.text for secret in prepared.secrets)


def test_no_route_shows_anybody_else_a_trace(prepared: Prepared, served: Served) -> None:
    tried = 0
    with httpx.Client(base_url=served.url, timeout=30) as client:
        for who, headers in callers(prepared, served).items():
            for address in dict.fromkeys(addresses(prepared)):
                more = {**headers, "range": "bytes=0-99999"}
                methods = METHODS if who in ("the public", "objected to") else ("GET", "DELETE")
                for method in methods:
                    if method in ("POST", "PUT", "PATCH"):
                        more["content-type"] = "application/json"
                    content = b"{}" if method in ("POST", "PUT", "PATCH") else None
                    answer = client.request(method, address, headers=more, content=content)
                    check(answer, prepared, f"{who}: {method} {address}")
                    tried += 1
    assert tried > 1000


def test_errors_of_whom_it_is_for_leave_nothing_in_logs(prepared: Prepared, served: Served) -> None:
    headers = {"authorization": f"Bearer {prepared.keys['home-care']}"}
    url = f"{V1}/entities/{prepared.shown['home-care']}"
    with httpx.Client(base_url=served.url, headers=headers) as client:
        for body in (
            {"name": {"value": NAME, "observedAt": "yesterday"}},
            {"name": {"type": NAME, "value": 1}},
            {"location": {"type": "GeoProperty", "value": {"type": NAME}}},
            {"~of": {"value": NAME}},
            {"x": {"value": [[NAME] * 2000] * 200}},
        ):
            answer = client.post(f"{url}/attrs", json=body)
            assert answer.status_code in (400, 413), answer.text
        for query in (f"q=name=={quote(NAME)}((", f"q={quote(STREET)}", f"id={quote(NAME)}"):
            client.get(f"{V1}/entities?{query}")
        client.get(f"{url}?options={quote(ILLNESS)}")


def test_nothing_on_disk_but_ciphertext(prepared: Prepared, served: Served) -> None:
    """The log, data, ledger, spool and keys of a city that answered all of the above; a backup."""
    served.stop()
    places = (prepared.folder, prepared.backup, prepared.folder.parent / "log.txt")
    files = [f for place in places for f in (place.rglob("*") if place.is_dir() else [place])]
    assert sum(f.is_file() for f in files) > 5
    for file in files:
        if file.is_file():
            held = file.read_bytes()
            for canary in CANARIES:
                assert canary.encode() not in held, f"{canary!r} in {file}"
                assert canary.encode("utf-16-le") not in held, f"{canary!r} in {file}"
    log = (prepared.folder.parent / "log.txt").read_bytes()
    for secret in (*prepared.secrets, *prepared.shown.values()):
        assert secret.encode() not in log
