# SPDX-License-Identifier: EUPL-1.2
"""Whom a new row is about. Store and ledger name the same person by the same rule."""

from __future__ import annotations

from collections.abc import Callable

from poorter.city.entity import Entity
from poorter.city.errors import Invalid, NotFound
from poorter.gate.permit import Wall
from poorter.gate.pseudonyms import is_shown
from poorter.identity.persons import is_subject

#: (citizen number, or what else names somebody; wall) -> subject
SubjectOf = Callable[[str, str], str]


def whose(
    entity: Entity, wall: Wall, subject_of: SubjectOf, look: Callable[[str], str | None]
) -> str:
    """The subject of a new row: whom its attribute `wall.about` names, else whom its id names.

    `look` gives the subject of a row that exists for the caller. Raises: Invalid for several
    persons in one row, NotFound for a row that is none.
    """
    if len(list(entity.named(wall.about))) > 1:
        raise Invalid(f"{wall.about} names one person")
    named = entity.get(wall.about)
    value = entity.urn if named is None else named.value
    if not isinstance(value, str) or not value:
        raise Invalid(f"{wall.about} names one person, by number or by Relationship")
    # what looks like a subject is none: an app can't say who is who in a wall
    name = f"id:{value}" if is_subject(value) else value
    if not is_shown(value):
        return subject_of(name, wall.name)
    subject = look(value)
    if subject is None and named is not None:
        raise NotFound(f"{wall.about} leads to nobody")
    return subject or subject_of(name, wall.name)
