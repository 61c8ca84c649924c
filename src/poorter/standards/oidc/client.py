# SPDX-License-Identifier: EUPL-1.2
"""The city as a relying party of one issuer: where to send a browser, and what it came back with.

Authorization code with PKCE (RFC 7636), `iss` in the answer where the issuer says it sends it (RFC
9207), one exact redirect per provider. What the issuer publishes of itself is fetched when first
needed and again each hour; unknown keys are looked for at most once a minute.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Unavailable
from poorter.city.text import Text
from poorter.city.time import HOUR_US, MINUTE_US
from poorter.identity.jose import (
    BadToken,
    PublicKey,
    Token,
    choose_key,
    parse_token,
    read_json,
    read_keys,
    verify_signature,
)
from poorter.standards.http.outgoing import Outgoing, Reply
from poorter.standards.oidc.claims import check_id_token, check_logout_token
from poorter.standards.oidc.provider import Provider

log = logging.getLogger(__name__)
DISCOVERY = "/.well-known/openid-configuration"
DOCUMENT_BYTES_MAX = 256 * 1024
CODE_CHARS_MAX = 2048
TIMEOUT_S = 5.0
#: said when an issuer can't be reached, or is not what it should be
AWAY = Text(
    "deze manier van inloggen werkt nu niet: probeer een andere, of later nog eens",
    "this way to log in does not work now: try another one, or later",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a login is held against when it comes back. Nothing of it leaves but as a hash or in
    the browser's own address."""

    state: str
    nonce: str
    verifier: str

    @staticmethod
    def new() -> Asked:
        """All of it fresh, 256 bits each."""
        return Asked(*(secrets.token_urlsafe(32) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class _Metadata:
    authorization: str
    token: str
    keys_url: str
    says_issuer: bool
    keys: tuple[PublicKey, ...]
    at_us: int


class RelyingParty:
    """One issuer. `redirect_uri` is exactly what was registered there."""

    def __init__(
        self,
        provider: Provider,
        outgoing: Outgoing,
        clock: Clock,
        redirect_uri: str,
        secret: str | None,
    ) -> None:
        self.provider = provider
        self.redirect_uri = redirect_uri
        self._outgoing = outgoing
        self._clock = clock
        self._secret = secret
        self._metadata: _Metadata | None = None

    async def address(
        self, asked: Asked, claims: Collection[str], levels: Collection[str], language: str
    ) -> str:
        """Where to send the browser. `claims`: those single ones that are asked for; `levels`:
        acr values that are enough. Raises Unavailable."""
        metadata = await self._known()
        fields = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self.provider.scopes),
            "state": asked.state,
            "nonce": asked.nonce,
            "code_challenge": challenge(asked.verifier),
            "code_challenge_method": "S256",
            "ui_locales": language,
        }
        if claims:
            wanted = {name: {"essential": True} for name in sorted(claims)}
            fields["claims"] = json.dumps({"id_token": wanted}, separators=(",", ":"))
        if levels:
            fields["acr_values"] = " ".join(levels)
        joint = "&" if urlsplit(metadata.authorization).query else "?"
        return f"{metadata.authorization}{joint}{urlencode(fields)}"

    async def claims(self, asked: Asked, answer: Mapping[str, str]) -> Mapping[str, Any]:
        """What the issuer says of whoever came back. Raises BadToken, Unavailable."""
        metadata = await self._known()
        said = answer.get("iss")
        if (said is None and metadata.says_issuer) or said not in (None, self.provider.issuer):
            raise BadToken("issuer")
        if "error" in answer:
            raise BadToken("refused-there")
        code = answer.get("code", "")
        if not 0 < len(code) <= CODE_CHARS_MAX:
            raise BadToken("code")
        text = await self._exchange(metadata, code, asked.verifier)
        token = await self._token(text, ("", "jwt"))
        now_us = self._clock.now_us()
        provider = self.provider
        check_id_token(token.claims, provider.issuer, provider.client_id, asked.nonce, now_us)
        return token.claims

    async def logout(self, text: str) -> tuple[str, str, str]:
        """(sid, sub, jti) of a logout token. Raises BadToken, Unavailable."""
        token = await self._token(text, ("", "jwt", "logout+jwt"))
        now_us = self._clock.now_us()
        provider = self.provider
        sid, sub = check_logout_token(token.claims, provider.issuer, provider.client_id, now_us)
        return sid, sub, str(token.claims["jti"])

    async def _exchange(self, metadata: _Metadata, code: str, verifier: str) -> object:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": self.provider.client_id,
            "code_verifier": verifier,
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        headers["accept"] = "application/json"
        if self._secret is not None:
            pair = f"{quote(self.provider.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        body = urlencode(fields).encode()
        reply = await self._send("POST", metadata.token, headers, body)
        if reply.status != 200:
            raise BadToken("exchange")
        found = read_json(reply.body)
        return found.get("id_token") if isinstance(found, dict) else None

    async def _token(self, text: object, types: Collection[str]) -> Token:
        """Its signature verified by a key of this issuer; keys may have been replaced since."""
        header, claims = parse_token(text, types)
        assert isinstance(text, str)
        metadata = await self._known()
        try:
            key = choose_key(header, metadata.keys)
        except BadToken:
            if self._clock.now_us() < metadata.at_us + MINUTE_US:
                raise
            metadata = await self._fetch()
            key = choose_key(header, metadata.keys)
        verify_signature(text, header, key)
        return Token(header, claims)

    async def _known(self) -> _Metadata:
        known = self._metadata
        if known is not None and self._clock.now_us() < known.at_us + HOUR_US:
            return known
        return await self._fetch()

    async def _fetch(self) -> _Metadata:
        """What the issuer says of itself. It names itself exactly as the settings name it."""
        issuer = self.provider.issuer
        found = await self._document(issuer.rstrip("/") + DISCOVERY)
        if found.get("issuer") != issuer:
            log.warning("provider %s names itself otherwise than its setting", self.provider.name)
            raise Unavailable(AWAY)
        places = [found.get(f"{one}") for one in ("authorization_endpoint", "token_endpoint")]
        places.append(found.get("jwks_uri"))
        if not all(isinstance(one, str) and self._is_safe(one) for one in places):
            log.warning("provider %s has endpoints that are not https", self.provider.name)
            raise Unavailable(AWAY)
        keys = read_keys(await self._document(places[2]), self.provider.algorithms)
        says = found.get("authorization_response_iss_parameter_supported") is True
        self._metadata = _Metadata(
            str(places[0]), str(places[1]), str(places[2]), says, keys, self._clock.now_us()
        )
        return self._metadata

    def _is_safe(self, url: str) -> bool:
        """Https; on this machine http too, when the issuer itself is there."""
        own = urlsplit(self.provider.issuer)
        parts = urlsplit(url)
        return parts.scheme == "https" or (
            own.scheme == "http" and parts.scheme == "http" and parts.hostname == own.hostname
        )

    async def _document(self, url: Any) -> dict[str, Any]:
        reply = await self._send("GET", str(url), {"accept": "application/json"}, b"")
        try:
            found = msgspec.json.decode(reply.body) if reply.status == 200 else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = None
        if not isinstance(found, dict):
            raise Unavailable(AWAY)
        return found

    async def _send(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Reply:
        try:
            return await self._outgoing.send(
                method, url, headers, body, TIMEOUT_S, DOCUMENT_BYTES_MAX
            )
        except CityError as wrong:
            log.warning("provider %s: %s", self.provider.name, type(wrong).__name__)
            raise Unavailable(AWAY) from None


def challenge(verifier: str) -> str:
    """S256 of RFC 7636."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
