# SPDX-License-Identifier: EUPL-1.2
"""connections, device, broker."""

from __future__ import annotations

import argparse
from pathlib import Path

from poorter.city.ids import mint
from poorter.cli.govern import BY, with_city
from poorter.connections.model import read_connections
from poorter.offices.devices import add_device, devices, revoke_device, write_broker
from poorter.running import Running


def listed(arguments: argparse.Namespace) -> int:
    """Read every connection; what is wrong in one is said."""
    for one in read_connections(arguments.city):
        source = one.mqtt.broker if one.mqtt is not None else one.poll.url if one.poll else ""
        print(f"{one.name:24} {source:40} {one.processor} for {one.purpose}")
    return 0


def device(arguments: argparse.Namespace) -> int:
    """Register or revoke; the key is printed once."""

    async def work(running: Running) -> None:
        if arguments.revoke:
            await revoke_device(running, arguments.name, BY)
            print(f"{arguments.name} is revoked; run `poorter broker` and let the broker reload")
        else:
            print(await add_device(running, arguments.name, BY))

    return with_city(arguments, work)


def broker(arguments: argparse.Namespace) -> int:
    """Write the broker's files, with a password for the city where it has none yet."""

    async def work(running: Running) -> None:
        file = running.config.folder / arguments.key_file
        connections = read_connections(running.config.folder)
        hashes = devices(running)
        for written in write_broker(arguments.folder, connections, hashes, _city_key(file)):
            print(written)
        print(f"the city logs in as `poorter` with the password in {file}")

    return with_city(arguments, work)


def _city_key(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(mint("", 32), "utf-8")
    return file.read_text("utf-8").strip()
