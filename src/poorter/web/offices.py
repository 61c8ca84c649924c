# SPDX-License-Identifier: EUPL-1.2
"""Officers govern on these pages: keys of apps, grants, each other. What is shown once is shown in
the answer to the form, and kept nowhere."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from poorter.city.errors import Denied, Invalid, Unauthenticated
from poorter.city.text import Text
from poorter.city.time import format_us
from poorter.gate.lawful import RELEASE, walls_of
from poorter.gate.policy import Grant
from poorter.identity.sessions import COOKIE, ROLES, Session
from poorter.offices import grants as granting
from poorter.offices import keys as keeping
from poorter.offices import parts as parting
from poorter.offices import people, releasing
from poorter.offices import persons as one_person
from poorter.offices.drafts import Draft, drafts, drop_draft
from poorter.offices.preview import Preview, preview
from poorter.offices.record import OFFICER
from poorter.web.page import HEADERS, Visit


async def keys(visit: Visit) -> Response:
    """Make a key for an app, or take one back."""
    if visit.request.method == "GET":
        _officer(visit.staff())
        return _keys(visit, None)
    session, fields = await visit.staff_form()
    _officer(session)
    if fields.get("act") == "revoke":
        await keeping.revoke_key(visit.running, fields.get("id", ""), session.officer)
        return visit.redirect("control/keys")
    if fields.get("act") == "replace":
        _, secret = await keeping.replace_key(
            visit.running, fields.get("id", ""), keeping.OVERLAP_DAYS, session.officer
        )
        return _keys(visit, secret)
    if fields.get("act") == "certificate":
        await keeping.make_certificate(
            visit.running,
            fields.get("processor", ""),
            fields.get("purpose", ""),
            fields.get("pem", ""),
            session.officer,
        )
        return visit.redirect("control/keys")
    _, secret = await keeping.make_key(
        visit.running,
        fields.get("processor", ""),
        fields.get("purpose", ""),
        _days(fields),
        session.officer,
    )
    return _keys(visit, secret)


def _keys(visit: Visit, secret: str | None) -> Response:
    who = sorted({grant.processor for grant in _running_grants(visit)})
    return visit.render(
        "keys.html",
        keys=keeping.keys(visit.running),
        secret=secret,
        processors=[one for one in who if not one.startswith(keeping.WITHOUT_KEY)],
        purposes=visit.running.gate.policy.purposes,
        overlap=keeping.OVERLAP_DAYS,
    )


async def grants(visit: Visit) -> Response:
    """Draft a grant, approve another's, end one."""
    if visit.request.method == "GET":
        _officer(visit.staff())
        policy = visit.running.gate.policy
        return visit.render(
            "grants.html",
            grants=_running_grants(visit),
            drafts=[(d, _preview_of(visit, d)) for d in drafts(visit.running, "grant")],
            policy=policy,
            datasets=[d for d in policy.datasets.values() if granting.grantable(d)],
            actions=granting.ACTIONS,
            processors=sorted(
                p for p in policy.processors if not p.startswith(granting.INTERNAL) or p == RELEASE
            ),
        )
    session, fields = await visit.staff_form()
    _officer(session)
    act, chosen, by = fields.get("act"), fields.get("id", ""), session.officer
    if act == "approve":
        await granting.approve_grant(visit.running, chosen, by, fields.get("seen", ""))
    elif act == "drop":
        await drop_draft(visit.running, chosen, ("grant",), by)
    elif act == "end":
        await granting.end_grant(visit.running, chosen, by)
    elif act == "draft":
        await granting.draft_grant(
            visit.running,
            fields.get("processor", "").strip(),
            fields.get("purpose", ""),
            fields.get("dataset", ""),
            [action for action in granting.ACTIONS if fields.get(f"may-{action}")],
            _days(fields),
            by,
            [name.strip() for name in fields.get("mask", "").split(",") if name.strip()],
            _rows(fields),
            bool(fields.get("vital")),
        )
    else:
        raise Invalid(
            Text("stel voor, keur goed, laat vallen of beëindig", "draft, approve, drop or end")
        )
    return visit.redirect("control/grants")


def _preview_of(visit: Visit, draft: Draft) -> Preview:
    parts = granting.grant_parts(visit.running, draft, f"{draft.by}-and-another")
    return preview(visit.running, parts)


