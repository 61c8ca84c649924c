# SPDX-License-Identifier: EUPL-1.2
"""Devices on the city's broker: each with a key of its own, kept as a hash only, revocable; and the
rules that let the broker hold each to its own topics."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path

from poorter.city.errors import Invalid
from poorter.city.ids import mint
from poorter.connections.model import DEVICE, Connection
from poorter.offices.record import all_records, reading, write
from poorter.running import Running
from poorter.store.contract import DeleteRecord, PutRecord

RECORD = "device"
DEVICES_MAX = 200_000
#: as Mosquitto reads them: $7$ is PBKDF2 with SHA-512. Device keys are random, so that few rounds
#: are as good as many
_ROUNDS = 101


def devices(running: Running) -> dict[str, str]:
    """Registered devices and the hashes of their keys."""
    return {record.id: record.doc["hash"] for record in all_records(running, RECORD)}


async def add_device(running: Running, name: str, by: str) -> str:
    """Register a device; its key, shown once. Raises Invalid, Conflict when the name is taken."""
    if not DEVICE.match(name):
        raise Invalid("a device's name has 1 to 64 letters, digits, dots, dashes or underscores")
    key = mint("", 32)
    record = PutRecord(RECORD, name, {"hash": hash_key(key)}, expect=0)
    await write(running, by, f"device {name}", "registered", record)
    _reload(running)
    return key


async def revoke_device(running: Running, name: str, by: str) -> None:
    """What it sends is refused from this moment. Raises NotFound."""
    running.store.record(reading(running), RECORD, name)
    await write(running, by, f"device {name}", "revoked", DeleteRecord(RECORD, name))
    _reload(running)


def _reload(running: Running) -> None:
    if running.connections is not None:
        running.connections.register(devices(running))


def hash_key(key: str) -> str:
    """A key as Mosquitto's password file has it."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", key.encode(), salt, _ROUNDS)
    encode = base64.b64encode
    return f"$7${_ROUNDS}${encode(salt).decode()}${encode(digest).decode()}"


def write_broker(
    folder: Path, connections: Iterable[Connection], hashes: dict[str, str], city_key: str
) -> list[Path]:
    """Mosquitto's password file, its access rules, and settings that name both, in `folder`.

    A device writes on its own topics and nowhere else; the city alone reads all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    passwords, rules, settings = (folder / n for n in ("passwords", "rules", "poorter.conf"))
    lines = [f"poorter:{hash_key(city_key)}", *(f"{n}:{h}" for n, h in sorted(hashes.items()))]
    _write_private(passwords, lines)
    city, each = ["user poorter"], []
    for connection in connections:
        if connection.mqtt is None:
            continue
        for topic in filter(None, (connection.mqtt.topic, connection.mqtt.status_topic)):
            city.append(f"topic read {topic.replace('{device}', '+')}")
            each.append(f"pattern write {topic.replace('{device}', '%u')}")
        for rule in connection.commands:
            down, ack = rule.topic, rule.ack_topic
            city.append(f"topic write {down.replace('{device}', '+')}")
            city.append(f"topic read {ack.replace('{device}', '+')}")
            each.append(f"pattern read {down.replace('{device}', '%u')}")
            each.append(f"pattern write {ack.replace('{device}', '%u')}")
    _write_private(rules, [*city, "", *each])
    settings.write_text(
        "# devices of the city: who they are, and where each may speak\n"
        "allow_anonymous false\n"
        f"password_file {passwords.resolve()}\n"
        f"acl_file {rules.resolve()}\n"
        "persistence true\n"
        f"persistence_location {folder.resolve()}/\n"
        "# what waits while the city is away, and how much it takes at once\n"
        "max_queued_messages 1000000\n"
        "max_inflight_messages 1000\n"
        "message_size_limit 262144\n",
        "utf-8",
    )
    return [passwords, rules, settings]


def _write_private(file: Path, lines: Iterable[str]) -> None:
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text("\n".join(lines) + "\n", "utf-8")
