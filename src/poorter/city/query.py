# SPDX-License-Identifier: EUPL-1.2
"""What is asked of the context, as data. Codecs make these; stores answer them.

`q` follows CIM 009, 4.9; the tree here is what its grammar means, not how it is spelt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from poorter.city.limits import HISTORY_PAGE_MAX, PAGE_DEFAULT

Comparison = Literal["==", "!=", ">", ">=", "<", "<=", "~=", "!~="]
TemporalProperty = Literal["observedAt", "createdAt", "modifiedAt", "deletedAt"]
GeoRelation = Literal["near", "within", "contains", "intersects", "equals", "disjoint", "overlaps"]


@dataclass(frozen=True, slots=True)
class Path:
    """Attribute path: `name`, then sub-attributes (`a.b`), then keys in the value (`[x.y]`).

    `linked`: `name` is a Relationship, and the path goes on in the entity that it leads to, which
    must be of one of `linked_types` where any are given (`a{T:b}`).
    """

    name: str
    sub: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    linked: Path | None = None
    linked_types: tuple[str, ...] = ()


class Iri(str):
    """A text in a condition that is the IRI of a term; `name` is what that term is called here."""

    name: str

    @staticmethod
    def of(iri: str, name: str) -> Iri:
        """The IRI of `name`."""
        found = Iri(iri)
        found.name = name
        return found


@dataclass(frozen=True, slots=True)
class Moment:
    """A date-time in a condition, compared as a moment and not as text."""

    at_us: int


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends included, as `a..b` in q."""

    low: Any
    high: Any


@dataclass(frozen=True, slots=True)
class Exists:
    """True when the path is there."""

    path: Path


@dataclass(frozen=True, slots=True)
class Compare:
    """`path op any of values`; a value is a number, text, boolean, Moment or Range."""

    path: Path
    op: Comparison
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    terms: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    terms: tuple[Condition, ...]


Condition = Exists | Compare | And | Or


@dataclass(frozen=True, slots=True)
class Geo:
    """A relation between an entity's geometry and `geometry`; distances in metres."""

    relation: GeoRelation
    geometry: dict[str, Any]
    attribute: str = "location"
    max_distance_m: float | None = None
    min_distance_m: float | None = None


@dataclass(frozen=True, slots=True)
class Scopes:
    """Entities in all scopes of one of the alternatives (4.19). A pattern is a path; "+" stands
    for one level, a last "#" for the scope and all below it; "/#" is any scope at all."""

    alternatives: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Selector:
    """Entities with all types of one of the sets, one of the ids, and an id of the pattern; what
    is empty asks for nothing."""

    type_sets: tuple[tuple[str, ...], ...] = ()
    ids: tuple[str, ...] = ()
    id_pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Which entities, in ascending order of id. `after` is the last id of the page before.

    `types`: of at least one of them. `type_sets`: of all types of one of these sets (4.17).
    """

    types: tuple[str, ...] = ()
    type_sets: tuple[tuple[str, ...], ...] = ()
    scopes: Scopes | None = None
    selectors: tuple[Selector, ...] = ()  # entities that one of these means
    ids: tuple[str, ...] = ()
    id_pattern: str | None = None
    attributes: tuple[str, ...] = ()  # entities having at least one of these
    condition: Condition | None = None
    geo: Geo | None = None
    limit: int = PAGE_DEFAULT
    after: str | None = None
    count: bool = False


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which observations of one entity: names (none = all), [from, until) in event time."""

    urn: str
    names: tuple[str, ...] = ()
    from_us: int | None = None
    until_us: int | None = None
    last: int | None = None  # only the newest so many per attribute
    limit: int = 1000
    corrections: bool = False  # False: only the latest word on each moment
    dataset_ids: tuple[str | None, ...] = field(default=())  # none = all


@dataclass(frozen=True, slots=True)
class EvolutionQuery:
    """Which attribute instances of one entity (CIM 009, 4.11): those whose `time` lies in
    [from, until); None asks for all, also for what has no moment. `last`: only the newest so many
    of each attribute, the newest first. At most `limit` instances, and all of the last moment."""

    urn: str
    names: tuple[str, ...] = ()  # none = all
    dataset_ids: tuple[str | None, ...] = ()  # none = all
    time: TemporalProperty | None = "observedAt"
    from_us: int | None = None
    until_us: int | None = None
    last: int | None = None
    limit: int = HISTORY_PAGE_MAX
