# SPDX-License-Identifier: EUPL-1.2
"""The two halves of a permit that reaches behind a wall: what a store sees of each.

Rows of persons are kept under sealed type names, which no other rule covers. `inside` opens those
and nothing else, `outside` the open types and nothing else.
"""

from __future__ import annotations

from dataclasses import replace

from poorter.city.errors import Denied
from poorter.gate.permit import ANY_TYPE, SEALED, Permit, TypeRule
from poorter.gate.policy import Policy

#: who works for people's rights
KEEPER = "internal:rights"
#: attributes of the platform itself on each sealed row: whom it is about, collected for what
ABOUT, FOR = f"{SEALED}of", f"{SEALED}for"


def outside(permit: Permit) -> Permit:
    """The rules of types that are not about persons."""
    kept = {name: rule for name, rule in permit.rules.items() if rule.behind is None}
    return replace(permit, rules=kept, walled=False)


def inside(permit: Permit) -> Permit:
    """The rules of persons, for the rows as they are kept."""
    return replace(permit, rules=_sealed(permit))


def both(permit: Permit) -> Permit:
    """Both, for one transaction."""
    return replace(permit, rules={**outside(permit).rules, **_sealed(permit)})


def looking(permit: Permit) -> Permit:
    """To look up, for a write, the row that it is about."""
    return replace(inside(permit), action="read")


def keeping(permit: Permit, policy: Policy) -> Permit:
    """Of the platform's own permit for people's rights: with the rows of persons as they are kept,
    to erase, prune and find them again. It opens no value: that takes a person's key.

    Raises: Denied for any other permit.
    """
    if permit.processor != KEEPER:
        raise Denied
    return _with_sealed(permit, policy)


def leaving(permit: Permit, policy: Policy) -> Permit:
    """Of a permit for everything: with the rows of persons as they are kept, sealed, and for as
    long as each thing has its own term. Any other stays what it is."""
    rule = permit.rules.get(ANY_TYPE)
    if rule is None:
        return permit
    whole = replace(permit, rules={**permit.rules, ANY_TYPE: replace(rule, retention_us=None)})
    return _with_sealed(whole, policy)


def _with_sealed(permit: Permit, policy: Policy) -> Permit:
    rules = {
        SEALED + name: TypeRule(personal=True)
        for dataset in policy.datasets.values()
        if dataset.walled
        for name in dataset.entity_types
    }
    return replace(permit, rules={**permit.rules, **rules})


def open_types(types: tuple[str, ...]) -> tuple[str, ...]:
    """Names of types without the mark under which rows of persons are kept."""
    return tuple(name.removeprefix(SEALED) for name in types)


def check_join(permit: Permit) -> None:
    """Raises Denied, before anything is read, where following links could lead over a wall."""
    walls = {rule.behind.name for rule in permit.rules.values() if rule.behind is not None}
    if len(walls) > 1:
        raise Denied


def _sealed(permit: Permit) -> dict[str, TypeRule]:
    own = frozenset((ABOUT, FOR))
    return {
        SEALED + name: replace(
            rule,
            attributes=None if rule.attributes is None else rule.attributes | own,
        )
        for name, rule in permit.rules.items()
        if rule.behind is not None
    }
