# SPDX-License-Identifier: EUPL-1.2
"""Tokens that lie about their algorithm, key, type, time or form are all refused."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jws

from poorter.identity.jose import (
    TOKEN_BYTES_MAX,
    BadToken,
    check_times,
    read_json,
    read_keys,
    read_token,
)

NOW_S = 1_800_000_000
TYPES = ("", "jwt")
EC = jwk.generate_key("EC", "P-256", {"kid": "ec"})
ED = jwk.generate_key("OKP", "Ed25519", {"kid": "ed"})
RSA = jwk.generate_key("RSA", 2048, {"kid": "rsa"})
KEYS = read_keys({"keys": [k.as_dict(private=False) for k in (EC, ED, RSA)]})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(key: Any, alg: str, more: Mapping[str, Any] | None = None, payload: bytes = b"") -> str:
    header = {"alg": alg, **(more or {})}
    body = payload or json.dumps({"sub": "x"}).encode()
    message = f"{b64(json.dumps(header).encode())}.{b64(body)}"
    return f"{message}.{b64(jws.JWSRegistry.algorithms[alg].sign(message.encode(), key))}"


def reason(token: object, keys: Any = KEYS, types: tuple[str, ...] = TYPES) -> str:
    with pytest.raises(BadToken) as told:
        read_token(token, keys, types)
    assert str(told.value) == "the login did not succeed"
    return told.value.reason


@pytest.mark.parametrize(
    ("key", "alg"), [(EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519"), (RSA, "RS256"), (RSA, "PS256")]
)
def test_what_is_on_the_list_is_read(key: Any, alg: str) -> None:
    token = signed(key, alg, {"kid": key.kid, "typ": "JWT"})
    assert read_token(token, KEYS, TYPES).claims == {"sub": "x"}
    head, body, signature = token.split(".")
    other = b64(json.dumps({"sub": "y"}).encode())
    assert reason(f"{head}.{other}.{signature}") == "signature"
    assert reason(f"{head}.{body}.{b64(bytes(len(signature) * 3 // 4))}") == "signature"


def test_no_algorithm_and_shared_secrets_are_refused() -> None:
    body = b64(b'{"sub":"x"}')
    for name in ("none", "None", "NONE", "nOnE", "", None, 5, ["ES256"]):
        header = b64(json.dumps({"alg": name}).encode())
        for signature in ("", "AA"):
            assert reason(f"{header}.{body}.{signature}") in ("algorithm", "form")
    public = RSA.as_pem(private=False)
    der = serialization.load_pem_public_key(public).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for secret in (public, der, b"", json.dumps(RSA.as_dict(private=False)).encode()):
        head = b64(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
        mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
        assert reason(f"{head}.{body}.{b64(mac)}") == "algorithm"
    for alg in ("RS384", "RS512", "PS512", "ES512", "ES256K", "Ed448"):
        head = b64(json.dumps({"alg": alg, "kid": "rsa"}).encode())
        assert reason(f"{head}.{body}.AAAA") == "algorithm"


def test_an_algorithm_fits_its_key_and_what_the_issuer_is_allowed() -> None:
    only = read_keys({"keys": [k.as_dict(private=False) for k in (EC, RSA)]}, ("ES256",))
    assert [key.kid for key in only] == ["ec"]
    assert reason(signed(RSA, "RS256", {"kid": "rsa"}), only) == "key"
    assert reason(signed(RSA, "RS256", {"kid": "ec"})) == "key"
    pinned = RSA.as_dict(private=False) | {"alg": "PS256"}
    assert reason(signed(RSA, "RS256", {"kid": "rsa"}), read_keys({"keys": [pinned]})) == "key"


def test_a_token_does_not_bring_its_own_key() -> None:
    mine = jwk.generate_key("EC", "P-256", {"kid": "ec"})
    public = mine.as_dict(private=False)
    for header in (
        {"kid": "ec", "jwk": public},
        {"kid": "ec", "jku": "http://127.0.0.1:9/keys"},
        {"kid": "ec", "x5u": "http://127.0.0.1:9/cert"},
        {"kid": "ec", "x5c": ["AAAA"]},
        {"jwk": public},
    ):
        assert reason(signed(mine, "ES256", header)) == "signature"
    right = {"kid": "ec", "jku": "http://127.0.0.1:9/keys"}
    assert read_token(signed(EC, "ES256", right), KEYS, TYPES).claims["sub"] == "x"


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "ec' OR 1=1", "", "EC", "ec\u0000", 5, None, ["ec"], {"a": 1}]
)
def test_a_key_is_named_exactly(kid: Any) -> None:
    head = b64(json.dumps({"alg": "ES256", "kid": kid}).encode())
    assert reason(f"{head}.{b64(b'{}')}.{b64(bytes(64))}") in ("key", "signature")
    if kid is None:
        return
    twice = read_keys({"keys": [EC.as_dict(private=False), EC.as_dict(private=False)]})
    assert reason(signed(EC, "ES256", {"kid": "ec"}), twice) == "key"
    assert reason(signed(EC, "ES256"), twice) == "key"


def test_weak_private_foreign_and_odd_keys_are_left_out() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    n = small.public_key().public_numbers().n
    weak = {"kty": "RSA", "n": b64(n.to_bytes(128, "big")), "e": "AQAB"}
    good = EC.as_dict(private=False)
    listed = [
        weak,
        {"kty": "oct", "k": "AAAA"},
        good | {"use": "enc"},
        good | {"key_ops": ["sign"]},
        good | {"key_ops": "verify"},
        good | {"alg": "HS256"},
        good | {"crv": "secp256k1"},
        good | {"x": 5},
        good | {"kid": "k" * 300},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        "text",
        None,
    ]
    assert read_keys({"keys": listed}) == ()
    private = read_keys({"keys": [EC.as_dict(private=True)]})
    assert "d" not in private[0].jwk
    for wrong in (None, [], {}, {"keys": {}}, "x"):
        with pytest.raises(BadToken):
            read_keys(wrong)
    off = good | {"x": b64(b"\x01" * 32), "y": b64(b"\x02" * 32)}  # no point of the curve
    assert reason(signed(EC, "ES256", {"kid": "ec"}), read_keys({"keys": [off]})) == "signature"


def test_form_size_type_and_critical_headers() -> None:
    good = signed(EC, "ES256", {"kid": "ec"})
    head, body, signature = good.split(".")
    for wrong in (
        None,
        b"bytes",
        "",
        good + ".",
        f"{head}.{body}",
        f"{head}.{body}.{signature}=",
        f" {good}",
        f"{good}\n",
        f"{head}..{signature}",
        f"{head}.{body}.",
        good.replace(".", ".é", 1),
        "a" * (TOKEN_BYTES_MAX + 1),
        f"{b64(b'[1]')}.{body}.{signature}",
        f"{b64(b'[' * 9000)}.{body}.{signature}",
    ):
        assert reason(wrong) in ("form", "size", "json", "algorithm", "signature")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = signature[:-1] + last[last.index(signature[-1]) ^ 1]
    assert reason(f"{head}.{body}.{twin}") == "form", "a signature has one spelling"
    for more in ({"crit": ["exp"]}, {"b64": True}, {"zip": "DEF"}):
        lying = b64(json.dumps({"alg": "ES256", "kid": "ec", **more}).encode())
        assert reason(f"{lying}.{body}.{signature}") == "critical"
    assert reason(signed(EC, "ES256", {"kid": "ec", "typ": "at+jwt"})) == "type"
    assert reason(signed(EC, "ES256", {"kid": "ec", "typ": "kb+jwt"})) == "type"
    double = b64(b'{"alg":"none","alg":"ES256","kid":"ec"}')
    assert reason(f"{double}.{body}.{signature}") == "json"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({}, "expired"),
        ({"exp": NOW_S - 61, "iat": NOW_S}, "expired"),
        ({"exp": None, "iat": NOW_S}, "time"),
        ({"exp": True, "iat": NOW_S}, "time"),
        ({"exp": str(NOW_S + 9), "iat": NOW_S}, "time"),
        ({"exp": 10**400, "iat": NOW_S}, "time"),
        ({"exp": -1, "iat": NOW_S}, "time"),
        ({"exp": float("nan"), "iat": NOW_S}, "time"),
        ({"exp": NOW_S + 9, "iat": NOW_S, "nbf": NOW_S + 61}, "not-yet"),
        ({"exp": NOW_S + 9, "iat": NOW_S + 61}, "not-yet"),
        ({"exp": NOW_S + 9}, "too-old"),
        ({"exp": NOW_S + 9, "iat": NOW_S - 661}, "too-old"),
    ],
)
def test_times(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(BadToken) as told:
        check_times(claims, NOW_S * 1_000_000, 600)
    assert told.value.reason == why


def test_times_that_hold() -> None:
    check_times({"exp": NOW_S + 1, "iat": NOW_S, "nbf": NOW_S}, NOW_S * 1_000_000, 600)
    check_times({"exp": NOW_S + 1.5}, NOW_S * 1_000_000, None)


@given(st.binary(max_size=200))
def test_json_is_read_or_refused(data: bytes) -> None:
    try:
        read_json(data)
    except BadToken as wrong:
        assert wrong.reason == "json"


@given(st.text(max_size=300))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        read_token(text, KEYS, TYPES)
    with pytest.raises(BadToken):
        read_token(f"{b64(text.encode())}.{b64(text.encode())}.AAAA", KEYS, TYPES)
