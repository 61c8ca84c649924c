# SPDX-License-Identifier: EUPL-1.2
"""The bare limits: an RSGI application that answers 204, and the same rows by bare SQLite."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import apsw
from granian.constants import Interfaces
from granian.server.embed import Server


async def _empty(scope: Any, protocol: Any) -> None:
    protocol.response_empty(204, [])


def serve(port: int) -> None:
    """Serve 204 until killed."""
    server = Server(_empty, port=port, interface=Interfaces.RSGI, log_enabled=False)
    asyncio.run(server.serve())


def sqlite_rows(folder: Path, batches: int, entities: int) -> float:
    """Entities a second: the rows that a batch upsert writes, one transaction a batch, synced."""
    connection = apsw.Connection(str(folder / "bare.db"))
    for sql in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE entity (id INTEGER PRIMARY KEY, urn TEXT UNIQUE, version INTEGER, "
        "at INTEGER)",
        "CREATE TABLE attribute (entity INTEGER, name INTEGER, body BLOB, at INTEGER, "
        "PRIMARY KEY (entity, name)) WITHOUT ROWID",
        "CREATE TABLE history (attribute INTEGER, at INTEGER, sequence INTEGER, value, "
        "PRIMARY KEY (attribute, at, sequence)) WITHOUT ROWID",
        "CREATE TABLE event (sequence INTEGER PRIMARY KEY, urn TEXT, names TEXT)",
    ):
        list(connection.execute(sql))
    run = connection.execute
    sequence = 0
    began = time.perf_counter()
    for batch in range(batches):
        list(run("BEGIN IMMEDIATE"))
        for number in range(entities):
            sequence += 1
            urn = f"urn:ngsi-ld:City:{number}"
            body = json.dumps({"type": "Property", "value": batch}).encode()
            list(
                run(
                    "INSERT INTO entity VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
                    "SET version = excluded.version, at = excluded.at",
                    (number, urn, batch, sequence),
                )
            )
            list(run("INSERT OR REPLACE INTO attribute VALUES (?, 1, ?, ?)", (number, body, batch)))
            list(run("INSERT INTO history VALUES (?, ?, 0, ?)", (number, batch, batch)))
            list(run("INSERT INTO event VALUES (?, ?, 'n')", (sequence, urn)))
        list(run("COMMIT"))
    seconds = time.perf_counter() - began
    connection.close()
    return batches * entities / seconds


if __name__ == "__main__":
    serve(int(sys.argv[1]))
