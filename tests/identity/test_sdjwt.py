# SPDX-License-Identifier: EUPL-1.2
"""Credentials made by the reference implementation are read; whatever is bent is refused."""

import hashlib
import json
import time
from typing import Any

import pytest
from tests.wallets import ISSUER, VCT, Wallet, b64, credential, new_key, signed, status_list

from poorter.identity.jose import BadToken, read_keys
from poorter.identity.sdjwt import Credential, Status, holds, issuer_of, read_presentation

KEY = new_key("issuer-1")
KEYS = read_keys({"keys": [json.loads(KEY.export_public())]})
AUDIENCE, NONCE = "redirect_uri:https://city.example/openid4vp/response", "n-1"
WALLET = credential(KEY)


def read(text: object, asked: tuple[str, ...] = ("age_over_16",), **more: Any) -> Credential:
    now_us = more.pop("now_us", int(time.time() * 1e6))
    return read_presentation(text, KEYS, AUDIENCE, NONCE, asked, now_us)


def reason(text: object, asked: tuple[str, ...] = ("age_over_16",), **more: Any) -> str:
    with pytest.raises(BadToken) as told:
        read(text, asked, **more)
    return told.value.reason


def shown(*names: str, wallet: Wallet = WALLET) -> str:
    return wallet.show(*names, nonce=NONCE, audience=AUDIENCE)


def bound(claims: dict[str, Any], text: str | None = None, **more: Any) -> str:
    """A right presentation whose key binding says something else."""
    bare = (text or shown("age_over_16")).rpartition("~")[0] + "~"
    good = {
        "iat": int(time.time()),
        "aud": AUDIENCE,
        "nonce": NONCE,
        "sd_hash": b64(hashlib.sha256(bare.encode()).digest()),
    }
    return WALLET.bind(bare, good | claims, **more)


def test_only_what_was_asked_comes_out() -> None:
    text = shown("age_over_16")
    assert issuer_of(text) == ISSUER
    assert read(text) == Credential(ISSUER, VCT, {"age_over_16": True}, None)
    assert read(bound({})).shown == {"age_over_16": True}
    assert read(bound({}, kid="any")).shown == {"age_over_16": True}
    assert reason(shown("age_over_16", "family_name")) == "too-much"
    assert reason(shown("personal_number")) == "too-much"
    assert read(shown()).shown == {}, "showing less is no lie; the service asks for more"


def test_the_holder_proves_that_it_is_theirs_for_us_and_now() -> None:
    now_s = int(time.time())
    thief = new_key("thief")
    assert reason(WALLET.show("age_over_16", nonce="other", audience=AUDIENCE)) == "nonce"
    assert reason(WALLET.show("age_over_16", nonce=NONCE, audience="redirect_uri:x")) == "audience"
    stolen = WALLET.show("age_over_16", nonce=NONCE, audience=AUDIENCE, key=thief)
    assert reason(stolen) == "signature"
    assert reason(shown("age_over_16").rpartition("~")[0] + "~") == "holder"
    for claims, why in (
        ({"iat": now_s - 400}, "too-old"),
        ({"iat": now_s + 400}, "not-yet"),
        ({"iat": None}, "time"),
        ({"aud": [AUDIENCE]}, "audience"),
        ({"sd_hash": b64(b"x" * 32)}, "binding"),
        ({"sd_hash": None}, "binding"),
        ({"exp": now_s - 400}, "expired"),
    ):
        assert reason(bound(claims)) == why, claims
    assert reason(bound({}, kind="jwt")) == "type"
    assert reason(bound({}, kind="dc+sd-jwt")) == "type"
    assert reason(bound({}, key=thief)) == "signature"
    # the proof made for one set of disclosures fits no other
    less = shown().rpartition("~")[0] + "~"
    proof = shown("age_over_16").rpartition("~")[2]
    assert reason(less + proof) == "binding"
    unbound = {"iss": ISSUER, "vct": VCT, "exp": now_s + 900}
    bare = signed(KEY, unbound, "dc+sd-jwt", kid="issuer-1")
    assert reason(bound({}, text=f"{bare}~x")) == "holder"


