# SPDX-License-Identifier: EUPL-1.2
"""Which registrations a question or a subscription means (CIM 009, 5.12, 5.10.2): pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from poorter.city.errors import Invalid
from poorter.city.matching import matches
from poorter.city.pattern import occurs
from poorter.city.query import And, Condition, Geo, Or, Scopes, Selector
from poorter.city.scope import scope_pattern
from poorter.standards.ngsild.decode import parse_moment
from poorter.standards.ngsild.sources.model import EntityInfo, Information, Registration
from poorter.store.geometry import related

_MANAGED = ("createdAt", "modifiedAt", "deletedAt")
_TIME = ("timerel", "timeAt", "endTimeAt", "timeproperty")


@dataclass(frozen=True, slots=True)
class During:
    """A temporal query (4.11) as far as it chooses sources: the interval that is looked at, and
    the time that it must share; None has no end on that side."""

    interval: str
    from_us: int | None
    until_us: int | None


@dataclass(frozen=True, slots=True)
class Sought:
    """What a registration is held against. Empty parts ask for nothing. `open`: a place or scope
    that a registration does not tell of rules nothing out; who looks for sources wants it told.
    `temporal`: evolutions are asked for, in the time `during` or at any."""

    selectors: tuple[Selector, ...] = ()
    names: frozenset[str] = frozenset()
    geo: Geo | None = None
    scopes: Scopes | None = None
    during: During | None = None
    filter: Condition | None = None  # csf, on the properties of the source itself
    datasets: frozenset[str | None] | None = None
    open: bool = False
    temporal: bool = False


def parse_datasets(given: str | None) -> frozenset[str | None] | None:
    """The datasetId parameter; None among them is the default instance."""
    if not given:
        return None
    return frozenset(None if one == "@none" else one for one in given.split(","))


def parse_during(given: Mapping[str, Any]) -> During | None:
    """The temporal query of a request or of temporalQ. Raises Invalid."""
    if not any(given.get(name) for name in _TIME):
        return None
    relation = given.get("timerel")
    if relation not in ("before", "after", "between") or not given.get("timeAt"):
        raise Invalid("a temporal query has timerel before, after or between, and timeAt")
    if given.get("timeproperty") not in (None, "", "observedAt", *_MANAGED):
        raise Invalid("timeproperty is observedAt, createdAt, modifiedAt or deletedAt")
    managed = given.get("timeproperty") in _MANAGED
    interval = "managementInterval" if managed else "observationInterval"
    at_us = parse_moment("the temporal query", given["timeAt"], "timeAt")
    if relation == "before":
        return During(interval, None, at_us)
    if relation == "after":
        return During(interval, at_us, None)
    if not given.get("endTimeAt"):
        raise Invalid("between needs endTimeAt")
    until_us = parse_moment("the temporal query", given["endTimeAt"], "endTimeAt")
    return During(interval, at_us, until_us)


def names_in_condition(condition: Condition | None) -> frozenset[str]:
    """The attributes that a condition speaks of."""
    if condition is None:
        return frozenset()
    if isinstance(condition, And | Or):
        return frozenset().union(*map(names_in_condition, condition.terms))
    return frozenset((condition.path.name,))


def fitting(registration: Registration, sought: Sought) -> tuple[Information, ...]:
    """The parts of its information that fit; none when it isn't meant at all."""
    if (
        not _in_time(registration, sought)
        or not _in_place(registration, sought.geo, sought.open)
        or not _in_scope(registration, sought.scopes, sought.open)
        or (sought.filter is not None and not matches(registration.own, sought.filter))
        or not _in_datasets(registration, sought.datasets)
    ):
        return ()
    return tuple(one for one in registration.information if _informs(one, sought))


def _informs(one: Information, sought: Sought) -> bool:
    if sought.names and one.names and not sought.names & one.names:
        return False
    if not sought.selectors or not one.entities:
        return True
    return any(fits(entity, asked) for entity in one.entities for asked in sought.selectors)


def fits(entity: EntityInfo, asked: Selector) -> bool:
    """5.12: whether a selector and an EntityInfo can mean the same entity."""
    if asked.type_sets and entity.types:
        have = set(entity.types)
        # a registration need not name all types of its entities: one that is asked will do
        if not any(have.intersection(names) for names in asked.type_sets):
            return False
    if entity.id is None and entity.pattern is None:
        return True
    if entity.id is not None:
        if asked.ids:
            return entity.id in asked.ids
        return asked.id_pattern is None or occurs(asked.id_pattern, entity.id)
    if asked.ids:
        return any(entity.covers(urn, None) for urn in asked.ids)
    return True  # two patterns: whether an id meets both can't be told


def _in_time(registration: Registration, sought: Sought) -> bool:
    during = sought.during
    if during is None:
        return sought.temporal or not registration.temporal
    interval = registration.temporal.get(during.interval)
    if interval is None:
        return sought.open and not registration.temporal
    start, end = interval
    begins = during.until_us is None or start <= during.until_us
    return begins and (during.from_us is None or end is None or end >= during.from_us)


def _in_place(registration: Registration, geo: Geo | None, untold: bool) -> bool:
    if geo is None:
        return True
    place = registration.own.geometry(geo.attribute)
    if place is None:
        return untold
    if geo.relation in ("near", "disjoint"):
        # the source's place is where its entities may be: only too far away is told by it
        return related(place, replace(geo, min_distance_m=None)) or geo.relation == "disjoint"
    return related(place, replace(geo, relation="intersects"))


def _in_scope(registration: Registration, asked: Scopes | None, untold: bool) -> bool:
    if asked is None or (untold and not registration.scopes):
        return True
    scopes = " ".join(registration.scopes)
    return any(
        all(re.search(scope_pattern(one), scopes) for one in every) for every in asked.alternatives
    )


def _in_datasets(registration: Registration, asked: frozenset[str | None] | None) -> bool:
    if asked is None or registration.datasets is None:
        return True
    return bool(asked & registration.datasets)


def overlaps(new: Registration, old: Registration) -> bool:
    """Whether two proxied registrations speak of the same attributes of the same entity, one of
    them alone (4.3.6.3, 5.9.2.4)."""
    if not (new.proxied and old.proxied) or "exclusive" not in (new.mode, old.mode):
        return False
    alone, other = (new, old) if new.mode == "exclusive" else (old, new)
    for part in alone.information:
        for entity in part.entities:
            names = other.names_of(entity.id or "", entity.types or None)
            if names is not None and (not names or names & part.names):
                return True
    return False


def plain_selectors(urns: Iterable[str], types: Iterable[str]) -> tuple[Selector, ...]:
    """A selector of exactly these ids and any of these types."""
    return (Selector(tuple((name,) for name in types), tuple(urns)),)
