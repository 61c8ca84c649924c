# SPDX-License-Identifier: EUPL-1.2
"""Signed tokens of others (JWT, RFC 7519; JWS, RFC 7515), read with suspicion (RFC 8725).

A token chooses nothing: not its key's place (jku, x5u, jwk and x5c in a header are never looked
at), not its algorithm (the key pins which it may be, and "none" and shared secrets are not on our
list at all), not its type. What is wrong is told to nobody but the log, by a short reason.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.errors import Unauthenticated
from poorter.city.time import SECOND_US

TOKEN_BYTES_MAX = 32 * 1024
HEADER_BYTES_MAX = 8 * 1024
KEYS_MAX = 50
KID_CHARS_MAX = 200
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
#: how far the clocks of two machines may be apart
SKEW_S = 60
#: the allow-list: algorithm -> (key type, curve)
ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
    "PS256": ("RSA", None),
    "RS256": ("RSA", None),
}
_PART = re.compile(r"[A-Za-z0-9_-]+\Z")
_PUBLIC = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}
_TIME_MAX = 2**40


class BadToken(Unauthenticated):
    """A token that is not taken. `reason` is for the log: a word, nothing of the token."""

    def __init__(self, reason: str) -> None:
        super().__init__("the login did not succeed")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of an issuer and the algorithms that it may be used with."""

    kid: str | None
    algorithms: tuple[str, ...]
    jwk: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose signature is right. Its claims are still to be judged."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def read_keys(doc: Any, allowed: Collection[str] = tuple(ALGORITHMS)) -> tuple[PublicKey, ...]:
    """The keys of a JWK set that sign with what is allowed; others are left out, and so are
    shared secrets, private halves, and what is marked as not for signing."""
    listed = doc.get("keys") if isinstance(doc, dict) else None
    if not isinstance(listed, list):
        raise BadToken("no-key-set")
    found = (read_key(one, allowed) for one in listed[:KEYS_MAX])
    return tuple(key for key in found if key is not None)


def read_key(jwk: Any, allowed: Collection[str] = tuple(ALGORITHMS)) -> PublicKey | None:
    """One JWK, None when it is nothing to verify with."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return None
    kind = jwk.get("kty")
    operations = jwk.get("key_ops", ["verify"])
    if kind not in _PUBLIC or not isinstance(operations, list) or "verify" not in operations:
        return None
    public = {name: jwk.get(name) for name in _PUBLIC[kind]}
    given = {name: value for name, value in public.items() if isinstance(value, str)}
    if given != public:
        return None
    fitting = tuple(
        name
        for name, (wanted, curve) in ALGORITHMS.items()
        if name in allowed
        and wanted == kind
        and curve in (None, public.get("crv"))
        and jwk.get("alg", name) == name
    )
    kid = jwk.get("kid")
    if kid is not None and (not isinstance(kid, str) or len(kid) > KID_CHARS_MAX):
        return None
    if not fitting or (kind == "RSA" and not RSA_BITS_MIN <= _bits(public["n"]) <= RSA_BITS_MAX):
        return None
    return PublicKey(kid, fitting, {"kty": kind, **given})


def read_token(text: object, keys: Iterable[PublicKey], types: Collection[str]) -> Token:
    """The token, its signature verified by one of the keys.

    `types`: what its header may say under `typ`; "" lets it say nothing. Raises BadToken.
    """
    header, claims = parse_token(text, types)
    assert isinstance(text, str)
    verify_signature(text, header, choose_key(header, keys))
    return Token(header, claims)


def parse_token(text: object, types: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, before anything is known of the signature. Raises BadToken."""
    if not isinstance(text, str) or len(text) > TOKEN_BYTES_MAX:
        raise BadToken("size")
    parts = text.split(".")
    if len(parts) != 3:
        raise BadToken("form")
    if len(parts[0]) > HEADER_BYTES_MAX:
        raise BadToken("size")
    header, claims = (read_object(decode_part(part)) for part in parts[:2])
    decode_part(parts[2])
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise BadToken("algorithm")
    if "crit" in header or "b64" in header or "zip" in header:
        raise BadToken("critical")
    kind = header.get("typ", "")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        raise BadToken("type")
    return header, claims


def choose_key(header: Mapping[str, Any], keys: Iterable[PublicKey]) -> PublicKey:
    """The one key that the header names, among keys that were known before. Raises BadToken."""
    fitting = [key for key in keys if header["alg"] in key.algorithms]
    kid = header.get("kid")
    if kid is not None:
        fitting = [key for key in fitting if isinstance(kid, str) and key.kid == kid]
    if len(fitting) != 1:
        raise BadToken("key")
    return fitting[0]


def verify_signature(text: str, header: Mapping[str, Any], key: PublicKey) -> None:
    """Raises BadToken unless the key made the signature, by the one algorithm of the header that
    is pinned to it."""
    from joserfc import errors, jwk, jws  # a city without such logins does not load it

    name = header["alg"]
    if name not in key.algorithms:
        raise BadToken("algorithm")
    message, _, signature = text.rpartition(".")
    try:
        algorithm = jws.JWSRegistry.algorithms[name]
        public = jwk.import_key(dict(key.jwk))
        algorithm.check_key(public)
        right = algorithm.verify(message.encode("ascii"), decode_part(signature), public)
    except (errors.JoseError, ValueError, TypeError, KeyError):
        raise BadToken("signature") from None
    if not right:
        raise BadToken("signature")


def decode_part(part: str) -> bytes:
    """Base64url without padding, in its one right spelling. Raises BadToken."""
    if not _PART.match(part):
        raise BadToken("form")
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise BadToken("form") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise BadToken("form")
    return data


def read_json(data: bytes) -> Any:
    """JSON in which no name stands twice and no number is none. Raises BadToken."""
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise BadToken("json") from None


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises BadToken."""
    found = read_json(data)
    if not isinstance(found, dict):
        raise BadToken("json")
    return found


def check_times(claims: Mapping[str, Any], now_us: int, age_s_max: int | None) -> None:
    """Raises BadToken unless exp, nbf and iat hold now. `age_s_max`: how long ago it may have been
    made, then iat must be there; None for documents that live long."""
    now_s = now_us / SECOND_US
    expires_s = _moment(claims, "exp")
    if expires_s is None or now_s >= expires_s + SKEW_S:
        raise BadToken("expired")
    from_s = _moment(claims, "nbf")
    if from_s is not None and now_s < from_s - SKEW_S:
        raise BadToken("not-yet")
    made_s = _moment(claims, "iat")
    if made_s is not None and made_s > now_s + SKEW_S:
        raise BadToken("not-yet")
    if age_s_max is not None and (made_s is None or now_s > made_s + age_s_max + SKEW_S):
        raise BadToken("too-old")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadToken("time")
    if not 0 <= value <= _TIME_MAX:
        raise BadToken("time")
    return float(value)


def _bits(modulus: Any) -> int:
    try:
        return int.from_bytes(decode_part(modulus), "big").bit_length()
    except BadToken:
        return 0


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(text)
