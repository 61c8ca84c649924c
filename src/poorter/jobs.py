# SPDX-License-Identifier: EUPL-1.2
"""Background work: the ledger each half second, uses, outcomes, indicators, the systems' jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from poorter.backups.taking import backups_in, ledger_keys, take_backup
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import CityError, Conflict, Denied
from poorter.city.limits import COMMIT_CHANGES_MAX, IDEMPOTENCY_HOURS
from poorter.city.time import DAY_US, HOUR_US, MINUTE_US
from poorter.gate.genesis import HISTORY, RUN
from poorter.gate.lawful import reads_behind
from poorter.gate.permit import Permit
from poorter.running import Running
from poorter.store.contract import AppendLeaf, Change, DeleteRecord, Put, PutRecord, Store
from poorter.store.history.report import Round
from poorter.store.paging import every_record
from poorter.systems.shape import Indicator, Job, System

log = logging.getLogger(__name__)
LEDGER_S = 0.5
WITNESSES_S = 5.0
MAPS_S = 60.0  # looks whether the day has its map
OUTCOMES_S = 5.0
CLEANING_S = 600.0
INDICATORS_S = 60.0
EXPIRY_S = 0.25
ROTATION_S = 2.0
COMPACTION_S = 1800.0
BACKUPS_S = 30.0  # looks whether one is due
RETRY_S_MAX = 8.0
#: kinds of records that are nothing any more once they are over
LOGINS = ("session", "resident-session", "desk-code", "login-try", "letter")


class Jobs:
    """Starts all background work of a city; `stop` ends it and waits until it has ended."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start on the running event loop."""
        running = self._running
        self._every(LEDGER_S, "ledger", lambda: record_uses(running))
        self._every(EXPIRY_S, "expiry", lambda: let_expire(running))
        self._every(MAPS_S, "maps", running.insight.write_map)
        self._every(CLEANING_S, "lines", lambda: erase_lines(running))
        if running.collecting is not None:
            self._every(WITNESSES_S, "witnesses", running.collecting.step)
        self._every(OUTCOMES_S, "outcomes", lambda: _measured(running))
        self._every(CLEANING_S, "cleaning", lambda: forget_answers(running))
        self._every(CLEANING_S, "logins", lambda: forget_logins(running))
        self._every(CLEANING_S, "used keys", lambda: note_used(running))
        self._every(CLEANING_S, "retention", running.people.erasing.expire)
        self._every(ROTATION_S, "keys of persons", running.people.rotating.step)
        self._every(ROTATION_S, "keys of walls", running.people.renaming.step)
        self._every(COMPACTION_S, "history", lambda: compact(running))
        self._every(INDICATORS_S, "indicators", lambda: measure_indicators(running))
        if running.config.backup_folder is not None:
            self._every(BACKUPS_S, "backup", lambda: backup_due(running))
        for system in running.systems:
            for job in system.jobs:
                self._every(job.every_s, f"{system.name}.{job.name}", _bound(running, system, job))

    async def stop(self) -> None:
        """End all of it; the last uses are still recorded."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(CityError):
            await record_uses(self._running)

    async def _again(
        self, seconds: float, name: str, work: Callable[[], Awaitable[object]]
    ) -> None:
        """Do it, wait, do it again. What fails is said and tried again later, ever less often."""
        failures = 0
        while True:
            try:
                await work()
                failures = 0
            except Denied:
                failures = 0  # its goal is rescinded: nothing to do until there is one again
            except Exception:  # the outermost loop: one job that fails may not stop the others
                failures += 1
                log.exception("job %s failed (%d in a row)", name, failures)
            self._running.job_failures[name] = failures
            await asyncio.sleep(min(seconds * 2 ** min(failures, 10), max(seconds, RETRY_S_MAX)))

    def _every(self, seconds: float, name: str, work: Callable[[], Awaitable[object]]) -> None:
        self._tasks.append(asyncio.create_task(self._again(seconds, name, work), name=name))


def _bound(running: Running, system: System, job: Job) -> Callable[[], Awaitable[None]]:
    return lambda: job.run(running.city_of(system))


async def record_uses(running: Running) -> None:
    """Counted uses become leaves, and all leaves go into the tree under a new checkpoint."""
    await running.recorder.merge_spool()
    lines = running.uses.take(running.clock.now_us(), running.gate.take_denials())
    if lines:
        permit = running.gate.permit("internal:uses", RUN, "administer")
        ops = tuple(AppendLeaf(line.leaf, line.payload) for line in lines)
        await running.store.commit_async(permit, Change(ops))
        running.uses.written(len(lines))
    await running.recorder.write_endings()
    await asyncio.to_thread(running.sequencer.step)


async def let_expire(running: Running) -> None:
    """What has expired is taken out, and told of, also while nobody writes: any commit does it."""
    for store in running.stores:
        if store.expires_next_us() <= store.clock.now_us():
            permit = running.gate.permit("internal:ngsi-ld", RUN, "administer")
            await store.commit_async(permit, Change(()))


async def erase_lines(running: Running) -> None:
    """What lines said goes after its time, in every backup too: the key of its month is destroyed.
    The tree goes on to prove that they were there."""
    months = running.config.ledger_lines_months
    running.recorder.keys.destroy_before(running.clock.now_us() - months * 31 * DAY_US)


async def forget_answers(running: Running) -> None:
    """Answers kept for repeated requests go after their day."""
    permit = running.gate.permit("internal:uses", RUN, "read")
    oldest_us = running.clock.now_us() - IDEMPOTENCY_HOURS * HOUR_US
    old = [
        DeleteRecord("replay", record.id)
        for record in running.store.records(permit, "replay")
        if record.modified_at_us < oldest_us
    ]
    if old:
        permit = running.gate.permit("internal:uses", RUN, "administer")
        await running.store.commit_async(permit, Change(tuple(old)))


async def forget_logins(running: Running) -> None:
    """What is left of sessions and codes goes once it is over."""
    reading = running.gate.permit("internal:identity", RUN, "read")
    now_us = running.clock.now_us()
    over = [
        DeleteRecord(kind, record.id)
        for kind in LOGINS
        for record in every_record(running.store, reading, kind)
        if record.doc["until_us"] <= now_us
    ]
    for start in range(0, len(over), COMMIT_CHANGES_MAX):
        permit = running.gate.permit("internal:identity", RUN, "administer")
        change = Change(tuple(over[start : start + COMMIT_CHANGES_MAX]))
        await running.store.commit_async(permit, change)


async def note_used(running: Running) -> None:
    """Write down when keys were last used, to the hour: enough to find those nobody needs."""
    used = running.credentials.take_used()
    reading = running.gate.permit("internal:identity", RUN, "read")
    for record in every_record(running.store, reading, "credential") if used else ():
        hour_us = used.get(record.id, 0) // HOUR_US * HOUR_US
        if hour_us <= (record.doc.get("used_us") or 0):
            continue
        doc = record.doc | {"used_us": hour_us}
        permit = running.gate.permit("internal:identity", RUN, "administer")
        change = Change((PutRecord("credential", record.id, doc, record.version),))
        with suppress(Conflict):  # it is being replaced or revoked: that counts more
            await running.store.commit_async(permit, change)


async def compact(running: Running) -> Round:
    """History of before the recent hours goes into columns; what came of the city's own."""
    own, *_ = [await _compacted(running, store) for store in running.stores]
    return own


