# SPDX-License-Identifier: EUPL-1.2
"""All that a store keeps, row by row, in words that no engine has for its own: for whoever leaves
with it, comes back with it, or moves it into another engine.

Rows name entities by id and attributes by name, never by an engine's numbers. What an engine makes
of rows again (indexes, segments, cells) is not among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import msgspec

from poorter.gate.permit import Permit

_decode = msgspec.json.Decoder().decode
_canonical = msgspec.msgpack.Encoder(order="sorted").encode
_SUM = 1 << 256


class AttributeRow(msgspec.Struct, frozen=True, array_like=True):
    """One instance of an attribute in the state; `body` as in `StoredAttribute`."""

    name: str
    dataset: str  # "" for the default instance
    body: bytes
    created_us: int
    modified_us: int


class EntityRow(msgspec.Struct, frozen=True, array_like=True, tag="entity"):
    """An entity with its state. Not `live`: it is gone, and its history is kept."""

    kind: ClassVar[str] = "entities"
    urn: str
    types: tuple[str, ...]
    scopes: tuple[str, ...]
    version: int
    created_us: int
    modified_us: int
    live: bool
    expires_us: int | None
    attributes: tuple[AttributeRow, ...]


class ObservationRow(msgspec.Struct, frozen=True, array_like=True, tag="observation"):
    """One word on one moment; `value` is a number, text, or JSON in bytes."""

    kind: ClassVar[str] = "observations"
    urn: str
    name: str
    dataset: str
    observed_us: int
    sequence: int
    received_us: int
    quality: int
    value: int | float | str | bytes


class InstanceRow(msgspec.Struct, frozen=True, array_like=True, tag="instance"):
    """What a temporal instance says beyond value and moment; `body` is JSON."""

    kind: ClassVar[str] = "instances"
    urn: str
    name: str
    dataset: str
    observed_us: int
    n: int
    id: str
    created_us: int
    modified_us: int
    deleted_us: int | None
    body: bytes


class EvolvedRow(msgspec.Struct, frozen=True, array_like=True, tag="evolved"):
    """An entity that was made of its evolution, and the version that left it at."""

    kind: ClassVar[str] = "evolved"
    urn: str
    version: int


class RecordRow(msgspec.Struct, frozen=True, array_like=True, tag="record"):
    """A record with what it is listed by."""

    kind: ClassVar[str] = "records"
    of: str
    id: str
    doc: dict[str, Any]
    version: int
    created_us: int
    modified_us: int
    keys: tuple[tuple[str, str], ...]


class HoldRow(msgspec.Struct, frozen=True, array_like=True, tag="hold"):
    """A hold on a pool."""

    kind: ClassVar[str] = "holds"
    pool: str
    id: str
    units: int
    until_us: int


class ReplayRow(msgspec.Struct, frozen=True, array_like=True, tag="replay"):
    """The answer to a change that had an idempotency key."""

    kind: ClassVar[str] = "replays"
    key: str
    at_us: int
    answer: bytes


class EventRow(msgspec.Struct, frozen=True, array_like=True, tag="event"):
    """An event of the outbox."""

    kind: ClassVar[str] = "events"
    sequence: int
    at_us: int
    what: str
    urn: str
    types: tuple[str, ...]
    names: tuple[str, ...]


class LeafRow(msgspec.Struct, frozen=True, array_like=True, tag="leaf"):
    """A ledger leaf with what stays private of it."""

    kind: ClassVar[str] = "leaves"
    index: int
    leaf: bytes
    subject: str | None
    payload: bytes | None


class LineRow(msgspec.Struct, frozen=True, array_like=True, tag="line"):
    """Which place a line has in the sequence of its subject (by keyed name)."""

    kind: ClassVar[str] = "lines"
    subject: bytes
    seq: int
    leaf: int


class TraceRow(msgspec.Struct, frozen=True, array_like=True, tag="trace"):
    """Leaves of one trace: `number` of them from `first` on."""

    kind: ClassVar[str] = "traces"
    trace: bytes
    first: int
    number: int


Row: TypeAlias = (
    EntityRow
    | ObservationRow
    | InstanceRow
    | EvolvedRow
    | RecordRow
    | HoldRow
    | ReplayRow
    | EventRow
    | LeafRow
    | LineRow
    | TraceRow
)
#: in the order in which a store takes them in: entities before what is said of them
ROW_TYPES: tuple[type[Row], ...] = (
    EntityRow,
    ObservationRow,
    InstanceRow,
    EvolvedRow,
    RecordRow,
    HoldRow,
    ReplayRow,
    EventRow,
    LeafRow,
    LineRow,
    TraceRow,
)


class Contents(Protocol):
    """What there is as of one moment. `sequence`, `at_us`: of the newest event at that moment."""

    sequence: int
    at_us: int

    def rows(self, row_type: type[Row]) -> Iterator[Row]:
        """All rows of one type that exist for the permit, in no order that is promised. Raises
        Denied once the grant is gone, Unavailable when a lease ended that nobody renews, or a file
        of history is damaged."""
        ...

    def __enter__(self) -> Contents: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        wrong: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class Movable(Protocol):
    """The part of the store contract that is about moving all of it."""

    def contents(self, permit: Permit, renewed: Callable[[], Permit] | None = None) -> Contents:
        """All that the "read" permit covers, as of now, while writing goes on. `renewed` asks the
        gate anew: it takes longer than a lease lasts. Close it: it keeps old state from going."""
        ...

    def take_in(self, permit: Permit, rows: Sequence[Row]) -> None:
        """Write rows exactly as they are, in one transaction; what is there under the same key is
        replaced. For a store that nobody else uses meanwhile; open it anew before it serves.

        Raises: Denied unless the permit is a running "administer" one for everything; Invalid for
        a row that can't be; Unavailable when the disk is full (nothing was written)."""
        ...


