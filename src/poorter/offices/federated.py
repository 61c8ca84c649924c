# SPDX-License-Identifier: EUPL-1.2
"""Logins at an issuer: begun here, held against what was begun, spent once.

An issuer says who somebody is. That an officer may do something was given by two officers here;
groups at the issuer can take a role away, never add one. Of a resident only that is taken which
the service on the way to needs, whatever else the issuer says.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from poorter.city.errors import Conflict, NotFound, Unauthenticated
from poorter.city.time import MINUTE_US
from poorter.gate.genesis import RUN
from poorter.identity.jose import BadToken
from poorter.identity.persons import BSN, digest_of
from poorter.identity.residents import ResidentSession, Said
from poorter.identity.sealing import seal, unseal
from poorter.identity.services import LEVELS, Service
from poorter.identity.sessions import Session, begin_session
from poorter.offices.desk import SESSION as RESIDENT_SESSION
from poorter.offices.desk import begin_session as begin_resident
from poorter.offices.people import officers
from poorter.offices.record import OWN, reading, write
from poorter.running import Running
from poorter.standards.oidc.client import Asked, RelyingParty
from poorter.standards.oidc.provider import Provider
from poorter.store.contract import Change, DeleteRecord, Op, PutRecord

TRY, STAFF_SESSION = "login-try", "session"
TRY_MINUTES = 10


class Try(msgspec.Struct, frozen=True):
    """A login that was begun; sealed under a cookie, so that it ends in the browser it began in."""

    provider: str
    state: str
    nonce: str
    verifier: str
    language: str
    service: str = ""
    to: str = ""

    def asked(self) -> Asked:
        """What the answer is held against."""
        return Asked(self.state, self.nonce, self.verifier)


async def begin_try(
    running: Running, party: RelyingParty, language: str, service: Service | None, to: str
) -> tuple[str, str]:
    """Where to send the browser, and the cookie that the login is bound to. Raises Unavailable."""
    asked = Asked.new()
    claims, levels = _wanted(party.provider, service)
    address = await party.address(asked, claims, levels, language)
    cookie = secrets.token_urlsafe(32)
    begun = Try(
        party.provider.name,
        asked.state,
        asked.nonce,
        asked.verifier,
        language,
        service.id if service is not None else "",
        to,
    )
    await _put(running, _id(running, asked.state), _sealed(running, cookie, begun), 0)
    return address, cookie


async def spend_try(running: Running, provider: str, state: str, cookie: str) -> Try:
    """The login that was begun with this state, in this browser, at this provider: once.

    Raises: BadToken.
    """
    try:
        record = running.store.record(reading(running), TRY, _id(running, state))
        if record.doc["used"] or running.clock.now_us() >= record.doc["until_us"]:
            raise BadToken("state")
        plain = unseal(running.pepper, cookie, record.doc["sealed"])
    except (NotFound, Unauthenticated):
        raise BadToken("state") from None
    begun = msgspec.msgpack.decode(plain, type=Try)
    if begun.provider != provider:
        raise BadToken("mixed-up")
    try:
        spent = record.doc | {"used": True, "sealed": ""}
        await _put(running, record.id, spent, record.version)
    except Conflict:
        raise BadToken("state") from None
    return begun


async def staff_in(
    running: Running, provider: Provider, claims: Mapping[str, Any]
) -> tuple[Session, str]:
    """The session of the officer who has this login. Raises BadToken when there is none."""
    login = claims.get(provider.login_claim)
    found = [o for o in officers(running) if (o.login_at, o.login) == (provider.name, login)]
    if not isinstance(login, str) or len(found) != 1:
        raise BadToken("nobody")
    roles = found[0].roles
    if provider.roles_claim:
        groups = claims.get(provider.roles_claim)
        listed = groups if isinstance(groups, list) else [groups]
        there = {provider.roles[g] for g in listed if isinstance(g, str) and g in provider.roles}
        roles = tuple(role for role in roles if role in there)
    if not roles:
        raise BadToken("no-role")
    session, cookie = begin_session(found[0], roles, running.clock.now_us())
    keys = _ends_by(running, provider.name, claims)
    record = PutRecord(STAFF_SESSION, session.id, session.to_doc(), 0, keys)
    await write(running, session.officer, "session", f"begun at {provider.name}", record)
    return session, cookie


async def resident_in(
    running: Running, provider: Provider, service: Service, claims: Mapping[str, Any]
) -> tuple[ResidentSession, str]:
    """The session of a resident, which says what the service needs. Raises BadToken, Invalid."""
    said = what_is_said(running, provider, service, claims)
    return await begin_resident(running, said, keys=_ends_by(running, provider.name, claims))


def what_is_said(
    running: Running, provider: Provider, service: Service, claims: Mapping[str, Any]
) -> Said:
    """Of all claims, those that the service needs and that the settings let this issuer say."""
    level = provider.levels.get(str(claims.get("acr")))
    if level is None:
        raise BadToken("assurance")
    root = None
    if "person" in service.needs and provider.person_claim:
        number = claims.get(provider.person_claim)
        if not isinstance(number, str) or not number:
            raise BadToken("person")
        # an id that is no citizen number is somebody of this issuer only
        scheme = provider.person_scheme or f"issuer {provider.issuer}"
        root = running.persons.root(BSN if scheme == BSN else scheme, number)
    attributes: dict[str, bool] = {
        need: True
        for need, claim in provider.claims.items()
        if need in service.needs and claims.get(claim) is True
    }
    return Said("broker", provider.name, level, root, attributes)


async def end_sessions(running: Running, party: RelyingParty, text: str) -> int:
    """End what a logout token of the issuer names; how many there were.

    Raises: BadToken, also for a token that came before.
    """
    sid, subject, jti = await party.logout(text)
    name = party.provider.name
    try:
        known = _until(running, 2 * TRY_MINUTES) | {"used": True, "sealed": ""}
        await _put(running, _id(running, f"jti {name} {jti}"), known, 0)
    except Conflict:
        raise BadToken("replayed") from None
    kinds = {"staff": STAFF_SESSION, "residents": RESIDENT_SESSION}
    kind = kinds[party.provider.audience]
    where = _ends_by(running, name, {"sid": sid} if sid else {"sub": subject})
    ended: list[Op] = [
        DeleteRecord(kind, record.id)
        for record in running.store.records(reading(running), kind, where)
    ]
    if ended:
        await write(running, name, "session", f"ended by {name}", *ended)
    return len(ended)


def _wanted(provider: Provider, service: Service | None) -> tuple[list[str], list[str]]:
    """Claims and acr values to ask for: those of the service's needs, and what is sure enough."""
    if service is None:
        return [], []
    claims = [claim for need, claim in provider.claims.items() if need in service.needs]
    if "person" in service.needs and provider.person_claim not in ("", "sub"):
        claims.append(provider.person_claim)
    least = LEVELS.index(service.assurance)
    return claims, [acr for acr, level in provider.levels.items() if LEVELS.index(level) >= least]


def _ends_by(running: Running, provider: str, claims: Mapping[str, Any]) -> dict[str, str]:
    """What a session is found by when the issuer ends it; nothing to read in it."""
    return {
        name: digest_of(running.pepper, f"{name} {provider}", value)
        for name in ("sid", "sub")
        if isinstance(value := claims.get(name), str) and value
    }


def _id(running: Running, state: str) -> str:
    return digest_of(running.pepper, TRY, state)


def _sealed(running: Running, cookie: str, begun: Try) -> dict[str, Any]:
    sealed = seal(running.pepper, cookie, msgspec.msgpack.encode(begun))
    return _until(running, TRY_MINUTES) | {"used": False, "sealed": sealed}


def _until(running: Running, minutes: int) -> dict[str, Any]:
    return {"until_us": running.clock.now_us() + minutes * MINUTE_US}


async def _put(running: Running, try_id: str, doc: Mapping[str, Any], expect: int) -> None:
    """No leaf: a login that was only begun is nobody's yet."""
    permit = running.gate.permit(OWN, RUN, "administer")
    change = Change((PutRecord(TRY, try_id, doc, expect),))
    await running.store.commit_async(permit, change)
