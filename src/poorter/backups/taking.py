# SPDX-License-Identifier: EUPL-1.2
"""A backup of a city that goes on being written to: one moment of state, history and ledger.

The order makes the parts agree. First the ledger says that a backup is made, and signs a checkpoint
over that; then the store is copied, as of one moment, so that it holds every leaf of that
checkpoint; then the tree as of the checkpoint. At last the ledger gets the digest of what was made.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from poorter.backups.manifest import (
    FILE,
    FORMAT,
    LEDGER,
    SETTINGS,
    STEM,
    STORE,
    Manifest,
    files_of,
    read_manifest,
    stamp,
    sync_files,
)
from poorter.backups.signed import write_signed
from poorter.city.errors import CityError, Conflict, Invalid, Unavailable
from poorter.city.time import DAY_US, format_us
from poorter.config import FILE as CITY_FILE
from poorter.config import Config
from poorter.gate.genesis import RUN
from poorter.identity.keys import PublicPair, load_key, read_ring
from poorter.ledger.checkpoint import parse_checkpoint
from poorter.ledger.copying import copy_log
from poorter.ledger.leaf import make_line
from poorter.ledger.sequencer import CHECKPOINT_FILE
from poorter.running import LEDGER_FOLDER, TENANTS_FOLDER, Running
from poorter.store.contract import SCHEMA_VERSION, AppendLeaf, Change
from poorter.store.sqlite import open_store

BACKUP = "internal:backup"
EVERYTHING = "everything"
_UNFINISHED = ".unfinished-"
_SETTINGS = (CITY_FILE, "connections", "maps")


@dataclass(frozen=True, slots=True)
class Taken:
    """Where a backup is, and of which moment."""

    folder: Path
    manifest: Manifest

    def words(self) -> str:
        """For who asked for it."""
        size = sum(length for length, _ in self.manifest.files.values())
        return (
            f"{self.folder}: as of {self.manifest.at}, {self.manifest.tree_size} leaves, "
            f"{size / 1e6:.1f} MB; the keys are not in it"
        )


async def take_backup(running: Running, target: Path) -> Taken:
    """Make a backup in a new folder below `target`; those past their days go.

    Raises: Denied without the grant of internal:backup, Invalid for a folder that holds the city's
    own data or keys, Unavailable when the disk is full (nothing is left of it then).
    """
    _check_place(running, target)
    permit = running.gate.permit(BACKUP, RUN, "read")
    await note_leaf(running, BACKUP, EVERYTHING, "backup", "begun")
    await asyncio.to_thread(running.sequencer.step)
    at_us = running.clock.now_us()
    folder = target / stamp(at_us)
    new = target / f"{_UNFINISHED}{stamp(at_us)}"
    try:
        await asyncio.to_thread(_prepare, new)
        permit = running.gate.permit(BACKUP, RUN, "read")
        await asyncio.to_thread(running.store.backup, permit, str(new / STORE))
        await asyncio.to_thread(_copy_tenants, running, new / STORE / TENANTS_FOLDER)
        manifest, digest = await asyncio.to_thread(_finish, running, new, at_us)
        if folder.exists():
            raise Conflict(f"{folder} is there already")
        new.rename(folder)
    except OSError as wrong:
        raise Unavailable(f"no backup was made: {wrong.strerror or wrong}") from wrong
    finally:
        await asyncio.to_thread(shutil.rmtree, new, True)
    await note_leaf(running, BACKUP, EVERYTHING, "backup", f"{folder.name} {digest}")
    await asyncio.to_thread(_tidy, running, target, folder)
    return Taken(folder, manifest)


async def note_leaf(running: Running, who: str, about: str, action: str, outcome: str) -> None:
    """A leaf for what the platform itself does with all that it keeps."""
    line = make_line(
        "action",
        running.clock.now_us(),
        policy_version=running.gate.policy.version,
        processor=who,
        purpose=RUN,
        about=about,
        action=action,
        outcome=outcome,
    )
    permit = running.gate.permit("internal:uses", RUN, "administer")
    await running.store.commit_async(permit, Change((AppendLeaf(line.leaf, line.payload),)))


def backups_in(target: Path, keys: list[PublicPair]) -> Iterator[tuple[Path, Manifest]]:
    """Backups below a folder, the oldest first; what is none, or can't be read, is passed over."""
    if (target / FILE).exists():
        yield target, read_manifest(target, keys)
        return
    for folder in sorted(target.iterdir()) if target.is_dir() else ():
        if folder.name[:1] == "." or not (folder / FILE).exists():
            continue
        try:
            yield folder, read_manifest(folder, keys)
        except CityError:
            continue


