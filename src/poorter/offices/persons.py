# SPDX-License-Identifier: EUPL-1.2
"""Power over one person's data: erase, hold, open, translate. One officer drafts, another approves;
what the draft keeps of the person is the wall's own name for them, never a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.lawful import walls_of
from poorter.identity.persons import BSN
from poorter.offices.drafts import RECORD, Draft, Kind, approving, drafts, put_draft
from poorter.offices.record import check_officer, write
from poorter.rights.opening import HOURS_MAX, Two
from poorter.running import Running
from poorter.store.contract import DeleteRecord

KINDS: tuple[Kind, ...] = ("erasure", "hold", "opening", "translation")


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an approval. `shown`: to be shown once, and kept nowhere."""

    text: Text
    shown: str = ""


async def draft_person(running: Running, kind: Kind, given: Mapping[str, str], by: str) -> Draft:
    """Draft one of KINDS. Raises Invalid naming what is missing."""
    if kind not in KINDS:
        raise Invalid(Text("kies wat er moet gebeuren", "choose what is to be done"))
    why = given.get("why", "").strip()[:1000]
    if not why:
        raise Invalid(Text("zeg waarom", "say why"))
    fields: dict[str, Any] = {"why": why}
    if kind == "translation":
        for name in ("purpose", "other", "shown"):
            fields[name] = _needed(given, name)
        return await put_draft(running, kind, fields, by)
    if kind == "opening":
        fields["purpose"] = _needed(given, "purpose")
        fields["hours"] = _hours(given.get("hours", ""))
        wall = _wall_of(running, fields["purpose"])
    else:
        wall = _needed(given, "wall")
        if wall not in walls(running):
            raise Invalid(Text("die muur is er niet", "there is no such wall"))
    root = running.persons.root(BSN, _needed(given, "number"))
    fields |= {"wall": wall, "subject": running.persons.subject(root, wall)}
    return await put_draft(running, kind, fields, by)


async def draft_requested(running: Running, request_id: str, by: str) -> Draft:
    """Draft the erasure that a person asked for. Raises NotFound, Invalid when it waits for a
    hold or was answered."""
    request = running.people.requests.one(request_id)
    if request.state != "received":
        raise Invalid(Text("dit wacht of is beantwoord", "this waits, or was answered"))
    fields = {
        "why": f"GDPR 17, {request_id}",
        "wall": request.wall,
        "subject": request.subject,
    }
    return await put_draft(running, "erasure", fields, by)


async def refuse_requested(running: Running, request_id: str, answer: str, by: str) -> None:
    """The law keeps it, for the reasons given. Raises Denied, NotFound, Conflict, Invalid."""
    check_officer(running, by)
    await running.people.requests.refuse(request_id, answer, by)


async def approve_person(running: Running, draft_id: str, by: str) -> Done:
    """The second approval: done with it. Raises as `approving`, and what is done raises."""
    async with approving(running, draft_id, KINDS, by) as draft:
        done = await _do(running, draft, by)
        about = f"{draft.kind} {draft.id}"
        await write(running, by, about, "approved", DeleteRecord(RECORD, draft.id))
        return done


async def _do(running: Running, draft: Draft, by: str) -> Done:
    said, people = draft.fields, running.people
    two = Two(draft.by, by, said["why"])
    if draft.kind == "erasure":
        both = f"{draft.by}, {by}"
        erased = await people.erasing.erase(said["subject"], said["wall"], both, said["why"])
        if erased.waits:
            return Done(Text("Wacht tot de bewaarplicht eindigt", "Waits for the hold to end"))
        return Done(Text(f"Gewist: {erased.rows} rijen", f"Erased: {erased.rows} rows"))
    if draft.kind == "hold":
        await people.erasing.hold(said["subject"], f"{draft.by}, {by}", said["why"])
        return Done(Text("Er wordt niets van gewist", "Nothing of it is erased"))
    if draft.kind == "opening":
        await people.openings.break_glass(said["subject"], said["purpose"], said["hours"], two)
        return Done(
            Text("Open; de inwoner krijgt bericht", "It is open; the resident will be told")
        )
    shown = await people.openings.translate(said["shown"], said["purpose"], said["other"], two)
    return Done(Text("Zo heet het daar", "This is what it is called there"), shown)


async def release_hold(running: Running, number: str, wall: str, by: str) -> Done:
    """A hold ends; one officer is enough to stop keeping. Raises NotFound, Denied, Invalid."""
    check_officer(running, by)
    subject = running.persons.subject(running.persons.root(BSN, number), wall)
    erased = await running.people.erasing.release(subject, by)
    return Done(Text(f"Gewist: {erased.rows} rijen", f"Erased: {erased.rows} rows"))


def waiting(running: Running) -> list[Draft]:
    """Those that wait for their second officer."""
    return drafts(running, *KINDS)


def walls(running: Running) -> list[str]:
    """The walls of this city."""
    return sorted({d.wall for d in running.gate.policy.datasets.values() if d.walled})


def _wall_of(running: Running, purpose: str) -> str:
    found = walls_of(running.gate.policy, purpose)
    if len(found) != 1:
        raise Invalid(Text("dat doel raakt geen personen", "that purpose touches no persons"))
    return next(iter(found))


def _needed(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "").strip()[:500]
    if not value:
        raise Invalid(Text("vul alles in", f"fill in all of it: {name}"))
    return value


def _hours(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= HOURS_MAX):
        raise Invalid(Text(f"1 tot {HOURS_MAX} uur", f"1 to {HOURS_MAX} hours"))
    return int(text)
