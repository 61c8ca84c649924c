# SPDX-License-Identifier: EUPL-1.2
"""The part of the contract that is about temporal evolutions (CIM 009, 4.5.6, 5.6.11 to 5.6.16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from poorter.city.entity import Attribute, Entity, Instance
from poorter.city.query import EvolutionQuery, Query
from poorter.gate.permit import Permit


@dataclass(frozen=True, slots=True)
class AddInstances:
    """Add attribute instances to the temporal evolution of an entity (CIM 009, 5.6.11, 5.6.12);
    `entity` holds any number of each attribute. The identity of a reading holds here too. An
    unknown entity is made, unless `must_exist`: NotFound. State is touched only when an instance is
    newer; nobody is notified. `gone`: attributes that are recorded as deleted (4.5.7), their values
    NGSI-LD Null, which leave state as it is. Result: whether the entity is new."""

    entity: Entity
    must_exist: bool = False
    gone: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplaceInstance:
    """An instance becomes this one; it keeps its id and createdAt. NotFound when there is none."""

    urn: str
    name: str
    instance_id: str
    attribute: Attribute


@dataclass(frozen=True, slots=True)
class DeleteInstances:
    """Instances go: that of `instance_id`, else those of an attribute under one datasetId or all
    of them, else (no name) the whole evolution. State stays, but of an entity that was made of its
    evolution and never written since. NotFound when there are none."""

    urn: str
    name: str | None = None
    dataset_id: str | None = None
    every_dataset: bool = False
    instance_id: str | None = None


EvolutionOp = AddInstances | ReplaceInstance | DeleteInstances


@dataclass(frozen=True, slots=True)
class Evolution:
    """The temporal evolution of an entity, as far as it was asked for: instances by name, each in
    the order of their time. `beyond`: there are more after the last of them, and these are the
    names that have any at all; else None. `scopes`: all of the scope in time, as instances of a
    Property "scope". `deleted_at_us`: the entity is gone since. `merged`: parts of it are from
    elsewhere, so that what the store aggregates is not all of it."""

    urn: str
    types: tuple[str, ...]
    created_at_us: int
    modified_at_us: int
    deleted_at_us: int | None
    instances: tuple[Instance, ...]
    scopes: tuple[Instance, ...]
    beyond: frozenset[str] | None
    expires_at_us: int | None = None
    merged: bool = False


class Evolving(Protocol):
    """What a store answers about evolutions, under a "read" permit."""

    def evolution(self, permit: Permit, query: EvolutionQuery) -> Evolution:
        """Instances of one entity, also of one that is gone. NotFound when it is not there, hidden,
        or nothing is kept of it; TooLarge when it takes too long."""
        ...

    def evolving(self, permit: Permit, query: Query) -> tuple[str, ...]:
        """A page of ids of entities, also of those gone, by type, id and pattern of the query;
        what else it asks is for whoever reads their evolution."""
        ...
