# SPDX-License-Identifier: EUPL-1.2
"""The one writer: takes what waits, one transaction, one fsync, then answers all (design 5).

A change that fails is rolled back to its savepoint and answered with its error; the others of
the group go on. If the commit itself fails (full disk), all of the group are answered with
Unavailable: none of it was written.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any

import msgspec

from poorter.city.clock import CommittedClock
from poorter.city.errors import CityError, Denied, Invalid, KeyReused, Unavailable
from poorter.city.limits import COMMIT_CHANGES_MAX, IDEMPOTENCY_HOURS, WRITE_QUEUE_MAX
from poorter.city.time import HOUR_US
from poorter.gate.permit import Permit
from poorter.store.contract import (
    AppendLines,
    Change,
    Changed,
    Committed,
    Event,
    Observe,
    ObserveResult,
    StoredEntity,
)
from poorter.store.tables.apply import Applier
from poorter.store.tables.expiring import Expiry
from poorter.store.tables.images import Images
from poorter.store.tables.manifest import Files
from poorter.store.tables.port import Connection
from poorter.store.tables.recent import AllWritten, Recent
from poorter.store.tables.spots import Spots

EVENTS = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)"
Listener = Callable[[Sequence[Event]], None]
Answer = Committed | CityError
NEAR_WEIGHT_MAX = 200
_WRITING = frozenset(("write", "command", "decide", "administer"))


class Job:
    """A queued change and where its answer goes: a thread's future, or an event loop's."""

    __slots__ = ("change", "future", "loop", "permit")

    def __init__(
        self,
        permit: Permit,
        change: Change,
        future: Any,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.permit = permit
        self.change = change
        self.future = future
        self.loop = loop


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Who writes from here on, and how a permit whose lease ran out while it waited gets another:
    that raises where there is no grant any more."""

    to: Writer
    renewed: Callable[[Permit], Permit]


@dataclass(slots=True)
class _Group:
    """Changes that are applied and wait for their commit."""

    jobs: list[Job]
    now_us: int
    before: int  # the sequence number, should it fail
    answers: list[Answer] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    written: AllWritten = field(default_factory=dict)
    expired: bool = False  # what was over went first


class _Refused(Exception):  # noqa: N818 - it is no error: the group is done again
    """One change of a group that was not kept apart is refused."""


