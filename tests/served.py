# SPDX-License-Identifier: EUPL-1.2
"""A city served by a process of its own, which tests may kill. Loopback only, always stopped."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.founded import OFFICERS, PASSWORD

from poorter.city.clock import SystemClock
from poorter.config import read_config
from poorter.founding import found_city
from poorter.gate.policy import Grant, Vote
from poorter.running import open_city

SRC = Path(__file__).parent.parent / "src"


def make_city(
    folder: Path,
    systems: tuple[str, ...] = ("parking", "crowds"),
    store: Mapping[str, str] | None = None,
) -> None:
    """Found it, adopt its goals, and let the public write the context: tests write a lot. `store`:
    settings of where it lies."""

    async def run() -> None:
        settings = {
            **(store or {}),
            "systems.enabled": list(systems),
            "server.public_rate_per_second": 1e6,
            "server.public_rate_burst": 1_000_000,
        }
        clock = SystemClock()
        passwords = (PASSWORD, PASSWORD)
        await found_city(folder, settings, OFFICERS, "Council", clock, passwords)
        running = await open_city(read_config(folder), clock)
        for goal in list(running.gate.policy.goals.values()):
            if goal.vote is None:
                await running.registry.adopt(goal.id, Vote("Council", "2026-01-01", 2, 1), "ada")
        grant = Grant("t", "public", "open-data", "context", ("write",), OFFICERS)
        await running.registry.put([grant], "ada", "for a test")
        running.close()

    asyncio.run(run())


#: ports that the system hands to nobody by itself, a hundred of them for this process: a city that
#: is killed and started again finds its port free
_ports = itertools.cycle(range(12_000 + os.getpid() % 200 * 100, 12_100 + os.getpid() % 200 * 100))


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    while True:
        port = next(_ports)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Served:
    """The process; `kill` is kill -9."""

    def __init__(self, folder: Path, log: Path | None = None) -> None:
        """`log`: where all goes that it prints; else into a file beside the folder."""
        self.folder = folder
        self.log = log or folder.with_name(f"{folder.name}.served.log")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, within_s: float = 20.0) -> float:
        """Start and wait until it answers; the seconds that took."""
        code = "import sys; from poorter.cli import main; sys.exit(main())"
        arguments = ["serve", "--city", str(self.folder), "--port", str(self.port)]
        environment = os.environ | {"PYTHONPATH": str(SRC)}
        began = time.perf_counter()
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                env=environment,
                stdout=out,
                stderr=out,
            )
        while time.perf_counter() - began < within_s:
            try:
                if httpx.get(f"{self.url}/health", timeout=1).status_code == 200:
                    return time.perf_counter() - began
            except httpx.HTTPError:
                pass
            code_of_end = self.process.poll()
            assert code_of_end is None, f"the city did not start ({code_of_end}): {self.said()}"
            time.sleep(0.02)
        raise AssertionError(f"the city does not answer within {within_s} s: {self.said()}")

    def said(self) -> str:
        """The end of what it printed."""
        return self.log.read_text("utf-8", "replace")[-4000:] or "it said nothing"

    def kill(self) -> None:
        """At once, without a word."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """In good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A founded city, served."""
    make_city(folder)
    city = Served(folder)
    city.start()
    try:
        yield city
    finally:
        city.stop()
