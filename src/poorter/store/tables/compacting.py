# SPDX-License-Identifier: EUPL-1.2
"""Compaction: rows become segments, small segments become larger ones, what is past goes.

The order makes it safe at any moment: the file is whole and on the disk first; then one
transaction writes it into the manifest and takes the rows, or the segments that it replaces, out.
Files that stand in no manifest were left by a crash or have been replaced; the next round removes
them, and so does its end.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

import poorter
from poorter.city.clock import Clock
from poorter.city.errors import Conflict, Unavailable
from poorter.city.time import DAY_US, HOUR_US
from poorter.gate.permit import Permit
from poorter.store import contract as c
from poorter.store.history.plan import Segment, Window, folds, merge
from poorter.store.history.report import Round
from poorter.store.tables.compacted import Compacted
from poorter.store.tables.folding import Allowed, Check, Checked, Count, Fold, Folded, Folding
from poorter.store.tables.manifest import BEFORE_ALL_US, Files, out_of, segments
from poorter.store.tables.port import Connection

JOB_S_MAX = 900.0


@dataclass(frozen=True, slots=True)
class Adopt(c.Upkeep):
    """A written segment takes the place of what is in it. Conflict when that has changed."""

    window: Window
    segment: Segment | None
    folded: Folded
    received_us: int
    changes: int


@dataclass(frozen=True, slots=True)
class Expire(c.Upkeep):
    """Rows that are past their retention go: (types, name, from when on they are kept)."""

    allowed: Allowed


@dataclass(frozen=True, slots=True)
class BringBack(c.Upkeep):
    """All history of these instances is in rows again."""

    instances: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GiveBack(c.Upkeep):
    """Some free pages go back to the disk."""


class Upkeep:
    """Applies these inside the writer's transaction."""

    def __init__(self, connection: Connection, compacted: Compacted) -> None:
        self._connection = connection
        self._compacted = compacted

    def adopt(self, op: Adopt, permit: Permit, now_us: int) -> None:
        """Rows out, segment in."""
        if op.changes != self._compacted.changes:
            raise Conflict("history was changed while it was compacted")
        window = op.window
        gone = self._delete(
            "DELETE FROM history WHERE attribute = ? AND observed_us >= ? AND observed_us < ? "
            "AND received_us <= ?",
            [(n, window.from_us, window.until_us, op.received_us) for n in op.folded.instances],
        )
        if gone != op.folded.moved:
            raise Conflict("history came in while it was compacted")
        for source in window.sources:
            if not self._delete("DELETE FROM segment WHERE name = ?", [(source.name,)]):
                raise Conflict(f"segment {source.name} is not there any more")
            list(self._connection.execute("DELETE FROM segment_out WHERE name = ?", (source.name,)))
        if op.segment is not None:
            one = op.segment
            list(
                self._connection.execute(
                    "INSERT INTO segment (name, from_us, until_us, rows, size, hours_size, made_us)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        one.name,
                        one.from_us,
                        one.until_us,
                        one.rows,
                        one.size,
                        one.hours_size,
                        one.made_us,
                    ),
                )
            )
        self._compacted.look_again()

    def expire(self, op: Expire, permit: Permit, now_us: int) -> None:
        """Rows go."""
        self._delete(
            "DELETE FROM history WHERE observed_us < ?3 AND attribute IN (SELECT a.id "
            "FROM attribute a JOIN entity e ON e.id = a.entity WHERE e.types = ?1 AND a.name = ?2)",
            op.allowed,
        )

    def _delete(self, sql: str, values: Sequence[tuple[Any, ...]]) -> int:
        """How many rows went. Nothing of them stays on free pages, so that erasing later what has
        become a segment erases all of it."""
        with self._connection.overwriting():
            return self._connection.change(sql, values)

    def bring_back(self, op: BringBack, permit: Permit, now_us: int) -> None:
        """Out of the segments."""
        for instance in op.instances:
            self._compacted.bring_back(instance)

    def give_back(self, op: GiveBack, permit: Permit, now_us: int) -> None:
        """Pages go."""
        self._connection.give_back()


class Works(Protocol):
    """Looks into segments and writes them, here or in a child."""

    def check(self, job: Check) -> Checked:
        """What of a segment has to leave it."""
        ...

    def fold(self, job: Fold) -> Folded:
        """Write a segment."""
        ...