class Digest:
    """A fingerprint of rows, whatever their order: per type how many, and the sum of their SHA-256
    (mod 2^256). Equal for equal rows; what differs by accident never agrees."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, row: Row) -> None:
        """Count a row in."""
        number, total = self._found.get(row.kind, (0, 0))
        self._found[row.kind] = number + 1, (total + fingerprint(row)) % _SUM

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, counted as they pass."""
        for row in rows:
            self.add(row)
            yield row

    def by_kind(self) -> dict[str, tuple[int, str]]:
        """How many rows of each kind, and their fingerprint in hexadecimal."""
        kinds = (row_type.kind for row_type in ROW_TYPES)
        found = ((kind, *self._found.get(kind, (0, 0))) for kind in kinds)
        return {kind: (number, f"{total:064x}") for kind, number, total in found}


def fingerprint(row: Row) -> int:
    """SHA-256 of a row in a form that no engine's way of keeping JSON or order changes."""
    plain: Any = row
    if isinstance(row, EntityRow):
        attributes = sorted(
            (a.name, a.dataset, _decode(a.body), a.created_us, a.modified_us)
            for a in row.attributes
        )
        rest = (row.live, row.expires_us, attributes)
        plain = ("entity", row.urn, row.types, row.scopes, *_times(row), *rest)
    elif isinstance(row, InstanceRow):
        times = (row.created_us, row.modified_us, row.deleted_us)
        key = (row.urn, row.name, row.dataset, row.observed_us, row.n)
        plain = ("instance", key, row.id, times, _decode(row.body))
    elif isinstance(row, ObservationRow) and isinstance(row.value, bytes):
        plain = ("json", msgspec.structs.replace(row, value=""), _decode(row.value))
    return int.from_bytes(hashlib.sha256(_canonical(plain)).digest())


def digest_of(contents: Contents) -> dict[str, tuple[int, str]]:
    """The fingerprint of all there is."""
    digest = Digest()
    for row_type in ROW_TYPES:
        for row in contents.rows(row_type):
            digest.add(row)
    return digest.by_kind()


def _times(row: EntityRow) -> tuple[int, int, int]:
    return row.version, row.created_us, row.modified_us
