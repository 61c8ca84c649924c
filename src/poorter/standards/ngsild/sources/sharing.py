# SPDX-License-Identifier: EUPL-1.2
"""What of a question or a subscription one source may be told (CIM 009, 5.12): what it registered,
as far as the caller may read it here, and the one who registered it may write it. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from poorter.gate.permit import Permit, TypeRule
from poorter.standards.ngsild.sources.matching import Sought, fitting
from poorter.standards.ngsild.sources.model import Registration
from poorter.standards.ngsild.sources.registry import Registry


@dataclass(frozen=True, slots=True)
class Share:
    """What of a question goes to one source: types and attributes, none for all."""

    registration: Registration
    types: tuple[str, ...]
    names: frozenset[str]


def share_with(
    registry: Registry,
    registration: Registration,
    permit: Permit,
    sought: Sought,
    asked: AbstractSet[str],
) -> Share | None:
    """The part of one source; None for nothing. `asked`: the types asked for, none for any."""
    parts = fitting(registration, sought)
    giving = registry.may(registration) if parts else None
    if giving is None:
        return None
    names = frozenset().union(*(part.names for part in parts))
    if any(not part.names for part in parts):
        names = frozenset()
    types = {name for part in parts for entity in part.entities for name in entity.types}
    if any(not part.entities for part in parts) or any(
        not entity.types for part in parts for entity in part.entities
    ):
        types = set()
    seeing = registry.may_see(registration)
    return narrow(registration, giving, seeing, permit, set(asked), types, names)


def narrow(
    registration: Registration,
    giving: Permit,
    seeing: Permit | None,
    permit: Permit,
    asked: set[str],
    types: set[str],
    names: frozenset[str],
) -> Share | None:
    """What of a question a source may be told: types and attributes that the caller may read, that
    the one who registered the source may write here, and, where it is personal data, read too."""
    wanted = asked & types if asked and types else asked or types
    if not wanted:
        # the question names no type, so it may be about a person
        hidden = [n for n, rule in permit.rules.items() if rule.personal and not _sees(seeing, n)]
        return None if hidden else Share(registration, (), names)
    kept: list[str] = []
    open_names: set[str] | None = set()
    for name in sorted(wanted):
        mine, theirs = permit.rule(name), giving.rule(name)
        if mine is None or theirs is None:
            continue
        if (mine.personal or theirs.personal) and not _sees(seeing, name):
            if not asked:
                return None  # an id or a value in the question may be that of a person
            continue
        kept.append(name)
        some = _names_open(mine, theirs, names)
        open_names = None if some is None or open_names is None else open_names | some
    if not kept or open_names == set():
        return None
    return Share(registration, tuple(kept), frozenset(open_names or ()))


def _sees(seeing: Permit | None, name: str) -> bool:
    return seeing is not None and seeing.rule(name) is not None


def _names_open(mine: TypeRule, theirs: TypeRule, names: frozenset[str]) -> set[str] | None:
    """The attributes of a type that both rules open, of those registered; None for all."""
    if names:
        return {name for name in names if mine.covers(name) and theirs.covers(name)}
    limits = [rule.attributes for rule in (mine, theirs) if rule.attributes is not None]
    if not limits:
        return None
    some = frozenset.intersection(*limits)
    return {name for name in some if mine.covers(name) and theirs.covers(name)}
