# SPDX-License-Identifier: EUPL-1.2
"""An issuer that a city trusts, and for what: a table `[identity.providers.NAME]` of city.toml.

What an issuer may say is written down here, claim by claim. It gives nobody a power that two
officers did not give, and says nothing of a resident that is not in its table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal
from urllib.parse import urlsplit

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.identity.jose import ALGORITHMS
from poorter.identity.services import LEVELS, NEEDS, Assurance, Need
from poorter.identity.sessions import ROLES

For = Literal["staff", "residents"]
PROVIDERS_MAX = 20
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_DIGID = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
_EIDAS = "http://eidas.europa.eu/LoA/"
#: what issuers say under `acr`: eIDAS, and DigiD Basis, Midden, Substantieel, Hoog
KNOWN_LEVELS: Mapping[str, Assurance] = {
    f"{_EIDAS}low": "low",
    f"{_EIDAS}substantial": "substantial",
    f"{_EIDAS}high": "high",
    f"{_DIGID}PasswordProtectedTransport": "low",
    f"{_DIGID}MobileTwoFactorContract": "low",
    f"{_DIGID}Smartcard": "substantial",
    f"{_DIGID}SmartcardPKI": "high",
}


@dataclass(frozen=True, slots=True)
class Provider:
    """One issuer. `secret` is no setting: it lies in the folder of keys."""

    name: str
    audience: For
    issuer: str
    client_id: str
    title: Text
    #: signature algorithms of its tokens; what it says of itself changes nothing
    algorithms: tuple[str, ...] = ("ES256", "EdDSA", "PS256", "RS256")
    scopes: tuple[str, ...] = ("openid",)
    #: staff: the claim that an officer's login name is in, and the claim with groups, if any
    login_claim: str = "sub"
    roles_claim: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    #: residents: the claim with the citizen number ("bsn") or another id, and yes/no answers
    person_claim: str = ""
    person_scheme: str = ""
    claims: Mapping[Need, str] = field(default_factory=dict)
    levels: Mapping[str, Assurance] = field(default_factory=lambda: KNOWN_LEVELS)

    @property
    def host(self) -> str:
        """The issuer's host, which the city must be allowed to call."""
        return urlsplit(self.issuer).hostname or ""


#: setting of a provider -> what it means; the reference pages are made of it
FIELDS: Mapping[str, str] = {
    "for": '"staff" or "residents".',
    "issuer": "Its name and address, exactly as it writes it itself; https, or http on loopback.",
    "client_id": "What the city is called there.",
    "title_nl": "What people read on the button, in Dutch.",
    "title_en": "Same, in English.",
    "algorithms": f"Of its signatures, among {', '.join(ALGORITHMS)}.",
    "scopes": "What is asked for besides single claims; contains openid.",
    "login_claim": "Staff: the claim that holds the login name of an officer.",
    "roles_claim": "Staff: the claim with groups; empty: roles come from the city alone.",
    "roles": "Staff: a table, group there = role here. A role must be given on both sides.",
    "person_claim": "Residents: the claim that says who it is; empty: it never does.",
    "person_scheme": 'Residents: "bsn" when that claim is a citizen number; else empty.',
    "claims": f"Residents: a table, {' or '.join(n for n in NEEDS if n != 'person')} = claim.",
    "levels": "Residents: a table, acr there = low, substantial or high; of DigiD and eIDAS known.",
}


def read_providers(tables: Any, source: str) -> tuple[Provider, ...]:
    """The providers of `[identity.providers]`. Raises Invalid naming the setting."""
    if not isinstance(tables, dict) or len(tables) > PROVIDERS_MAX:
        raise Invalid(f"{source}: identity.providers is a table of at most {PROVIDERS_MAX} tables")
    found = tuple(_provider(name, given, source) for name, given in tables.items())
    trusted = [(p.issuer, p.audience) for p in found]
    if len(set(trusted)) != len(trusted):
        raise Invalid(f"{source}: two of identity.providers name the same issuer")
    return found


def _provider(name: str, given: Any, source: str) -> Provider:
    at = f"{source}: identity.providers.{name}"
    if not _NAME.match(name) or name == "wallet" or not isinstance(given, dict):
        raise Invalid(f"{at}: a name has small letters, digits and dashes, and a table below it")
    for key in given:
        if key not in FIELDS:
            raise Invalid(f"{at}: there is no setting {key}")
    audience = given.get("for")
    if audience not in ("staff", "residents"):
        raise Invalid(f"{at}.for is staff or residents")
    own = {f.name for f in fields(Provider)}
    values = {k: _plain(v, f"{at}.{k}") for k, v in given.items() if k in own}
    for required in ("issuer", "client_id"):
        if not isinstance(values.get(required), str) or not values[required]:
            raise Invalid(f"{at}.{required} is missing")
    title = Text(str(given.get("title_nl", name)), str(given.get("title_en", name)))
    provider = Provider(name=name, audience=audience, title=title, **values)
    check_issuer(provider.issuer, f"{at}.issuer")
    _check(provider, at)
    return provider


def check_issuer(issuer: str, at: str) -> None:
    """Raises Invalid unless it is an https URL without query, or http on this machine."""
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Invalid(f"{at} is no URL") from None
    own = host in ("127.0.0.1", "localhost", "::1")
    if not host or parts.scheme not in (("http", "https") if own else ("https",)):
        raise Invalid(f"{at} is an https URL")
    if parts.query or parts.fragment or parts.username or "?" in issuer or "#" in issuer:
        raise Invalid(f"{at} has no query, fragment or user")


def _check(provider: Provider, at: str) -> None:
    for setting, given, allowed in (
        ("algorithms", provider.algorithms, tuple(ALGORITHMS)),
        ("roles", provider.roles.values(), ROLES),
        ("claims", provider.claims, tuple(need for need in NEEDS if need != "person")),
        ("levels", provider.levels.values(), LEVELS),
        ("person_scheme", [provider.person_scheme], ("", "bsn")),
    ):
        for one in given:
            if one not in allowed:
                raise Invalid(f"{at}.{setting}: {str(one)[:40]} is none of {', '.join(allowed)}")
    if not provider.algorithms or "openid" not in provider.scopes:
        raise Invalid(f"{at}: algorithms can't be empty, and scopes contains openid")


def _plain(value: Any, at: str) -> Any:
    """Texts, lists of texts and tables of texts; lists as tuples."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
        return value
    raise Invalid(f"{at} is a text, a list of texts or a table of texts")
