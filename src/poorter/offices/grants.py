# SPDX-License-Identifier: EUPL-1.2
"""Grants: drafted by one officer, in force with the approval of another, ended by any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from poorter.city.errors import Invalid, NotFound
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.gate.lawful import GRANTED
from poorter.gate.permit import Action
from poorter.gate.policy import Dataset, Grant, Part, Processor
from poorter.gate.registry import following
from poorter.offices.drafts import RECORD, Draft, approving, put_draft
from poorter.offices.preview import check_seen
from poorter.offices.record import check_officer, write
from poorter.running import Running
from poorter.store.contract import DeleteRecord

DAYS_MAX = 3660
#: what may be granted on pages; to decide and to administer is for the city's own background work
ACTIONS: tuple[Action, ...] = ("read", "write", "command")
INTERNAL = "internal:"
METRICS = "record:metrics"
#: codes by which people check a letter: an app that sends them may make some, and read none
LETTER = "record:letter"


def grantable(dataset: Dataset) -> bool:
    """Whether it holds things of the city, and not only the city's own books; figures of how it
    runs are for whoever watches over it."""
    return any(
        name in (METRICS, LETTER) or (not name.startswith("record:") and name != "*")
        for name in dataset.types
    )


async def draft_grant(
    running: Running,
    processor: str,
    purpose: str,
    dataset: str,
    actions: Sequence[str],
    days: int,
    by: str,
    mask: Sequence[str] = (),
    max_rows: int | None = None,
    vital: bool = False,
) -> Draft:
    """Draft a grant, valid from its approval. `mask` and `max_rows` are what it obliges to;
    `vital`: a life may depend on it.

    Raises: Invalid for what no policy could hold.
    """
    if not 1 <= days <= DAYS_MAX:
        raise Invalid(
            Text(
                f"een toestemming geldt 1 tot {DAYS_MAX} dagen",
                f"a grant is valid for 1 to {DAYS_MAX} days",
            )
        )
    known = [action for action in ACTIONS if action in actions]
    if not known or len(known) < len(set(actions)):
        raise Invalid(
            Text(
                "kies wat er mag: lezen, schrijven of opdracht geven",
                f"a grant allows one or more of {', '.join(ACTIONS)}",
            )
        )
    held = running.gate.policy.datasets.get(dataset)
    if held is not None and LETTER in held.types and known != ["write"]:
        raise Invalid(Text("codes kun je alleen laten maken", "codes can only be made (write)"))
    if processor.startswith(INTERNAL) and (processor not in GRANTED or known != ["read"]):
        raise Invalid(
            Text(
                f"{processor} is eigen werk van het platform",
                f"{processor} is the city's own background work",
            )
        )
    if held is not None and not grantable(held):
        raise Invalid(
            Text(
                f"{dataset} is de eigen boekhouding van de stad: daar werkt niemand anders mee",
                f"{dataset} is the city's own books: nobody else works with it",
            )
        )
    who = running.gate.policy.processors.get(processor)
    if who is not None and held is not None:
        _check_supplier(who, held)
    fields = {
        "processor": processor,
        "purpose": purpose,
        "dataset": dataset,
        "actions": known,
        "days": days,
        "mask": list(mask),
        "max_rows": max_rows,
        "vital": vital,
    }
    draft = Draft("", "grant", by, 0, fields)
    parts = grant_parts(running, draft, f"{by}-and-another")
    following(running.gate.policy, parts, running.clock.now_us())
    return await put_draft(running, "grant", fields, by)


def _check_supplier(who: Processor, held: Dataset) -> None:
    """Raises Invalid where the end of a supplier's work on data about persons is not agreed."""
    if who.kind != "own" and held.personal and not (who.agreement_until and who.exit):
        raise Invalid(
            Text(
                f"zeg eerst tot wanneer de overeenkomst met {who.id} geldt, en hoe zij eindigt",
                f"say first until when the agreement with {who.id} holds, and how it ends",
            )
        )


async def approve_grant(running: Running, draft_id: str, by: str, seen: str = "") -> str:
    """The second approval; the grant is in force with it. The grant's id. Raises as
    `approving` does, Invalid when the policy changed so that it doesn't fit, and Conflict
    when what it comes to is no longer what was `seen`."""
    async with approving(running, draft_id, ("grant",), by) as draft:
        check_seen(running, grant_parts(running, draft, f"{draft.by}-and-another"), seen)
        parts = grant_parts(running, draft, by)
        await running.registry.put(parts, by, "granted")
        await write(running, by, f"grant {draft.id}", "approved", DeleteRecord(RECORD, draft.id))
        return parts[-1].id


def grant_parts(running: Running, draft: Draft, second: str) -> list[Part]:
    """What a draft would put into the policy, with its second approval."""
    said = draft.fields
    parts: list[Part] = []
    who = str(said["processor"])
    if who not in running.gate.policy.processors:
        parts.append(Processor(who, Text(who, who), who))
    actions: tuple[Action, ...] = tuple(a for a in get_args(Action) if a in said["actions"])
    now_us = running.clock.now_us()
    parts.append(
        Grant(
            f"{who}.{said['purpose']}.{said['dataset']}.{'-'.join(actions)}",
            who,
            said["purpose"],
            said["dataset"],
            actions,
            (draft.by, second),
            from_us=now_us,
            until_us=now_us + said["days"] * DAY_US,
            mask=tuple(said.get("mask", ())),
            max_rows=said.get("max_rows"),
            vital=said.get("vital", False),
        )
    )
    return parts


async def end_grant(running: Running, grant_id: str, by: str) -> None:
    """A grant ends now. One officer is enough to stop a use. Raises NotFound, Denied, Invalid for
    what the city itself runs by."""
    check_officer(running, by)
    grant = running.gate.policy.grants.get(grant_id)
    if grant is None:
        raise NotFound(Text("die toestemming is er niet", "there is no such grant"))
    if grant.processor.startswith(INTERNAL) and grant.processor not in GRANTED:
        raise Invalid(
            Text(
                f"{grant.processor} is eigen werk van het platform",
                f"{grant.processor} is the city's own background work",
            )
        )
    now_us = max(running.clock.now_us(), grant.from_us + 1)
    if grant.until_us is None or now_us < grant.until_us:
        await running.registry.put([replace(grant, until_us=now_us)], by, "ended")
