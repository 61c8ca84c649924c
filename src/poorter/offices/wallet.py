# SPDX-License-Identifier: EUPL-1.2
"""A login by wallet: a request, what the wallet posts, and the browser that comes back for it.

Three parts, each once. The wallet knows the state, so it may answer; only the browser in which it
began, with the code that the wallet brings home, gets the session (OpenID4VP 1.0, 8.2, 14.2). A
wallet on another device brings no browser home: then the browser that shows the code asks for it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from poorter.city.errors import Conflict, NotFound, Unauthenticated
from poorter.city.time import MINUTE_US
from poorter.gate.genesis import RUN
from poorter.identity.jose import BadToken, read_object
from poorter.identity.jwe import ENCRYPTIONS, MESSAGE_CHARS_MAX, decrypt, kid_of, new_key
from poorter.identity.persons import digest_of
from poorter.identity.residents import ResidentSession, Said
from poorter.identity.sdjwt import issuer_of, read_presentation
from poorter.identity.sealing import seal, unseal
from poorter.identity.services import Service
from poorter.offices.desk import begin_session
from poorter.offices.federated import TRY, TRY_MINUTES
from poorter.offices.record import OWN, reading
from poorter.running import Running
from poorter.standards.openid4vp.trust import Trusted, query, said_by
from poorter.store.contract import Change, PutRecord, Record

#: a wallet that answers wrongly may try again, but not for ever
ANSWERS_MAX = 5
SCHEME = "openid4vp://authorize"


class Asked(msgspec.Struct, frozen=True):
    """What a wallet is asked; sealed under the state."""

    service: str
    nonce: str
    language: str
    to: str
    key: str = ""  # private, to open an encrypted answer with
    across: bool = False  # the wallet is on another device


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the link that opens a wallet, and its state."""

    link: str
    state: str


def response_uri(running: Running) -> str:
    """Where wallets post to."""
    return f"{running.config.url}/openid4vp/response"


def client_id(running: Running) -> str:
    """What the city is called to wallets: the place they post to, so nobody else gets it."""
    return f"redirect_uri:{response_uri(running)}"


def offers(running: Running, service: Service) -> list[Trusted]:
    """The credentials that say what the service needs."""
    return [one for one in running.config.identity_wallets if one.asks(service) is not None]


async def ask(
    running: Running, service: Service, language: str, to: str, cookie: str, across: bool = False
) -> Request:
    """A request that belongs to the browser with this cookie; `across`: to be scanned."""
    state, nonce = (secrets.token_urlsafe(32) for _ in range(2))
    private, public = new_key(state) if running.config.identity_wallet_encrypted else ("", None)
    asked = Asked(service.id, nonce, language, to, private, across)
    doc = {
        "until_us": running.clock.now_us() + TRY_MINUTES * MINUTE_US,
        "state": "asked",
        "browser": digest_of(running.pepper, "browser", cookie),
        "sealed": seal(running.pepper, state, msgspec.msgpack.encode(asked)),
        "answers": 0,
    }
    await _put(running, _id(running, state), doc, 0)
    fields = {
        "response_type": "vp_token",
        "response_mode": "direct_post.jwt" if public else "direct_post",
        "client_id": client_id(running),
        "response_uri": response_uri(running),
        "nonce": nonce,
        "state": state,
        "dcql_query": json.dumps(query(offers(running, service), service), separators=(",", ":")),
        "client_metadata": json.dumps(_metadata(public), separators=(",", ":")),
    }
    return Request(f"{SCHEME}?{urlencode(fields)}", state)


async def answer(running: Running, fields: Mapping[str, str]) -> str:
    """What the wallet posted; the address that it brings the browser to, none for one on another
    device.

    Raises: BadToken.
    """
    message = fields.get("response", "")
    state = kid_of(message) if message else fields.get("state", "")
    record = _record(running, state, "asked")
    asked = msgspec.msgpack.decode(unseal(running.pepper, state, record.doc["sealed"]), type=Asked)
    if record.doc["answers"] >= ANSWERS_MAX:
        raise BadToken("state")
    try:
        shown = _shown(asked, state, fields)
        said = await _said(running, asked, shown)
    except BadToken:
        await _step(running, record, {"answers": record.doc["answers"] + 1})
        raise
    code = f"across {state}" if asked.across else secrets.token_urlsafe(32)
    sealed = seal(running.pepper, code, msgspec.msgpack.encode((said, asked)))
    await _step(running, record, {"state": "answered", "sealed": sealed})
    if asked.across:
        return ""
    back = urlencode({"state": state, "response_code": code})
    return f"{running.config.url}/openid4vp/back?{back}"


