# SPDX-License-Identifier: EUPL-1.2
"""Ten thousand subscriptions: what matching costs, and how long a notification takes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.served import free_port

from bench.cities import ROOT, found, serving, urn
from bench.inside import Asked, asking
from bench.lines import Line, Lines
from poorter.standards.ngsild.subscriptions.engine import Engine

MANY, FEW = 10_000, 10
CHANGES = 2000
_PATH = "/ngsi-ld/v1/subscriptions"


def measure(scratch: Path) -> Lines:
    """Matching by id and by q, then delivery."""
    for what, condition in (("each about one entity", False), ("each with a q of its own", True)):
        spent = []
        for number in (FEW, MANY):
            folder = scratch / f"matching {number} {condition}"
            found(folder, FEW)
            _allow_loopback(folder)
            spent.append(asyncio.run(_matching(folder, number, condition)))
        few, many = spent
        ratio = many / few
        yield Line(
            f"10,000 subscriptions, {what}: matching",
            "under 2 x the cost of 10",
            f"{many * 1e6:.0f} us a change = {ratio:.2f} x {few * 1e6:.0f}",
            ratio < 2,
        )
    yield _delivery(scratch / "delivery")


def _subscription(number: int, condition: bool, url: str) -> dict[str, Any]:
    which = {"type": "City"} if condition else {"type": "City", "id": urn(number)}
    doc: dict[str, Any] = {
        "type": "Subscription",
        "entities": [which],
        "notification": {"endpoint": {"uri": url}},
    }
    return doc | ({"q": f"n=={number}"} if condition else {})


async def _matching(folder: Path, number: int, condition: bool) -> float:
    """CPU seconds of matching a change, with so many subscriptions; each change meets one."""
    spent = [0.0]
    original: Any = Engine._notify

    def timed(engine: Engine, change: Any) -> None:
        began = time.thread_time()
        original(engine, change)
        spent[0] += time.thread_time() - began

    with receiver() as url:
        async with asking(folder) as ask:
            for n in range(number):
                doc = _subscription(n, condition, url)
                made = await ask("POST", _PATH, doc)
                if made.status == 403:  # this process stood still for longer than a permit lasts
                    made = await ask("POST", _PATH, doc)
                assert made.status == 201, made
            setattr(Engine, "_notify", timed)  # noqa: B010
            try:
                for change in range(CHANGES):
                    await _change(ask, change % FEW, (change // FEW + change) % FEW)
                await asyncio.sleep(0.2)
            finally:
                setattr(Engine, "_notify", original)  # noqa: B010
    return spent[0] / CHANGES


async def _change(ask: Asked, number: int, value: int) -> None:
    body = {"n": {"type": "Property", "value": value}}
    answer = await ask("POST", f"/ngsi-ld/v1/entities/{urn(number)}/attrs", body)
    assert answer.status == 204


def _delivery(folder: Path) -> Line:
    found(folder, MANY)
    _allow_loopback(folder)
    with receiver() as url, serving(folder) as city:
        asyncio.run(_subscribe(city.url, url))
        asyncio.run(_updates(city.url, url, 1000, 2))  # warm
        most = asyncio.run(_updates(city.url, url, 100_000, 5))
        rate = len(most) / 5
        delays = sorted(asyncio.run(_updates(city.url, url, rate / 2, 6)))
    p50, p99 = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
    return Line(
        "10,000 subscriptions: delivery at half load",
        "p99 under 50 ms",
        f"p50 {p50:.1f}, p99 {p99:.1f} ms at {rate / 2:,.0f} of {rate:,.0f} notifications/s",
        p99 < 50,
    )


async def _subscribe(city: str, url: str) -> None:
    async with httpx.AsyncClient(base_url=city, timeout=60) as client:

        async def some(start: int) -> None:
            for number in range(start, MANY, 16):
                doc = _subscription(number, False, url)
                answer = await client.post(_PATH, json=doc)
                assert answer.status_code == 201, answer.text

        await asyncio.gather(*(some(start) for start in range(16)))


async def _updates(city: str, url: str, per_second: float, seconds: float) -> list[float]:
    """Updates at a steady rate, or as fast as they are answered; delays of what was delivered
    meanwhile and in the second after, milliseconds."""
    began = time.perf_counter()
    sent = [0]

    async def lane(number: int) -> None:
        host, _, port = city.rpartition("/")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        while (now := time.perf_counter() - began) < seconds:
            mine = sent[0]
            if mine >= now * per_second:
                await asyncio.sleep(0.002)
                continue
            sent[0] += 1
            body = json.dumps({"n": {"type": "Property", "value": time.time() * 1000}}).encode()
            head = (
                f"POST /ngsi-ld/v1/entities/{urn(mine * 7 % MANY)}/attrs HTTP/1.1\r\nhost: x\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 403 " in answer:  # the city stood still for longer than a permit lasts
                await reader.readexactly(int(answer.partition(b"length: ")[2].split(b"\r")[0]))
                continue
            assert b" 204 " in answer, answer
        writer.close()

    async with httpx.AsyncClient(timeout=30) as client:
        await client.get(url)
        await asyncio.gather(*(lane(number) for number in range(16)))
        if per_second < 100_000:
            await asyncio.sleep(1)  # at full load only what came in time counts
        delays: list[float] = (await client.get(url)).json()
        for _ in range(60):  # what is left over must not count with the next
            await asyncio.sleep(0.5)
            if not (await client.get(url)).json():
                break
    return delays


def _allow_loopback(folder: Path) -> None:
    file = folder / "city.toml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("allowed_hosts = []", 'allowed_hosts = ["127.0.0.1"]'), "utf-8")


@contextmanager
def receiver() -> Iterator[str]:
    """The URL of a receiver, until the end."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.receiver", str(port)], cwd=ROOT)
    try:
        for _ in range(200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except httpx.HTTPError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)
