# SPDX-License-Identifier: EUPL-1.2
"""What is kept for a time only (CIM 009, 4.22): when it ends, and what is left of it after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from msgspec import structs

from poorter.city.entity import Attribute
from poorter.store.body import decode_attribute, encode_attribute
from poorter.store.contract import StoredAttribute, StoredEntity


def ends_at_us(attribute: Attribute) -> int | None:
    """The first moment at which an attribute, or a part of it, expires; None for never."""
    if not attribute.sub:
        return attribute.expires_at_us
    return earliest((attribute.expires_at_us, *map(ends_at_us, attribute.sub)))


def earliest(moments_us: Iterable[int | None]) -> int | None:
    """The first of them that is one."""
    return min((moment for moment in moments_us if moment is not None), default=None)


def lasting(attribute: Attribute, now_us: int) -> Attribute | None:
    """What is left of it at a moment; None for nothing."""
    if attribute.expires_at_us is not None and attribute.expires_at_us <= now_us:
        return None
    if not attribute.sub:
        return attribute
    kept = (lasting(part, now_us) for part in attribute.sub)
    return replace(attribute, sub=tuple(part for part in kept if part is not None))


def current(entity: StoredEntity, now_us: int) -> StoredEntity | None:
    """What is left of an entity at a moment, the very same object when all of it is; None for
    nothing."""
    if entity.holds_until_us is None or entity.holds_until_us > now_us:
        return entity
    if entity.expires_at_us is not None and entity.expires_at_us <= now_us:
        return None
    found = (_current(attribute, now_us) for attribute in entity.attributes)
    kept = tuple(attribute for attribute in found if attribute is not None)
    until_us = earliest((entity.expires_at_us, *(one.expires_at_us for one in kept)))
    return structs.replace(entity, attributes=kept, holds_until_us=until_us)


def _current(stored: StoredAttribute, now_us: int) -> StoredAttribute | None:
    if stored.expires_at_us is None or stored.expires_at_us > now_us:
        return stored
    left = lasting(decode_attribute(stored.name, stored.body), now_us)
    if left is None:
        return None
    ends_us = ends_at_us(left)
    return structs.replace(stored, body=encode_attribute(left), expires_at_us=ends_us)
