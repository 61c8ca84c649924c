# SPDX-License-Identifier: EUPL-1.2
"""The store contract. Every function takes a Permit first; there is no way round it.

A Change is one transaction: entities, observations, records, holds and ledger leaves together, or
none of it. The store commits many changes in one group and one fsync, and answers all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity
from poorter.city.query import Query
from poorter.gate.permit import Permit, TypeRule
from poorter.ledger.lines import KeptLine, SealedLine
from poorter.store.evolving import EvolutionOp, Evolving
from poorter.store.history.port import HistoryStore
from poorter.store.history.report import Bucket as Bucket  # noqa: PLC0414 - of the contract
from poorter.store.stored import Changed as Changed  # noqa: PLC0414 - of the contract
from poorter.store.stored import StoredAttribute as StoredAttribute  # noqa: PLC0414
from poorter.store.stored import StoredEntity as StoredEntity  # noqa: PLC0414
from poorter.store.stored import visible as visible  # noqa: PLC0414

SCHEMA_VERSION = 8


#: what an `expires_at_us` is set to so that something expires no longer
NEVER_US = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Create:
    """A new entity. Conflict when the id is taken."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class Put:
    """Batch upsert. `replace`: the entity becomes exactly this; else its attributes are set."""

    entity: Entity
    replace: bool = True


class SetAttributes(msgspec.Struct, frozen=True):
    """Write attribute instances of an existing entity; NotFound when there is none.

    `mode` "append" adds and overwrites; "keep" adds but leaves what is there (noOverwrite);
    "update" overwrites only what is there (PATCH attrs). Result: (written, not written) names.
    `expect`: the version the caller saw; Conflict when it is another. `add_types`: the entity gets
    these too. `scopes`: its scopes become these; with "keep" they come beside those it has.
    `expires_at_us`: when the entity expires from now on, NEVER_US for not at all.
    """

    urn: str
    attributes: tuple[Attribute, ...]
    mode: Literal["append", "keep", "update"] = "append"
    expect: int | None = None
    add_types: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    expires_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """The entity becomes exactly this; NotFound when there is none."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class Delete:
    """The entity goes; its history stays until retention says otherwise. NotFound if absent."""

    urn: str
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class DeleteAttribute:
    """One instance (or all instances) of an attribute goes. NotFound when there is none."""

    urn: str
    name: str
    dataset_id: str | None = None
    every_instance: bool = False


@dataclass(frozen=True, slots=True)
class Observe:
    """A feed's readings: identity (entity, attribute, datasetId, observedAt).

    Same key and value: nothing happens, also when it was corrected since (so that a file loaded
    twice adds nothing). Other value: a correction, both kept. State is touched only when newer.
    Unknown entities are made with `type`. Result: an ObserveResult. Invalid for a value that is
    none, and for one in another unit than what is kept.
    `one_event`: a backfill sends one event for all of it.
    """

    type: str
    readings: Sequence[Reading]
    one_event: bool = False


class Reading(NamedTuple):
    """One reading of a feed. `quality` 0 is good, 1 doubtful, 2 estimated, 3 bad."""

    urn: str
    name: str
    observed_at_us: int
    value: Any
    dataset_id: str | None = None
    quality: int = 0
    unit_code: str | None = None


@dataclass(frozen=True, slots=True)
class ObserveResult:
    """How many readings were new, corrections of a known moment, or known already."""

    new: int = 0
    corrections: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class PutRecord:
    """Write a record: goals, grants, decisions, objections, sessions, ...: whatever is no entity.

    `expect`: None writes in any case, 0 only if new, n only if its version is n; else Conflict.
    `keys`: what records of this kind are listed by ({"state": "open", "owner": ...}).
    """

    kind: str
    id: str
    doc: Mapping[str, Any]
    expect: int | None = None
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Require:
    """Go on only if a record's version is this one, 0: there is none; else Conflict. Writes
    nothing, so that many changes may rest on one record at once."""

    kind: str
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    """A record goes (sessions, expired receipts). Nothing happens when it is absent."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Take `units` of a pool until `until_us`; Conflict when fewer are left, Invalid for less than
    one or an end that is over or too far away.

    Left = capacity - taken - units of the pool's holds that still run. Atomic over all callers.
    """

    pool: str
    id: str
    units: int
    capacity: int
    taken: int
    until_us: int


@dataclass(frozen=True, slots=True)
class ExtendHold:
    """Move the end of a running hold; NotFound when it is over or was never there, Invalid for an
    end that is over or too far away."""

    pool: str
    id: str
    until_us: int


@dataclass(frozen=True, slots=True)
class EndHold:
    """Give the units back. NotFound when the hold is over or was never there."""

    pool: str
    id: str


@dataclass(frozen=True, slots=True)
class AppendLeaf:
    """A ledger leaf, given its index inside the transaction. `payload` stays private."""

    leaf: bytes
    payload: bytes = b""
    subject: str | None = None
    trace: bytes = b""


@dataclass(frozen=True, slots=True)
class AppendLines:
    """A leaf for each line about a person, under one trace. `prefix` is the public leaf up to its
    commitment (`ledger.lines`), which the store makes: only inside the transaction is it known
    which place a line has in its subject's own sequence."""

    prefix: bytes
    trace: bytes
    lines: Sequence[SealedLine]


