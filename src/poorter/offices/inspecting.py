# SPDX-License-Identifier: EUPL-1.2
"""Staff look into somebody's lines only with a case and a second officer, for an hour. Each look is
itself a line about that person, which they can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from poorter.city.errors import Invalid, NotFound
from poorter.city.text import Text
from poorter.city.time import HOUR_US
from poorter.gate.genesis import INSPECT, RUN
from poorter.identity.persons import BSN
from poorter.offices.drafts import RECORD, Draft, Kind, approving, put_draft
from poorter.offices.looked import Looked, looked, subjects_of
from poorter.offices.record import check_officer, write
from poorter.running import Running
from poorter.store.contract import DeleteRecord, PutRecord

INSPECTION: Kind = "inspection"
HOURS = 1
CASE_CHARS_MAX, REASON_CHARS_MAX = 60, 1000


@dataclass(frozen=True, slots=True)
class Inspection:
    """Leave to look: who asked, who approved, for which case, until when. Whom it is about is kept
    as what each wall calls them."""

    id: str
    by: str
    approved_by: str
    case: str
    reason: str
    until_us: int
    subjects: tuple[tuple[str, str], ...]


async def ask_inspection(running: Running, number: str, case: str, reason: str, by: str) -> Draft:
    """Ask a second officer for leave to look into the lines about whoever has this citizen number.

    Raises: Invalid without a case or a reason, or for no such number; Denied for no officer.
    """
    case, reason = case.strip(), reason.strip()
    if not 3 <= len(case) <= CASE_CHARS_MAX or not case.isprintable():
        raise Invalid(Text("noem het zaaknummer", "give the number of the case"))
    if not 10 <= len(reason) <= REASON_CHARS_MAX:
        raise Invalid(Text("schrijf op waarom dit nodig is", "write down why this is necessary"))
    root = running.persons.root(BSN, number)
    subjects = subjects_of(running, lambda wall: running.persons.subject(root, wall))
    fields = {"case": case, "reason": reason, "subjects": [list(one) for one in subjects]}
    return await put_draft(running, INSPECTION, fields, by)


async def approve_inspection(running: Running, draft_id: str, by: str) -> Inspection:
    """A second officer agrees: whoever asked may look for an hour. Raises NotFound, Denied."""
    async with approving(running, draft_id, (INSPECTION,), by) as draft:
        return await _leave(running, draft, by)


async def _leave(running: Running, draft: Draft, by: str) -> Inspection:
    fields = draft.fields
    doc: dict[str, Any] = {
        "by": draft.by,
        "approved_by": by,
        "case": fields["case"],
        "reason": fields["reason"],
        "until_us": running.clock.now_us() + HOURS * HOUR_US,
        "subjects": fields["subjects"],
    }
    made = _inspection(draft.id, doc)
    await write(
        running,
        f"{draft.by}, {by}: {made.case}",
        INSPECTION,
        "approved",
        PutRecord(INSPECTION, made.id, doc, expect=0),
        DeleteRecord(RECORD, draft.id),
    )
    return made


def inspections(running: Running, by: str) -> list[Inspection]:
    """Those that `by` may still look by."""
    permit = running.gate.permit("internal:identity", RUN, "read")
    found = (_inspection(r.id, r.doc) for r in running.store.records(permit, INSPECTION))
    return [one for one in found if one.by == by and running.clock.now_us() < one.until_us]


async def inspect(running: Running, inspection_id: str, by: str) -> tuple[Inspection, Looked]:
    """Look. A line for each wall in which the person is known is durable before it is shown.

    Raises: NotFound when there is no leave (any more), or it is another's.
    """
    check_officer(running, by)
    found = next((one for one in inspections(running, by) if one.id == inspection_id), None)
    if found is None:
        raise NotFound(Text("deze inzage is er niet (meer)", "there is no such leave to look"))
    subjects = list(found.subjects)
    known = [one for one in subjects if running.insight.number(*one)]
    permit = running.gate.permit("staff", INSPECT, "read")
    actor = f"{found.by}, {found.approved_by}: {found.case}"
    whom = [("ledger", wall, subject) for wall, subject in known or subjects[:1]]
    trace = await running.recorder.record(permit, whom, actor=actor)
    shown = looked(running, subjects)
    running.recorder.ended(permit, trace, ok=True)
    return found, shown


def _inspection(inspection_id: str, doc: dict[str, Any]) -> Inspection:
    return Inspection(
        inspection_id,
        doc["by"],
        doc["approved_by"],
        doc["case"],
        doc["reason"],
        doc["until_us"],
        tuple((str(wall), str(subject)) for wall, subject in doc["subjects"]),
    )
