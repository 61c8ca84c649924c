# SPDX-License-Identifier: EUPL-1.2
"""The bare limits: an RSGI application that answers 204, and the same rows by bare SQLite."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
from granian.constants import Interfaces
from granian.server.embed import Server

from poorter.store.sqlite.connect import connect, migrate

_ENTITY = (
    "INSERT INTO entity (id, urn, types, scopes, version, created_us, modified_us) "
    "VALUES (?, ?, ?, '', 1, 1, 1)"
)
_UPDATE = (
    "UPDATE attribute SET body = ?, num = ?, observed_us = ?, modified_us = ?, "
    "version = version + 1 WHERE id = ?"
)
_HISTORY = "INSERT INTO history VALUES (?, ?, 0, ?, 0, ?)"
_EVENT = "INSERT INTO event VALUES (?, ?, 'attributes', ?, 'City', 'n')"


async def _empty(scope: Any, protocol: Any) -> None:
    protocol.response_empty(204, [])


def serve(port: int) -> None:
    """Serve 204 until killed."""
    server = Server(_empty, port=port, interface=Interfaces.RSGI, log_enabled=False)
    asyncio.run(server.serve())


def _made(folder: Path) -> apsw.Connection:
    folder.mkdir()
    connection = connect(folder / "bare.db", write=True)
    migrate(connection)
    return connection


def batches(folder: Path, seconds: float, entities: int, size: int) -> float:
    """Entities a second: the rows that an upsert of `size` of so many entities writes, into the
    same tables, one transaction a batch, synced."""
    connection = _made(folder)
    dice = random.Random(1)
    with connection:
        for number in range(entities):
            row = (number, f"urn:ngsi-ld:City:{number}")
            list(connection.execute(_ENTITY, (*row, "City")))
            connection.executemany(
                "INSERT INTO attribute (id, entity, name, dataset, body, num, txt, created_us, "
                "modified_us) VALUES (?, ?, ?, '', ?, ?, ?, 1, 1)",
                [
                    (3 * number, number, 1, b'{"type":"Property","value":5}', number % 1000, None),
                    (3 * number + 1, number, 2, b"{}", None, f"entity {number}"),
                    (3 * number + 2, number, 3, b"{}", None, None),
                ],
            )
    sequence = done = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        done += size
        at = 1_767_225_600_000_000 + done
        picked = list(dict.fromkeys(dice.randrange(entities) for _ in range(size)))
        list(connection.execute("BEGIN IMMEDIATE"))
        attribute = {"type": "Property", "value": done, "observedAt": "2026-01-01T00:00:00Z"}
        rows = [(json.dumps(attribute).encode(), done, at, at, 3 * n) for n in picked]
        connection.executemany(_UPDATE, rows)
        connection.executemany(_HISTORY, [(3 * n, at, at, done) for n in picked])
        events = [(sequence + i, at, f"urn:ngsi-ld:City:{n}") for i, n in enumerate(picked, 1)]
        connection.executemany(_EVENT, events)
        sequence += len(picked)
        list(connection.execute("COMMIT"))
    rate = done / (time.perf_counter() - began)
    connection.close()
    return rate


def load(folder: Path, file: Path, long: bool = False, size: int = 5000) -> float:
    """Seconds to read a CSV into the same tables: a moment, then a column a sensor; or `long`:
    sensor, moment, value."""
    connection = _made(folder)
    began = time.perf_counter()
    with file.open(newline="", encoding="utf-8") as opened:
        rows = csv.reader(opened)
        header = next(rows)
        numbers: dict[str, int] = {}
        if not long:
            with connection:
                for name in header[1:]:
                    _sensor(connection, numbers, name)
        batch: list[tuple[int, int, int, int]] = []
        for row in rows:
            if long:
                number = numbers.get(row[0])
                if number is None:
                    number = _sensor(connection, numbers, row[0])
                at = int(datetime.fromisoformat(row[1]).timestamp()) * 1_000_000
                batch.append((number, at, at, int(row[2])))
            else:
                at = int(datetime.fromisoformat(row[0]).timestamp()) * 1_000_000
                batch += [(n, at, at, int(cell)) for n, cell in enumerate(row[1:]) if cell]
            if len(batch) >= size:
                _write(connection, batch)
                batch = []
        _write(connection, batch)
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def _sensor(connection: apsw.Connection, numbers: dict[str, int], name: str) -> int:
    number = numbers[name] = len(numbers)
    list(connection.execute(_ENTITY, (number, f"urn:ngsi-ld:Sensor:{name}", "Sensor")))
    sql = (
        "INSERT INTO attribute (id, entity, name, dataset, body, created_us, modified_us) "
        "VALUES (?, ?, 1, '', x'', 1, 1)"
    )
    list(connection.execute(sql, (number, number)))
    return number


def _write(connection: apsw.Connection, batch: list[tuple[int, int, int, int]]) -> None:
    newest = {number: (value, at) for number, at, _, value in batch}
    with connection:
        connection.executemany(_HISTORY, batch)
        states = []
        for number, (value, at) in newest.items():
            body = json.dumps({"type": "Property", "value": value, "observedAt": at}).encode()
            states.append((body, value, at, at, number))
        connection.executemany(_UPDATE, states)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