def test_disclosures_are_the_issuers_own() -> None:
    first, *rest = shown("age_over_16").split("~")
    disclosure, proof = rest
    forged = b64(json.dumps(["salt", "age_over_16", True]).encode())
    assert reason(bound({}, text=f"{first}~{forged}~{proof}")) == "disclosure"
    assert reason(bound({}, text=f"{first}~{disclosure}~{disclosure}~{proof}")) == "disclosure"
    assert reason(bound({}, text=f"{first}~{disclosure}=~{proof}")) == "disclosure"
    assert reason(bound({}, text=f"{first}~~{proof}")) == "disclosure"
    other = credential(KEY)
    mixed = shown("age_over_16", wallet=other).split("~")[1]
    assert reason(bound({}, text=f"{first}~{mixed}~{proof}")) == "disclosure"
    assert reason("~".join([first, *["x"] * 70, proof])) == "form"
    holder = {"cnf": {"jwk": json.loads(WALLET.key.export_public())}}
    base = {"iss": ISSUER, "vct": VCT, "exp": int(time.time()) + 900, **holder}
    for name, value in (("iss", "https://evil.example"), ("exp", 2**39), ("_sd", []), ("x", 1)):
        said = b64(json.dumps(["salt", name, value]).encode())
        digest = b64(hashlib.sha256(said.encode()).digest())
        claims = {**base, "_sd": [digest], "x": 2}
        text = signed(KEY, claims, "dc+sd-jwt", kid="issuer-1")
        assert reason(bound({}, text=f"{text}~{said}~x"), (name,)) == "disclosure", name
    for wrong in ({"_sd_alg": "md5"}, {"_sd": "x"}, {"_sd": ["a", "a"]}, {"_sd": [1]}):
        text = signed(KEY, base | wrong, "dc+sd-jwt", kid="issuer-1")
        assert reason(bound({}, text=f"{text}~x")) == "disclosure", wrong


def test_the_issuer_is_the_one_whose_keys_are_known() -> None:
    thief = new_key("issuer-1")
    assert reason(shown("age_over_16", wallet=credential(thief))) == "signature"
    assert reason(shown("age_over_16", wallet=credential(new_key("other")))) == "key"
    over = credential(KEY, exp=int(time.time()) - 400)
    assert reason(shown("age_over_16", wallet=over)) == "expired"
    early = credential(KEY, nbf=int(time.time()) + 400)
    assert reason(shown("age_over_16", wallet=early)) == "not-yet"
    plain = Wallet(KEY, {"iss": ISSUER, "vct": VCT, "exp": 2**33}, {"age_over_16": True}, "JWT")
    assert reason(shown("age_over_16", wallet=plain)) == "type"
    for wrong in (None, b"x", "", "~", "a~b", "x" * 100_000):
        with pytest.raises(BadToken):
            read(wrong)


def test_status_lists() -> None:
    uri = "https://issuer.example/status/1"
    now_us = int(time.time() * 1e6)
    values = bytes((0b00000100, 0))  # credential 2 is revoked

    def valid(index: int, token: object | None = None) -> bool:
        listed = status_list(KEY, uri, values) if token is None else token
        return holds(listed, Status(uri, index), KEYS, now_us)

    assert [valid(index) for index in (0, 1, 2, 3, 15)] == [True, True, False, True, True]
    for wrong in (
        status_list(new_key("issuer-1"), uri, values),
        status_list(KEY, "https://issuer.example/status/2", values),
        status_list(KEY, uri, values, exp=int(time.time()) - 400),
        status_list(KEY, uri, values, status_list={"bits": 3, "lst": "eJw"}),
        status_list(KEY, uri, values, status_list={"bits": 1, "lst": "AAAA"}),
        status_list(KEY, uri, values, status_list=[]),
        signed(KEY, {"sub": uri}, "JWT", kid="issuer-1"),
        "text",
    ):
        with pytest.raises(BadToken):
            valid(0, wrong)
    with pytest.raises(BadToken):
        valid(16)
    for bad in ({"status_list": {}}, {"status_list": {"uri": uri, "idx": -1}}, "x", {}):
        text = shown("age_over_16", wallet=credential(KEY, status=bad))
        assert reason(text) == "status"
    good = credential(KEY, status={"status_list": {"uri": uri, "idx": 3}})
    assert read(shown("age_over_16", wallet=good)).status == Status(uri, 3)
