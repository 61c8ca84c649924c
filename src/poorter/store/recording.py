# SPDX-License-Identifier: EUPL-1.2
"""Recording uses (design 2, rule 2): nothing personal leaves before its lines are durable.

Each data subject gets a line of the Logboek Dataverwerkingen, all lines of an answer stand in one
change with the audit leaf (actor, grants, decision), and how it ended follows as a leaf of its own.
What is not personal is counted (`gate.uses`).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import Entity
from poorter.city.errors import Denied, Invalid, NotFound, Unavailable
from poorter.city.ids import mint
from poorter.city.time import DAY_US, HOUR_US
from poorter.gate.gate import Gate, for_update
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit, TypeRule
from poorter.gate.policy import Purpose, to_doc
from poorter.gate.uses import Uses
from poorter.ledger.leaf import LINE_TYPE, VERSION, Leaf, make_line
from poorter.ledger.lines import Activity, LineWriter, SealedLine, leaf_prefix
from poorter.ledger.sealing import LineKeys
from poorter.ledger.spool import Spool, Spooled
from poorter.ledger.tracing import Trace, new_trace
from poorter.store.contract import (
    AppendLeaf,
    AppendLines,
    Change,
    Observe,
    Op,
    PutRecord,
    Store,
    StoredEntity,
)
from poorter.store.series import urns_of
from poorter.store.walls.subjects import SubjectOf, whose

#: people whom one trace of a stream remembers before it is renewed early
STREAM_SUBJECTS_MAX = 100_000
ENDED_MAX = 100_000
NOTICE = "notice"
OWN = "internal:uses"
#: (dataset, wall, subject)
Whom = tuple[str, str, str]


@dataclass(slots=True)
class Stream:
    """A subscription as one trace, renewed hourly: who has a line in it already."""

    trace: Trace
    until_us: int
    seen: set[Whom] = field(default_factory=set)


@dataclass(slots=True)
class Bulk:
    """An answer that leaves in parts, all under one trace: who has a line in it already."""

    trace: Trace
    actor: str
    seen: set[Whom] = field(default_factory=set)


@dataclass(slots=True)
class _Ending:
    permit: Permit
    trace: Trace
    status: str


class Recorder:
    """Writes the lines of one city."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        uses: Uses,
        clock: Clock,
        keys: LineKeys,
        spool: Spool,
        origin: str,
        subject_of: SubjectOf = lambda named, wall: named,
    ) -> None:
        self._subject_of = subject_of
        self._store = store
        self._gate = gate
        self._uses = uses
        self._clock = clock
        self._spool = spool
        self._origin = origin
        self.keys = keys
        self._streams: dict[str, Stream] = {}
        self._ended: deque[_Ending] = deque(maxlen=ENDED_MAX)
        self._activities: dict[tuple[int, str], tuple[str, str]] = {}

    # -- before data leaves ----------------------------------------------------------------------

    async def before_leaving(
        self,
        permit: Permit,
        entities: Iterable[StoredEntity],
        trace: Trace | None = None,
        actor: str = "",
    ) -> Trace | None:
        """Record the use of these entities; the trace when any of it is about a person.

        Raises: Unavailable when it can't be recorded; then nothing may leave.
        """
        if not permit.personal:
            self._uses.count(permit)
            return None
        return await self.record(permit, whom(permit, entities), trace, actor)

    async def record(
        self,
        permit: Permit,
        subjects: Iterable[Whom],
        trace: Trace | None = None,
        actor: str = "",
        ops: Sequence[Op] = (),
    ) -> Trace | None:
        """A line for each (dataset, wall, subject), once; `ops` change in the same transaction."""
        wanted = list(dict.fromkeys(subjects))
        if not wanted:
            self._uses.count(permit)
            return None
        trace = trace or new_trace()
        made = self._lines(permit, wanted, trace)
        audit = self._audit(permit, trace, actor, len(wanted))
        leaf = AppendLeaf(audit[0], audit[1], trace=trace.trace_id)
        own = self._gate.permit(OWN, RUN, "administer")
        try:
            await self._store.commit_async(own, Change((*made, leaf, *ops)))
        except Unavailable:
            if not permit.vital or ops:
                raise
            self._to_spool(made, audit)
        return trace

    async def in_part(
        self,
        bulk: Bulk,
        permit: Permit,
        entities: Iterable[StoredEntity],
    ) -> None:
        """The same for one part of a bulk answer, before that part leaves: a person who is in
        several parts has one line."""
        if not permit.personal:
            self._uses.count(permit)
            return
        new = [one for one in dict.fromkeys(whom(permit, entities)) if one not in bulk.seen]
        if new:
            await self.record(permit, new, bulk.trace, bulk.actor)
            bulk.seen.update(new)

    async def in_stream(
        self, name: str, permit: Permit, entities: Iterable[StoredEntity], actor: str = ""
    ) -> Trace | None:
        """The same for one message of a stream: one line per person and hour."""
        if not permit.personal:
            self._uses.count(permit)
            return None
        stream = self._stream(name, permit)
        new = [one for one in dict.fromkeys(whom(permit, entities)) if one not in stream.seen]
        if new:
            await self.record(permit, new, stream.trace, actor)
            stream.seen.update(new)
        return stream.trace

    def _stream(self, name: str, permit: Permit) -> Stream:
        key = f"{name}|{permit.processor}|{permit.purpose}"
        now_us = self._clock.now_us()
        stream = self._streams.get(key)
        if stream is not None and (
            now_us >= stream.until_us or len(stream.seen) >= STREAM_SUBJECTS_MAX
        ):
            if stream.seen:
                self.ended(permit, stream.trace, ok=True)
            stream = None
        if stream is None:
            stream = self._streams[key] = Stream(new_trace(), now_us + HOUR_US)
        return stream

    def writing(
        self, permit: Permit, ops: Iterable[Op], trace: Trace | None = None, actor: str = ""
    ) -> tuple[list[Op], Trace | None]:
        """What records a write of personal data, for the same transaction; none for other data."""
        wanted = list(dict.fromkeys(self._written(permit, ops))) if permit.personal else []
        if not wanted:
            return [], None
        trace = trace or new_trace()
        return self.ops_about(permit, wanted, trace, actor), trace

    def ops_about(
        self, permit: Permit, subjects: Sequence[Whom], trace: Trace, actor: str = ""
    ) -> list[Op]:
        """The lines about these and their audit leaf, for a transaction of the caller's own."""
        leaf, payload = self._audit(permit, trace, actor, len(subjects))
        lines = self._lines(permit, subjects, trace)
        return [*lines, AppendLeaf(leaf, payload, trace=trace.trace_id)]

    def _written(self, permit: Permit, ops: Iterable[Op]) -> Iterator[Whom]:
        """Whom these ops write about; one that meets no entity will fail by itself."""
        seeing = for_update(permit)
        for op in ops:
            entity: Entity | None = getattr(op, "entity", None)
            urn: str | None = getattr(op, "urn", None)
            if entity is not None:
                rule = permit.rule_of(entity.types)
                if rule is not None and rule.behind is not None:
                    with suppress(NotFound, Denied, Invalid):
                        look = partial(self._subject, seeing)
                        subject = whose(entity, rule.behind, self._subject_of, look)
                        yield rule.dataset, rule.wall, subject
                elif rule is not None and rule.personal:
                    yield from entity_subjects(entity, rule)
            elif urn is not None:
                with suppress(NotFound, Denied):
                    yield from whom(permit, (self._store.entity(seeing, urn),))
            elif isinstance(op, Observe):
                rule = permit.rule(op.type)
                if rule is not None and rule.personal:
                    for one in urns_of(op.readings):
                        yield from self._observed(seeing, rule, one)

    def _subject(self, seeing: Permit, urn: str) -> str | None:
        return self._store.entity(seeing, urn).subject

    def _observed(self, seeing: Permit, rule: TypeRule, urn: str) -> Iterator[Whom]:
        """Whom a reading is about: its entity says so where it is known already."""
        try:
            yield from whom(seeing, (self._store.entity(seeing, urn),))
        except (NotFound, Denied):
            if rule.behind is None:
                yield rule.dataset, rule.wall, urn

    def _lines(self, permit: Permit, subjects: Sequence[Whom], trace: Trace) -> list[AppendLines]:
        """One op per dataset, as the public leaf names it."""
        now_us = self._clock.now_us()
        name, activity_id = self._activity(permit)
        caller = f"https://{self._origin}/processors/{permit.processor}" if trace.called else ""
        by_dataset: dict[str, list[tuple[str, bytes]]] = {}
        for dataset, wall, subject in subjects:
            by_dataset.setdefault(dataset, []).append(self.keys.name(wall, subject))
        made = []
        for dataset, people in by_dataset.items():
            resource = {
                "service.name": permit.processor,
                "poorter.dataset": dataset,
                "poorter.action": permit.action,
            }
            activity = Activity(name, activity_id, now_us // 1000, trace, caller, resource)
            lines = self.keys.seal(LineWriter(activity), people, now_us)
            made.append(AppendLines(self._prefix(permit, dataset, now_us), trace.trace_id, lines))
        return made

    def _prefix(self, permit: Permit, dataset: str, now_us: int) -> bytes:
        """The public half. A purpose that is kept from people for a while is not named in it; the
        day on which it will be is."""
        purpose = self._gate.policy.purposes.get(permit.purpose)
        if purpose is not None and purpose.delay_days is not None:
            until = delayed_until(now_us, purpose.delay_days)
            leaf = Leaf(VERSION, LINE_TYPE, now_us, 0, "", "", "", "", "delayed", until, b"")
        else:
            leaf = Leaf(
                VERSION,
                LINE_TYPE,
                now_us,
                permit.policy_version,
                permit.processor,
                permit.purpose,
                permit.legal_basis,
                dataset,
                permit.action,
                "intent",
                b"",
            )
        return leaf_prefix(leaf)

    def _activity(self, permit: Permit) -> tuple[str, str]:
        """(name, versioned URI) of the activity: another URI with each change of the purpose."""
        key = permit.policy_version, permit.purpose
        found = self._activities.get(key)
        if found is None:
            purpose = self._gate.policy.purposes.get(permit.purpose)
            if purpose is None:
                raise Invalid(f"there is no purpose {permit.purpose}")
            if len(self._activities) > 10_000:
                self._activities.clear()
            found = purpose.title.en, activity_id(self._origin, purpose)
            self._activities[key] = found
        return found

    def _audit(self, permit: Permit, trace: Trace, actor: str, number: int) -> tuple[bytes, bytes]:
        """Who acted, by which grants, under which policy: beside the lines, not in them."""
        doc = {
            "trace_id": trace.trace_id.hex(),
            "span_id": trace.span_id.hex(),
            "parent_span_id": trace.parent_span_id.hex(),
            "actor": actor or permit.processor,
            "processor": permit.processor,
            "purpose": permit.purpose,
            "action": permit.action,
            "grants": list(permit.grants),
            "decision": "permit",
            "policy_version": permit.policy_version,
            "lines": number,
        }
        line = make_line(
            "audit",
            self._clock.now_us(),
            policy_version=permit.policy_version,
            action="permit",
            payload=msgspec.json.encode(doc),
        )
        return line.leaf, line.payload

    # -- how it ended ----------------------------------------------------------------------------

    def ended(self, permit: Permit, trace: Trace | None, *, ok: bool) -> None:
        """Note how a processing ended; `write_endings` puts it into the ledger."""
        if trace is not None:
            self._ended.append(_Ending(permit, trace, "Ok" if ok else "Error"))

    async def write_endings(self, number: int = 1000) -> None:
        """Write a leaf for each processing that has ended by now, `number` at a time."""
        for _ in range(-(-len(self._ended) // number)):
            await self._write_endings(number)

    async def _write_endings(self, number: int) -> None:
        now_us = self._clock.now_us()
        endings = [self._ended.popleft() for _ in range(min(number, len(self._ended)))]
        ops: list[Op] = []
        for ending in endings:
            doc = {
                "trace_id": ending.trace.trace_id.hex(),
                "span_id": ending.trace.span_id.hex(),
                "status": ending.status,
                "end_time": now_us // 1000,
            }
            line = make_line("ended", now_us, payload=msgspec.json.encode(doc))
            ops.append(AppendLeaf(line.leaf, line.payload, trace=ending.trace.trace_id))
        own = self._gate.permit(OWN, RUN, "administer")
        try:
            await self._store.commit_async(own, Change(tuple(ops)))
        except Unavailable:
            self._ended.extendleft(reversed(endings))
            raise

    # -- while the ledger can't write -----------------------------------------------------------

    def _to_spool(self, made: Sequence[AppendLines], audit: tuple[bytes, bytes]) -> None:
        """For vital grants only: durable on this machine, merged when the ledger writes again."""
        now_us = self._clock.now_us()
        for op in made:
            entry = Spooled(mint("spool-"), now_us, op.prefix, op.trace, list(op.lines), *audit)
            try:
                self._spool.put(entry)
            except OSError as wrong:
                raise Unavailable(f"neither ledger nor spool can be written: {wrong}") from None

    async def merge_spool(self) -> int:
        """Bring what was spooled into the ledger, each entry once, and tell the people whom it is
        about; how many entries."""
        waiting = self._spool.waiting()
        own = self._gate.permit(OWN, RUN, "administer") if waiting else None
        for entry in waiting:
            assert own is not None
            now_us = self._clock.now_us()
            told = make_line("spooled", now_us, about=entry.id, outcome=str(len(entry.lines)))
            ops: list[Op] = [
                AppendLines(entry.prefix, entry.trace, [SealedLine(*line) for line in entry.lines]),
                AppendLeaf(entry.audit, entry.audit_payload, trace=entry.trace),
                AppendLeaf(told.leaf, told.payload, trace=entry.trace),
            ]
            ops += [_notice(entry, line[0], now_us) for line in entry.lines]
            await self._store.commit_async(own, Change(tuple(ops), entry.id))
            self._spool.clear(1)
        return len(waiting)


def _notice(entry: Spooled, subject: bytes, now_us: int) -> PutRecord:
    """Tells the person that their data was used while the ledger could not write."""
    doc = {"subject": subject.hex(), "kind": "vital", "used_us": entry.at_us, "at_us": now_us}
    return PutRecord(NOTICE, f"{entry.id}-{subject.hex()}", doc, keys={"subject": subject.hex()})


class _Body(msgspec.Struct):
    object: str | list[str] | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")


_read_body = msgspec.json.Decoder(_Body).decode
_read_value = msgspec.json.Decoder(str | list[str]).decode


def whom(permit: Permit, entities: Iterable[StoredEntity]) -> Iterable[Whom]:
    """The data subjects of what is personal of these: (dataset, wall, subject)."""
    for entity in entities:
        rule = permit.rule_of(entity.types)
        if rule is not None and rule.personal:
            yield from subjects_of(entity, rule)


def subjects_of(entity: StoredEntity, rule: TypeRule) -> Iterable[Whom]:
    """Those whom the attribute `about` names; the entity itself where there is none."""
    if entity.subject is not None:
        yield rule.dataset, rule.wall, entity.subject
        return
    named = False
    for attribute in entity.attributes:
        if attribute.name == rule.about:
            for one in _named(attribute.body):
                named = True
                yield rule.dataset, rule.wall, one
    if not named:
        yield rule.dataset, rule.wall, entity.urn


def entity_subjects(entity: Entity, rule: TypeRule) -> Iterator[Whom]:
    """The same of an entity that is written."""
    named = [
        one
        for attribute in entity.attributes
        if attribute.name == rule.about
        for one in (attribute.value if isinstance(attribute.value, list) else [attribute.value])
        if isinstance(one, str)
    ]
    for one in named or [entity.urn]:
        yield rule.dataset, rule.wall, one


def _named(body: bytes) -> tuple[str, ...]:
    try:
        read = _read_body(body)
        found = read.object if read.object is not None else _read_value(read.value)
    except msgspec.MsgspecError:
        return ()
    return (found,) if isinstance(found, str) else tuple(found)


def activity_id(origin: str, purpose: Purpose) -> str:
    """URI of a purpose in the register, with its version."""
    return f"https://{origin}/activities/{purpose.id}@{activity_version(purpose)}"


def activity_version(purpose: Purpose) -> str:
    """Changes with every word of a purpose: 16 hexadecimal digits."""
    doc = msgspec.json.encode(to_doc(purpose), order="deterministic")
    return hashlib.sha256(doc).hexdigest()[:16]


def delayed_until(at_us: int, days: int) -> str:
    """The ISO date on which a line of `at_us` unlocks: fixed when it is written."""
    end_us = -(-(at_us + days * DAY_US) // DAY_US) * DAY_US
    return datetime.fromtimestamp(end_us / 1e6, UTC).date().isoformat()