async def _compacted(running: Running, store: Store) -> Round:
    """Where others changed the same history meanwhile it stays in rows until the next time."""
    until_us = running.clock.now_us() - running.config.history_recent_hours * HOUR_US

    def permit() -> Permit:
        return running.gate.permit(HISTORY, RUN, "administer")

    try:
        return await asyncio.to_thread(store.compact, permit(), until_us, False, permit)
    except Conflict as meanwhile:
        log.info("compaction goes on next time: %s", meanwhile)
        return Round()


async def backup_due(running: Running) -> None:
    """A backup, when the newest one is as old as the settings say."""
    config, target = running.config, running.config.backup_folder
    if target is None:
        return
    keys = ledger_keys(config.paths_keys)
    made = await asyncio.to_thread(lambda: [m.at_us for _, m in backups_in(target, keys)])
    due_us = max(made, default=0) + config.backup_every_minutes * MINUTE_US
    if running.clock.now_us() >= due_us:
        await take_backup(running, target)


async def _measured(running: Running) -> None:
    await running.decisions.measure()


async def measure_indicators(running: Running) -> None:
    """Each indicator of a goal that holds, as an entity with history."""
    for system in running.systems:
        if reads_behind(running.gate.policy, system.processor):
            continue  # a figure about persons leaves its wall by a release, and not like this
        for indicator in system.indicators:
            try:
                value = await indicator.measure(running.city_of(system))
            except Denied:
                continue  # the goal is rescinded: what stopped is not measured any more
            if value is not None:
                await _write_indicator(running, indicator, value)


def indicator_urn(indicator: Indicator) -> str:
    """The id of an indicator as an entity."""
    return f"urn:ngsi-ld:KeyPerformanceIndicator:{indicator.name}"


async def _write_indicator(running: Running, indicator: Indicator, value: float) -> None:
    now_us = running.clock.now_us()
    entity = Entity(
        indicator_urn(indicator),
        ("KeyPerformanceIndicator",),
        (
            Attribute("kpiValue", round(value, 3), observed_at_us=now_us),
            Attribute("goal", indicator.goal),
        ),
    )
    permit = running.gate.permit("internal:goals", RUN, "write")
    await running.store.commit_async(permit, Change((Put(entity),)))
