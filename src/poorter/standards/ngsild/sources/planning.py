# SPDX-License-Identifier: EUPL-1.2
"""Which part of a write goes where (CIM 009, 5.6): what exclusive and redirect sources hold goes to
them alone, inclusive ones get what is left, and so does this city."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from poorter.city.errors import Denied, NotFound
from poorter.gate.gate import for_update
from poorter.gate.permit import Permit
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.sources.asking import Fault, Way
from poorter.standards.ngsild.sources.model import Registration
from poorter.standards.ngsild.sources.registry import Registry


@dataclass(frozen=True, slots=True)
class Target:
    """What is written to. `types` None: not known; `names` None: the entity as a whole."""

    urn: str
    types: tuple[str, ...] | None
    names: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Leg:
    """The part for one source; `fault`: why it can't have it."""

    registration: Registration
    names: frozenset[str] | None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`names`: what is left for this city; `here`: whether it takes part at all."""

    legs: tuple[Leg, ...]
    names: frozenset[str] | None
    here: bool

    @property
    def proxied(self) -> bool:
        """Whether any part is held by a source alone."""
        return any(leg.registration.proxied for leg in self.legs)


NOT_OFFERED = Fault(299, "the source that holds this does not offer the operation", 409)


def known_types(face: Face, permit: Permit, urn: str) -> tuple[str, ...] | None:
    """The types of an entity that is here, as far as the caller may write it."""
    try:
        return face.store.entity(for_update(permit), urn).types
    except NotFound:
        return None


def plan(
    face: Face,
    way: Way,
    permit: Permit,
    operations: tuple[str, ...],
    target: Target,
    temporal: bool = False,
) -> Plan:
    """Who does what, by any of `operations`. Raises Denied for what the caller may not write,
    wherever it is held. `temporal`: an evolution, of those who offer that; the latest state of an
    entity is no business of theirs, nor its evolution that of the others."""
    legs: list[Leg] = []
    left = target.names
    whole_elsewhere = False
    for mode in ("exclusive", "redirect", "inclusive"):
        offered = left
        for one in face.sources.registry.running():
            if one.mode != mode or (one.temporal and not temporal):
                continue
            if temporal and not one.operations.intersection(operations):
                continue
            part = _part(face.sources.registry, one, permit, target, offered)
            if part is None:
                continue
            names = None if target.names is None else part
            leg = _leg(way, one, operations, names)
            if leg is not None:
                legs.append(leg)
            if one.proxied and left is not None:
                left -= part
            elif mode == "redirect" and not part:
                whole_elsewhere = True
    here = not whole_elsewhere if target.names is None else bool(left) or not target.names
    if target.names is not None and not target.names and any(o.registration.proxied for o in legs):
        here = False
    return Plan(tuple(legs), left, here)


def _leg(
    way: Way, registration: Registration, operations: tuple[str, ...], names: frozenset[str] | None
) -> Leg | None:
    """None for an inclusive source that doesn't take part."""
    if not registration.operations.intersection(operations):
        return Leg(registration, names, NOT_OFFERED) if registration.proxied else None
    closed = way.closed(registration)
    if closed is not None and closed.status == 508 and not registration.proxied:
        return None  # it has been there: no failure
    return Leg(registration, names, closed)


def _part(
    registry: Registry,
    registration: Registration,
    permit: Permit,
    target: Target,
    offered: frozenset[str] | None,
) -> frozenset[str] | None:
    """The names that a source takes of those offered (empty: all, where a whole entity is
    written); None when it takes none of it."""
    registered = registration.names_of(target.urn, target.types)
    if registered is None:
        return None
    giving = registry.may(registration)
    if giving is None:
        return None
    types = target.types or _registered_types(registration, target.urn)
    check(permit, types, offered or ())
    rule, mine = giving.rule_of(types), permit.rule_of(types)
    if rule is None or mine is None:
        return None
    if rule.personal or mine.personal:
        seeing = registry.may_see(registration)
        if seeing is None or seeing.rule_of(types) is None:
            return None  # personal data goes to no one who may not read it
    if offered is None:
        return registered
    if not target.names:
        return None if registered else frozenset()
    some = frozenset(
        name for name in offered if (not registered or name in registered) and rule.covers(name)
    )
    return some or None


def _registered_types(registration: Registration, urn: str) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            name
            for part in registration.information
            for entity in part.entities
            if entity.covers(urn, None)
            for name in entity.types
        )
    )


def check(permit: Permit, types: tuple[str, ...], names: Iterable[str]) -> None:
    """Raises Denied unless the caller may write these attributes of such an entity."""
    rule = permit.rule_of(types) if types else permit.rule("")
    if rule is None or not all(map(rule.covers, names)):
        raise Denied
