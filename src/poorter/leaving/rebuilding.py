# SPDX-License-Identifier: EUPL-1.2
"""A store of rows, on whichever engine, and whether it is what it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from poorter.backups.taking import ledger_keys
from poorter.city.clock import Clock
from poorter.city.errors import Conflict
from poorter.city.time import DAY_US
from poorter.config import Config
from poorter.gate.inside import leaving
from poorter.gate.permit import Permit
from poorter.gate.registry import load, rebuilding_permit
from poorter.identity.keys import read_ring
from poorter.leaving.folder import Kinds
from poorter.ledger.verify import verify_ledger
from poorter.store.contents import Row, digest_of
from poorter.store.opening import open_store
from poorter.store.policy import PolicyStore
from poorter.store.tables.store import TableStore

BATCH = 5000
#: opens the store; it is opened anew for each thing that is done with it
Opens = Callable[[], TableStore]


@dataclass(frozen=True, slots=True)
class Engine:
    """What keeps a store: PostgreSQL at `url`, as settings have it; none: files."""

    url: str = ""
    owner_url: str = ""

    def open(self, folder: Path, clock: Clock) -> TableStore:
        """The store of the city in a folder, made if need be."""
        return open_store(folder, clock, self.url, self.owner_url)


def rebuild(opens: Opens, rows: Iterable[Row]) -> None:
    """Write all rows, in batches that each are one transaction. Raises Conflict where the store
    holds a city already."""
    store = opens()
    try:
        now_us = store.clock.now_us()
        reading = rebuilding_permit(now_us + DAY_US, "read")
        writing = rebuilding_permit(now_us + DAY_US, "administer")
        if store.sequence() or store.leaves(reading, 0, 1):
            raise Conflict("there is a city in that store already: name one that is empty")
        left = iter(rows)
        while batch := list(islice(left, BATCH)):
            store.take_in(writing, batch)
    finally:
        store.close()


def reading_all(store: TableStore, config: Config) -> Permit:
    """For all that a city's store holds, what lies behind walls as it is kept. Raises NotFound or
    Invalid where its policy is missing or not signed by the keys of the city."""
    permit = rebuilding_permit(store.clock.now_us() + DAY_US, "read")
    ring = [entry.public() for entry in read_ring(config.paths_keys)]
    return leaving(permit, load(PolicyStore(store), ring, store.clock).policy)


def compare(opens: Opens, name: str, kinds: Kinds, config: Config) -> list[tuple[str, str, int]]:
    """Read all of it again from the store itself; what was compared: (store, kind, rows). `name`:
    of a tenant. Raises Conflict naming what differs."""
    store = opens()
    try:
        permit = rebuilding_permit(store.clock.now_us() + DAY_US, "read")
        with store.contents(permit if name else reading_all(store, config)) as contents:
            there = digest_of(contents)
    finally:
        store.close()
    wrong = [
        f"{kind}: {there[kind][0]} rows, not {number}"
        if there[kind][0] != number
        else f"{kind}: {number} rows, but not the same"
        for kind, (number, digest) in kinds.items()
        if there[kind] != (number, digest)
    ]
    if wrong:
        raise Conflict("what was rebuilt differs: " + "; ".join(wrong))
    return [(name, kind, number) for kind, (number, _) in kinds.items()]


def verify_tree(opens: Opens, log: Path, config: Config) -> int:
    """Every leaf in its place under the signed root, and the store's own the same; how many.
    Raises Conflict."""
    store = opens()
    try:
        permit = rebuilding_permit(store.clock.now_us() + DAY_US, "read")

        def store_leaf(index: int) -> bytes | None:
            rows = store.leaves(permit, index, 1)
            return rows[0][1] if rows else None

        ring = ledger_keys(config.paths_keys)
        report = verify_ledger(log, ring, config.ledger_origin, store_leaf=store_leaf)
    finally:
        store.close()
    if report.findings:
        raise Conflict(f"the ledger does not verify: {report.findings[0].what}")
    return report.leaves
