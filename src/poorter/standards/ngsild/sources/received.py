# SPDX-License-Identifier: EUPL-1.2
"""What a source answers: read with distrust, held to what it registered, merged (CIM 009, 4.5.5).
Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from poorter.city.entity import Attribute
from poorter.city.errors import CityError, Invalid
from poorter.city.time import parse_us
from poorter.gate.permit import Permit
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import RESERVED, parse_entity
from poorter.standards.ngsild.sources.model import Registration
from poorter.store.body import encode_attribute
from poorter.store.contract import StoredAttribute, StoredEntity
from poorter.store.transient import ends_at_us

Key = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Instance:
    """An attribute instance of one source. `modified_us` None: the source doesn't tell."""

    stored: StoredAttribute
    observed_us: int | None
    modified_us: int | None


@dataclass(frozen=True, slots=True)
class Received:
    """An entity as one source has it."""

    urn: str
    types: tuple[str, ...]
    scopes: tuple[str, ...]
    created_us: int | None
    modified_us: int | None
    instances: tuple[Instance, ...]


def read_entity(doc: Any, context: Context, now_us: int) -> Received | None:
    """One entity of an answer; None for one that is over. Raises Invalid."""
    if not isinstance(doc, dict):
        raise Invalid("an entity is a JSON object")
    if _over(doc, now_us):
        return None
    doc = {name: _without_over(value, now_us) for name, value in doc.items()}
    doc = {name: value for name, value in doc.items() if value is not None}
    entity = parse_entity(doc, context)
    times = _times(doc, context)
    instances = []
    for attribute in entity.attributes:
        created_us, modified_us = times.get(attribute.key, (None, None))
        stored = StoredAttribute(
            attribute.name,
            attribute.dataset_id,
            encode_attribute(attribute),
            created_us or modified_us or now_us,
            modified_us or now_us,
            ends_at_us(attribute),
        )
        instances.append(Instance(stored, attribute.observed_at_us, modified_us))
    return Received(
        entity.urn,
        entity.types,
        entity.scopes,
        _moment(doc, "createdAt"),
        _moment(doc, "modifiedAt"),
        tuple(instances),
    )


def _over(doc: Mapping[str, Any], now_us: int) -> bool:
    ends_us = _moment(doc, "expiresAt")
    return ends_us is not None and ends_us <= now_us


def _without_over(value: Any, now_us: int) -> Any:
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return [one for one in value if not _over(one, now_us)] or None
    return None if isinstance(value, dict) and _over(value, now_us) else value


def _moment(doc: Mapping[str, Any], member: str) -> int | None:
    value = doc.get(member)
    if not isinstance(value, str):
        return None
    try:
        return parse_us(value)
    except CityError:
        return None


def _times(doc: Mapping[str, Any], context: Context) -> dict[Key, tuple[int | None, int | None]]:
    """createdAt and modifiedAt of each instance, by name and datasetId."""
    found: dict[Key, tuple[int | None, int | None]] = {}
    for term, value in doc.items():
        if term in RESERVED:
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                key = (context.expand(term), one.get("datasetId"))
                found[key] = (_moment(one, "createdAt"), _moment(one, "modifiedAt"))
    return found


def held_to(
    received: Received, registration: Registration, giving: Permit, ids: frozenset[str] | None
) -> Received | None:
    """What of an entity a source may give: only entities and attributes that it registered, that
    were asked for, and that the one who registered it may write here. None for nothing."""
    if ids is not None and received.urn not in ids:
        return None
    names = registration.names_of(received.urn, received.types)
    rule = giving.rule_of(received.types)
    if names is None or rule is None:
        return None
    kept = tuple(
        one
        for one in received.instances
        if (not names or one.stored.name in names)
        and rule.covers(one.stored.name)
        and (registration.datasets is None or one.stored.dataset_id in registration.datasets)
    )
    if not kept and received.instances:
        return None
    return replace(received, instances=kept)


def from_here(stored: StoredEntity, attributes: Iterable[Attribute]) -> Received:
    """What this city itself has, in the same form."""
    observed = {one.key: one.observed_at_us for one in attributes}
    return Received(
        stored.urn,
        stored.types,
        stored.scopes,
        stored.created_at_us,
        stored.modified_at_us,
        tuple(
            Instance(one, observed.get((one.name, one.dataset_id)), one.modified_at_us)
            for one in stored.attributes
        ),
    )


def without_registered(mine: Received, registration: Registration) -> Received:
    """What is here beside what only the source has (4.3.6.3): a copy here counts for nothing."""
    names = registration.names_of(mine.urn, mine.types)
    if names is None:
        return mine
    kept = tuple(one for one in mine.instances if names and one.stored.name not in names)
    return replace(mine, instances=kept)


def merged(parts: Iterable[Received], auxiliary: Iterable[Received], now_us: int) -> StoredEntity:
    """One entity of all parts; of two instances with one name and datasetId the newer one stands.
    Auxiliary parts add attributes that are nowhere else."""
    known = list(parts)
    best: dict[Key, Instance] = {}
    for part in known:
        for one in part.instances:
            key = (one.stored.name, one.stored.dataset_id)
            if key not in best or newer(one, best[key]):
                best[key] = one
    names = {name for name, _ in best}
    for part in auxiliary:
        known.append(part)
        for one in part.instances:
            if one.stored.name not in names:
                best.setdefault((one.stored.name, one.stored.dataset_id), one)
    created = [part.created_us for part in known if part.created_us is not None]
    modified = [part.modified_us for part in known if part.modified_us is not None]
    return StoredEntity(
        known[0].urn,
        tuple(dict.fromkeys(name for part in known for name in part.types)),
        tuple(dict.fromkeys(scope for part in known for scope in part.scopes)),
        0,
        min(created, default=now_us),
        max(modified, default=now_us),
        tuple(one.stored for one in best.values()),
    )


def newer(one: Instance, other: Instance) -> bool:
    """4.5.5.3: by observedAt, else by modifiedAt; where nothing tells, the first one stands."""
    if one.observed_us is not None and other.observed_us is not None:
        if one.observed_us != other.observed_us:
            return one.observed_us > other.observed_us
    elif one.observed_us is not None and other.modified_us is None:
        return True  # it tells a time at all
    if one.modified_us is None or other.modified_us is None:
        return False
    return one.modified_us > other.modified_us
