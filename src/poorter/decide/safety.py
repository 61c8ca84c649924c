# SPDX-License-Identifier: EUPL-1.2
"""The safety table: states of the city that no command may bring about, as data.

A rule is a condition over the entity as it would stand after the command. It is judged against
the version that the command then overwrites, so no change can slip in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from poorter.city.entity import Attribute, Entity
from poorter.city.matching import matches
from poorter.city.query import Condition
from poorter.city.text import Text


@dataclass(frozen=True, slots=True)
class Rule:
    """A forbidden state of entities of one type."""

    id: str
    entity_type: str
    forbidden: Condition
    title: Text


def after_command(entity: Entity, attribute: str, value: Any) -> Entity:
    """The entity as it would stand."""
    kept = tuple(a for a in entity.attributes if a.key != (attribute, None))
    return replace(entity, attributes=(*kept, Attribute(attribute, value)))


def forbidden_by(rules: Iterable[Rule], entity: Entity) -> Rule | None:
    """The first rule that forbids this state of the entity, or None."""
    for rule in rules:
        if rule.entity_type in entity.types and matches(entity, rule.forbidden):
            return rule
    return None
