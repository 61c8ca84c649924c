# SPDX-License-Identifier: EUPL-1.2
"""A change as apps send it, turned into what is kept: ids, persons, sealed values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from msgspec import structs

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied, Invalid, NotFound
from poorter.gate.inside import ABOUT, FOR, looking
from poorter.gate.permit import SEALED, Permit, Wall
from poorter.gate.pseudonyms import is_kept, is_shown
from poorter.store import contract as c
from poorter.store.body import encode_attribute
from poorter.store.evolving import AddInstances, DeleteInstances, ReplaceInstance
from poorter.store.series import urns_of
from poorter.store.walls.rows import Rows, own_value
from poorter.store.walls.sealing import place_of, seal
from poorter.store.walls.subjects import SubjectOf, whose

_QUALITY = ("good", "doubtful", "estimated")


class Writing:
    """Turns one change. Make a new one for each."""

    def __init__(
        self, inner: c.Store, rows: Rows, subject_of: SubjectOf, permit: Permit, seed: str | None
    ) -> None:
        self._inner = inner
        self._rows = rows
        self._subject_of = subject_of
        self._permit = permit
        self._seed = seed
        self.minted: dict[str, str] = {}

    def turned(self, ops: Sequence[c.Op]) -> tuple[c.Op, ...]:
        """Ops over what is kept.

        Raises: NotFound for a row that is absent or hidden, Denied, Invalid.
        """
        turned = tuple(map(self._op, ops))
        self._rows.vault.flush()
        return turned

    def _op(self, op: c.Op) -> c.Op:
        if isinstance(op, c.Create | c.Put | c.Replace):
            return self._whole(op)
        if isinstance(op, c.Observe):
            return self._observe(op)
        if isinstance(op, AddInstances):
            return self._instances(op)
        urn = getattr(op, "urn", None)
        if not isinstance(urn, str):
            return op
        found = self._known(urn)
        if found is None:
            return op
        kept, subject, wall = found
        if isinstance(op, c.SetAttributes):
            if op.scopes:
                raise Invalid("what is about a person has no scope")
            attributes = self._sealed(kept, subject, wall, op.attributes)
            types = tuple(self._sealed_type(name, wall) for name in op.add_types)
            return structs.replace(op, urn=kept, attributes=attributes, add_types=types)
        if isinstance(op, c.Delete):
            return c.Erase(kept)
        if isinstance(op, c.DeleteAttribute | DeleteInstances):
            if (op.name or "")[:1] == SEALED:
                raise NotFound(f"{urn} has no {op.name}")
            return replace(op, urn=kept)
        if isinstance(op, ReplaceInstance):
            sealed = self._sealed(kept, subject, wall, (op.attribute,))
            if not sealed:
                raise NotFound(f"{urn} has no {op.name}")
            return replace(op, urn=kept, attribute=sealed[0])
        if isinstance(op, c.Erase | c.Prune):
            return replace(op, urn=kept)
        return op

    # -- whole entities ----------------------------------------------------------------------

    def _whole(self, op: c.Create | c.Put | c.Replace) -> c.Op:
        entity = op.entity
        wall = self._wall(entity.types)
        if wall is None:
            if is_kept(entity.urn):
                raise Denied
            return op
        if entity.scopes:
            raise Invalid("what is about a person has no scope")
        found = None if isinstance(op, c.Create) else self._known(entity.urn)
        if found is None:
            if isinstance(op, c.Replace):
                raise NotFound(f"{entity.urn} is not there")
            return c.Create(self._new(entity, wall))
        kept, subject, _ = found
        return replace(op, entity=self._entity(entity, kept, subject, wall, new=False))

    def _new(self, entity: Entity, wall: Wall) -> Entity:
        kept = self._minted(entity, wall)
        self.minted[entity.urn] = self._rows.pseudonyms.shown(self._permit.purpose, wall.name, kept)
        return self._entity(entity, kept, self._about(entity, wall), wall, new=True)

    def _minted(self, entity: Entity, wall: Wall) -> str:
        """A new id; of a change that is sent again, the one that its row got then."""
        pseudonyms, name = self._rows.pseudonyms, entity.types[0]
        if self._seed is None:
            return pseudonyms.mint(name)
        seed = f"{self._seed}\0{entity.urn}\0{len(self.minted)}"
        new, *before = pseudonyms.minted(name, wall.name, seed)
        for kept in before:
            with suppress(NotFound):
                return self._inner.entity(looking(self._permit), kept).urn
        return new

    def _entity(self, entity: Entity, kept: str, subject: str, wall: Wall, new: bool) -> Entity:
        self._rows.vault.made(subject)
        own = [Attribute(ABOUT, subject)]
        if new:
            own.append(Attribute(FOR, self._permit.purpose))
        else:
            own.append(Attribute(FOR, self._collected_for(kept)))
        return replace(
            entity,
            urn=kept,
            types=tuple(self._sealed_type(name, wall) for name in entity.types),
            attributes=(*self._sealed(kept, subject, wall, entity.attributes), *own),
        )

    def _about(self, entity: Entity, wall: Wall) -> str:
        """Whose row it will be."""

        def look(urn: str) -> str | None:
            found = self._known(urn)
            return None if found is None else found[1]

        return whose(entity, wall, self._subject_of, look)

    # -- parts -------------------------------------------------------------------------------

    def _observe(self, op: c.Observe) -> c.Op:
        wall = self._wall((op.type,))
        if wall is None:
            if any(map(is_kept, urns_of(op.readings))):
                raise Denied
            return op
        readings = []
        for reading in op.readings:
            found = self._known(reading.urn)
            if found is None:
                raise NotFound(f"{reading.urn} is not there: a person is registered first")
            kept, subject, _ = found
            sub: tuple[Attribute, ...] = ()
            if 0 < reading.quality < len(_QUALITY):
                sub = (Attribute("quality", _QUALITY[reading.quality]),)
            attribute = Attribute(
                reading.name,
                reading.value,
                observed_at_us=reading.observed_at_us,
                dataset_id=reading.dataset_id,
                unit_code=reading.unit_code,
                sub=sub,
            )
            if reading.value is None:
                raise Invalid(f"{reading.name}: None is no reading; leave it out")
            (sealed,) = self._sealed(kept, subject, wall, (attribute,))
            readings.append(reading._replace(urn=kept, value=sealed.value, unit_code=None))
        return replace(op, type=SEALED + op.type, readings=tuple(readings))

    def _instances(self, op: AddInstances) -> c.Op:
        entity = op.entity
        wall = self._wall(entity.types)
        found = self._known(entity.urn)
        if found is None:
            if wall is not None:
                raise NotFound(f"{entity.urn} is not there: a person is registered first")
            return op
        kept, subject, own = found
        if op.gone:
            raise Invalid("of what is about a person no deletion is recorded")
        if entity.scopes or any(a.name == "scope" for a in entity.attributes):
            raise Invalid("what is about a person has no scope")
        return AddInstances(
            Entity(
                kept,
                tuple(self._sealed_type(name, own) for name in entity.types),
                self._sealed(kept, subject, own, entity.attributes),
            ),
            must_exist=True,
        )

    def _sealed(
        self, kept: str, subject: str, wall: Wall, attributes: Sequence[Attribute]
    ) -> tuple[Attribute, ...]:
        key = self._rows.vault.made(subject)
        sealed = []
        for attribute in attributes:
            if attribute.name[:1] == SEALED:
                raise Invalid(f"no attribute begins with {SEALED}")
            if attribute.name == wall.about and not is_shown(str(attribute.value)):
                continue  # who it is led to the subject, and is not kept
            body = encode_attribute(self._inward(attribute, wall))
            place = place_of(kept, attribute.name, attribute.dataset_id, attribute.observed_at_us)
            sealed.append(
                Attribute(
                    attribute.name,
                    seal(key, place, self._permit.purpose, body),
                    observed_at_us=attribute.observed_at_us,
                    dataset_id=attribute.dataset_id,
                    expires_at_us=attribute.expires_at_us,
                )
            )
        return tuple(sealed)

    def _inward(self, attribute: Attribute, wall: Wall) -> Attribute:
        """Relationships lead to kept ids again; one that is sent in as such leads nowhere."""
        value = attribute.value
        if attribute.kind in ("Relationship", "ListRelationship"):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and is_kept(one):
                    raise NotFound(f"{attribute.name} leads to nothing")
            value = self._rows.pseudonyms.inward(self._permit.purpose, wall.name, value)
        sub = tuple(self._inward(part, wall) for part in attribute.sub)
        return replace(attribute, value=value, sub=sub)

    def _known(self, urn: str) -> tuple[str, str, Wall] | None:
        """(kept id, subject, wall) of a row that exists for this permit; None for an id that is
        none of its rows'. Raises NotFound for one that is hidden."""
        if is_kept(urn):
            raise NotFound(f"{urn} is not there")
        kept = self._rows.kept(self._permit, urn)
        if kept is None:
            return None
        try:
            sealed = self._inner.entity(looking(self._permit), kept)
        except NotFound:
            raise NotFound(f"{urn} is not there") from None
        reach = self._rows.reach(self._permit, sealed)
        if reach is None:
            raise NotFound(f"{urn} is not there")
        return kept, reach.subject, reach.wall

    def _collected_for(self, kept: str) -> str:
        sealed = self._inner.entity(looking(self._permit), kept)
        return own_value(sealed, FOR) or self._permit.purpose

    def _wall(self, types: tuple[str, ...]) -> Wall | None:
        walls = [rule.behind for rule in map(self._permit.rule, types) if rule is not None]
        named = [wall for wall in walls if wall is not None]
        if named and len(named) < len(types):
            raise Invalid("what is about a person is of types behind one wall only")
        return named[0] if named else None

    def _sealed_type(self, name: str, wall: Wall) -> str:
        rule = self._permit.rule(name)
        if rule is None or rule.behind is None or rule.behind.name != wall.name:
            raise Denied
        return SEALED + name
