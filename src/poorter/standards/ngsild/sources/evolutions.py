# SPDX-License-Identifier: EUPL-1.2
"""Temporal evolutions that sources have a part in, read with distrust and laid over the store for
one request (CIM 009, 4.5.5, 4.5.7, 5.7.3.4, 5.7.4.4). Pure but for the store beneath."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from poorter.city.entity import VALUE_KEY, Attribute, Entity, Instance
from poorter.city.errors import CityError, Invalid, NotFound
from poorter.city.ids import check_uri
from poorter.city.query import EvolutionQuery, Query, TemporalProperty
from poorter.city.time import parse_us
from poorter.gate.permit import Permit, TypeRule
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import (
    NULL,
    RESERVED,
    parse_attribute,
    parse_scopes,
    parse_types,
)
from poorter.standards.ngsild.sources.model import Registration
from poorter.standards.ngsild.sources.overlay import meant
from poorter.standards.ngsild.temporal.asking import time_of
from poorter.store.contract import Store
from poorter.store.evolving import Evolution

INSTANCES_MAX = 20_000  # of one entity in one answer of a source
_TIMES = frozenset(("createdAt", "modifiedAt", "deletedAt", "expiresAt"))
_FAR_US = 2**62


@dataclass(frozen=True, slots=True)
class Part:
    """An evolution as one source has it."""

    urn: str
    types: tuple[str, ...]
    instances: tuple[Instance, ...]
    scopes: tuple[Instance, ...]
    created_us: int
    modified_us: int
    registration: Registration


def read_part(doc: Any, context: Context, registration: Registration, now_us: int) -> Part:
    """One evolution of an answer. Raises Invalid."""
    if not isinstance(doc, dict):
        raise Invalid("an evolution is a JSON object")
    instances: list[Instance] = []
    for term, value in doc.items():
        if term in RESERVED or term in _TIMES:
            continue
        name = context.expand(term)
        for one in value if isinstance(value, list) else [value]:
            instances.append(_instance(name, one, context))
    if len(instances) > INSTANCES_MAX:
        raise Invalid(f"over {INSTANCES_MAX} instances")
    created_us = _moment(doc, "createdAt")
    return Part(
        check_uri(doc.get("id"), "id"),
        parse_types(doc.get("type"), context),
        tuple(instances),
        _scopes(doc.get("scope"), context),
        now_us if created_us is None else created_us,
        _moment(doc, "modifiedAt") or created_us or now_us,
        registration,
    )


def _instance(name: str, doc: Any, context: Context) -> Instance:
    if not isinstance(doc, dict):
        raise Invalid("an instance is a JSON object")
    gone_us = _moment(doc, "deletedAt")
    kind = str(doc.get("type", "Property"))
    if gone_us is not None and kind in VALUE_KEY:  # it has no value any more
        attribute = Attribute(
            name,
            doc.get(VALUE_KEY[kind], NULL),
            kind,  # type: ignore[arg-type]
            dataset_id=doc.get("datasetId"),
        )
    else:
        attribute = parse_attribute(name, doc, context)
    attribute = replace(
        attribute,
        created_at_us=_moment(doc, "createdAt"),
        modified_at_us=_moment(doc, "modifiedAt"),
    )
    known = doc.get("instanceId")
    return Instance(attribute, known if isinstance(known, str) else "", gone_us)


def _scopes(value: Any, context: Context) -> tuple[Instance, ...]:
    if value is None:
        return ()
    listed = value if isinstance(value, list) else [value]
    if all(isinstance(one, dict) for one in listed):
        return tuple(_instance("scope", one, context) for one in listed)
    parse_scopes(value)
    return (Instance(Attribute("scope", value), ""),)


def _moment(doc: Mapping[str, Any], member: str) -> int | None:
    value = doc.get(member)
    try:
        return parse_us(value) if isinstance(value, str) else None
    except CityError:
        return None


def held_to(part: Part, giving: Permit, ids: frozenset[str] | None) -> Part | None:
    """What of it the source may give: what it registered, and who registered it may write here."""
    registration = part.registration
    names = registration.names_of(part.urn, part.types)
    rule = giving.rule_of(part.types)
    if names is None or rule is None or (ids is not None and part.urn not in ids):
        return None
    kept = tuple(
        one
        for one in part.instances
        if (not names or one.attribute.name in names)
        and rule.covers(one.attribute.name)
        and (registration.datasets is None or one.attribute.dataset_id in registration.datasets)
    )
    return replace(part, instances=kept)


class OverEvolutions:
    """A store whose evolutions have what sources gave merged in."""

    def __init__(self, store: Store, found: Mapping[str, list[Part]]) -> None:
        self._store = store
        self._found = found
        self._ids = sorted(found)

    def __getattr__(self, name: str) -> Any:
        """All that has nothing to do with sources is the store's own."""
        return getattr(self._store, name)

    def evolution(self, permit: Permit, query: EvolutionQuery) -> Evolution:
        """One evolution, merged. Raises NotFound, TooLarge."""
        parts = self._found.get(query.urn)
        if not parts:
            return self._store.evolution(permit, query)
        try:
            here: Evolution | None = self._store.evolution(permit, query)
        except NotFound:
            here = None
        types = dict.fromkeys(name for part in parts for name in part.types)
        rule = permit.rule_of(here.types if here is not None else tuple(types))
        if rule is None:
            raise NotFound(f"{query.urn} is not there")
        return merged(here, parts, rule, query)

    def evolving(self, permit: Permit, query: Query) -> tuple[str, ...]:
        """A page of ids of what is here and what is elsewhere."""
        page = self._store.evolving(permit, query)
        last = page[-1] if len(page) >= query.limit and page else None
        start = 0 if query.after is None else bisect_right(self._ids, query.after)
        bare = replace(query, attributes=())
        ready = [
            urn
            for urn in self._ids[start:]
            if (last is None or urn <= last) and self._meant(permit, bare, urn)
        ]
        return tuple(sorted({*page, *ready}))[: query.limit]

    def _meant(self, permit: Permit, query: Query, urn: str) -> bool:
        types = tuple(dict.fromkeys(name for part in self._found[urn] for name in part.types))
        return permit.rule_of(types) is not None and meant(query, Entity(urn, types, ()))


