# SPDX-License-Identifier: EUPL-1.2
"""The one way out of a wall: persons per fixed atom, noisy once, stored, summed ever after.

A release is a purpose like any other: its processor, `internal:release`, needs a grant on the
dataset that two officers approved; who objected to that purpose is not counted; each person counted
has a line. What is published are the stored values, so asking twice tells nothing more.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Invalid, NotFound
from poorter.city.limits import PAGE_MAX
from poorter.city.query import Query
from poorter.city.text import Text
from poorter.gate.atoms import Lattice, Seen, build_lattice, noisy_counts
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.lawful import RELEASE as PROCESSOR
from poorter.gate.permit import Permit
from poorter.ledger.leaf import make_line
from poorter.rights.consents import OWN
from poorter.store.contract import AppendLeaf, Change, Put, PutRecord, StoredEntity
from poorter.store.recording import Recorder
from poorter.store.walls.store import WalledStore

TYPE = "ReleasedFigure"
LATTICE, RELEASE = "lattice", "release"
#: privacy loss of one release, and of all releases of a dataset in a period
RHO, RHO_PERIOD = Fraction(1, 20), Fraction(1, 4)
ROWS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is counted: rows of a type, by attributes that name areas (the largest first) and a
    category; `address` names the home. `period`: such as 2026 or 2026-Q4."""

    name: str
    purpose: str
    dataset: str
    type: str
    areas: tuple[str, ...]
    address: str
    period: str
    category: str | None = None


class Releases:
    """Publishes figures about persons."""

    def __init__(self, store: WalledStore, gate: Gate, clock: Clock, recorder: Recorder) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._recorder = recorder

    async def publish(self, plan: Plan, by: tuple[str, str]) -> list[int]:
        """The figures of a plan: drawn now, or as they were drawn before.

        Raises: Denied without a grant, Invalid for too small a group or no budget left, Conflict
        when the name stands for another plan.
        """
        known = self._known(plan)
        if known is not None:
            return known
        permit = self._gate.permit(PROCESSOR, plan.purpose, "read")
        dataset = self._gate.policy.datasets.get(plan.dataset)
        if dataset is None or plan.type not in dataset.entity_types:
            raise NotFound(Text("die gegevens zijn er niet", "there is no such data"))
        entities = self._rows(permit, plan)
        seen = [one for entity in entities if (one := self._seen(plan, entity)) is not None]
        lattice = await self._lattice(plan, seen, dataset.minimum_group)
        if not lattice.atoms:
            raise Invalid(
                Text("er zijn te weinig mensen voor een cijfer", "too few people for any figure")
            )
        spent = self._spent(plan)
        if spent + RHO > RHO_PERIOD:
            raise Invalid(
                Text(
                    "over deze gegevens zijn deze periode genoeg cijfers uitgegeven",
                    "enough figures of this data were released in this period",
                )
            )
        await self._recorder.before_leaving(permit, entities)
        values = noisy_counts(lattice, seen, RHO, secrets.randbelow)
        await self._write(plan, lattice, values, by)
        return values

    # -- rows --------------------------------------------------------------------------------

    def _rows(self, permit: Permit, plan: Plan) -> list[StoredEntity]:
        found: list[StoredEntity] = []
        asked = Query(types=(plan.type,), limit=PAGE_MAX)
        while True:
            page = self._store.query(permit, asked)
            found += page.entities
            if page.after is None:
                return found
            if len(found) >= ROWS_MAX:
                raise Invalid(f"a release is of at most {ROWS_MAX} rows")
            asked = replace(asked, after=page.after)

    def _seen(self, plan: Plan, stored: StoredEntity) -> Seen | None:
        """A row whose areas or home are not known is in no figure: missing is not zero."""
        entity = self._store.decode(stored)
        names = (*plan.areas, *((plan.category,) if plan.category else ()))
        path = tuple(str(entity.value(name)) for name in names)
        address = entity.value(plan.address)
        if address is None or any(entity.value(name) is None for name in names):
            return None
        return Seen(path, stored.subject or stored.urn, str(address))

    async def _lattice(self, plan: Plan, seen: Sequence[Seen], k: int) -> Lattice:
        """That of the period: built at the first release in it, and the same for all others."""
        name = f"{plan.dataset}.{plan.type}.{plan.period}.{'.'.join(plan.areas)}.{plan.category}"
        try:
            doc = self._store.record(self._reading(), LATTICE, name).doc
            atoms = tuple(tuple(tuple(cell) for cell in cells) for cells in doc["atoms"])
            return Lattice(doc["k"], atoms)
        except NotFound:
            pass
        lattice = build_lattice(seen, k)
        if not lattice.atoms:
            return lattice  # nothing to freeze yet: more people may come
        put = PutRecord(LATTICE, name, {"k": k, "atoms": lattice.atoms}, 0)
        await self._commit(put, name, "frozen", lattice.digest())
        return lattice

    # -- records -----------------------------------------------------------------------------

    def _known(self, plan: Plan) -> list[int] | None:
        try:
            doc = self._store.record(self._reading(), RELEASE, _id(plan)).doc
        except NotFound:
            return None
        if doc["plan"] != _plain(plan):
            raise Conflict(Text("die naam is al van een ander cijfer", "that name is taken"))
        return list(doc["values"])

    def _spent(self, plan: Plan) -> Fraction:
        where = {"budget": f"{plan.dataset}.{plan.period}"}
        known = self._store.records(self._reading(), RELEASE, where)
        return RHO * len(known)

    async def _write(
        self, plan: Plan, lattice: Lattice, values: list[int], by: tuple[str, str]
    ) -> None:
        doc = {"plan": _plain(plan), "values": values, "by": list(by), "rho": str(RHO)}
        keys = {"budget": f"{plan.dataset}.{plan.period}"}
        await self._commit(
            PutRecord(RELEASE, _id(plan), doc, 0, keys), plan.name, "released", lattice.digest()
        )
        now_us = self._clock.now_us()
        ops = []
        for number, (cells, value) in enumerate(zip(lattice.atoms, values, strict=True)):
            attributes = (
                Attribute("figure", plan.name),
                Attribute("period", plan.period),
                Attribute("areas", [list(cell) for cell in cells]),
                Attribute("persons", value, observed_at_us=now_us),
                Attribute("standardDeviation", math.sqrt(1 / (2 * RHO))),
                Attribute("smallestGroup", lattice.k),
            )
            urn = f"urn:ngsi-ld:{TYPE}:{_id(plan)}:{number}"
            ops.append(Put(Entity(urn, (TYPE,), attributes)))
        write = self._gate.permit(PROCESSOR, RUN, "write")
        for start in range(0, len(ops), 200):
            await self._store.commit_async(write, Change(tuple(ops[start : start + 200])))

    async def _commit(self, put: PutRecord, about: str, outcome: str, digest: str) -> None:
        line = make_line(
            "action",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=PROCESSOR,
            purpose=RUN,
            about=about,
            action=outcome,
            outcome=digest,
        )
        permit = self._gate.permit(OWN, RUN, "administer")
        await self._store.commit_async(permit, Change((put, AppendLeaf(line.leaf, line.payload))))

    def _reading(self) -> Permit:
        return self._gate.permit(OWN, RUN, "read")


def _id(plan: Plan) -> str:
    return f"{plan.name}.{plan.period}"


def _plain(plan: Plan) -> dict[str, object]:
    return {
        "purpose": plan.purpose,
        "dataset": plan.dataset,
        "type": plan.type,
        "areas": list(plan.areas),
        "address": plan.address,
        "category": plan.category,
    }
