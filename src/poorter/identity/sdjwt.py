# SPDX-License-Identifier: EUPL-1.2
"""Verifiable credentials as SD-JWT VC (`dc+sd-jwt`): what an issuer signed, of which the holder
shows a part, with proof that it is theirs and was made for us just now. Pure.

Sources: RFC 9901 (SD-JWT), draft-ietf-oauth-sd-jwt-vc, Token Status List for `status`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from poorter.identity.jose import (
    TOKEN_BYTES_MAX,
    BadToken,
    PublicKey,
    check_times,
    decode_part,
    parse_token,
    read_json,
    read_key,
    read_token,
    verify_signature,
)

TYPES = ("dc+sd-jwt", "vc+sd-jwt")
DISCLOSURES_MAX = 64
PROOF_AGE_S_MAX = 300
STATUS_BYTES_MAX = 4 * 1024 * 1024
#: claims that a disclosure may never bring: they bind the rest together
_FIXED = frozenset(("_sd", "...", "_sd_alg", "iss", "vct", "cnf", "exp", "nbf", "iat", "status"))


@dataclass(frozen=True, slots=True)
class Status:
    """Where the issuer says whether a credential still holds."""

    uri: str
    index: int


@dataclass(frozen=True, slots=True)
class Credential:
    """What of a credential was shown. `shown`: the disclosed claims and nothing else of it."""

    issuer: str
    vct: str
    shown: Mapping[str, Any]
    status: Status | None


def issuer_of(presentation: object) -> str:
    """Who is said to have issued it: to look up the keys by, before anything is believed."""
    _, claims = parse_token(_parts(presentation)[0], TYPES)
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise BadToken("issuer")
    return issuer


def read_presentation(
    presentation: object,
    keys: Iterable[PublicKey],
    audience: str,
    nonce: str,
    asked: Collection[str],
    now_us: int,
) -> Credential:
    """The credential, verified whole: issuer, times, disclosures, holder.

    `asked`: the claims that were asked for; one more, and all of it is refused. Raises BadToken.
    """
    parts = _parts(presentation)
    assert isinstance(presentation, str)
    claims = read_token(parts[0], keys, TYPES).claims
    check_times(claims, now_us, None)
    issuer, vct = claims.get("iss"), claims.get("vct")
    if not isinstance(issuer, str) or not isinstance(vct, str):
        raise BadToken("issuer")
    shown = _disclosed(claims, parts[1:-1])
    if not shown.keys() <= set(asked):
        raise BadToken("too-much")
    signed = presentation[: len(presentation) - len(parts[-1])]
    _check_holder(claims, parts[-1], signed, audience, nonce, now_us)
    return Credential(issuer, vct, shown, _status(claims))


def _parts(presentation: object) -> list[str]:
    if not isinstance(presentation, str) or len(presentation) > 2 * TOKEN_BYTES_MAX:
        raise BadToken("size")
    parts = presentation.split("~")
    if not 2 <= len(parts) <= DISCLOSURES_MAX + 2:
        raise BadToken("form")
    return parts


def _disclosed(claims: Mapping[str, Any], disclosures: list[str]) -> dict[str, Any]:
    """Name and value of each disclosure; each must have its digest in the signed part, once."""
    digests = claims.get("_sd", [])
    if claims.get("_sd_alg", "sha-256") != "sha-256" or not isinstance(digests, list):
        raise BadToken("disclosure")
    if not all(isinstance(d, str) for d in digests) or len(set(digests)) != len(digests):
        raise BadToken("disclosure")
    found: dict[str, Any] = {}
    for text in disclosures:
        if _hash(text) not in digests:
            raise BadToken("disclosure")
        said = read_json(decode_part(text))
        if not isinstance(said, list) or len(said) != 3 or not isinstance(said[1], str):
            raise BadToken("disclosure")
        name = said[1]
        if name in _FIXED or name in claims or name in found:
            raise BadToken("disclosure")
        found[name] = said[2]
    return found


def _check_holder(
    claims: Mapping[str, Any], proof: str, signed: str, audience: str, nonce: str, now_us: int
) -> None:
    """The key binding JWT: by the key that the issuer named, for us, for this request, now."""
    confirmed = claims.get("cnf")
    key = read_key(confirmed.get("jwk")) if isinstance(confirmed, dict) else None
    if key is None or not proof:
        raise BadToken("holder")
    header, said = parse_token(proof, ("kb+jwt",))
    verify_signature(proof, header, key)
    check_times({**said, "exp": said.get("exp", 2**40)}, now_us, PROOF_AGE_S_MAX)
    if said.get("aud") != audience:
        raise BadToken("audience")
    for name, wanted, why in (("nonce", nonce, "nonce"), ("sd_hash", _hash(signed), "binding")):
        given = said.get(name)
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), wanted.encode()):
            raise BadToken(why)


def _status(claims: Mapping[str, Any]) -> Status | None:
    if "status" not in claims:
        return None
    status = claims["status"]
    listed = status.get("status_list") if isinstance(status, dict) else None
    if not isinstance(listed, dict):
        raise BadToken("status")
    uri, index = listed.get("uri"), listed.get("idx")
    if not isinstance(uri, str) or isinstance(index, bool) or not isinstance(index, int):
        raise BadToken("status")
    if index < 0:
        raise BadToken("status")
    return Status(uri, index)


def holds(token: object, status: Status, keys: Iterable[PublicKey], now_us: int) -> bool:
    """Whether a status list token says that the credential is valid (value 0). Raises BadToken."""
    claims = read_token(token, keys, ("statuslist+jwt",)).claims
    check_times({**claims, "exp": claims.get("exp", 2**40)}, now_us, None)
    listed = claims.get("status_list")
    if claims.get("sub") != status.uri or not isinstance(listed, dict):
        raise BadToken("status")
    bits, packed = listed.get("bits"), listed.get("lst")
    if bits not in (1, 2, 4, 8) or isinstance(bits, bool) or not isinstance(packed, str):
        raise BadToken("status")
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(decode_part(packed), STATUS_BYTES_MAX)
    except zlib.error:
        raise BadToken("status") from None
    place = status.index * bits
    if place // 8 >= len(data):
        raise BadToken("status")
    value: int = (data[place // 8] >> (place % 8)) & ((1 << bits) - 1)
    return value == 0


def _hash(text: str) -> str:
    try:
        digest = hashlib.sha256(text.encode("ascii")).digest()
    except UnicodeEncodeError:
        raise BadToken("form") from None
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