async def policy(visit: Visit) -> Response:
    """Draft a purpose, a dataset or a processor; approve another's, with what it would change."""
    if visit.request.method == "GET":
        _officer(visit.staff())
        return _policy(visit)
    session, fields = await visit.staff_form()
    _officer(session)
    act, chosen, by = fields.get("act"), fields.get("id", ""), session.officer
    if act == "approve":
        await parting.approve_part(visit.running, chosen, by, fields.get("seen", ""))
    elif act == "drop":
        await drop_draft(visit.running, chosen, parting.PARTS, by)
    elif act == "draft":
        kind: Any = fields.get("kind", "")
        await parting.draft_part(visit.running, kind, fields, by)
    else:
        raise Invalid(Text("stel voor, keur goed of laat vallen", "draft, approve or drop"))
    return visit.redirect("control/policy")


def _policy(visit: Visit) -> Response:
    running = visit.running
    asked = visit.request.query_params
    kind = asked.get("kind", "")
    part = parting.known_part(running.gate.policy, kind, asked.get("id", ""))
    waiting = parting.waiting(running)
    return visit.render(
        "policy.html",
        drafts=[(d, preview(running, parting.parts_of(running, d))) for d in waiting],
        forms=parting.FORMS,
        filled={k: parting.filled(k, part if k == kind else None) for k in parting.FORMS},
        changed=kind if part is not None else "",
        policy=running.gate.policy,
        today=format_us(running.clock.now_us())[:10],
        own=granting.INTERNAL,
    )


async def releases(visit: Visit) -> Response:
    """Draft a release of figures about persons; approve another's, which draws and signs it."""
    if visit.request.method == "GET":
        _officer(visit.staff())
        policy = visit.running.gate.policy
        may = {g.purpose for g in policy.grants.values() if g.processor == RELEASE}
        return visit.render(
            "releases.html",
            drafts=[(d, p, releasing.share(p)) for d, p in releasing.waiting(visit.running)],
            fields=releasing.FIELDS,
            purposes=[policy.purposes[name] for name in sorted(may)],
            datasets=[d for d in policy.datasets.values() if d.walled],
        )
    session, fields = await visit.staff_form()
    _officer(session)
    act, chosen, by = fields.get("act"), fields.get("id", ""), session.officer
    if act == "approve":
        await releasing.approve_release(visit.running, chosen, by)
        return visit.redirect("figures")
    if act == "drop":
        await drop_draft(visit.running, chosen, releasing.KINDS, by)
    elif act == "draft":
        await releasing.draft_release(visit.running, fields, by)
    else:
        raise Invalid(Text("stel voor, keur goed of laat vallen", "draft, approve or drop"))
    return visit.redirect("control/releases")


async def figures(visit: Visit) -> Response:
    """What was released about people, for everybody; signed, for who asks for JSON."""
    if "application/json" in visit.request.headers.get("accept", ""):
        return JSONResponse(visit.running.people.releases.published(), headers=HEADERS)
    return visit.render("figures.html", figures=releasing.shown(visit.running))


async def persons(visit: Visit) -> Response:
    """Erase, hold, open or translate what is kept of one person: drafted, then approved."""
    if visit.request.method == "GET":
        _officer(visit.staff())
        return _persons(visit, None)
    session, fields = await visit.staff_form()
    _officer(session)
    act, by = fields.get("act"), session.officer
    done = None
    if act == "approve":
        done = await one_person.approve_person(visit.running, fields.get("id", ""), by)
    elif act == "drop":
        await drop_draft(visit.running, fields.get("id", ""), one_person.KINDS, by)
    elif act == "draft":
        kind: Any = fields.get("kind", "")
        await one_person.draft_person(visit.running, kind, fields, by)
    elif act == "take":
        await one_person.draft_requested(visit.running, fields.get("id", ""), by)
    elif act == "refuse":
        answer = fields.get("answer", "")
        await one_person.refuse_requested(visit.running, fields.get("id", ""), answer, by)
    elif act == "release":
        number, wall = fields.get("number", ""), fields.get("wall", "")
        done = await one_person.release_hold(visit.running, number, wall, by)
    else:
        raise Invalid(Text("stel voor, keur goed of laat vallen", "draft, approve or drop"))
    return _persons(visit, done) if done else visit.redirect("control/persons")


