# SPDX-License-Identifier: EUPL-1.2
"""An issuer of credentials and a wallet, on the reference implementation of SD-JWT."""

import base64
import json
import time
import zlib
from collections.abc import Mapping
from typing import Any

from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer

ISSUER, VCT = "https://issuer.example", "https://issuer.example/resident"
NOW_S = 1_767_225_600


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key(kid: str) -> JWK:
    return JWK.generate(kty="EC", crv="P-256", kid=kid)


def signed(key: JWK, claims: Mapping[str, Any], kind: str, **header: Any) -> str:
    token = JWS(json.dumps(dict(claims)).encode())
    head = {"alg": "ES256", "typ": kind, **header}
    token.add_signature(key, None, json.dumps(head))
    return str(token.serialize(compact=True))


class Wallet:
    """One credential and the key that it is bound to."""

    def __init__(
        self,
        issuer_key: JWK,
        claims: Mapping[str, Any],
        hidden: Mapping[str, Any],
        kind: str = "dc+sd-jwt",
    ) -> None:
        self.key = new_key("holder")
        head = {"typ": kind, "kid": issuer_key["kid"]}
        everything = {**claims, **{SDObj(name): value for name, value in hidden.items()}}
        made = SDJWTIssuer(everything, issuer_key, self.key, extra_header_parameters=head)
        self.issued: str = made.sd_jwt_issuance

    def show(self, *names: str, nonce: str, audience: str, key: JWK | None = None) -> str:
        holder = SDJWTHolder(self.issued)
        chosen = dict.fromkeys(names, True)
        # the reference takes its own clock for iat; tests of times sign by themselves (`bind`)
        holder.create_presentation(chosen, nonce, audience, key or self.key)
        return str(holder.sd_jwt_presentation)

    def bind(self, shown: str, claims: Mapping[str, Any], kind: str = "kb+jwt", **more: Any) -> str:
        """Another key binding on what was shown (with its last ~)."""
        return shown + signed(more.pop("key", self.key), claims, kind, **more)


def credential(issuer_key: JWK, **more: Any) -> Wallet:
    claims = {"iss": ISSUER, "vct": VCT, "iat": NOW_S, "exp": NOW_S + 10 * 365 * 86400}
    hidden = {
        "resident": True,
        "age_over_16": True,
        "personal_number": "999990020",
        "family_name": "Amrani",
    }
    return Wallet(issuer_key, claims | more, hidden)


def status_list(key: JWK, uri: str, values: bytes, **more: Any) -> str:
    listed = {"bits": 1, "lst": b64(zlib.compress(values))}
    claims = {"sub": uri, "iat": int(time.time()), "status_list": listed}
    return signed(key, claims | more, "statuslist+jwt", kid=key["kid"])
