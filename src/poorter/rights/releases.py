# SPDX-License-Identifier: EUPL-1.2
"""The one way out of a wall: persons, sums and means per fixed atom, noisy once, stored, signed,
summed ever after.

A release is a purpose like any other: its processor, `internal:release`, needs a grant on the
dataset that two officers approved; who objected to that purpose is not counted; each person counted
has a line. What is published are the stored values, so asking twice tells nothing more.
"""

from __future__ import annotations

import asyncio
import base64
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Invalid, NotFound
from poorter.city.limits import PAGE_MAX
from poorter.city.query import Query
from poorter.city.text import Text
from poorter.gate.atoms import Bounds, Lattice, Seen, build_lattice, noisy_counts, noisy_sums
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.lawful import RELEASE as PROCESSOR
from poorter.gate.permit import Permit
from poorter.identity.keys import KeyPair
from poorter.ledger.leaf import make_line
from poorter.rights.consents import OWN
from poorter.store.contract import AppendLeaf, Change, Put, PutRecord, StoredEntity
from poorter.store.recording import Recorder
from poorter.store.walls.store import WalledStore

TYPE = "ReleasedFigure"
LATTICE, RELEASE = "lattice", "release"
#: privacy loss of one kind of figure, and of all releases of a dataset in a period
RHO, RHO_PERIOD = Fraction(1, 20), Fraction(1, 4)
ROWS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is counted: rows of a type, by attributes that name areas (the largest first) and a
    category; `address` names the home. `period`: such as 2026 or 2026-Q4. With a `measure`, an
    attribute that is a number, and its bounds: also its sum and mean."""

    name: str
    purpose: str
    dataset: str
    type: str
    areas: tuple[str, ...]
    address: str
    period: str
    category: str | None = None
    measure: str | None = None
    low: str = "0"
    high: str = "1"
    step: str = "1"

    @property
    def rho(self) -> Fraction:
        """What it costs of the budget."""
        return RHO if self.measure is None else 2 * RHO

    def bounds(self) -> Bounds:
        """Raises Invalid for bounds that are none."""
        try:
            return Bounds.read(self.low, self.high, self.step)
        except ValueError as wrong:
            raise Invalid(f"low, high and step: {wrong}") from None


@dataclass(frozen=True, slots=True)
class Figure:
    """One atom of a release: its cells, noisy persons, and the noisy sum and mean of a measure,
    where enough persons were (noisily) counted to tell one."""

    cells: tuple[tuple[str, ...], ...]
    persons: int
    total: float | None = None
    mean: float | None = None


class Releases:
    """Publishes figures about persons."""

    def __init__(
        self, store: WalledStore, gate: Gate, clock: Clock, recorder: Recorder, key: KeyPair
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._recorder = recorder
        self._key = key
        self.one_by_one = asyncio.Lock()

    async def publish(self, plan: Plan, by: tuple[str, str]) -> list[int]:
        """The figures of a plan, noisy persons per atom: drawn now, or as they were drawn before.

        Raises: Denied without a grant, Invalid for too small a group or no budget left, Conflict
        when the name stands for another plan, or the period is divided otherwise.
        """
        async with self.one_by_one:  # or two at once would spend one budget twice
            return await self._publish(plan, by)

    async def _publish(self, plan: Plan, by: tuple[str, str]) -> list[int]:
        known = self._known(plan)
        if known is not None:
            await self._put(plan, known)  # a crash may have come between
            return [atom["persons"] for atom in known["atoms"]]
        bounds = None if plan.measure is None else plan.bounds()
        permit = self.permit(plan.purpose)
        smallest = self.check_data(plan.dataset, plan.type)
        entities = self.rows(permit, plan.type)
        seen = [one for entity in entities if (one := self._seen(plan, entity)) is not None]
        lattice = await self._lattice(plan, seen, smallest)
        if not lattice.atoms:
            raise Invalid(
                Text("er zijn te weinig mensen voor een cijfer", "too few people for any figure")
            )
        if self.spent(plan.dataset, plan.period) + plan.rho > RHO_PERIOD:
            raise Invalid(
                Text(
                    "over deze gegevens zijn deze periode genoeg cijfers uitgegeven",
                    "enough figures of this data were released in this period",
                )
            )
        await self.recorded(permit, entities)
        values = noisy_counts(lattice, seen, RHO, secrets.randbelow)
        apart = None
        if bounds is not None:
            apart = noisy_sums(lattice, seen, bounds, RHO, secrets.randbelow)
        await self._write(plan, figures_of(lattice, values, bounds, apart), lattice, by)
        return values

    def published(self) -> list[dict[str, Any]]:
        """All that were released, the newest first: signed, and so as anybody may have them."""
        records = self._store.records(self._reading(), RELEASE, limit=PAGE_MAX)
        found = [record.doc["signed"] for record in records if "signed" in record.doc]
        return sorted(found, key=lambda one: (one["figure"]["at_us"], one["id"]), reverse=True)

    # -- rows --------------------------------------------------------------------------------

    def permit(self, purpose: str) -> Permit:
        """To read by, for figures. Raises Denied without a grant."""
        return self._gate.permit(PROCESSOR, purpose, "read")

    def check_data(self, dataset_id: str, type_name: str) -> int:
        """The smallest group of a dataset. Raises NotFound where it has no such type."""
        dataset = self._gate.policy.datasets.get(dataset_id)
        if dataset is None or type_name not in dataset.entity_types:
            raise NotFound(Text("die gegevens zijn er niet", "there is no such data"))
        return dataset.minimum_group

    async def recorded(self, permit: Permit, entities: Sequence[StoredEntity]) -> None:
        """A line for each person is durable when this returns."""
        await self._recorder.before_leaving(permit, entities)

    def decode(self, stored: StoredEntity) -> Entity:
        """A row as values."""
        return self._store.decode(stored)

    def rows(self, permit: Permit, type_name: str) -> list[StoredEntity]:
        """All that exist for the permit. Raises Invalid for too many."""
        found: list[StoredEntity] = []
        asked = Query(types=(type_name,), limit=PAGE_MAX)
        while True:
            page = self._store.query(permit, asked)
            found += page.entities
            if page.after is None:
                return found
            if len(found) >= ROWS_MAX:
                raise Invalid(f"a release is of at most {ROWS_MAX} rows")
            asked = replace(asked, after=page.after)

    def _seen(self, plan: Plan, stored: StoredEntity) -> Seen | None:
        """A row whose areas, home or measure are not known is in no figure: missing is not zero."""
        entity = self._store.decode(stored)
        names = (*plan.areas, *((plan.category,) if plan.category else ()))
        path = tuple(str(entity.value(name)) for name in names)
        address = entity.value(plan.address)
        if address is None or any(entity.value(name) is None for name in names):
            return None
        value = 0.0 if plan.measure is None else entity.value(plan.measure)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return Seen(path, stored.subject or stored.urn, str(address), value)

    async def _lattice(self, plan: Plan, seen: Sequence[Seen], k: int) -> Lattice:
        """That of the period: built at the first release in it, and the same for all others. Two
        lattices over the same people would, laid over each other, tell of smaller groups."""
        name = f"{plan.dataset}.{plan.type}.{plan.period}"
        divided = [*plan.areas, plan.category or ""]
        try:
            doc = self._store.record(self._reading(), LATTICE, name).doc
        except NotFound:
            doc = None
        if doc is not None:
            if doc["by"] != divided:
                by = ", ".join(filter(None, doc["by"]))
                raise Conflict(
                    Text(f"deze periode is verdeeld naar {by}", f"this period is divided by {by}")
                )
            atoms = tuple(tuple(tuple(cell) for cell in cells) for cells in doc["atoms"])
            return Lattice(doc["k"], atoms)
        lattice = build_lattice(seen, k)
        if not lattice.atoms:
            return lattice  # nothing to freeze yet: more people may come
        put = PutRecord(LATTICE, name, {"k": k, "by": divided, "atoms": lattice.atoms}, 0)
        await self._commit(put, name, "frozen", lattice.digest())
        return lattice

    # -- records -----------------------------------------------------------------------------

    def _known(self, plan: Plan) -> dict[str, Any] | None:
        """The release as it left before."""
        try:
            doc = self._store.record(self._reading(), RELEASE, _id(plan)).doc
        except NotFound:
            return None
        if doc["plan"] != _plain(plan):
            raise Conflict(Text("die naam is al van een ander cijfer", "that name is taken"))
        figure: dict[str, Any] = doc["signed"]["figure"]
        return figure

    def kept(self, release_id: str) -> dict[str, Any] | None:
        """What left under that name."""
        try:
            return dict(self._store.record(self._reading(), RELEASE, release_id).doc)
        except NotFound:
            return None

    async def keep(self, release_id: str, dataset: str, period: str, doc: dict[str, Any]) -> None:
        """Write down what leaves, and what it cost, before it does."""
        put = PutRecord(RELEASE, release_id, doc, 0, {"budget": f"{dataset}.{period}"})
        await self._commit(put, dataset, "asked", release_id)

    def spent(self, dataset: str, period: str) -> Fraction:
        """Of the budget of a dataset and period, by everybody."""
        where = {"budget": f"{dataset}.{period}"}
        known = self._store.records(self._reading(), RELEASE, where)
        return sum((Fraction(record.doc["rho"]) for record in known), Fraction(0))

    async def _write(
        self, plan: Plan, figures: Sequence[Figure], lattice: Lattice, by: tuple[str, str]
    ) -> None:
        now_us = self._clock.now_us()
        signed = self._signed(plan, figures, lattice, now_us)
        doc = {
            "plan": _plain(plan),
            "by": list(by),
            "rho": str(plan.rho),
            "signed": signed,
        }
        keys = {"budget": f"{plan.dataset}.{plan.period}"}
        await self._commit(
            PutRecord(RELEASE, _id(plan), doc, 0, keys), plan.name, "released", lattice.digest()
        )
        await self._put(plan, signed["figure"])

    async def _put(self, plan: Plan, figure: dict[str, Any]) -> None:
        """The atoms as entities of the open city."""
        ops = [Put(_entity(plan, figure, number)) for number in range(len(figure["atoms"]))]
        write = self._gate.permit(PROCESSOR, RUN, "write")
        for start in range(0, len(ops), 200):
            await self._store.commit_async(write, Change(tuple(ops[start : start + 200])))

    def _signed(
        self, plan: Plan, figures: Sequence[Figure], lattice: Lattice, now_us: int
    ) -> dict[str, Any]:
        """The release as it leaves, under both signatures of the city."""
        said = {
            "name": plan.name,
            "purpose": plan.purpose,
            "period": plan.period,
            "areas": list(plan.areas),
            "category": plan.category,
            "measure": plan.measure,
            "smallest_group": lattice.k,
            "lattice": lattice.digest(),
            "rho": str(plan.rho),
            "deviation": _deviation(plan),
            "atoms": [msgspec.to_builtins(figure) for figure in figures],
            "at_us": now_us,
        }
        ed25519, mldsa = (base64.b64encode(one).decode() for one in self._key.sign(text_of(said)))
        return {"id": _id(plan), "figure": said, "ed25519": ed25519, "mldsa65": mldsa}

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


def figures_of(
    lattice: Lattice, persons: Sequence[int], bounds: Bounds | None, apart: Sequence[int] | None
) -> list[Figure]:
    """What is published: made of noisy values only, so no more can be told from it. A sum of
    fewer (noisy) persons than the smallest group is left out."""
    if bounds is None or apart is None:
        return [Figure(c, n) for c, n in zip(lattice.atoms, persons, strict=True)]
    found = []
    for cells, number, far in zip(lattice.atoms, persons, apart, strict=True):
        total = float((far + number * bounds.middle) * bounds.step)
        mean = float((bounds.middle + Fraction(far, max(number, 1))) * bounds.step)
        mean = min(max(mean, float(bounds.low)), float(bounds.high))
        enough = number >= lattice.k
        figure = Figure(cells, number, total, mean) if enough else Figure(cells, number)
        found.append(figure)
    return found


def text_of(figure: dict[str, Any]) -> bytes:
    """What of a release is signed: canonical JSON, under a name of its own."""
    return b"poorter-release\n" + msgspec.json.encode(figure, order="deterministic")


def _deviation(plan: Plan) -> dict[str, float]:
    """Standard deviations of the noise of an atom."""
    counted = 1 / (2 * RHO)
    found = {"persons": math.sqrt(counted)}
    if plan.measure is not None:
        bounds = plan.bounds()
        whole = bounds.variance(RHO) + bounds.middle**2 * counted
        found["total"] = float(bounds.step) * math.sqrt(whole)
    return found


def _entity(plan: Plan, figure: dict[str, Any], number: int) -> Entity:
    atom, at_us = figure["atoms"][number], figure["at_us"]
    attributes = [
        Attribute("figure", plan.name),
        Attribute("period", plan.period),
        Attribute("areas", [list(cell) for cell in atom["cells"]]),
        Attribute("standardDeviation", figure["deviation"]["persons"]),
        Attribute("smallestGroup", figure["smallest_group"]),
    ]
    for name in ("persons", "total", "mean"):
        if atom[name] is not None:
            attributes.append(Attribute(name, atom[name], observed_at_us=at_us))
    if plan.measure is not None:
        attributes.append(Attribute("measure", plan.measure))
    return Entity(f"urn:ngsi-ld:{TYPE}:{_id(plan)}:{number}", (TYPE,), tuple(attributes))


def _id(plan: Plan) -> str:
    return f"{plan.name}.{plan.period}"


def _plain(plan: Plan) -> dict[str, object]:
    doc: dict[str, object] = {
        "purpose": plan.purpose,
        "dataset": plan.dataset,
        "type": plan.type,
        "areas": list(plan.areas),
        "address": plan.address,
        "category": plan.category,
    }
    if plan.measure is not None:
        doc |= {"measure": plan.measure, "low": plan.low, "high": plan.high, "step": plan.step}
    return doc
