# SPDX-License-Identifier: EUPL-1.2
"""What an ID token and a logout token must say."""

from typing import Any

import pytest

from poorter.city.errors import Invalid
from poorter.identity.jose import BadToken
from poorter.standards.oidc.claims import LOGOUT_EVENT, check_id_token, check_logout_token
from poorter.standards.oidc.provider import read_providers

NOW_S = 1_800_000_000
GOOD = {
    "iss": "https://login.example",
    "aud": "poorter",
    "sub": "somebody",
    "nonce": "n",
    "iat": NOW_S,
    "exp": NOW_S + 300,
}


def check(claims: dict[str, Any]) -> None:
    check_id_token(claims, "https://login.example", "poorter", "n", NOW_S * 1_000_000)


def test_a_right_one() -> None:
    check(GOOD)
    check(GOOD | {"aud": ["poorter"]})
    check(GOOD | {"aud": ["poorter", "other"], "azp": "poorter"})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"iss": "https://login.example/"}, "issuer"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": ["https://login.example"]}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": {"poorter": 1}}, "audience"),
        ({"aud": ["poorter", 5]}, "audience"),
        ({"aud": ["poorter", "other"]}, "audience"),
        ({"aud": ["poorter", "other"], "azp": "other"}, "audience"),
        ({"azp": "other"}, "audience"),
        ({"azp": None}, "audience"),
        ({"nonce": "m"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": ["n"]}, "nonce"),
        ({"sub": ""}, "subject"),
        ({"sub": 5}, "subject"),
        ({"sub": "s" * 256}, "subject"),
        ({"exp": NOW_S - 100}, "expired"),
        ({"iat": NOW_S - 700}, "too-old"),
    ],
)
def test_wrong_ones(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(BadToken) as told:
        check(GOOD | wrong)
    assert told.value.reason == why


def test_logout_tokens() -> None:
    good = {key: value for key, value in GOOD.items() if key != "nonce"}
    good |= {"events": {LOGOUT_EVENT: {}}, "jti": "1", "sid": "s"}

    def check(claims: dict[str, Any]) -> tuple[str, str]:
        now_us = NOW_S * 1_000_000
        return check_logout_token(claims, "https://login.example", "poorter", now_us)

    assert check(good) == ("s", "somebody")
    for wrong in (
        {"events": {}},
        {"events": [LOGOUT_EVENT]},
        {"events": {LOGOUT_EVENT: 1}},
        {"nonce": "n"},
        {"jti": None},
        {"sid": 5},
        {"aud": "other"},
        {"iss": "x"},
        {"sid": "", "sub": ""},
    ):
        with pytest.raises(BadToken):
            check(good | wrong)
    with pytest.raises(BadToken):
        check(GOOD)  # an ID token is no logout token


def test_settings_are_checked() -> None:
    good = {"for": "staff", "issuer": "https://login.example", "client_id": "poorter"}
    (provider,) = read_providers({"city": good | {"roles": {"g": "desk"}}}, "city.toml")
    assert (provider.name, provider.host, provider.roles["g"]) == ("city", "login.example", "desk")
    for wrong in (
        {"for": "everybody"},
        {"issuer": "http://login.example"},
        {"issuer": "https://login.example?x=1"},
        {"issuer": "https://u:p@login.example"},
        {"issuer": "https://[bad"},
        {"issuer": "javascript:alert(1)"},
        {"issuer": ""},
        {"client_id": 5},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"algorithms": []},
        {"scopes": ["profile"]},
        {"roles": {"g": "mayor"}},
        {"claims": {"person": "bsn"}},
        {"claims": {"income": "income"}},
        {"levels": {"acr": "very"}},
        {"person_scheme": "passport"},
        {"secret": "in the settings"},
        {"colour": "red"},
    ):
        with pytest.raises(Invalid):
            read_providers({"city": good | wrong}, "city.toml")
    for tables in ({"City": good}, {"a": good, "b": good}, [], {"a": "x"}):
        with pytest.raises(Invalid):
            read_providers(tables, "city.toml")
