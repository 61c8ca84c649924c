# SPDX-License-Identifier: EUPL-1.2
"""A city of an export again, in a store that is empty, and the proof that nothing differs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from poorter.backups.manifest import LEDGER, SETTINGS, damaged, sync_files
from poorter.backups.restoring import check_policy
from poorter.backups.signed import read_signed
from poorter.backups.taking import ledger_keys, note_leaf
from poorter.city.clock import Clock
from poorter.city.errors import Conflict, Invalid
from poorter.config import FILE as CITY_FILE
from poorter.config import read_config
from poorter.gate.lawful import LEAVER
from poorter.leaving.exporting import FORMAT, STEM, Manifest
from poorter.leaving.folder import read_contents
from poorter.leaving.rebuilding import Engine, compare, rebuild, verify_tree
from poorter.running import LEDGER_FOLDER, TENANTS_FOLDER, open_city


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
            where = Engine() if name else Engine(config.store_url, config.store_owner_url)
            opens = partial(where.open, into, clock)
            rebuild(opens, read_contents(source))
            found.compared += compare(opens, name, kinds, config)
        shutil.copytree(folder / LEDGER, new / LEDGER_FOLDER)
        opens = partial(Engine(config.store_url, config.store_owner_url).open, new, clock)
        found.leaves = verify_tree(opens, new / LEDGER_FOLDER, config)
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
