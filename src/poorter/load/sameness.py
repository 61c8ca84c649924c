# SPDX-License-Identifier: EUPL-1.2
"""Whether a thing of a file or feed is there already: then it is not written again."""

from __future__ import annotations

from poorter.city.entity import Entity
from poorter.city.errors import NotFound
from poorter.gate.permit import Permit
from poorter.store.body import attribute_dict
from poorter.store.contract import Store


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