async def finish(
    running: Running, state: str, code: str, cookie: str
) -> tuple[ResidentSession, str, Asked]:
    """The session, for the browser in which it began. `code`: what the wallet brought home, or
    "across STATE" where it is on another device. Raises BadToken."""
    record = _record(running, state, "answered")
    if record.doc["browser"] != digest_of(running.pepper, "browser", cookie):
        raise BadToken("browser")
    try:
        plain = unseal(running.pepper, code, record.doc["sealed"])
    except Unauthenticated:
        raise BadToken("code") from None
    said, asked = msgspec.msgpack.decode(plain, type=tuple[Said, Asked])
    spent = record.doc | {"state": "used", "sealed": ""}
    try:
        session, value = await begin_session(
            running, said, PutRecord(TRY, record.id, spent, record.version)
        )
    except Conflict:
        raise BadToken("state") from None
    return session, value, asked


def is_answered(running: Running, state: str) -> bool:
    """Whether the wallet has answered. Raises BadToken for a try that is none (any more)."""
    try:
        _record(running, state, "answered")
    except BadToken:
        _record(running, state, "asked")
        return False
    return True


def _shown(asked: Asked, state: str, fields: Mapping[str, str]) -> dict[str, object]:
    """The presentations by credential: encrypted where that was asked, and not otherwise."""
    if asked.key:
        inside = decrypt(fields.get("response", ""), asked.key)
        shown = inside.get("vp_token")
        if inside.get("state") != state or not isinstance(shown, dict):
            raise BadToken("state")
        return shown
    if "response" in fields or len(fields.get("vp_token", "")) > MESSAGE_CHARS_MAX:
        raise BadToken("size")
    return read_object(fields.get("vp_token", "").encode())


async def _said(running: Running, asked: Asked, found: Mapping[str, object]) -> Said:
    """One credential, of one of the issuers that were asked for. Raises BadToken."""
    service = running.services.get(asked.service)
    if service is None:
        raise BadToken("service")
    trusted = {one.name: one for one in offers(running, service)}
    if len(found) != 1 or not found.keys() <= trusted.keys():
        raise BadToken("credential")
    ((name, given),) = found.items()
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], str):
        raise BadToken("credential")
    issuer = trusted[name]
    if issuer_of(given[0]) != issuer.issuer:
        raise BadToken("issuer")
    credential = read_presentation(
        given[0],
        issuer.keys,
        client_id(running),
        asked.nonce,
        issuer.asks(service) or (),
        running.clock.now_us(),
    )
    said = said_by(issuer, service, credential, running.persons)
    await running.statuses.check(credential.status, issuer.keys)
    return said


def _metadata(key: Mapping[str, str] | None) -> dict[str, object]:
    algorithms = ["ES256", "ES384", "EdDSA"]
    encrypted: dict[str, object] = {}
    if key is not None:
        encrypted = {
            "jwks": {"keys": [key]},
            "encrypted_response_enc_values_supported": list(ENCRYPTIONS),
        }
    return {
        **encrypted,
        "vp_formats_supported": {
            "dc+sd-jwt": {"sd-jwt_alg_values": algorithms, "kb-jwt_alg_values": algorithms}
        },
    }


def _record(running: Running, state: str, wanted: str) -> Record:
    try:
        record = running.store.record(reading(running), TRY, _id(running, state))
    except NotFound:
        raise BadToken("state") from None
    if record.doc.get("state") != wanted or running.clock.now_us() >= record.doc["until_us"]:
        raise BadToken("state")
    return record


async def _step(running: Running, record: Record, changed: Mapping[str, object]) -> None:
    try:
        await _put(running, record.id, {**record.doc, **changed}, record.version)
    except Conflict:
        raise BadToken("state") from None


def _id(running: Running, state: str) -> str:
    return digest_of(running.pepper, "wallet", state)


async def _put(running: Running, try_id: str, doc: Mapping[str, object], expect: int) -> None:
    permit = running.gate.permit(OWN, RUN, "administer")
    change = Change((PutRecord(TRY, try_id, doc, expect),))
    await running.store.commit_async(permit, change)
