# SPDX-License-Identifier: EUPL-1.2
"""backup, restore."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from poorter.backups.restoring import Known, check_backup, choose, restore
from poorter.backups.taking import take_backup
from poorter.city.clock import SystemClock
from poorter.city.errors import Invalid
from poorter.city.time import parse_us
from poorter.cli.moving import move_city
from poorter.config import FILE, read_config
from poorter.control import ask_served
from poorter.ledger.sequencer import CHECKPOINT_FILE
from poorter.running import open_city


def backup(arguments: argparse.Namespace) -> int:
    """Make a backup, by the city itself when it is being served."""
    config, target = read_config(arguments.city), arguments.target.resolve()

    async def make() -> str:
        question = {"ask": "backup", "into": str(target)}
        said = await ask_served(config.paths_data, question)
        if said is not None:
            return said
        running = await open_city(config, SystemClock())
        try:
            return (await take_backup(running, target)).words()
        finally:
            running.close()

    print(asyncio.run(make()))
    return 0


def restoring(arguments: argparse.Namespace) -> int:
    """Go back to a backup, or only look whether it is whole."""
    keys = keys_of(arguments)
    at_us = None if arguments.at is None else parse_us(arguments.at)
    folder, manifest = choose(arguments.backups.resolve(), keys, at_us)
    mirrors = [mirror.resolve() for mirror in arguments.mirror]
    notes = [_note(file) for file in (*arguments.known, *(m / CHECKPOINT_FILE for m in mirrors))]
    print(f"{folder}: as of {manifest.at}, {manifest.tree_size} leaves")
    if arguments.check:
        check_backup(folder, manifest, keys, ())
        print("every file is whole, every leaf in its place")
        return 0
    known = Known(notes, mirrors, arguments.person_keys, arguments.unreadable)
    done = asyncio.run(restore(folder, manifest, arguments.city, keys, known, SystemClock()))
    print("\n".join(done.said))
    if done.kept_at is not None:
        print(f"the data that was there is in {done.kept_at}")
    if done.database is not None:
        print("the city is in files, whole; now back into its database")
        config = read_config(arguments.city)
        print(asyncio.run(move_city(config, *done.database, instead=True)))
    return 0


def keys_of(arguments: argparse.Namespace) -> Path:
    """The folder of keys: that of city.toml, or where a new city of default settings has it."""
    if (arguments.city / FILE).exists():
        return read_config(arguments.city).paths_keys
    if arguments.keys is None:
        raise Invalid(f"{arguments.city / FILE} is not there: say where the keys are (--keys)")
    keys: Path = arguments.keys.resolve()
    return keys


def _note(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as wrong:
        raise Invalid(f"{file} can't be read: {wrong.strerror}") from None
