# SPDX-License-Identifier: EUPL-1.2
"""Entities and attributes in normalised form, as a city takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from poorter.city.entity import Attribute, Entity
from poorter.city.time import format_us
from poorter.store.body import attribute_dict


def write_entity(entity: Entity) -> dict[str, Any]:
    """An entity, without system times."""
    head: dict[str, Any] = {"id": entity.urn}
    head["type"] = entity.type if len(entity.types) == 1 else list(entity.types)
    if entity.scopes:
        head["scope"] = list(entity.scopes)
    if entity.expires_at_us is not None:
        head["expiresAt"] = format_us(entity.expires_at_us)
    return head | write_attributes(entity.attributes)


def write_attributes(attributes: Sequence[Attribute]) -> dict[str, Any]:
    """Attribute instances by name; several of one name as a list."""
    found: dict[str, Any] = {}
    for attribute in attributes:
        body = attribute_dict(attribute)
        known = found.get(attribute.name)
        if known is None:
            found[attribute.name] = body
        else:
            found[attribute.name] = [*(known if isinstance(known, list) else [known]), body]
    return found
