# SPDX-License-Identifier: EUPL-1.2
"""All that the city keeps into a folder, as of one moment, while it goes on being served.

It runs under a grant that two officers give for it, and that ends: what the grant does not cover is
not in the export. Rows behind walls leave sealed; the keys of persons never do.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from poorter.backups.manifest import LEDGER, SETTINGS, files_of, sync_files
from poorter.backups.signed import write_signed
from poorter.backups.taking import copy_settings, note_leaf
from poorter.city.errors import Conflict, Denied, Invalid, Unavailable
from poorter.city.text import Text
from poorter.city.time import format_us
from poorter.gate.genesis import RUN
from poorter.gate.inside import leaving
from poorter.gate.lawful import LEAVER
from poorter.gate.permit import ANY_TYPE, Permit
from poorter.identity.keys import load_key
from poorter.leaving.folder import Kinds, write_contents
from poorter.leaving.registers import write_catalogue, write_policy, write_registers
from poorter.ledger.copying import copy_log
from poorter.running import LEDGER_FOLDER, TENANTS_FOLDER, Running
from poorter.store.contents import Movable
from poorter.store.contract import SCHEMA_VERSION, Store
from poorter.store.paging import every_record
from poorter.store.sqlite import open_store

FORMAT, STEM = "poorter.export/1", "export"
HOW = (
    "to leave with everything takes a grant of two officers, that ends: poorter grant"
    f" {LEAVER} {RUN} everything read --days 2 --approved-by A --approved-by B"
)


class Manifest(msgspec.Struct, frozen=True):
    """What an export is of. `whole`: of all that the city keeps. `stores`: rows of each kind with
    their fingerprint, of the city ("") and each of its tenants."""

    format: str
    city: str
    origin: str
    at: str
    sequence: int
    tree_size: int
    policy_version: int
    schema: int
    whole: bool
    stores: dict[str, Kinds]
    files: dict[str, tuple[int, str]]


def words(folder: Path, manifest: Manifest) -> str:
    """For who asked for it."""
    rows = sum(number for kinds in manifest.stores.values() for number, _ in kinds.values())
    part = "all of it" if manifest.whole else "what the grant covers"
    return (
        f"{folder}: {part}, {rows} rows as of event {manifest.sequence}, {manifest.tree_size}"
        " leaves; the keys are not in it"
    )


async def export(running: Running, folder: Path) -> Manifest:
    """Write the export into `folder`, which must not be there yet: it is there whole, or not.

    Raises: Denied in words that say what it takes, Conflict when the folder is there, Unavailable
    when the disk is full.
    """
    _check_new(folder)

    def permit() -> Permit:
        return leaving(running.gate.permit(LEAVER, RUN, "read"), running.gate.policy)

    try:
        whole = ANY_TYPE in permit().rules
    except Denied:
        raise Invalid(HOW) from None
    await note_leaf(running, LEAVER, "everything" if whole else "a part", "export", "begun")
    await asyncio.to_thread(running.sequencer.step)
    new = folder.with_name(f".unfinished-{folder.name}")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        manifest, digest = await asyncio.to_thread(_write, running, new, permit, whole)
        new.rename(folder)
    except OSError as wrong:
        raise Unavailable(f"nothing was exported: {wrong.strerror or wrong}") from wrong
    finally:
        await asyncio.to_thread(shutil.rmtree, new, True)
    await note_leaf(running, LEAVER, "everything" if whole else "a part", "export", digest)
    return manifest


def _check_new(folder: Path) -> None:
    if not folder.is_absolute():
        raise Invalid(f"{folder}: name the whole path of a new folder")
    if folder.exists():
        raise Conflict(f"{folder} is there already: name a new one")


def _write(
    running: Running, new: Path, permit: Callable[[], Permit], whole: bool
) -> tuple[Manifest, str]:
    config, policy = running.config, running.gate.policy
    stores: dict[str, Kinds] = {}
    sequence, stores[""] = _write_store(running.store.inner, new, permit)
    if whole:
        for name, kinds in _write_tenants(running, new / TENANTS_FOLDER, permit):
            stores[name] = kinds
    size = copy_log(config.paths_data / LEDGER_FOLDER, new / LEDGER)
    copy_settings(config, new / SETTINGS)
    if permit().rule("record:bundle") is not None:
        bundles = every_record(running.store, permit(), "bundle")
        write_policy(new, (r.doc for r in bundles if r.id != "current"))
        write_registers(new, policy, running.decisions.mandates.values())
    title = Text(config.city_name_nl, config.city_name_en)
    write_catalogue(new, title, policy, files_of(new))
    manifest = Manifest(
        FORMAT,
        config.city_id,
        config.ledger_origin,
        format_us(running.clock.now_us()),
        sequence,
        size,
        policy.version,
        SCHEMA_VERSION,
        whole,
        stores,
        files_of(new),
    )
    sync_files(new)
    return manifest, write_signed(new, STEM, manifest, load_key(config.paths_keys, "ledger"))


def _write_store(store: Store, folder: Path, permit: Callable[[], Permit]) -> tuple[int, Kinds]:
    if not isinstance(store, Movable):
        raise Unavailable("this engine can't tell all that it keeps yet")
    with store.contents(permit(), permit) as contents:
        return contents.sequence, write_contents(contents, folder)


def _write_tenants(
    running: Running, into: Path, permit: Callable[[], Permit]
) -> list[tuple[str, Kinds]]:
    found = []
    for folder in sorted((running.config.paths_data / TENANTS_FOLDER).glob("*/")):
        opened = running.tenants.open if running.tenants is not None else ()
        known = next((one.store for one in opened if one.name == folder.name), None)
        store = known or open_store(folder, running.clock)
        try:
            found.append((folder.name, _write_store(store, into / folder.name, permit)[1]))
        finally:
            if known is None:
                store.close()
    return found
