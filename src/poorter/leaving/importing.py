# SPDX-License-Identifier: EUPL-1.2
"""A city of an export again, in a store that is empty, and the proof that nothing differs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from poorter.backups.manifest import LEDGER, SETTINGS, damaged, sync_files
from poorter.backups.restoring import check_policy
from poorter.backups.signed import read_signed
from poorter.backups.taking import ledger_keys, note_leaf
from poorter.city.clock import Clock
from poorter.city.errors import Conflict, Invalid
from poorter.city.time import DAY_US
from poorter.config import FILE as CITY_FILE
from poorter.config import Config, read_config
from poorter.gate.inside import leaving
from poorter.gate.lawful import LEAVER
from poorter.gate.registry import load, rebuilding_permit
from poorter.identity.keys import read_ring
from poorter.leaving.exporting import FORMAT, STEM, Manifest
from poorter.leaving.folder import Kinds, read_contents
from poorter.ledger.verify import verify_ledger
from poorter.running import LEDGER_FOLDER, TENANTS_FOLDER, open_city
from poorter.store.contents import Movable, Row, digest_of
from poorter.store.policy import PolicyStore
from poorter.store.sqlite import open_store

BATCH = 5000


@dataclass(slots=True)
class Imported:
    """What was compared: rows of each kind, in the export and in the city; and words."""

    manifest: Manifest
    compared: list[tuple[str, str, int]] = field(default_factory=list)
    leaves: int = 0


def read_export(folder: Path, keys: Path) -> Manifest:
    """The manifest of a whole export, every file of which is what it was. Raises Invalid."""
    manifest = read_signed(folder, STEM, Manifest, FORMAT, ledger_keys(keys))
    wrong = list(damaged(folder, manifest.files))
    if wrong:
        raise Invalid(f"{folder} is not to be trusted: " + "; ".join(wrong[:20]))
    return manifest


async def import_city(folder: Path, city: Path, keys: Path, clock: Clock) -> Imported:
    """Rebuild the city of an export in `city`, which has no data yet.

    Raises: Invalid for what is damaged, not of these keys, or not whole; Conflict where there is a
    city already, or where what was rebuilt differs. Then there is no city.
    """
    manifest = read_export(folder, keys)
    if not manifest.whole:
        raise Invalid(f"{folder} holds what its grant covered, not a whole city")
    check_policy(manifest.policy_version, keys)
    if not (city / CITY_FILE).exists():
        shutil.copytree(folder / SETTINGS, city, dirs_exist_ok=True)
    config = read_config(city)
    data = config.paths_data
    if data.exists() and any(data.iterdir()):
        raise Conflict(f"{data} is not empty: a city is imported where there is none")
    if config.ledger_origin != manifest.origin:
        raise Invalid(f"ledger.origin is {config.ledger_origin}, the export's {manifest.origin}")
    new = data.with_name(f"{data.name}.importing")
    found = Imported(manifest)
    try:
        shutil.rmtree(new, ignore_errors=True)
        for name, kinds in manifest.stores.items():
            into = new / TENANTS_FOLDER / name if name else new
            source = folder / TENANTS_FOLDER / name if name else folder
            _rebuild(into, read_contents(source), clock)
            _compare(into, name, kinds, config, found, clock)
        shutil.copytree(folder / LEDGER, new / LEDGER_FOLDER)
        _verify(new, config, found, clock)
        sync_files(new)
        if data.exists():
            data.rmdir()
        new.rename(data)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    running = await open_city(config, clock)
    try:
        outcome = f"of {manifest.at}, {manifest.sequence} events, {found.leaves} leaves: equal"
        await note_leaf(running, LEAVER, "everything", "import", outcome)
        running.sequencer.step()
    finally:
        running.close()
    return found


def _rebuild(into: Path, rows: Iterable[Row], clock: Clock) -> None:
    permit = rebuilding_permit(clock.now_us() + DAY_US, "administer")
    store = open_store(into, clock)
    try:
        left = iter(rows)
        while batch := list(islice(left, BATCH)):
            store.take_in(permit, batch)
    finally:
        store.close()


def _compare(
    into: Path, name: str, kinds: Kinds, config: Config, found: Imported, clock: Clock
) -> None:
    """Read all of it again from the store itself. Raises Conflict naming what differs."""
    store = open_store(into, clock)
    try:
        assert isinstance(store, Movable)
        permit = rebuilding_permit(clock.now_us() + DAY_US, "read")
        if not name:
            ring = [entry.public() for entry in read_ring(config.paths_keys)]
            policy = load(PolicyStore(store), ring, clock).policy
            permit = leaving(permit, policy)
        with store.contents(permit) as contents:
            there = digest_of(contents)
    finally:
        store.close()
    wrong = [
        f"{kind}: {there[kind][0]} rows, the export says {number}"
        if there[kind][0] != number
        else f"{kind}: {number} rows, but not the same"
        for kind, (number, digest) in kinds.items()
        if there[kind] != (number, digest)
    ]
    if wrong:
        raise Conflict("what was rebuilt differs from the export: " + "; ".join(wrong))
    found.compared += [(name, kind, number) for kind, (number, _) in kinds.items()]


def _verify(new: Path, config: Config, found: Imported, clock: Clock) -> None:
    """Every leaf in its place under the signed root, and the store's own the same."""
    store = open_store(new, clock)
    try:
        permit = rebuilding_permit(clock.now_us() + DAY_US, "read")

        def store_leaf(index: int) -> bytes | None:
            rows = store.leaves(permit, index, 1)
            return rows[0][1] if rows else None

        ring = ledger_keys(config.paths_keys)
        report = verify_ledger(
            new / LEDGER_FOLDER, ring, config.ledger_origin, store_leaf=store_leaf
        )
    finally:
        store.close()
    if report.findings:
        raise Conflict(f"the ledger does not verify: {report.findings[0].what}")
    found.leaves = report.leaves
