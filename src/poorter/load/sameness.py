# SPDX-License-Identifier: EUPL-1.2
"""Whether a thing of a file or feed is there already: then it is not written again."""

from __future__ import annotations

from dataclasses import replace

from poorter.city.entity import Entity
from poorter.city.errors import NotFound
from poorter.gate.permit import Permit
from poorter.store.body import attribute_dict
from poorter.store.contract import Store


def newer_part(store: Store, permit: Permit, thing: Entity) -> Entity | None:
    """What of a thing is not there already; None for nothing, and where any of it is older than
    what is: a feed never overwrites newer state, a lagging mirror would move vehicles back."""
    try:
        present = store.decode(store.entity(permit, thing.urn))
    except NotFound:
        return thing
    kept = []
    for attribute in thing.attributes:
        known = present.get(attribute.name)
        if known is not None:
            if attribute_dict(known) == attribute_dict(attribute):
                continue
            since_us, at_us = known.observed_at_us, attribute.observed_at_us
            if since_us is not None and at_us is not None and at_us < since_us:
                return None
        kept.append(attribute)
    return replace(thing, attributes=tuple(kept)) if kept else None


def is_there(store: Store, permit: Permit, thing: Entity) -> bool:
    """Whether all attributes of `thing` are in the store exactly so."""
    try:
        present = store.decode(store.entity(permit, thing.urn))
    except NotFound:
        return False
    for attribute in thing.attributes:
        kept = present.get(attribute.name)
        if kept is None or attribute_dict(kept) != attribute_dict(attribute):
            return False
    return True
