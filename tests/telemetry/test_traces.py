# SPDX-License-Identifier: EUPL-1.2
"""Traces to a real collector: what was asked is a span, whom it was about is not."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from tests.served import SRC, free_port
from tests.walls.city import V1, city
from tests.walls.test_consents import FENNA

from poorter.server import make_app
from poorter.telemetry.traces import Traces

NAME = "Zanzibarina Quickenborne"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Its address, and the bodies that it took."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
    finally:
        server.shutdown()
        server.server_close()


def spans(bodies: list[bytes]) -> list[dict[str, Any]]:
    return [
        span
        for body in bodies
        for resource in json.loads(body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def said(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_spans_say_what_was_asked_and_nothing_of_anybody(tmp_path: Path) -> None:
    async def run(address: str) -> str:
        traces = Traces(address)
        async with city(tmp_path) as c:
            app = make_app(c.running, traces)
            transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
            headers = c.apps["home-care"].headers
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                c.apps["home-care"].client = client
                urn = await c.apps["home-care"].make("Client", resident=FENNA, name=NAME)
                more = headers | {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
                more["user-agent"] = NAME
                asked = f"{V1}/entities?type=Client&q=name==%22Zanzibarina%20Quickenborne%22"
                assert (await client.get(asked, headers=more)).status_code == 200
                assert (
                    await client.get(f"{V1}/entities/{urn}", headers=headers)
                ).status_code == 200
                await client.get(f"/nl/zoek/{FENNA}?naam={NAME}")
                await client.request("QUICKENBORNE", "/nl")
                await client.get(f"{V1}/entities/urn:x:{FENNA}", headers={"traceparent": NAME})
            traces.close()
            return urn

    with collector() as (address, bodies):
        urn = asyncio.run(run(address))
    found = spans(bodies)
    assert len(found) == 6
    everything = b"".join(bodies).decode()
    key_parts = (urn, urn.rpartition(":")[2], FENNA, NAME, "Zanzibarina", "QUICKENBORNE", "naam")
    for canary in (*key_parts, "entities", "traceparent", "Bearer", "127.0.0.1"):
        assert canary not in everything, canary
    (told,) = [span for span in found if span["traceId"] == TRACE]
    assert told["parentSpanId"] == "b7ad6b7169203331"
    assert said(told) == {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "poorter.face": "ngsi-ld",
    }
    assert {span["name"] for span in found} >= {"POST ngsi-ld", "GET pages", "_OTHER pages"}
    assert all(int(s["endTimeUnixNano"]) > int(s["startTimeUnixNano"]) for s in found)


def test_a_collector_that_is_away_costs_no_answer(tmp_path: Path) -> None:
    async def run() -> None:
        traces = Traces(f"http://127.0.0.1:{free_port()}/v1/traces")
        async with city(tmp_path) as c:
            transport = httpx.ASGITransport(app=make_app(c.running, traces))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                for _ in range(50):
                    assert (await client.get("/health")).status_code == 200
        await asyncio.to_thread(traces.close)

    asyncio.run(run())


def test_nothing_of_it_is_loaded_while_it_is_off() -> None:
    code = (
        "import sys, poorter.server, poorter.running, poorter.cli; "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SRC)}, check=False)
    assert done.returncode == 0
