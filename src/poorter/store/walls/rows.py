# SPDX-License-Identifier: EUPL-1.2
"""One row of a person, opened for one permit: absent unless everything allows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import VALUE_KEY, Instance, Observation
from poorter.city.query import Query
from poorter.city.time import parse_us
from poorter.gate.inside import ABOUT, FOR, open_types
from poorter.gate.permit import SEALED, Permit, TypeRule, Wall
from poorter.gate.pseudonyms import Pseudonyms
from poorter.gate.rights import Rights
from poorter.store.body import decode_attribute, encode_attribute
from poorter.store.contract import StoredAttribute, StoredEntity
from poorter.store.transient import earliest, ends_at_us, lasting
from poorter.store.walls.naming import WallKeys
from poorter.store.walls.sealing import place_of, unseal
from poorter.store.walls.vault import Vault

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Reach:
    """What of one person's row exists for one permit, and the keys that may open it."""

    rule: TypeRule
    wall: Wall
    subject: str
    keys: tuple[bytes, ...]
    named: frozenset[str] | None
    without: frozenset[str]

    def covers(self, name: str) -> bool:
        """Whether the attribute exists."""
        if name in self.without or name[:1] == SEALED or not self.rule.covers(name):
            return False
        return self.named is None or name in self.named


class Rows:
    """Opens sealed rows."""

    def __init__(
        self,
        vault: Vault,
        wall_keys: WallKeys,
        pseudonyms: Pseudonyms,
        rights: Rights,
        clock: Clock,
    ) -> None:
        self.vault = vault
        self.wall_keys = wall_keys
        self.pseudonyms = pseudonyms
        self.rights = rights
        self._clock = clock

    def kept(self, permit: Permit, urn: str) -> str | None:
        """The kept id behind one that the permit's purpose was shown; None for any other."""
        for wall in {rule.behind.name for rule in permit.rules.values() if rule.behind is not None}:
            kept = self.pseudonyms.kept(permit.purpose, wall, urn)
            if kept is not None:
                return kept
        return None

    def shown(self, permit: Permit, urn: str) -> str:
        """A kept id as the permit's purpose sees it; any other as it is."""
        for rule in permit.rules.values():
            if rule.behind is not None:
                return self.pseudonyms.shown(permit.purpose, rule.behind.name, urn)
        return urn

    def renewed(self, permit: Permit, query: Query) -> Query:
        """A question in which rows are named as the permit's purpose sees them now."""

        def named(ids: tuple[str, ...]) -> tuple[str, ...]:
            pairs = ((urn, self.kept(permit, urn)) for urn in ids)
            return tuple(urn if kept is None else self.shown(permit, kept) for urn, kept in pairs)

        selectors = tuple(replace(one, ids=named(one.ids)) for one in query.selectors)
        return replace(query, ids=named(query.ids), selectors=selectors)

    def reach(self, permit: Permit, sealed: StoredEntity) -> Reach | None:
        """How far the permit reaches into a row; None when the row is hidden as a whole."""
        rule = permit.rule_of(open_types(sealed.types))
        subject = own_value(sealed, ABOUT)
        if rule is None or rule.behind is None or subject is None:
            return None
        now_us = self._clock.now_us()
        allowed = self.rights.covered(subject, permit.purpose, rule.behind.basis, now_us)
        keys = self.vault.keys(subject) if allowed is not None else ()
        if allowed is None or not keys:
            return None
        return Reach(rule, rule.behind, subject, keys, *allowed)

    def open(self, permit: Permit, sealed: StoredEntity) -> StoredEntity | None:
        """The row as it exists for the permit, under the purpose's id; None when it does not."""
        reach = self.reach(permit, sealed)
        if reach is None:
            return None
        opened = [
            found
            for attribute in sealed.attributes
            if (found := self._attribute(permit, reach, sealed.urn, attribute)) is not None
        ]
        collected_for = own_value(sealed, FOR) or ""
        if not opened and not (
            self._collected(reach, collected_for, sealed.created_at_us)
            and self._kept(reach.rule, sealed.modified_at_us)
        ):
            return None
        changed_us = max((a.modified_at_us for a in opened), default=sealed.created_at_us)
        return StoredEntity(
            self.pseudonyms.shown(permit.purpose, reach.wall.name, sealed.urn),
            open_types(sealed.types),
            (),
            sealed.version,
            sealed.created_at_us,
            changed_us,
            tuple(opened),
            reach.subject,
            sealed.expires_at_us,
            earliest((sealed.expires_at_us, *(one.expires_at_us for one in opened))),
        )

    def observation(
        self, permit: Permit, reach: Reach, urn: str, kept: Observation
    ) -> Observation | None:
        """One observation of a kept row, opened; None when it does not exist for the permit."""
        if not reach.covers(kept.name) or not isinstance(kept.value, str):
            return None
        place = place_of(urn, kept.name, kept.dataset_id, kept.observed_at_us)
        found = unseal(reach.keys, place, kept.value)
        if found is None or not self._collected(reach, found[0], kept.received_at_us):
            return None
        body = self._outward(permit, reach, found[1])
        shown = self.pseudonyms.shown(permit.purpose, reach.wall.name, urn)
        value = body[VALUE_KEY[body["type"]]]
        return replace(kept, urn=shown, value=value, unit_code=body.get("unitCode"))

    def instance(self, permit: Permit, reach: Reach, urn: str, kept: Instance) -> Instance | None:
        """One instance of a kept row's evolution, opened; None when it does not exist."""
        sealed = kept.attribute
        if not reach.covers(sealed.name) or not isinstance(sealed.value, str):
            return None
        place = place_of(urn, sealed.name, sealed.dataset_id, sealed.observed_at_us)
        found = unseal(reach.keys, place, sealed.value)
        changed_us = sealed.modified_at_us or 0
        if found is None or not self._collected(reach, found[0], changed_us):
            return None
        moment_us = changed_us if sealed.observed_at_us is None else sealed.observed_at_us
        if not self._kept(reach.rule, moment_us):
            return None
        body = _encode(self._outward(permit, reach, found[1]))
        times = (sealed.created_at_us, sealed.modified_at_us)
        return replace(kept, attribute=decode_attribute(sealed.name, body, *times))

    def _attribute(
        self, permit: Permit, reach: Reach, urn: str, kept: StoredAttribute
    ) -> StoredAttribute | None:
        if not reach.covers(kept.name):
            return None
        outer = _decode(kept.body)
        moment = outer.get("observedAt")
        observed_us = None if moment is None else parse_us(moment)
        place = place_of(urn, kept.name, kept.dataset_id, observed_us)
        found = unseal(reach.keys, place, str(outer.get("value")))
        if found is None or not self._collected(reach, found[0], kept.modified_at_us):
            return None
        if not self._kept(reach.rule, kept.modified_at_us if observed_us is None else observed_us):
            return None
        body = found[1]
        if b'"object' in body:
            body = _encode(self._outward(permit, reach, body))
        times = (kept.created_at_us, kept.modified_at_us)
        if b'"expiresAt"' not in body:
            return StoredAttribute(kept.name, kept.dataset_id, body, *times)
        left = lasting(decode_attribute(kept.name, body), self._clock.now_us())
        if left is None:
            return None
        ends_us = ends_at_us(left)
        return StoredAttribute(
            kept.name, kept.dataset_id, encode_attribute(left), *times, expires_at_us=ends_us
        )

    def _outward(self, permit: Permit, reach: Reach, body: bytes) -> dict[str, Any]:
        doc: dict[str, Any] = _decode(body)
        self.pseudonyms.outward(permit.purpose, reach.wall.name, doc)
        return doc

    def _collected(self, reach: Reach, collected_for: str, at_us: int) -> bool:
        """Whether the purpose may use what was collected then, for that."""
        return at_us >= reach.wall.since_us or collected_for in reach.wall.compatible

    def _kept(self, rule: TypeRule, at_us: int) -> bool:
        """Whether it is within its retention: judged at reading, whatever a job has done yet."""
        return rule.retention_us is None or at_us >= self._clock.now_us() - rule.retention_us


def own_value(sealed: StoredEntity, name: str) -> str | None:
    """One of the platform's own attributes of a sealed row."""
    for attribute in sealed.attributes:
        if attribute.name == name:
            return str(_decode(attribute.body)["value"])
    return None