class Rounds:
    """What one round leaves for the next: files stay where they are for whoever holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.looked_us: dict[str, int] = {}
        self.child: _Child | None = None

    def stop(self) -> None:
        """The store closes: a round that is under way ends, and has changed nothing by that."""
        child = self.child
        if child is not None:
            child.kill()


class Compaction:
    """One round of compaction. `command`: the module that folds in a child, and where the tables
    are; `near`: in this process, for tests of power cuts."""

    def __init__(
        self,
        command: tuple[str, ...],
        files: Files,
        compacted: Compacted,
        clock: Clock,
        reader: Callable[[], Connection],
        write: Callable[[c.Upkeep], None],
        near: bool,
        rounds: Rounds,
    ) -> None:
        self._command = command
        self._files = files
        self._compacted = compacted
        self._clock = clock
        self._reader = reader
        self._write = write
        self._near = near
        self._rounds = rounds

    def run(self, permit: Permit, until_us: int, received_us: int, all_of_it: bool) -> Round:
        """Fold what is older than `until_us` and was committed by `received_us`. Raises Conflict
        when others were in the way."""
        moved = made = 0
        with self._rounds.lock:
            self._remove_left_over()
            allowed = self._allowed(permit)
            expired = [one for one in allowed if one[2] > BEFORE_ALL_US]
            if expired:
                self._write(Expire(expired))
            with self._works() as works:
                for stale in self._stale(works, allowed, all_of_it):
                    self._fold(works, stale, allowed, received_us)
                    made += 1
                count = Count(allowed, until_us // HOUR_US * HOUR_US, received_us)
                waiting = Folding(self._reader(), self._files.folder).count(count)
                now_us = self._clock.now_us()
                for window in folds(waiting, segments(self._reader()), now_us, all_of_it):
                    moved += self._fold(works, window, allowed, received_us)
                    made += 1
                while (again := merge(segments(self._reader()))) is not None:
                    moved += self._fold(works, again, allowed, received_us)
                    made += 1
            self._remove_left_over()
            if made:
                while self._reader().spare():
                    self._write(GiveBack())
                self._reader().settle()
        return Round(moved, made)

    def _fold(self, works: Works, window: Window, allowed: Allowed, received_us: int) -> int:
        connection = self._reader()
        changes = self._compacted.changes
        out = {source.name: out_of(connection, source) for source in window.sources}
        name = f"{window.from_us // HOUR_US}-{secrets.token_hex(6)}"
        folded = works.fold(Fold(allowed, window, out, name, received_us))
        segment = None
        if folded.rows:
            segment = Segment(
                name,
                window.from_us,
                window.until_us,
                folded.rows,
                folded.size,
                folded.hours_size,
                self._clock.now_us(),
            )
        self._write(Adopt(window, segment, folded, received_us, changes))
        return folded.moved

    def _stale(self, works: Works, allowed: Allowed, all_of_it: bool) -> Iterator[Window]:
        """Segments with readings that are erased, past their retention, or personal by now; each is
        looked at once a day."""
        now_us = self._clock.now_us()
        found = segments(self._reader())
        looked_us = {one.name: self._rounds.looked_us.get(one.name, one.made_us) for one in found}
        self._rounds.looked_us = looked_us
        for one in found:
            if not all_of_it and now_us - looked_us[one.name] < DAY_US:
                continue
            out = out_of(self._reader(), one)
            checked = works.check(Check(allowed, one, out))
            looked_us[one.name] = now_us
            if checked.strange:
                self._write(BringBack(tuple(checked.strange)))
            if out or checked.strange or checked.expired:
                yield Window(one.from_us, one.until_us, (one,))

    def _allowed(self, permit: Permit) -> Allowed:
        """Attributes by types of their entity whose readings are nobody's personal data."""
        now_us = self._clock.now_us()
        found: Allowed = []
        for types, number, name in self._reader().execute(
            "SELECT DISTINCT e.types, n.id, n.name FROM attribute a "
            "JOIN entity e ON e.id = a.entity JOIN name n ON n.id = a.name"
        ):
            rules = [permit.rule(one) for one in types.split(" ")]
            if all(rule is not None and not rule.personal for rule in rules):
                rule = permit.rule_of(tuple(types.split(" ")))
                if rule is not None and rule.covers(name):
                    kept_us = rule.retention_us
                    since = BEFORE_ALL_US if kept_us is None else now_us - kept_us
                    found.append((types, number, since))
        return found

    def _remove_left_over(self) -> None:
        known = {segment.name for segment in segments(self._reader())}
        if self._files.folder.is_dir():
            for file in self._files.folder.iterdir():
                if file.name.split(".")[0] not in known:
                    self._files.forget(file.name)
                    file.unlink(missing_ok=True)

    @contextmanager
    def _works(self) -> Iterator[Works]:
        if self._near:
            yield Folding(self._reader(), self._files.folder)
            return
        child = self._rounds.child = _Child((*self._command, str(self._files.folder)))
        try:
            yield child
        finally:
            self._rounds.child = None
            child.close()


class _Child:
    """A process that folds, started when there is something to fold."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def _start(self) -> subprocess.Popen[bytes]:
        source = str(Path(poorter.__file__).parents[1])
        return subprocess.Popen(  # noqa: S603 - this very code, with paths of this city
            [sys.executable, "-m", *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": source},
        )

    def check(self, job: Check) -> Checked:
        """What of a segment has to leave it."""
        return msgspec.json.decode(self._ask(job), type=Checked)

    def fold(self, job: Fold) -> Folded:
        """Write a segment."""
        return msgspec.json.decode(self._ask(job), type=Folded)

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End it."""
        if self._process is None:
            return
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _ask(self, job: Check | Fold) -> bytes:
        process = self._process = self._process or self._start()
        given, answers = process.stdin, process.stdout
        assert given is not None and answers is not None
        watch = threading.Timer(JOB_S_MAX, process.kill)
        watch.start()
        try:
            given.write(msgspec.json.encode(job) + b"\n")
            given.flush()
            answer = answers.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            watch.cancel()
        if not answer.endswith(b"\n"):
            process.kill()
            _, wrong = process.communicate()
            said = wrong.decode("utf-8", "replace").strip()[-300:]
            raise Unavailable(f"compaction ended early: {said or 'no word'}")
        return answer
