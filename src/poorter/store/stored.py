# SPDX-License-Identifier: EUPL-1.2
"""Entities as a store hands them out, and what of them a permit lets exist."""

from __future__ import annotations

from copy import copy

import msgspec

from poorter.city.errors import Denied
from poorter.gate.permit import Permit


class StoredAttribute(msgspec.Struct, frozen=True, gc=False):
    """One attribute instance as stored; `body` is its normalised JSON without system times, but
    for expiresAt. `expires_at_us`: the first moment at which it, or any part of it, expires."""

    name: str
    dataset_id: str | None
    body: bytes
    created_at_us: int
    modified_at_us: int
    expires_at_us: int | None = None


class StoredEntity(msgspec.Struct, frozen=True, gc=False):
    """An entity as stored, already reduced to what the permit lets exist. For fast codecs.
    `holds_until_us`: the first moment at which it, or anything of it, expires."""

    urn: str
    types: tuple[str, ...]
    scopes: tuple[str, ...]
    version: int
    created_at_us: int
    modified_at_us: int
    attributes: tuple[StoredAttribute, ...]
    subject: str | None = None  # whom it is about, as their wall names them
    expires_at_us: int | None = None
    holds_until_us: int | None = None


class Changed:
    """An entity as it was and as it is after a change. It opens with a permit only, so whoever
    hands it on decides nothing: the reader's permit at that moment does."""

    __slots__ = ("_after", "_before", "at_us", "sequence", "types", "urn")

    def __init__(
        self,
        sequence: int,
        at_us: int,
        urn: str,
        before: StoredEntity | None,
        after: StoredEntity | None,
    ) -> None:
        self.sequence = sequence
        self.at_us = at_us
        self.urn = urn
        self._before = before
        self._after = after
        whole = after or before
        self.types: tuple[str, ...] = () if whole is None else whole.types

    def after_all(self, earlier: Changed) -> Changed:
        """This change and an `earlier` one of the same entity as one."""
        folded = copy(self)
        folded._before = earlier._before
        return folded

    def before(self, permit: Permit) -> StoredEntity | None:
        """As it was, None when it was not there or does not exist for this permit."""
        return None if self._before is None else visible(self._before, permit)

    def after(self, permit: Permit) -> StoredEntity | None:
        """As it is, None when it is gone or does not exist for this permit."""
        return None if self._after is None else visible(self._after, permit)


def visible(entity: StoredEntity, permit: Permit) -> StoredEntity | None:
    """What of a whole entity exists for a read permit; the very same object when all of it does.

    Raises: Denied for a permit that is not for reading.
    """
    if permit.action != "read":
        raise Denied
    rule = permit.rule_of(entity.types)
    if rule is None:
        return None
    if rule.attributes is None and not rule.without:
        return entity
    kept = tuple([a for a in entity.attributes if rule.covers(a.name)])
    changed_us = max((a.modified_at_us for a in kept), default=entity.created_at_us)
    return msgspec.structs.replace(entity, attributes=kept, modified_at_us=changed_us)
