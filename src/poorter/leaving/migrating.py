# SPDX-License-Identifier: EUPL-1.2
"""A stopped city from one engine to another: copied, compared row by row, then switched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from poorter.backups.manifest import stamp
from poorter.backups.taking import note_leaf
from poorter.city.clock import Clock
from poorter.city.errors import Invalid
from poorter.config import Config, read_config, set_store
from poorter.gate.lawful import LEAVER
from poorter.leaving.rebuilding import Engine, compare, reading_all, rebuild, verify_tree
from poorter.running import LEDGER_FOLDER, open_city
from poorter.store.contents import ROW_TYPES, Digest, Row
from poorter.store.tables.manifest import FOLDER as HISTORY
from poorter.store.tables.store import TableStore


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was compared, the leaves that were verified, and where the old data is."""

    compared: list[tuple[str, str, int]]
    leaves: int
    kept_at: Path


async def migrate(config: Config, to: Engine, clock: Clock) -> Migrated:
    """Move the city of `config` to another engine. The old data stays where it is said.

    Raises: Invalid when it is there already, Unavailable when the city is being served, Conflict
    when the other store is not empty or what was copied differs: then nothing was switched.
    """
    here = Engine(config.store_url, config.store_owner_url)
    if here.url == to.url:
        raise Invalid("the city is there already")
    data = config.paths_data
    new = data.with_name(f"{data.name}.migrating")
    shutil.rmtree(new, ignore_errors=True)
    opens = partial(to.open, new, clock)
    source = here.open(data, clock)
    try:
        digest = Digest()
        rebuild(opens, digest.through(_rows(source, config)))
        compared = compare(opens, "", digest.by_kind(), config)
        leaves = verify_tree(opens, data / LEDGER_FOLDER, config)
        _bring_along(data, new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    finally:
        source.close()
    kept_at = data.with_name(f"{data.name}.before-{stamp(clock.now_us())}")
    data.rename(kept_at)
    new.rename(data)
    set_store(config.folder, to.url, to.owner_url)
    running = await open_city(read_config(config.folder), clock)
    try:
        outcome = f"to {'PostgreSQL' if to.url else 'files'}: {leaves} leaves, equal"
        await note_leaf(running, LEAVER, "everything", "migrate", outcome)
        running.sequencer.step()
    finally:
        running.close()
    return Migrated(compared, leaves, kept_at)


def _rows(store: TableStore, config: Config) -> Iterator[Row]:
    with store.contents(reading_all(store, config)) as contents:
        for row_type in ROW_TYPES:
            yield from contents.rows(row_type)


def _bring_along(data: Path, new: Path) -> None:
    """What lies beside the store in the data folder: ledger, tenants, models."""
    for folder in data.iterdir():
        if folder.is_dir() and folder.name != HISTORY:
            shutil.copytree(folder, new / folder.name)
