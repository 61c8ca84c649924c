# SPDX-License-Identifier: EUPL-1.2
"""Figures about persons: one officer says what is counted, another approves, then they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.atoms import Cell, Lattice, union_of
from poorter.gate.lawful import RELEASE
from poorter.offices.drafts import RECORD, Draft, Kind, approving, drafts, put_draft
from poorter.offices.record import write
from poorter.rights.releases import RHO_PERIOD, Plan
from poorter.running import Running
from poorter.store.contract import DeleteRecord

KINDS: tuple[Kind, ...] = ("release",)
#: inputs of the form: name, label, whether it must be filled in
FIELDS: tuple[tuple[str, Text, bool], ...] = (
    ("name", Text("Naam van het cijfer", "Name of the figure"), True),
    ("purpose", Text("Voor welk doel", "For which purpose"), True),
    ("dataset", Text("Uit welke gegevens", "Of which data"), True),
    ("type", Text("Van welke soort", "Of which type"), True),
    ("areas", Text("Gebieden, het grootste eerst", "Areas, the largest first"), True),
    ("address", Text("Gegeven met het adres", "Attribute with the address"), True),
    ("period", Text("Periode, zoals 2027", "Period, as 2027"), True),
    ("category", Text("Indeling (mag leeg)", "Category (may be empty)"), False),
    ("measure", Text("Getal om op te tellen (mag leeg)", "Number to sum (may be empty)"), False),
    ("low", Text("Dat getal is minstens", "That number is at least"), False),
    ("high", Text("en hoogstens", "and at most"), False),
    ("step", Text("in stappen van", "in steps of"), False),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A release as people read it: what it is, and the sum over each area of the largest sort."""

    id: str
    name: str
    period: str
    measure: str | None
    smallest_group: int
    deviation: float
    rows: tuple[tuple[str, int, int], ...]  # area, persons, atoms that lie in it partly


async def draft_release(running: Running, given: Mapping[str, str], by: str) -> Draft:
    """Draft one. Raises Invalid, Denied where the purpose has no grant for it."""
    plan = _plan(given)
    running.gate.permit(RELEASE, plan.purpose, "read")
    if plan.measure is not None:
        plan.bounds()
    return await put_draft(running, "release", asdict(plan), by)


async def approve_release(running: Running, draft_id: str, by: str) -> int:
    """The second approval: it is drawn and leaves. How many atoms. Raises as `approving`, and as
    `Releases.publish`."""
    async with approving(running, draft_id, KINDS, by) as draft:
        values = await running.people.releases.publish(plan_of(draft), (draft.by, by))
        about = f"release {draft.id}"
        await write(running, by, about, "approved", DeleteRecord(RECORD, draft.id))
        return len(values)


def waiting(running: Running) -> list[tuple[Draft, Plan]]:
    """Those that wait for their second officer."""
    return [(draft, plan_of(draft)) for draft in drafts(running, *KINDS)]


def plan_of(draft: Draft) -> Plan:
    """What a draft would release."""
    return Plan(**{**draft.fields, "areas": tuple(draft.fields["areas"])})


def share(plan: Plan) -> int:
    """What it costs of the budget of its data and period, in percent."""
    return round(100 * plan.rho / RHO_PERIOD)


def shown(running: Running) -> list[Shown]:
    """Everything that was released."""
    return [_shown(one["id"], one["figure"]) for one in running.people.releases.published()]


def _shown(release_id: str, figure: Mapping[str, Any]) -> Shown:
    atoms = figure["atoms"]
    cells = tuple(tuple(map(tuple, atom["cells"])) for atom in atoms)
    lattice = Lattice(figure["smallest_group"], cells)
    values = [atom["persons"] for atom in atoms]
    rows = []
    for area in sorted({cell[0] for one in cells for cell in one}):
        persons, parts = union_of(values, lattice, partial(_lies_in, area))
        rows.append((area, persons, parts["left_out"]))
    return Shown(
        release_id,
        figure["name"],
        figure["period"],
        figure["measure"],
        figure["smallest_group"],
        figure["deviation"]["persons"],
        tuple(rows),
    )


def _lies_in(area: str, cell: Cell) -> bool:
    return cell[0] == area


def _plan(given: Mapping[str, str]) -> Plan:
    said: dict[str, Any] = {}
    for name, label, needed in FIELDS:
        text = given.get(name, "").strip()[:100]
        if needed and not text:
            raise Invalid(Text(f"vul in: {label.nl}", f"fill in: {label.en}"))
        if text:
            said[name] = text
    said["areas"] = tuple(filter(None, (one.strip() for one in said["areas"].split(","))))
    for name in ("name", "period"):
        if not said[name].replace("-", "").isalnum() or not said[name].isascii():
            raise Invalid(Text(f"{name}: letters en cijfers", f"{name}: letters and digits"))
    return Plan(**said)
