# SPDX-License-Identifier: EUPL-1.2
"""Client certificates (mutual TLS): read from a file when registered, from a header when used.

Poorter does not end TLS itself: the server under it hands no client certificate to applications.
The city's own proxy checks that the client holds the key and passes the certificate on, as RFC
9440 writes it (`Client-Cert: :BASE64:`) or percent-encoded PEM, as nginx does.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from poorter.city.errors import Invalid, Unauthenticated
from poorter.city.text import Text

HEADER = b"client-cert"
CERTIFICATE_BYTES_MAX = 16 * 1024
RSA_BITS_MIN = 2048
_FIELD = re.compile(r":([A-Za-z0-9+/]+={0,2}):\Z")
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def read_header(value: bytes) -> bytes:
    """The certificate (DER) in the header. Raises Unauthenticated."""
    text = value.decode("latin-1").strip()
    if len(text) > 2 * CERTIFICATE_BYTES_MAX:
        raise Unauthenticated("the client certificate is too large")
    found = _FIELD.match(text)
    body = found[1] if found else _body(unquote(text))
    try:
        return base64.b64decode(body or "", validate=True) if body else _none()
    except (binascii.Error, ValueError):
        return _none()


def read_certificate(text: str, now_us: int) -> tuple[bytes, int]:
    """A PEM certificate as DER, and the end of its days. Raises Invalid."""
    wrong = Invalid(
        Text("dit is geen geldig certificaat (PEM)", "this is no valid certificate (PEM)")
    )
    if len(text) > CERTIFICATE_BYTES_MAX or text.count(_BEGIN) != 1:
        raise wrong
    try:
        certificate = x509.load_pem_x509_certificate(text.strip().encode())
        key = certificate.public_key()
    except (ValueError, x509.InvalidVersion):
        raise wrong from None
    strong = isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN
    )
    if not strong:
        raise Invalid(Text("de sleutel in dit certificaat is te zwak", "the key in it is too weak"))
    until_us = int(certificate.not_valid_after_utc.timestamp() * 1_000_000)
    if not certificate.not_valid_before_utc.timestamp() * 1e6 <= now_us < until_us:
        raise Invalid(Text("dit certificaat geldt nu niet", "this certificate is not valid now"))
    return certificate.public_bytes(Encoding.DER), until_us


def _body(pem: str) -> str | None:
    text = pem.strip()
    if not text.startswith(_BEGIN) or not text.endswith(_END) or text.count(_BEGIN) != 1:
        return None
    return re.sub(r"\s", "", text[len(_BEGIN) : -len(_END)])


def _none() -> bytes:
    raise Unauthenticated("the client certificate can't be read")
