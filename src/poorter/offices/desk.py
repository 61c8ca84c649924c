# SPDX-License-Identifier: EUPL-1.2
"""The desk: a clerk looks at a document and hands over a code on paper; it logs in once.

A clerk who makes a code could use it, so each one is a line about its subject, which they can see
themselves, and a clerk makes a few an hour, not thousands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from poorter.city.errors import Conflict, Denied, Invalid, NotFound, Unauthenticated
from poorter.city.text import Text
from poorter.city.time import HOUR_US
from poorter.identity.paper import new_code, read_code
from poorter.identity.persons import BSN, CITY_HALL, digest_of
from poorter.identity.residents import ResidentSession, Said, begin, resume
from poorter.identity.sealing import seal, unseal
from poorter.identity.services import NEEDS, Need
from poorter.identity.sessions import session_id
from poorter.offices.record import all_records, check_role, reading, write
from poorter.running import Running
from poorter.store.contract import DeleteRecord, PutRecord

CODE, SESSION = "desk-code", "resident-session"
DESK = "desk"
CODES_MAX = 10_000
#: what a clerk may have looked at
DOCUMENTS: Mapping[str, Text] = {
    "passport": Text("paspoort", "passport"),
    "id-card": Text("identiteitskaart", "identity card"),
    "residence-permit": Text("verblijfsdocument", "residence permit"),
    "driving-licence": Text("rijbewijs", "driving licence"),
    "register": Text("vragen uit het bevolkingsregister", "questions from the register"),
}
_WRONG = "the code is not right, was used, or is too old"


@dataclass(frozen=True, slots=True)
class Issued:
    """A code as shown once, with what is kept of it: an id to take it back by, and its end."""

    id: str
    code: str
    until_us: int
    says: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """A code that waits to be used: nothing in it tells for whom."""

    id: str
    by: str
    until_us: int


async def issue_code(
    running: Running, number: str, says: Collection[str], document: str, by: str
) -> Issued:
    """A code that says these things of whoever uses it. `number`: the citizen number when it says
    who it is, else empty; it goes into the root and is forgotten.

    Raises: Denied for who is not of the desk, Invalid.
    """
    check_role(running, by, DESK)
    needs = tuple(need for need in NEEDS if need in says)
    if not needs or len(needs) != len(set(says)):
        raise Invalid(Text("kies wat de code bewijst", "choose what the code is to prove"))
    if document not in DOCUMENTS:
        raise Invalid(Text("kies welk document u zag", "choose which document you saw"))
    if bool(number.strip()) != ("person" in needs):
        raise Invalid(
            Text(
                "een burgerservicenummer hoort erbij als de code zegt wie het is, en anders niet",
                "a citizen number is needed if, and only if, the code says who it is",
            )
        )
    now_us = running.clock.now_us()
    lapsed = [r.id for r in all_records(running, CODE) if now_us >= r.doc["until_us"]]
    if len(codes(running)) >= CODES_MAX:
        raise Invalid(Text("er staan te veel codes open", "too many codes are open"))
    root = running.persons.root(BSN, number) if "person" in needs else None
    said = Said(
        "desk", running.config.city_id, "low", root, {n: True for n in needs if n != "person"}
    )
    code = new_code()
    until_us = now_us + running.config.identity_desk_code_hours * HOUR_US
    doc = {
        "by": by,
        "until_us": until_us,
        "used": False,
        "sealed": seal(running.pepper, code, msgspec.msgpack.encode(said)),
    }
    kept = PutRecord(CODE, _kept_under(running, code), doc, expect=0)
    await write(
        running,
        f"{by}, {document}",
        "login code",
        "handed over",
        kept,
        *(DeleteRecord(CODE, old) for old in lapsed),
        subject=_subject(running, said),
    )
    return Issued(kept.id, code, until_us, needs)


def codes(running: Running) -> list[Open]:
    """Those that wait to be used, the one that ends first on top."""
    now_us = running.clock.now_us()
    found = [
        Open(r.id, r.doc["by"], r.doc["until_us"])
        for r in all_records(running, CODE)
        if not r.doc["used"] and now_us < r.doc["until_us"]
    ]
    return sorted(found, key=lambda one: (one.until_us, one.id))


async def revoke_code(running: Running, code_id: str, by: str) -> None:
    """A lost paper: it opens nothing from now on. Raises NotFound, Denied."""
    check_role(running, by, DESK)
    if not any(one.id == code_id for one in codes(running)):
        raise NotFound(Text("die code is er niet (meer)", "there is no such code"))
    await write(running, by, "login code", "taken back", DeleteRecord(CODE, code_id))


async def enter_by_code(running: Running, typed: str) -> tuple[ResidentSession, str]:
    """The session of whoever types a code, and its cookie. Of two at once, one gets in.

    Raises: Unauthenticated, always in the same words.
    """
    try:
        code = read_code(typed)
        record = running.store.record(reading(running), CODE, _kept_under(running, code))
        if record.doc["used"] or running.clock.now_us() >= record.doc["until_us"]:
            raise Unauthenticated
        said = msgspec.msgpack.decode(unseal(running.pepper, code, record.doc["sealed"]), type=Said)
    except (NotFound, Unauthenticated):
        raise Unauthenticated(_WRONG) from None
    used = record.doc | {"used": True, "sealed": ""}
    try:
        return await begin_session(
            running, said, PutRecord(CODE, record.id, used, expect=record.version)
        )
    except Conflict:
        raise Unauthenticated(_WRONG) from None


async def begin_session(
    running: Running, said: Said, *spent: PutRecord, keys: Mapping[str, str] | None = None
) -> tuple[ResidentSession, str]:
    """A session that says `said`, in one transaction with what it spends. `keys`: what it is
    found by when an issuer ends it. Raises Conflict."""
    minutes = running.config.identity_resident_minutes
    session, cookie, doc = begin(running.pepper, said, running.clock.now_us(), minutes)
    await write(
        running,
        said.method,
        "login",
        "resident came in",
        PutRecord(SESSION, session.id, doc, 0, keys or {}),
        *spent,
        subject=_subject(running, said),
    )
    return session, cookie


def session_of(running: Running, cookie: str) -> ResidentSession | None:
    """The running session of a cookie, None when there is none."""
    try:
        doc = running.store.record(reading(running), SESSION, session_id(cookie)).doc
        return resume(running.pepper, cookie, doc, running.clock.now_us())
    except (NotFound, Unauthenticated, Denied):
        return None


async def end_session(running: Running, session: ResidentSession) -> None:
    """Out, here and in the store."""
    await write(
        running,
        session.said.method,
        "login",
        "resident went out",
        DeleteRecord(SESSION, session.id),
        subject=_subject(running, session.said),
    )


def _subject(running: Running, said: Said) -> str | None:
    return None if said.root is None else running.persons.subject(said.root, CITY_HALL)


def _kept_under(running: Running, code: str) -> str:
    return digest_of(running.pepper, CODE, code)