def merged(
    here: Evolution | None, parts: list[Part], rule: TypeRule, query: EvolutionQuery
) -> Evolution:
    """One evolution of all parts, as the store would answer the question."""
    newest = query.last is not None
    time: TemporalProperty | None = query.time or ("observedAt" if newest else None)
    known: dict[tuple[Any, ...], Instance] = {}
    for one in _left(here, parts):
        known[_identity(one)] = one
    end = _end(here, time, newest)
    for part in sorted(parts, key=lambda one: one.registration.mode == "auxiliary"):
        taken = {_at(one, time) for one in known.values()}
        for one in part.instances:
            if not _asked(one, rule, query, time):
                continue
            if part.registration.mode == "auxiliary" and _at(one, time) in taken:
                continue
            moment = _order(one, time)
            if end is not None and (moment < end if newest else moment > end):
                continue
            _put(known, one)
    found, beyond = _cut(list(known.values()), query, time, newest)
    if here is not None and here.beyond is not None:
        beyond = (beyond or frozenset()) | here.beyond
    return Evolution(
        query.urn,
        tuple(dict.fromkeys([*(here.types if here else ()), *(n for p in parts for n in p.types)])),
        min([part.created_us for part in parts] + ([here.created_at_us] if here else [])),
        max([part.modified_us for part in parts] + ([here.modified_at_us] if here else [])),
        None,
        tuple(found),
        (here.scopes if here else ()) or next((p.scopes for p in parts if p.scopes), ()),
        beyond,
        here.expires_at_us if here else None,
        merged=True,
    )


