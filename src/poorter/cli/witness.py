# SPDX-License-Identifier: EUPL-1.2
"""witness: a witness of other cities' ledgers, as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from poorter.city.clock import SystemClock
from poorter.city.errors import Invalid
from poorter.identity.keys import load_key, make_witness_key
from poorter.ledger.trust import Trust, parse_trust, witness_lines
from poorter.ledger.witness import Witness

KEYS = "keys"
LOGS = "logs"


def witness(arguments: argparse.Namespace) -> int:
    """Make the key of a witness, or run one until it is stopped."""
    return _make(arguments) if arguments.what == "make" else _run(arguments)


def _make(arguments: argparse.Namespace) -> int:
    if not arguments.name:
        raise Invalid("give the witness a name: --name witness.example/city")
    now_us = SystemClock().now_us()
    pair = make_witness_key(arguments.folder / KEYS, arguments.name, now_us)
    print("# for the policy of the city that it is to witness (ledger.trust):")
    member = arguments.name.replace(".", "-").replace("/", "-")
    print("\n".join(witness_lines(pair, member, arguments.url)))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    if arguments.trust is None:
        raise Invalid("say which logs it is to witness: --trust FILE (see `poorter ledger keys`)")
    key = load_key(arguments.folder / KEYS, "witness")
    trust = read_trust(arguments.trust)
    asyncio.run(_serve(Witness(arguments.folder / LOGS, key, trust, SystemClock()), arguments))
    return 0


def read_trust(file: Path) -> Trust:
    """A policy file. Raises Invalid naming file and line."""
    try:
        return parse_trust(file.read_text("utf-8"))
    except (OSError, ValueError) as wrong:
        raise Invalid(f"{file}: {wrong}") from None


async def _serve(of: Witness, arguments: argparse.Namespace) -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    from poorter.standards.witnessing.app import WitnessApp

    server = Server(
        WitnessApp(of),
        address=arguments.host,
        port=arguments.port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, server.stop)
    print(f"a witness on http://{arguments.host}:{arguments.port}", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve()
