# SPDX-License-Identifier: EUPL-1.2
"""Officers: who they are, which roles they have, how they come by a password.

If one officer could appoint another alone, two approvals would be the word of one. So an
appointment is drafted and approved by two. Each of them gets half of a code; who is appointed
needs both halves to choose a password, so neither of the two can log in under that name.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace

from poorter.city.errors import Invalid, NotFound, Unauthenticated
from poorter.city.ids import mint
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.gate.policy import skeleton
from poorter.identity.passwords import hash_password, verify_password
from poorter.identity.sessions import ROLES, Officer
from poorter.offices.drafts import RECORD, Draft, approving, put_draft
from poorter.offices.record import OFFICER, all_records, officer_of, reading, write
from poorter.running import Running
from poorter.store.contract import DeleteRecord, Op, PutRecord

NAME_CHARS_MAX, LOGIN_CHARS_MAX = 60, 255
INVITATION_DAYS = 7
INVITATION = "invitation"
#: grants take two, so two there must be
OFFICERS_MIN = 2


def officers(running: Running) -> list[Officer]:
    """All of them, by name."""
    return [Officer.from_doc(r.id, r.doc) for r in all_records(running, "officer")]


async def draft_officer(
    running: Running,
    name: str,
    office: str,
    roles: Sequence[str],
    anew: bool,
    by: str,
    login: tuple[str, str] = ("", ""),
) -> tuple[Draft, str]:
    """Draft an appointment, or other roles for somebody; the draft and the first half of the code
    ("" when none is needed). `anew`: somebody who is known gets a new password too. `login`: the
    provider and the name there of who logs in at an issuer; then no password is needed.

    Raises: Invalid for a name like another one, roles that don't exist, or a login that is taken.
    """
    name, office = name.strip(), office.strip()
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise Invalid(
            Text(
                f"een naam heeft 1 tot {NAME_CHARS_MAX} tekens",
                f"a name has 1 to {NAME_CHARS_MAX} characters",
            )
        )
    if not 1 <= len(office) <= 200 or not office.isprintable():
        raise Invalid(Text("noem het kantoor", "name the office"))
    if not roles or not set(roles) <= set(ROLES):
        raise Invalid(
            Text(
                "kies een of meer rollen",
                f"an officer has one or more of the roles {', '.join(ROLES)}",
            )
        )
    known = {one.name for one in officers(running)}
    if name not in known and skeleton(name) in {skeleton(other) for other in known}:
        raise Invalid(
            Text(
                "iemand anders heeft een naam die er net zo uitziet",
                "somebody has a name that looks the same",
            )
        )
    login = (login[0], login[1].strip()) if login[0] else ("", "")
    if login[0]:
        check_login(running, name, login)
    invited = (anew or name not in known) and not login[0]
    half = mint("", 16) if invited else ""
    kept = [role for role in ROLES if role in roles]
    fields = {"name": name, "office": office, "roles": kept, "half": _digest(half)}
    fields |= {"login_at": login[0], "login": login[1]}
    return await put_draft(running, "officer", fields, by), half


async def approve_officer(running: Running, draft_id: str, by: str) -> str:
    """The second approval; the second half of the code ("" when none is needed). Sessions of that
    officer end: the next one has the new roles. Raises as `approving`, and Invalid."""
    async with approving(running, draft_id, ("officer",), by) as draft:
        return await _appoint(running, draft, by)


async def _appoint(running: Running, draft: Draft, by: str) -> str:
    said = draft.fields
    name, roles = said["name"], tuple(said["roles"])
    if OFFICER not in roles:
        _check_left(running, name)
    invited = said["half"] != _digest("")
    half = mint("", 16) if invited else ""
    nobody = await asyncio.to_thread(hash_password, secrets.token_hex(32))
    login = (said.get("login_at", ""), said.get("login", ""))
    password = nobody
    if login[0]:
        check_login(running, name, login)
    elif not invited:
        known = officer_of(running, name)
        password, login = known.password, (known.login_at, known.login)
    kept = Officer(name, said["office"], roles, password, *login)
    ops: list[Op] = [PutRecord("officer", name, kept.to_doc()), DeleteRecord(RECORD, draft.id)]
    ops += _end_sessions(running, name)
    if invited:
        until_us = running.clock.now_us() + INVITATION_DAYS * DAY_US
        halves = {"first": said["half"], "second": _digest(half), "until_us": until_us}
        ops.append(PutRecord(INVITATION, name, halves))
    await write(running, by, f"officer {draft.id}", "approved", *ops)
    return half


async def choose_password(
    running: Running, name: str, halves: tuple[str, str], password: str
) -> None:
    """Who was appointed chooses a password, with both halves of the code.

    Raises: Unauthenticated, always in the same words, Invalid for a password that is too short.
    """
    wrong = Unauthenticated("name and codes don't belong together, or are too old")
    try:
        doc = running.store.record(reading(running), INVITATION, name.strip()).doc
        officer = officer_of(running, name.strip())
    except NotFound:
        raise wrong from None
    right = [
        hmac.compare_digest(doc[key], _digest(half.strip().lower()))
        for key, half in zip(("first", "second"), halves, strict=True)
    ]
    if not all(right) or running.clock.now_us() >= doc["until_us"]:
        raise wrong
    kept = replace(officer, password=await asyncio.to_thread(hash_password, password))
    invitation = DeleteRecord(INVITATION, officer.name)
    await write(running, officer.name, "officer", "password chosen", _put(kept), invitation)


async def change_password(running: Running, name: str, old: str, new: str) -> None:
    """One's own password; all one's sessions end. Raises Invalid."""
    officer = officer_of(running, name)
    if not await asyncio.to_thread(verify_password, old, officer.password):
        raise Invalid(Text("het oude wachtwoord klopt niet", "the old password is not right"))
    kept = replace(officer, password=await asyncio.to_thread(hash_password, new))
    ended = _end_sessions(running, name)
    await write(running, name, "officer", "password changed", _put(kept), *ended)


async def draft_dismissal(running: Running, name: str, by: str) -> Draft:
    """Draft that somebody leaves office. Raises NotFound, Invalid when too few would be left."""
    officer_of(running, name)
    _check_left(running, name)
    return await put_draft(running, "dismissal", {"name": name}, by)


async def approve_dismissal(running: Running, draft_id: str, by: str) -> None:
    """Out of office, and logged out, at once. Raises as `approving`, and Invalid."""
    async with approving(running, draft_id, ("dismissal",), by) as draft:
        name = draft.fields["name"]
        _check_left(running, name)
        gone = [DeleteRecord(kind, name) for kind in ("officer", INVITATION)]
        draft_gone = DeleteRecord(RECORD, draft.id)
        ended = _end_sessions(running, name)
        await write(running, by, f"dismissal {draft.id}", "approved", *gone, draft_gone, *ended)


def check_login(running: Running, name: str, login: tuple[str, str]) -> None:
    """Raises Invalid unless the login is somebody's at a provider of staff, and nobody else's."""
    provider = running.parties.get(login[0])
    if provider is None or provider.provider.audience != "staff":
        raise Invalid(Text("die inlogdienst is er niet", "there is no such provider"))
    if not 1 <= len(login[1]) <= LOGIN_CHARS_MAX or not login[1].isprintable():
        raise Invalid(Text("vul de inlognaam daar in", "give the login name there"))
    taken = [o.name for o in officers(running) if (o.login_at, o.login) == login]
    if any(other != name for other in taken):
        raise Invalid(Text("die inlognaam is van een ander", "that login name is somebody else's"))


def _check_left(running: Running, without: str) -> None:
    left = [o for o in officers(running) if OFFICER in o.roles and o.name != without]
    if len(left) < OFFICERS_MIN:
        raise Invalid(
            Text(
                f"er moeten {OFFICERS_MIN} andere bevoegden blijven",
                f"{OFFICERS_MIN} others with the role of officer must stay",
            )
        )


def _end_sessions(running: Running, name: str) -> list[Op]:
    found = all_records(running, "session")
    return [DeleteRecord("session", r.id) for r in found if r.doc["officer"] == name]


def _put(officer: Officer) -> PutRecord:
    return PutRecord("officer", officer.name, officer.to_doc())


def _digest(half: str) -> str:
    return hashlib.sha256(half.encode("utf-8", "surrogateescape")).hexdigest()
