# SPDX-License-Identifier: EUPL-1.2
"""Back to a backup, and verified before the city serves.

State goes back; the ledger does not. Leaves that were signed after the backup are taken in again,
from the data that is replaced or from a mirror, so that the log goes on where it was. Where nobody
has them any more and a checkpoint proves that they were there, a restore is refused: it would fork
the log. The city may then begin a new log under another name, which says of itself what it follows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import apsw

from poorter.backups import persons
from poorter.backups.leaves import Leaves
from poorter.backups.manifest import LEDGER, SETTINGS, STORE, Manifest, damaged, stamp, sync_files
from poorter.backups.taking import BACKUP, EVERYTHING, backups_in, ledger_keys, note_leaf
from poorter.city.clock import Clock
from poorter.city.errors import Conflict, Invalid, NotFound, Unavailable
from poorter.city.time import DAY_US
from poorter.config import FILE as CITY_FILE
from poorter.config import Config, read_config, set_store
from poorter.gate.inside import leaving
from poorter.gate.permit import Action, Permit
from poorter.gate.registry import load, rebuilding_permit
from poorter.identity.keys import PublicPair, read_ring, rotate_key
from poorter.identity.mark import FILE as MARK_FILE
from poorter.identity.mark import VersionMark
from poorter.ledger.checkpoint import Checkpoint, verify_checkpoint
from poorter.ledger.verify import verify_ledger
from poorter.running import LEDGER_FOLDER, open_city
from poorter.store.contents import EntityRow
from poorter.store.lock import lock_directory
from poorter.store.opening import open_store as open_any
from poorter.store.policy import PolicyStore
from poorter.store.sqlite import open_store
from poorter.store.sqlite.connect import FILE as STORE_FILE
from poorter.store.tables.whole import Unfinished
from poorter.store.walls.vault import Vault


@dataclass(frozen=True, slots=True)
class Known:
    """What is known besides the backup: signed checkpoints of the log, copies of it, and an older
    copy of the keys of persons. `go_on`: without those whom no key here opens."""

    notes: Sequence[bytes] = ()
    mirrors: Sequence[Path] = ()
    person_keys: Path | None = None
    go_on: bool = False


@dataclass(slots=True)
class Restored:
    """What came of it: leaves in the backup, leaves taken in again, and words for who did it."""

    manifest: Manifest
    leaves: int = 0
    again: int = 0
    kept_at: Path | None = None
    #: where the city was, and belongs: the addresses of its database and of the owner of its tables
    database: tuple[str, str] | None = None
    said: list[str] = field(default_factory=list)


def choose(target: Path, keys: Path, at_us: int | None) -> tuple[Path, Manifest]:
    """The newest backup that is not of after a moment. Raises NotFound where there is none."""
    found = [
        (folder, manifest)
        for folder, manifest in backups_in(target, ledger_keys(keys))
        if at_us is None or manifest.at_us <= at_us
    ]
    if not found:
        raise NotFound(f"{target} holds no backup of this city of that moment or before")
    return found[-1]


def check_backup(folder: Path, manifest: Manifest, keys: Path, notes: Iterable[bytes]) -> None:
    """Every file is what it was, every leaf in its place under the signed root, and each of the
    checkpoints `notes` leads on. Raises Invalid with all that is wrong."""
    wrong = list(damaged(folder, manifest.files))
    report = verify_ledger(
        folder / LEDGER, ledger_keys(keys), manifest.origin, known=[n for n in notes if n]
    )
    for finding in report.findings:
        where = "the ledger" if finding.index is None else f"leaf {finding.index}"
        wrong.append(f"{where}: {finding.what}")
    if wrong:
        raise Invalid(f"{folder} is not to be trusted: " + "; ".join(wrong[:20]))


async def restore(
    folder: Path, manifest: Manifest, city: Path, keys: Path, known: Known, clock: Clock
) -> Restored:
    """Put a backup in the place of the city's data, which is kept beside it. A city in a database
    comes back as files, and city.toml says so: whoever asked moves it into its database again.

    Raises: Invalid when the backup is damaged or of another city, Unavailable when the city is
    being served, Conflict when the log would fork, or when persons in it were sealed with keys
    that are not here. Until then nothing was changed.
    """
    found = Restored(manifest)
    check_policy(manifest.policy_version, keys)
    signed = _signed(known, ledger_keys(keys), manifest)
    check_backup(folder, manifest, keys, [n for n in known.notes if _size(n) <= manifest.tree_size])
    if not (city / CITY_FILE).exists():
        shutil.copytree(folder / SETTINGS, city, dirs_exist_ok=True)
        found.said.append("city.toml and what belongs to it are those of the backup")
    config = read_config(city)
    data = config.paths_data
    new = data.with_name(f"{data.name}.restoring")
    lock_directory(data).close()  # nobody serves it
    try:
        if config.store_url:
            found.database = config.store_url, config.store_owner_url
            _bring_down(config, found, clock)
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(folder / STORE, new)
        shutil.copytree(folder / LEDGER, new / LEDGER_FOLDER)
        _go_on(new, config, known, signed, found, clock)
        found.said += _persons(new, config, known, clock)
        sync_files(new)
        kept_at = data.with_name(f"{data.name}.before-{stamp(clock.now_us())}")
        if found.database is not None:
            set_store(city, "", "")
            config = replace(config, store_url="", store_owner_url="")
        data.rename(kept_at)
        new.rename(data)
        found.kept_at = kept_at
        sync_files(data)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if config.store_url:  # nothing came of it
            (data / STORE_FILE).unlink(missing_ok=True)
    if config.ledger_origin != manifest.origin:
        rotate_key(keys, "ledger", config.ledger_origin, clock.now_us())
    await _first_start(config, known, found, clock)
    return found


def _bring_down(config: Config, found: Restored, clock: Clock) -> None:
    """What a database holds of the city, into the file that it would be in without one, so that it
    is kept beside like any other, and its leaves are taken in again."""
    data = config.paths_data
    down = data.with_name(f"{data.name}.down")
    shutil.rmtree(down, ignore_errors=True)
    try:
        old = open_any(data, clock, config.store_url, config.store_owner_url)
    except Unfinished as wrong:
        found.said.append(f"what the database held is not kept: {wrong.detail}")
        return
    try:
        old.backup(_permit(clock, "read"), str(down))
        (down / STORE_FILE).replace(data / STORE_FILE)
    finally:
        old.close()
        shutil.rmtree(down, ignore_errors=True)


def check_policy(version: int, keys: Path) -> None:
    """Raises Conflict where a later policy was in force."""
    newest = VersionMark(keys).read()
    if newest > version:
        raise Conflict(
            f"policy version {newest} was in force here, this has {version}: grants that ended"
            " since, and goals rescinded since, would come back. To go on, knowing that, remove"
            f" {MARK_FILE} from the folder of keys"
        )


def _signed(known: Known, ring: list[PublicPair], manifest: Manifest) -> list[Checkpoint]:
    """The checkpoints that are known, the longest tree last. Raises Invalid for one not ours."""
    found = []
    for note in known.notes:
        try:
            found.append(verify_checkpoint(note, ring, manifest.origin))
        except ValueError as wrong:
            raise Invalid(f"a checkpoint that was given: {wrong}") from None
    return sorted(found, key=lambda one: one.size)


def _size(note: bytes) -> int:
    """How many leaves a checkpoint is of, as it says itself."""
    return int(note.split(b"\n")[1])


def _persons(new: Path, config: Config, known: Known, clock: Clock) -> list[str]:
    """Whether the keys that are here open what the backup holds of persons; in words."""
    store, vault = open_store(new, clock), Vault(config.paths_keys)
    ring = [e.public() for e in read_ring(config.paths_keys) if e.use == "policy"]
    try:
        policy = load(PolicyStore(store), ring, clock).policy
        with store.contents(leaving(_permit(clock, "read"), policy)) as contents:
            found = persons.look(contents.rows(EntityRow), vault, known.person_keys)
        return persons.settle(found, vault, clock.now_us(), go_on=known.go_on)
    finally:
        vault.close()
        store.close()


# -- the log goes on ---------------------------------------------------------------------------


def _go_on(
    new: Path,
    config: Config,
    known: Known,
    signed: Sequence[Checkpoint],
    found: Restored,
    clock: Clock,
) -> None:
    """Take in the leaves that were signed after the backup, from whoever has them."""
    origin, ring = found.manifest.origin, ledger_keys(config.paths_keys)
    store = open_store(new, clock)
    try:
        leaves = Leaves(store, _permit(clock, "read"), _permit(clock, "administer"))
        found.leaves = leaves.size
        if config.ledger_origin != origin:
            shutil.rmtree(new / LEDGER_FOLDER)
            text = f"the ledger {origin} ends; {config.ledger_origin} begins with its leaves"
            found.said.append(text)
            return
        _take_from_old(leaves, config.paths_data, clock)
        for log in (config.paths_data / LEDGER_FOLDER, *known.mirrors):
            if not leaves.take_from_log(log, ring, origin) and log in known.mirrors:
                raise Invalid(f"{log} is no mirror of {origin} that verifies")
        found.again = leaves.size - found.leaves
        for checkpoint in signed:
            leaves.check(checkpoint)
    finally:
        store.close()
    if found.again:
        found.said.append(
            f"{found.again} leaves of after the backup were taken in again: what they say of was"
            " done and stays on record; the state of it is not back"
        )


def _take_from_old(leaves: Leaves, data: Path, clock: Clock) -> None:
    if not (data / STORE_FILE).exists():
        return
    try:
        old = open_store(data, clock)
    except (Unavailable, apsw.Error):
        return  # it is damaged: that may be why it is replaced
    try:
        leaves.take_from_store(old)
    except apsw.Error:
        return
    finally:
        old.close()


def _permit(clock: Clock, action: Action) -> Permit:
    return rebuilding_permit(clock.now_us() + DAY_US, action)


# -- the first start ---------------------------------------------------------------------------


async def _first_start(config: Config, known: Known, found: Restored, clock: Clock) -> None:
    """Start once: whoever was erased is erased again, the log says so, all of it is verified."""
    running = await open_city(config, clock)
    try:
        outcome = (
            f"to {found.manifest.at}: {found.leaves} leaves were in it, {found.again} taken in"
            f" again; before: {found.manifest.origin}"
        )
        await note_leaf(running, BACKUP, EVERYTHING, "restore", outcome)
        running.sequencer.step()
        permit = _permit(clock, "read")

        def store_leaf(index: int) -> bytes | None:
            rows = running.store.leaves(permit, index, 1)
            return rows[0][1] if rows else None

        same = config.ledger_origin == found.manifest.origin
        report = verify_ledger(
            config.paths_data / LEDGER_FOLDER,
            ledger_keys(config.paths_keys),
            config.ledger_origin,
            known=known.notes if same else (),
            store_leaf=store_leaf,
        )
    finally:
        running.close()
    if report.findings:
        raise Conflict(f"the restored ledger does not verify: {report.findings[0].what}")
    found.said.append(f"{report.leaves} leaves, all signed and in their place")