def ledger_keys(keys: Path) -> list[PublicPair]:
    """The public keys, retired ones too, that sign ledger and backups."""
    return [entry.public() for entry in read_ring(keys) if entry.use == "ledger"]


def _check_place(running: Running, target: Path) -> None:
    config = running.config
    if not target.is_absolute():
        raise Invalid(f"{target}: name the whole path of the folder for backups")
    for own in (config.paths_data, config.paths_keys):
        if target.resolve().is_relative_to(own):
            raise Invalid(f"a backup in {own} would be lost with it: name another folder")


def _prepare(new: Path) -> None:
    for old in new.parent.glob(f"{_UNFINISHED}*"):  # what a crash left
        shutil.rmtree(old)
    new.mkdir(parents=True, mode=0o700)


def _copy_tenants(running: Running, into: Path) -> None:
    """Each is a store of its own, as of a moment just after the city's."""
    for folder in sorted((running.config.paths_data / TENANTS_FOLDER).glob("*/")):
        opened = running.tenants.open if running.tenants is not None else ()
        known = next((one.store for one in opened if one.name == folder.name), None)
        store = known or open_store(folder, running.clock)
        try:
            permit = running.gate.permit(BACKUP, RUN, "read")
            store.backup(permit, str(into / folder.name))
        finally:
            if known is None:
                store.close()


def _finish(running: Running, new: Path, at_us: int) -> tuple[Manifest, str]:
    config = running.config
    size = copy_log(config.paths_data / LEDGER_FOLDER, new / LEDGER)
    checkpoint, _ = parse_checkpoint((new / LEDGER / CHECKPOINT_FILE).read_bytes())
    copy_settings(config, new / SETTINGS)
    manifest = Manifest(
        FORMAT,
        config.city_id,
        checkpoint.origin,
        format_us(at_us),
        at_us,
        size,
        checkpoint.root.hex(),
        running.gate.policy.version,
        SCHEMA_VERSION,
        files_of(new),
    )
    sync_files(new)
    return manifest, write_signed(new, STEM, manifest, load_key(config.paths_keys, "ledger"))


def copy_settings(config: Config, into: Path) -> None:
    """city.toml and what stands beside it; no secret is among them."""
    into.mkdir()
    for name in _SETTINGS:
        source = config.folder / name
        if source.is_dir():
            shutil.copytree(source, into / name)
        elif source.exists():
            shutil.copy2(source, into / name)


def _tidy(running: Running, target: Path, newest: Path) -> None:
    """Files that the backup before has too are kept once; backups past their days go."""
    keys = ledger_keys(running.config.paths_keys)
    before = [(f, m) for f, m in backups_in(target, keys) if f != newest]
    if before:
        _share(before[-1], (newest, read_manifest(newest, keys)))
    oldest_us = running.clock.now_us() - running.config.backup_keep_days * DAY_US
    for folder, manifest in before:
        if manifest.at_us < oldest_us:
            (folder / FILE).unlink()  # from here on it is no backup, whatever is left of it
            shutil.rmtree(folder)


def _share(one: tuple[Path, Manifest], other: tuple[Path, Manifest]) -> None:
    """Segments and complete tiles never change, so most files of two backups are the same."""
    by_digest = {found: name for name, found in one[1].files.items()}
    for name, found in other[1].files.items():
        if found in by_digest and found[0]:
            linked = other[0] / f"{name}.linked"
            try:
                os.link(one[0] / by_digest[found], linked)
            except OSError:
                return  # this disk has no links: each backup keeps its own copies
            linked.replace(other[0] / name)