class Writer:
    """Writes in groups: on a thread, or for small changes of an event loop on the loop itself.

    A thread that applies changes statement by statement hands the interpreter to and fro with the
    loop at each one, which costs five times what the statements do. So small changes are applied
    where they come from, a whole group in one go. Their commit, which waits for the disk, is made
    on a thread of its own: meanwhile the loop reads what comes in for the next group.
    """

    def __init__(
        self,
        connection: Connection,
        files: Files,
        clock: CommittedClock,
        recent: Recent,
        expiry: Expiry,
        spots: Spots,
        near_weight_max: int = NEAR_WEIGHT_MAX,
    ) -> None:
        """`near_weight_max`: 0 where the engine is across a wire: the loop would wait for it."""
        self._connection = connection
        self._refusals: tuple[type[Exception], ...] = (CityError, *connection.dialect.refusals)
        self._try_again: tuple[type[Exception], ...] = (_Refused, *connection.dialect.refusals)
        self._failures = connection.dialect.failures
        self._near_weight_max = near_weight_max
        self._run = connection.execute
        self._clock = clock
        self._recent = recent
        self._expiry = expiry
        self._spots = spots
        spots.settled = self.settled
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._applied: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._closed = self._stale = False
        self._handed: HandedOver | None = None
        self._lock = threading.Lock()  # from a group's first statement to its commit
        self._thread_waits = False
        self._holding: set[int] = set()  # threads that wait to hold it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._near: deque[Job] = deque()  # small changes of the loop, for its next turn
        self._applier = Applier(connection, files, expiry, spots)
        self.former = self._applier.former
        self.compacted = self._applier.compacted
        self.images = Images(connection, self._applier.rows, recent)
        (sequence,) = next(self._run("SELECT coalesce(max(sequence), 0) FROM event"))
        self.sequence = int(sequence)
        self.listeners: list[Listener] = []
        self._threads = [
            threading.Thread(target=self._work, name="writer", daemon=True),
            threading.Thread(target=self._commit_applied, name="commits", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Queue a change. Raises Denied or Unavailable at once where that is known at once."""
        if self._handed is not None:
            self._handed.to.submit(job)
            return
        if job.permit.action not in _WRITING:
            raise Denied
        job.permit.check(job.permit.action, self._clock.now_us())
        if self._closed:
            raise Unavailable("the store is closing")
        if self._queue.qsize() + len(self._near) >= WRITE_QUEUE_MAX:
            raise Unavailable("too much waits to be written; try again in a moment")
        if self._is_near(job):
            self._near.append(job)
            if len(self._near) == 1 and job.loop is not None:
                job.loop.call_soon(self._write_near)
        else:
            self._queue.put(job)

    def settled(self) -> None:
        """Wait until no group is under way that began before."""
        self.hold()
        self.go_on()

    def hold(self) -> None:
        """Wait until no group is under way; none begins until `go_on`. What comes meanwhile waits,
        as far as the queue reaches."""
        self._holding.add(get_ident())  # the loop, which never waits, would always be first
        self._lock.acquire()
        self._holding.discard(get_ident())

    def go_on(self) -> None:
        """Write what waits."""
        self._release()

    def hand_over(self, handed: HandedOver) -> None:
        """While no group is under way: from here on all is written there, what waits first."""
        self._handed = handed

    def _is_near(self, job: Job) -> bool:
        """Whether the loop itself is to write it."""
        if job.loop is None:
            return False
        if self._loop is None or self._loop.is_closed():
            self._loop = job.loop
        return job.loop is self._loop and _weight(job.change) <= self._near_weight_max

    def _write_near(self) -> None:
        """The loop's turn: all that came since, as one group. Never waits: while a group is under
        way more comes together, and whoever ends that group calls for the next."""
        if not self._near or self._thread_waits or self._holding:
            return
        if not self._lock.acquire(blocking=False):
            return
        group = None
        try:
            jobs = self._take_near()
            group = None if self._hand_on(jobs) else self._apply_group(jobs)
        finally:
            if group is None:
                self._release()
        if group is not None:
            self._applied.put(group)

    def _take_near(self) -> list[Job]:
        jobs: list[Job] = []
        while self._near and len(jobs) < COMMIT_CHANGES_MAX:
            jobs.append(self._near.popleft())
        return jobs

    def _commit_applied(self) -> None:
        while (group := self._applied.get()) is not None:
            self._commit(group)
            self._release()

    def _release(self) -> None:
        self._lock.release()
        if self._near and self._loop is not None and not self._closed:
            with suppress(RuntimeError):  # the loop has ended: closing writes what is left
                self._loop.call_soon_threadsafe(self._write_near)

    def close(self) -> None:
        """Write what is queued, then stop."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._threads[0].join()
            self._applied.put(None)
            self._threads[1].join()

    def _work(self) -> None:
        last = False
        while not last:
            jobs, last = self._take()
            self._thread_waits = True
            self._lock.acquire()
            self._thread_waits = False
            try:
                jobs += self._take_near()
                done = not jobs or self._hand_on(jobs)
                group = None if done else self._apply_group(jobs)
                if group is not None:
                    self._commit(group)
            finally:
                self._release()

    def _take(self) -> tuple[list[Job], bool]:
        """What waits now, at least one; and whether the end was asked for."""
        jobs: list[Job] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) >= COMMIT_CHANGES_MAX:
                return jobs, False
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _hand_on(self, jobs: list[Job]) -> bool:
        """To the writer that has taken over, if one has."""
        if self._handed is None:
            return False
        for job in jobs:
            try:
                if self._clock.now_us() >= job.permit.valid_until_us:
                    job.permit = self._handed.renewed(job.permit)
                self._handed.to.submit(job)
            except CityError as wrong:
                _answer([(job, wrong)])
        return True

    def _apply_group(self, jobs: list[Job]) -> _Group | None:
        """All statements of a group but the commit; None when the disk refused one of them.

        Nearly always all changes succeed, so the first try keeps them not apart: no savepoint
        each. When one is refused all of it is done again, each in its own savepoint.
        """
        group = _Group(jobs, self._clock.now_us(), self.sequence)
        try:
            try:
                self._apply_all(group, apart=False)
            except self._try_again:
                self._roll_back()
                self.sequence = group.before
                group = _Group(jobs, group.now_us, group.before)
                self._apply_all(group, apart=True)
            group.written = self._applier.rows.touched
        except self._failures as wrong:
            self._fail(group, wrong)
            return None
        return group

    def _apply_all(self, group: _Group, *, apart: bool) -> None:
        self._connection.begin()
        if self._stale:
            self._applier.forget()
            self._stale = False
        self.images.end_group()
        self._applier.rows.begin()
        if self._expiry.next_us <= group.now_us:
            self._expire(group)
        self._applier.fetch(op for job in group.jobs for op in job.change.ops)
        for job in group.jobs:
            group.answers.append(self._apply(job, group, apart))
        self._applier.flush([(EVENTS, list(map(_row, group.events)))] if group.events else ())

    def _commit(self, group: _Group) -> None:
        self._spots.announce()
        self._recent.announce()
        try:
            self._connection.commit()
        except self._failures as wrong:
            self._spots.settle(committed=False)
            self._recent.failed()
            self._fail(group, wrong)
            return
        self._spots.settle(committed=True)
        self._clock.committed(group.now_us)
        if group.expired:
            self._expiry.look()
        self._recent.committed(group.events, group.written)
        _answer(list(zip(group.jobs, group.answers, strict=True)))
        if group.events:
            for listener in tuple(self.listeners):
                listener(group.events)
        if group.changed:
            for watching in tuple(self.images.watching):
                watching.listener(group.changed)

    def _fail(self, group: _Group, wrong: Exception) -> None:
        self._roll_back()
        self.sequence = group.before
        refused = Unavailable(self._connection.dialect.describe(wrong))
        _answer([(job, refused) for job in group.jobs])

    def _apply(self, job: Job, group: _Group, apart: bool) -> Answer:
        change, now_us = job.change, group.now_us
        outbox = self._applier.outbox.pending
        if change.idempotency_key is not None:
            known = self._replay(change.idempotency_key, change.inputs)
            if known is not None:
                return known
        told = self._spots.mark()
        if apart:
            list(self._run("SAVEPOINT change"))
        images = self.images.before(change.ops) if self.images.types else {}
        try:
            results = tuple([self._applier.apply(op, job.permit, now_us) for op in change.ops])
            sequence = self.sequence + len(outbox)
            if change.idempotency_key is not None:
                self._remember(change, results, sequence, now_us)
            if apart:
                self._applier.flush()
        except self._refusals as wrong:
            if not apart:
                raise _Refused from wrong
            list(self._run("ROLLBACK TO change"))
            list(self._run("RELEASE change"))
            self._applier.forget()
            self._spots.undo(told)
            return wrong if isinstance(wrong, CityError) else Invalid(f"cannot be stored: {wrong}")
        if apart:
            list(self._run("RELEASE change"))
        self._note(group, images)
        return Committed(results, self.sequence, now_us)

    def _expire(self, group: _Group) -> None:
        """What has expired goes before anything else is written, and is told of."""
        group.expired = True
        ops = self._applier.expired(group.now_us)
        images = self.images.before(ops) if self.images.types else {}
        self._applier.expire(ops, group.now_us)
        self._applier.flush()  # or it would be forgotten with the first change that is refused
        self._note(group, images)

    def _note(self, group: _Group, images: dict[str, StoredEntity | None]) -> None:
        """What was done last, as events and as what changed from what it was."""
        outbox = self._applier.outbox.pending
        for kind, urn, types, names in outbox:
            self.sequence += 1
            at: tuple[int, Any] = (group.now_us, kind)
            group.events.append(Event(self.sequence, *at, urn, types, names))
        outbox.clear()
        if images:
            for urn, after in self.images.after(images).items():
                if images[urn] is not None or after is not None:
                    changed = Changed(self.sequence, group.now_us, urn, images[urn], after)
                    group.changed.append(changed)

    def _replay(self, key: str, inputs: bytes) -> Answer | None:
        row = next(self._run("SELECT answer FROM replay WHERE key = ?", (key,)), None)
        if row is None:
            return None
        results, sequence, at_us, *asked = msgspec.msgpack.decode(row[0])
        if asked and asked[0] != inputs:  # an answer of an earlier release does not say
            return KeyReused("this Idempotency-Key was used with other inputs")
        return Committed(tuple(map(_from_list, results)), sequence, at_us, replayed=True)

    def _remember(
        self, change: Change, results: tuple[Any, ...], sequence: int, now_us: int
    ) -> None:
        answer = msgspec.msgpack.encode((results, sequence, now_us, change.inputs))
        row = (change.idempotency_key, now_us, answer)
        list(self._run("INSERT INTO replay VALUES (?, ?, ?)", row))
        oldest_us = now_us - IDEMPOTENCY_HOURS * HOUR_US
        list(
            self._run(
                "DELETE FROM replay WHERE key IN "
                "(SELECT key FROM replay WHERE at_us < ? ORDER BY at_us LIMIT 10)",
                (oldest_us,),
            )
        )

    def _roll_back(self) -> None:
        self._connection.roll_back()
        self._stale = True  # what is known is looked up again when the engine is there again


def _row(event: Event) -> tuple[Any, ...]:
    types, names = " ".join(event.types), " ".join(event.names)
    return event.sequence, event.at_us, event.kind, event.urn, types, names


def _from_list(result: Any) -> Any:
    if isinstance(result, dict):
        return ObserveResult(**result)
    return tuple(map(_from_list, result)) if isinstance(result, list) else result


def _weight(change: Change) -> int:
    """How much work a change is, in ops."""
    weight = 0
    for op in change.ops:
        if isinstance(op, Observe):
            weight += len(op.readings)
        elif isinstance(op, AppendLines):
            weight += len(op.lines)
        else:
            weight += 1
    return weight


def _answer(answered: list[tuple[Job, Answer]]) -> None:
    """Threads are woken one by one, an event loop once for the whole group."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Any, Answer]]] = {}
    for job, answer in answered:
        if job.loop is not None:
            loops.setdefault(job.loop, []).append((job.future, answer))
        elif isinstance(answer, CityError):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)
    for loop, pairs in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, pairs)
        except RuntimeError:
            continue  # the loop has ended, and with it whoever waited


def _resolve(pairs: list[tuple[asyncio.Future[Committed], Answer]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, CityError):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def thread_job(permit: Permit, change: Change) -> Job:
    """A job that a thread waits for."""
    return Job(permit, change, Future(), None)


def loop_job(permit: Permit, change: Change, loop: asyncio.AbstractEventLoop) -> Job:
    """A job that a coroutine of `loop` waits for."""
    return Job(permit, change, loop.create_future(), loop)