def _persons(visit: Visit, done: one_person.Done | None) -> Response:
    policy = visit.running.gate.policy
    touching = [p for p in policy.purposes.values() if walls_of(policy, p.id)]
    return visit.render(
        "persons.html",
        drafts=one_person.waiting(visit.running),
        requests=visit.running.people.requests.open(),
        walls=one_person.walls(visit.running),
        purposes=touching,
        done=done,
    )


def _running_grants(visit: Visit) -> list[Grant]:
    """Grants that hold now, without those of the city's own background work."""
    now_us = visit.speech.now_us
    return [
        grant
        for grant in visit.running.gate.policy.grants.values()
        if not grant.processor.startswith(granting.INTERNAL)
        and (grant.until_us is None or now_us < grant.until_us)
    ]


async def officers(visit: Visit) -> Response:
    """Draft an appointment or a dismissal, approve another's."""
    if visit.request.method == "GET":
        _officer(visit.staff())
        return _officers(visit, "")
    session, fields = await visit.staff_form()
    _officer(session)
    act, chosen, by = fields.get("act"), fields.get("id", ""), session.officer
    half = ""
    if act == "draft":
        roles = [role for role in ROLES if fields.get(f"role-{role}")]
        name, office = fields.get("name", ""), fields.get("office", "")
        anew = bool(fields.get("anew"))
        login = fields.get("login_at", ""), fields.get("login", "")
        _, half = await people.draft_officer(visit.running, name, office, roles, anew, by, login)
    elif act == "approve":
        half = await people.approve_officer(visit.running, chosen, by)
    elif act == "dismiss":
        await people.draft_dismissal(visit.running, fields.get("name", ""), by)
    elif act == "approve-dismissal":
        await people.approve_dismissal(visit.running, chosen, by)
    elif act == "drop":
        await drop_draft(visit.running, chosen, ("officer", "dismissal"), by)
    else:
        raise Invalid(
            Text("stel voor, keur goed, ontsla of laat vallen", "draft, approve, dismiss or drop")
        )
    return _officers(visit, half) if half else visit.redirect("control/officers")


def _officers(visit: Visit, half: str) -> Response:
    return visit.render(
        "officers.html",
        officers=people.officers(visit.running),
        drafts=drafts(visit.running, "officer", "dismissal"),
        roles=ROLES,
        half=half,
        days=people.INVITATION_DAYS,
        providers=visit.providers("staff"),
    )


async def welcome(visit: Visit) -> Response:
    """Who was appointed chooses a password, with the halves of the code from two officers."""
    if visit.request.method == "GET":
        return visit.render("welcome.html", wrong=False)
    fields = await visit.form()
    name = fields.get("name", "").strip()
    visit.take_try(name)
    password = _chosen(fields)
    halves = fields.get("first", ""), fields.get("second", "")
    try:
        await people.choose_password(visit.running, name, halves, password)
    except Unauthenticated:
        return visit.render("welcome.html", 401, wrong=True)
    return visit.redirect("login")


async def password(visit: Visit) -> Response:
    """One's own password; one logs in again with it."""
    if visit.request.method == "GET":
        visit.staff()
        return visit.render("password.html")
    session, fields = await visit.staff_form()
    visit.take_try(session.officer)
    await people.change_password(
        visit.running, session.officer, fields.get("old", ""), _chosen(fields)
    )
    page = visit.redirect("login")
    page.delete_cookie(COOKIE, path="/")
    return page


def _chosen(fields: dict[str, str]) -> str:
    chosen = fields.get("password", "")
    if chosen != fields.get("again", ""):
        raise Invalid(
            Text("de twee wachtwoorden zijn niet gelijk", "the two passwords are not the same")
        )
    return chosen


def _officer(session: Session) -> None:
    if OFFICER not in session.roles:
        raise Denied(Text("alleen bevoegden doen dit", "only officers do this"))


def _rows(fields: dict[str, str]) -> int | None:
    text = fields.get("max_rows", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1_000_000):
        raise Invalid(Text("het aantal rijen is een heel getal", "rows is a whole number"))
    return int(text)


def _days(fields: dict[str, str]) -> int:
    text = fields.get("days", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise Invalid(Text("het aantal dagen is een heel getal", "days is a whole number"))
    return int(text)