@dataclass(frozen=True, slots=True)
class Erase:
    """An entity goes with all that was ever kept of it: state, history, and its name in events,
    whose numbers stay. Nothing happens when it is absent."""

    urn: str


@dataclass(frozen=True, slots=True)
class Prune:
    """Of one entity goes what was observed, or written without a moment, before `before_us`."""

    urn: str
    before_us: int


#: (attribute, datasetId, moment or None, text that is kept) to the text to keep
Turn = Callable[[str, str | None, int | None, str], str]


@dataclass(frozen=True, slots=True)
class Reseal:
    """Each text value of one entity, in state and history, becomes what `turn` makes of it, in its
    place: neither its version nor its times change, and there is no event. The result: how many.
    Nothing happens when it is absent."""

    urn: str
    turn: Turn


class Upkeep:
    """A store's own work on what it keeps, in a transaction; nobody outside a store makes one."""

    __slots__ = ()


Op = (
    Create
    | Put
    | SetAttributes
    | Replace
    | Delete
    | DeleteAttribute
    | Erase
    | Prune
    | Reseal
    | Observe
    | EvolutionOp
    | PutRecord
    | Require
    | DeleteRecord
    | Hold
    | ExtendHold
    | EndHold
    | AppendLeaf
    | AppendLines
    | Upkeep
)


class Change(msgspec.Struct, frozen=True):
    """All of `ops`, in order, or none. A replayed `idempotency_key` repeats the first result; with
    other `inputs` (a digest of what was asked) than the first time it is a KeyReused."""

    ops: tuple[Op, ...]
    idempotency_key: str | None = None
    inputs: bytes = b""


class Committed(msgspec.Struct, frozen=True):
    """What a change came to: one result per op, the event sequence and the time of the commit.

    Results: Create/Put/Replace -> version (int; Put gives (version, created)), SetAttributes ->
    (written names, names not written), Observe -> ObserveResult, PutRecord -> version,
    AppendLeaf -> leaf index, AppendLines -> index of the first, the others -> None.
    """

    results: tuple[Any, ...]
    sequence: int
    at_us: int
    replayed: bool = False
    minted: Mapping[str, str] = msgspec.field(default_factory=dict)  # id asked for -> given


class Event(msgspec.Struct, frozen=True):
    """One thing that changed, after commit. `sequence` has no gaps: a missing one was lost.
    `subject`: whom it is about, where it was opened from behind a wall."""

    sequence: int
    at_us: int
    kind: Literal["entity", "attributes", "deleted", "backfill", "record", "hold"]
    urn: str
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    subject: str | None = None


class Watch(Protocol):
    """Asks for the images of what changes; set `types` to those of interest, "*" for any."""

    types: frozenset[str]

    def stop(self) -> None:
        """Ask no longer."""
        ...


def tell(event: Event, rule: TypeRule | None) -> Event | None:
    """What of an event exists under the rule for its types; a change of nothing but what does not
    exist is none."""
    if rule is None or (rule.attributes is None and not rule.without):
        return None if rule is None else event
    names = tuple(filter(rule.covers, event.names))
    return None if event.names and not names else msgspec.structs.replace(event, names=names)


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line about a person: its leaf, and what is kept beside it (still sealed)."""

    index: int
    leaf: bytes
    kept: KeptLine


@dataclass(frozen=True, slots=True)
class Heads:
    """How far each subject's own sequence goes in the first `size` leaves: (name, seq, leaf), by
    ascending name."""

    size: int
    heads: Sequence[tuple[bytes, int, int]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of entities; `count` only if asked for; `after` asks for the next page, if any."""

    entities: tuple[StoredEntity, ...]
    count: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record with its version and times."""

    kind: str
    id: str
    doc: dict[str, Any]
    version: int
    created_at_us: int
    modified_at_us: int


@dataclass(frozen=True, slots=True)
class Pool:
    """The running holds of a pool: how many units, and each hold's id, units and end."""

    units: int
    holds: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Facet:
    """What entities of a type have: an attribute name (empty: none at all) of a kind, how many
    instances of it, and how many entities of the type there are."""

    type: str
    name: str
    kind: str
    instances: int
    entities: int


