# SPDX-License-Identifier: EUPL-1.2
"""Secrets stay where they are: out of logs, errors, the data folder and backups."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.web.test_entering import SOMEBODY, a_code, enter, visitor
from tests.web.test_offices import log_in
from tests.web.test_pages import PASSWORD, browsing

from poorter.gate.genesis import RUN
from poorter.identity.residents import COOKIE
from poorter.identity.sessions import COOKIE as STAFF_COOKIE
from poorter.offices.keys import make_key
from poorter.offices.letters import give_code
from poorter.running import Running


async def _used(running: Running, staff: httpx.AsyncClient, pages: list[str]) -> dict[str, str]:
    """Every secret there is, used rightly and wrongly; what each was."""
    csrf = await log_in(staff)
    _, key = await make_key(running, "system:parking", "parking-guidance", 30, "ada")
    letter = await give_code(running, "letter", "tax", "ada")
    left, spent = await a_code(running, "person"), await a_code(running, "person")
    async with visitor(running) as client:
        await enter(client, spent)
        cookie = client.cookies[COOKIE]
        for code in (spent, left[:-1], key):
            pages.append((await enter(client, code)).text)
        pages.append((await client.post("/check", json={"code": letter + "x"})).text)
    for header in (f"Bearer {key}", f"Bearer {key}x", f"Basic {key}", key):
        answer = await staff.get("/api/city", headers={"authorization": header})
        pages.append(answer.text)
    wrong = {"csrf": csrf, "act": "issue", "says-person": "yes", "number": f"{SOMEBODY}1"}
    pages.append((await staff.post("/nl/control/desk", data=wrong)).text)
    return {
        "app key": key,
        "letter code": letter,
        "open login code": left,
        "spent login code": spent,
        "resident cookie": cookie,
        "staff cookie": staff.cookies[STAFF_COOKIE],
        "password": PASSWORD,
        "citizen number": SOMEBODY,
    }


def test_no_secret_gets_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> tuple[dict[str, str], list[str], Any]:
        pages: list[str] = []
        async with browsing(tmp_path) as (running, staff):
            secrets = await _used(running, staff, pages)
            permit = running.gate.permit("internal:backup", RUN, "read")
            copy = str(tmp_path / "copy")
            await asyncio.to_thread(running.store.backup, permit, copy)
            return secrets, pages, running.config

    with caplog.at_level(logging.DEBUG):
        secrets, pages, config = asyncio.run(run())
    public = ("ring.json", "policy.version")  # lies with the keys, and is no secret
    own = {f.name: f.read_bytes() for f in config.paths_keys.iterdir() if f.name not in public}
    assert {"pepper", "persons.secret", "wall-city-hall.secret"} <= own.keys()
    places = {
        "log": "\n".join(f"{r.getMessage()} {r.exc_text}" for r in caplog.records).encode(),
        "data": _all(config.paths_data),
        "backup": _all(tmp_path / "copy"),
    }
    for place, content in places.items():
        for name, secret in secrets.items():
            assert secret.encode() not in content, (name, place)
        for file, secret_bytes in own.items():
            assert secret_bytes not in content, (file, place)
            assert secret_bytes.hex().encode() not in content, (file, place)
    for page in pages:
        for name, secret in secrets.items():
            assert secret not in page, name


def _all(folder: Path) -> bytes:
    return b"".join(f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file())
