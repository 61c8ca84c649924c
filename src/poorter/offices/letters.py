# SPDX-License-Identifier: EUPL-1.2
"""Codes of letters, messages and officers: given out by whoever is in office, in the name of their
own office only; checked by anyone. What is checked is counted, who checks is not kept."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from poorter.city.errors import Conflict, Invalid, NotFound
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.identity.caller import Caller
from poorter.identity.keys import load_key
from poorter.identity.letters import (
    SORTS,
    SUBJECTS,
    Kind,
    Sent,
    Verdict,
    new_code,
    read_code,
    statement,
    until_us,
    verdict,
)
from poorter.identity.persons import digest_of
from poorter.offices.record import OWN, officer_of, reading, write
from poorter.running import Running
from poorter.store.contract import Change, PutRecord, Record

RECORD = "letter"
#: counted up to here: beyond it nothing is learnt, and nothing more is written
CHECKS_MAX = 100_000
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Checked:
    """What is told of a code. `statement` and `signatures` (Ed25519, ML-DSA-65; base64) are empty
    when it is unknown; `checks`: how often it was checked before."""

    verdict: Verdict
    sent: Sent | None
    checks: int
    statement: str = ""
    signatures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """A code that is out, for whoever gave it: its id, not the code."""

    id: str
    sent: Sent
    checks: int
    withdrawn: bool


async def give_code(running: Running, kind: str, subject: str, by: str, sender: str = "") -> str:
    """A code for something that the office of `by` sends, or for the pass of `sender`.

    Raises: Invalid, NotFound when `by` is not in office.
    """
    sender = sender.strip()
    if (kind == "officer") != bool(sender) or len(sender) > 60 or not sender.isprintable():
        raise Invalid(
            Text(
                "een naam hoort bij een pas, en bij niets anders",
                "a name goes with a pass, and with nothing else",
            )
        )
    return await _give(running, kind, subject, officer_of(running, by).office, by, sender)


async def give_to_app(running: Running, caller: Caller, kind: str, subject: str) -> str:
    """The same for an app that sends letters or messages for the office of its purpose: at
    sending, one each. Raises Invalid, also for a pass."""
    if kind == "officer":
        raise Invalid(Text("een pas komt van een kantoor zelf", "a pass comes of an office itself"))
    office = running.office_of(caller.purpose) or ""
    by = f"{caller.processor} ({caller.credential})"
    return await _give(running, kind, subject, office, by, "")


async def _give(
    running: Running, kind: str, subject: str, office: str, by: str, sender: str
) -> str:
    if kind not in SORTS or subject not in SUBJECTS:
        raise Invalid(
            Text(
                "kies wat het is en waarover",
                f"choose what it is ({', '.join(SORTS)}) and about what ({', '.join(SUBJECTS)})",
            )
        )
    now_us = running.clock.now_us()
    sort: Kind = kind  # type: ignore[assignment]
    sent = Sent(sort, office, subject, sender, now_us, until_us(sort, now_us))
    code = new_code()
    doc = {**sent.to_doc(), "checks": 0, "withdrawn": False}
    record = PutRecord(RECORD, _kept_under(running, code), doc, 0, {"office": office})
    await write(running, f"{by}: {kind}", f"code of a {kind}", "given out", record)
    return code


def given(running: Running, office: str) -> list[Given]:
    """The newest that an office gave out."""
    records = running.store.records(reading(running), RECORD, {"office": office}, 200, newest=True)
    return [_given(record) for record in records]


async def withdraw(running: Running, letter_id: str, by: str) -> None:
    """A pass was lost, a letter recalled: whoever checks is warned. Raises NotFound."""
    record = running.store.record(reading(running), RECORD, letter_id)
    if record.doc["office"] != officer_of(running, by).office:
        raise NotFound(Text("die code is er niet (meer)", "there is no such code"))
    gone = PutRecord(
        RECORD,
        record.id,
        record.doc | {"withdrawn": True},
        record.version,
        {"office": record.doc["office"]},
    )
    await write(running, by, f"code of a {record.doc['kind']}", "withdrawn", gone)


async def check_code(running: Running, typed: str) -> Checked:
    """What the city says of a code. An unknown one is an answer too, not an error."""
    code = read_code(typed)
    for _ in range(ATTEMPTS):
        record = _found(running, code)
        if record is None or code is None:
            return Checked("unknown", None, 0)
        now_us = running.clock.now_us()
        sent, checks = Sent.from_doc(record.doc), record.doc["checks"]
        told = verdict(sent, checks, record.doc["withdrawn"], now_us)
        if told == "unknown":
            return Checked("unknown", None, 0)
        if checks < CHECKS_MAX and not await _counted(running, record):
            continue  # somebody else checked in the same moment
        said = statement(code, sent, running.config.city_id)
        both = load_key(running.config.paths_keys, "letters").sign(said)
        signatures = tuple(base64.b64encode(one).decode() for one in both)
        return Checked(told, sent, checks, said.decode(), signatures)
    raise Conflict(Text("te druk: probeer het opnieuw", "too busy: try again"))


def _found(running: Running, code: str | None) -> Record | None:
    # what can be no code takes the same way as one that is unknown
    try:
        return running.store.record(reading(running), RECORD, _kept_under(running, code or ""))
    except NotFound:
        return None


async def _counted(running: Running, record: Record) -> bool:
    doc = record.doc | {"checks": record.doc["checks"] + 1}
    keys = {"office": record.doc["office"]}
    permit = running.gate.permit(OWN, RUN, "administer")
    change = Change((PutRecord(RECORD, record.id, doc, record.version, keys),))
    try:
        await running.store.commit_async(permit, change)
    except Conflict:
        return False
    return True


def _given(record: Record) -> Given:
    doc = record.doc
    return Given(record.id, Sent.from_doc(doc), doc["checks"], doc["withdrawn"])


def _kept_under(running: Running, code: str) -> str:
    return digest_of(running.pepper, RECORD, code)
