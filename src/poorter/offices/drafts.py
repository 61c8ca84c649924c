# SPDX-License-Identifier: EUPL-1.2
"""Drafts: what one officer proposes and another, never the same, approves. They lapse by
themselves; until then either may drop them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from poorter.city.errors import CityError, Conflict, Denied, Invalid, NotFound
from poorter.city.ids import mint
from poorter.city.text import Text
from poorter.city.time import DAY_US, MINUTE_US
from poorter.gate.genesis import RUN
from poorter.gate.policy import skeleton
from poorter.offices.record import OWN, all_records, check_officer, reading, write
from poorter.running import Running
from poorter.store.contract import Change, DeleteRecord, PutRecord, Record

DRAFTS_MAX = 100
DRAFT_DAYS = 14
Kind = Literal[
    "grant",
    "officer",
    "dismissal",
    "purpose",
    "dataset",
    "processor",
    "erasure",
    "hold",
    "opening",
    "translation",
    "inspection",
    "release",
]
RECORD = "draft"


@dataclass(frozen=True, slots=True)
class Draft:
    """A change that waits for its second officer. `fields`: what it says, by its kind."""

    id: str
    kind: Kind
    by: str
    at_us: int
    fields: Mapping[str, Any]
    version: int = 0
    taken_us: int = 0  # when somebody began to approve or drop it

    @property
    def until_us(self) -> int:
        """When it lapses."""
        return self.at_us + DRAFT_DAYS * DAY_US


def drafts(running: Running, *kinds: Kind) -> list[Draft]:
    """Those of these kinds that wait, the oldest first."""
    now_us = running.clock.now_us()
    found = map(_draft, all_records(running, RECORD))
    waiting = [d for d in found if d.kind in kinds and now_us < d.until_us]
    return sorted(waiting, key=lambda d: (d.at_us, d.id))


async def put_draft(running: Running, kind: Kind, fields: Mapping[str, Any], by: str) -> Draft:
    """Draft a change. Raises Denied for who is no officer, Invalid when too many wait."""
    check_officer(running, by)
    now_us = running.clock.now_us()
    known = [_draft(record) for record in all_records(running, RECORD)]
    lapsed = [DeleteRecord(RECORD, d.id) for d in known if now_us >= d.until_us]
    if len(known) - len(lapsed) >= DRAFTS_MAX:
        raise Invalid(
            Text(
                f"er wachten al {DRAFTS_MAX} voorstellen: keur er een paar goed of laat ze vallen",
                f"{DRAFTS_MAX} drafts wait already: approve or drop some of them",
            )
        )
    draft = Draft(mint("draft-", 12), kind, by, now_us, fields)
    doc = {"kind": kind, "by": by, "at_us": now_us, "fields": dict(fields)}
    await write(
        running, by, f"{kind} {draft.id}", "drafted", PutRecord(RECORD, draft.id, doc, 0), *lapsed
    )
    return draft


def draft_to_approve(running: Running, draft_id: str, kinds: tuple[Kind, ...], by: str) -> Draft:
    """The draft, for its second officer.

    Raises: NotFound when it lapsed or was dropped, Denied for the one who drafted it, for who is
    no officer, and when the one who drafted it is none any more.
    """
    check_officer(running, by)
    draft = _one(running, draft_id, kinds)
    if skeleton(draft.by) == skeleton(by):
        raise Denied(
            Text(
                "wie het voorstelde, keurt het niet goed: dat doet een andere bevoegde",
                "who drafted it can't approve it: another officer must",
            )
        )
    check_officer(running, draft.by)
    return draft


@asynccontextmanager
async def approving(
    running: Running, draft_id: str, kinds: tuple[Kind, ...], by: str
) -> AsyncIterator[Draft]:
    """A draft for its second officer, who alone has it meanwhile: what was approved, or dropped, at
    the same moment is so once. Whatever goes wrong within gives it back.

    Raises: as `draft_to_approve`, and Conflict while somebody else has it.
    """
    draft = draft_to_approve(running, draft_id, kinds, by)
    await _mark(running, draft, draft.version, running.clock.now_us())
    try:
        yield draft
    except BaseException:
        with suppress(CityError):
            await _mark(running, draft, draft.version + 1, None)
        raise


async def drop_draft(running: Running, draft_id: str, kinds: tuple[Kind, ...], by: str) -> None:
    """Any officer may drop a draft. Raises NotFound, Denied, Conflict while it is approved."""
    check_officer(running, by)
    draft = _one(running, draft_id, kinds)
    await _mark(running, draft, draft.version, running.clock.now_us())
    about = f"{draft.kind} {draft.id}"
    await write(running, by, about, "dropped", DeleteRecord(RECORD, draft.id))


async def _mark(running: Running, draft: Draft, version: int, taken_us: int | None) -> None:
    """Take it, or give it back, if it is still of this version."""
    busy = Conflict(Text("iemand anders is er al mee bezig", "somebody else has it already"))
    if taken_us is not None and taken_us < draft.taken_us + MINUTE_US:
        raise busy
    doc = {"kind": draft.kind, "by": draft.by, "at_us": draft.at_us, "fields": dict(draft.fields)}
    doc["taken_us"] = taken_us or 0
    put = PutRecord(RECORD, draft.id, doc, version)
    permit = running.gate.permit(OWN, RUN, "administer")
    try:
        await running.store.commit_async(permit, Change((put,)))
    except Conflict:
        raise busy from None


def _one(running: Running, draft_id: str, kinds: tuple[Kind, ...]) -> Draft:
    draft = _draft(running.store.record(reading(running), RECORD, draft_id))
    if running.clock.now_us() >= draft.until_us or draft.kind not in kinds:
        raise NotFound(Text("dat voorstel is er niet (meer)", "there is no such draft"))
    return draft


def _draft(record: Record) -> Draft:
    doc = record.doc
    said = doc["kind"], doc["by"], doc["at_us"], doc["fields"]
    return Draft(record.id, *said, record.version, doc.get("taken_us", 0))