def chosen(kept: Evolution, rule: TypeRule, query: EvolutionQuery, now_us: int) -> Evolution:
    """What a question means of an evolution that is at hand whole, as the store would answer it."""
    newest = query.last is not None
    time: TemporalProperty | None = query.time or ("observedAt" if newest else None)
    since_us = -_FAR_US if rule.retention_us is None else now_us - rule.retention_us
    wanted = [
        one
        for one in kept.instances
        if _asked(one, rule, query, time) and _order(one, None) >= since_us
    ]
    found, beyond = _cut(wanted, query, time, newest)
    return replace(kept, instances=tuple(found), beyond=beyond, merged=True)


def together(one: Evolution, other: Evolution) -> Evolution:
    """Two answers about the same evolution as one."""
    known = {_identity(instance): instance for instance in one.instances}
    for instance in other.instances:
        _put(known, instance)
    return replace(one, instances=tuple(known.values()), merged=True)


def _left(here: Evolution | None, parts: Iterable[Part]) -> list[Instance]:
    """What is here beside what only sources have (4.3.6.3)."""
    if here is None:
        return []
    found = list(here.instances)
    for part in parts:
        if part.registration.proxied:
            names = part.registration.names_of(here.urn, here.types)
            if names is not None:
                found = [one for one in found if names and one.attribute.name not in names]
    return found


def _identity(one: Instance) -> tuple[Any, ...]:
    a = one.attribute
    if one.deleted_at_us is not None:
        return a.name, a.dataset_id, "gone", one.deleted_at_us
    if a.observed_at_us is not None:
        return a.name, a.dataset_id, "at", a.observed_at_us
    return a.name, a.dataset_id, "as", one.instance_id or repr(a.value)


def _put(known: dict[tuple[Any, ...], Instance], one: Instance) -> None:
    key = _identity(one)
    other = known.get(key)
    if other is None or (one.attribute.modified_at_us or 0) > (other.attribute.modified_at_us or 0):
        known[key] = one


def _asked(
    one: Instance, rule: TypeRule, query: EvolutionQuery, time: TemporalProperty | None
) -> bool:
    a = one.attribute
    if not rule.covers(a.name) or (query.names and a.name not in query.names):
        return False
    if query.dataset_ids and a.dataset_id not in query.dataset_ids:
        return False
    if time is None:
        return True
    moment_us = time_of(one, time)
    return (
        moment_us is not None
        and (query.from_us is None or moment_us >= query.from_us)
        and (query.until_us is None or moment_us < query.until_us)
    )


def _at(one: Instance, time: TemporalProperty | None) -> tuple[Any, ...]:
    a = one.attribute
    return a.name, a.dataset_id, time_of(one, time or "observedAt")


def _order(one: Instance, time: TemporalProperty | None) -> int:
    for name in (time or "observedAt", "observedAt", "createdAt"):
        moment_us = time_of(one, name)
        if moment_us is not None:
            return moment_us
    return -_FAR_US if one.deleted_at_us is None else one.deleted_at_us


def _end(here: Evolution | None, time: TemporalProperty | None, newest: bool) -> int | None:
    """The last moment that the store answered for; None where that is all there is."""
    if here is None or here.beyond is None or not here.instances:
        return None
    moments = [_order(one, time) for one in here.instances]
    return min(moments) if newest else max(moments)


def _cut(
    instances: list[Instance], query: EvolutionQuery, time: TemporalProperty | None, newest: bool
) -> tuple[list[Instance], frozenset[str] | None]:
    """In the order of time: the last of each name, and no more than the limit with all of the
    last moment; then by name."""
    instances.sort(key=lambda one: _order(one, time), reverse=newest)
    if query.last is not None:
        numbers: dict[str, int] = {}
        kept = []
        for one in instances:
            number = numbers[one.attribute.name] = numbers.get(one.attribute.name, 0) + 1
            if number <= query.last:
                kept.append(one)
        instances = kept
    most = query.limit
    while most < len(instances) and _order(instances[most], time) == _order(
        instances[most - 1], time
    ):
        most += 1
    beyond = frozenset(one.attribute.name for one in instances) if most < len(instances) else None
    found = instances[:most]
    found.sort(key=lambda one: one.attribute.name)
    return found, beyond
