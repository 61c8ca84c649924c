# SPDX-License-Identifier: EUPL-1.2
"""Whose credentials a city believes, and what they may say: `[identity.wallets.NAME]`.

Keys are pinned in a file beside city.toml, not fetched: what a city trusts changes when it says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poorter.city.errors import Invalid
from poorter.identity.jose import BadToken, PublicKey, read_json, read_keys
from poorter.identity.persons import Persons
from poorter.identity.residents import Said
from poorter.identity.sdjwt import Credential
from poorter.identity.services import LEVELS, NEEDS, Assurance, Need, Service
from poorter.standards.oidc.provider import check_issuer

ISSUERS_MAX = 50
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")


@dataclass(frozen=True, slots=True)
class Trusted:
    """An issuer of credentials and what the city takes from it."""

    name: str
    issuer: str
    vct: str
    keys: tuple[PublicKey, ...]
    assurance: Assurance = "substantial"
    person_claim: str = ""
    person_scheme: str = ""
    claims: Mapping[Need, str] = field(default_factory=dict)

    def asks(self, service: Service) -> tuple[str, ...] | None:
        """The claims to ask for, None when this credential can't say what the service needs."""
        if LEVELS.index(self.assurance) < LEVELS.index(service.assurance):
            return None
        known = dict(self.claims)
        if self.person_claim:
            known["person"] = self.person_claim
        if not service.needs <= known.keys():
            return None
        return tuple(sorted(known[need] for need in service.needs))


#: setting of a trusted issuer -> what it means; the reference pages are made of it
FIELDS: Mapping[str, str] = {
    "issuer": "Who signs the credential, exactly as its `iss`.",
    "vct": "The one type of credential that is taken from it.",
    "keys": "File with its public keys (a JWK set), beside city.toml.",
    "assurance": "low, substantial or high.",
    "person_claim": "The claim that says who it is; empty: it never does.",
    "person_scheme": '"bsn" when that claim is a citizen number; else empty.',
    "claims": f"A table, {' or '.join(n for n in NEEDS if n != 'person')} = claim.",
}


def read_trusted(folder: Path, tables: Any, source: str) -> tuple[Trusted, ...]:
    """The issuers of `[identity.wallets]`. Raises Invalid naming the setting."""
    if not isinstance(tables, dict) or len(tables) > ISSUERS_MAX:
        raise Invalid(f"{source}: identity.wallets is a table of at most {ISSUERS_MAX} tables")
    found = tuple(_trusted(folder, name, given, source) for name, given in tables.items())
    if len({(one.issuer, one.vct) for one in found}) != len(found):
        raise Invalid(f"{source}: two of identity.wallets name the same issuer and vct")
    return found


def _trusted(folder: Path, name: str, given: Any, source: str) -> Trusted:
    at = f"{source}: identity.wallets.{name}"
    if not _NAME.match(name) or not isinstance(given, dict):
        raise Invalid(f"{at}: a name has small letters, digits and dashes, and a table below it")
    values = dict(given)
    for key, value in values.items():
        if key not in FIELDS:
            raise Invalid(f"{at}: there is no setting {key}")
        if not isinstance(value, dict if key == "claims" else str):
            raise Invalid(f"{at}.{key} has the wrong type")
    for required in ("issuer", "vct", "keys"):
        if not values.get(required):
            raise Invalid(f"{at}.{required} is missing")
    check_issuer(values["issuer"], f"{at}.issuer")
    _among(values.get("assurance", "low"), LEVELS, f"{at}.assurance")
    _among(values.get("person_scheme", ""), ("", "bsn"), f"{at}.person_scheme")
    for need, claim in values.get("claims", {}).items():
        _among(need, [one for one in NEEDS if one != "person"], f"{at}.claims")
        if not isinstance(claim, str) or not claim:
            raise Invalid(f"{at}.claims.{need} is the name of a claim")
    return Trusted(name=name, **{**values, "keys": _keys(folder / values["keys"], at)})


def _keys(file: Path, at: str) -> tuple[PublicKey, ...]:
    try:
        found = read_keys(read_json(file.read_bytes()))
    except (OSError, BadToken) as wrong:
        raise Invalid(f"{at}.keys: {file} is no JWK set ({type(wrong).__name__})") from None
    if not found:
        raise Invalid(f"{at}.keys: {file} holds no key that signs with an allowed algorithm")
    return found


def _among(value: Any, allowed: Collection[str], at: str) -> None:
    if value not in allowed:
        raise Invalid(f"{at} is one of {', '.join(allowed) or 'nothing'}")


def query(trusted: Collection[Trusted], service: Service) -> dict[str, Any]:
    """The DCQL query: any one credential that says all the service needs, and of it only that."""
    credentials = [
        {
            "id": one.name,
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [one.vct]},
            "claims": [{"path": [claim]} for claim in asked],
        }
        for one in trusted
        if (asked := one.asks(service)) is not None
    ]
    options = [[credential["id"]] for credential in credentials]
    return {"credentials": credentials, "credential_sets": [{"options": options}]}


def said_by(trusted: Trusted, service: Service, credential: Credential, persons: Persons) -> Said:
    """What a verified credential says of its holder. Raises BadToken, Invalid."""
    if credential.issuer != trusted.issuer or credential.vct != trusted.vct:
        raise BadToken("issuer")
    attributes: dict[str, bool] = {
        need: True
        for need, claim in trusted.claims.items()
        if need in service.needs and credential.shown.get(claim) is True
    }
    root = None
    if "person" in service.needs and trusted.person_claim:
        number = credential.shown.get(trusted.person_claim)
        if not isinstance(number, str) or not number:
            raise BadToken("person")
        scheme = trusted.person_scheme or f"issuer {trusted.issuer}"
        root = persons.root(scheme, number)
    return Said("wallet", trusted.name, trusted.assurance, root, attributes)