class Store(HistoryStore, Evolving, Protocol):
    """State, history, records, holds and outbox. Reads are synchronous and quick.

    Every read raises Denied for a permit that is not a running "read" permit; rows and attributes
    outside its rules do not exist. `commit` needs a "write", "command" or "decide" permit.
    """

    @property
    def clock(self) -> Clock:
        """Never earlier than what was committed: expiry is judged by it."""
        ...

    def commit(self, permit: Permit, change: Change) -> Future[Committed]:
        """Queue one transaction. The future ends after fsync, or with a CityError: Invalid,
        NotFound, Conflict, Denied; Unavailable when disk or queue is full (nothing was written)."""
        ...

    def commit_async(self, permit: Permit, change: Change) -> Awaitable[Committed]:
        """The same for a coroutine."""
        ...

    def entity(self, permit: Permit, urn: str) -> StoredEntity:
        """One entity; NotFound when absent or hidden."""
        ...

    def decode(self, stored: StoredEntity) -> Entity:
        """The entity as values rather than bytes."""
        ...

    def query(self, permit: Permit, query: Query) -> Page:
        """Entities that match, by ascending id."""
        ...

    def expires_next_us(self) -> int:
        """When the next of what is kept expires, or has; a moment far away when nothing does.
        What has expired does not exist, whether it has been taken out yet or not; every commit, an
        empty one too, takes it out and tells of it."""
        ...

    def types(self, permit: Permit) -> tuple[tuple[str, int], ...]:
        """Entity types present and how many of each."""
        ...

    def facets(self, permit: Permit) -> list[Facet]:
        """Types present with their attributes and kinds. Reads all there is: it may be slow."""
        ...

    def record(self, permit: Permit, kind: str, record_id: str) -> Record:
        """One record; NotFound when absent or its kind is not covered."""
        ...

    def records(
        self,
        permit: Permit,
        kind: str,
        where: Mapping[str, str] | None = None,
        limit: int = 1000,
        after: str | None = None,
        newest: bool = False,
    ) -> list[Record]:
        """Records of a kind by ascending id, those whose keys equal `where`.

        `newest`: by when they were made, the last first; for what grows without end. Then `after`
        says nothing.
        """
        ...

    def pool(self, permit: Permit, pool: str) -> Pool:
        """The running holds of a pool, as of the committed clock."""
        ...

    def events(self, permit: Permit, after: int, limit: int = 1000) -> list[Event]:
        """Events after a sequence number, oldest first, of types that the permit covers."""
        ...

    def told(self, permit: Permit, event: Event) -> Event | None:
        """An event as it exists for a read permit, None when it does not."""
        ...

    def sequence(self) -> int:
        """The number of the newest committed event; 0 before the first."""
        ...

    def on_commit(self, listener: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call `listener` on the writer's thread after each group commit; returns how to stop.
        A listener must return at once (hand over to its own queue) and sees ids only, no values."""
        ...

    def watch(self, listener: Callable[[Sequence[Changed]], None]) -> Watch:
        """Call `listener` after each group commit with what changed of the watched types. A
        backfill is not among it. The listener must return at once."""
        ...

    def leaves(self, permit: Permit, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Committed ledger leaves from index `after` on, for the sequencer."""
        ...

    def leaves_about(self, permit: Permit, subject: str) -> list[int]:
        """The indices of the leaves that were written about a subject, oldest first."""
        ...

    def lines(
        self, permit: Permit, subject: bytes, after_seq: int = 0, limit: int = 1000
    ) -> list[StoredLine]:
        """The lines about one data subject (by keyed name), in the order of their sequence."""
        ...

    def line_count(self, permit: Permit, subject: bytes) -> int:
        """How many lines there are about one data subject: the number of the newest."""
        ...

    def traced(
        self, permit: Permit, trace: bytes, limit: int = 1000, newest: bool = False
    ) -> list[int]:
        """The indices of the leaves of one trace, oldest first, or the newest first."""
        ...

    def line_at(self, permit: Permit, index: int) -> StoredLine:
        """The line behind a leaf; NotFound when it is no line about a person."""
        ...

    def heads(self, permit: Permit, size: int | None = None) -> Heads:
        """The last line of every data subject among the first `size` leaves (None: of all there
        are now). Reads them all: it may be slow."""
        ...

    def leaf_payload(self, permit: Permit, index: int) -> bytes:
        """The private payload of a leaf; NotFound when absent or erased."""
        ...

    def scrub(self, permit: Permit) -> None:
        """What was erased leaves the write-ahead log and free pages too. It may be slow."""
        ...

    def backup(self, permit: Permit, target: str) -> None:
        """A consistent copy into the directory `target`, segments of history too, while writing
        goes on."""
        ...

    def close(self) -> None:
        """Finish what is queued, then stop."""
        ...
