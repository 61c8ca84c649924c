# SPDX-License-Identifier: EUPL-1.2
"""Sealed for whoever has the secret: what is kept of a login opens with its code or cookie only.

So a copy of the database says who has logged in to nobody, and neither does the database itself.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from poorter.city.errors import Unauthenticated


def seal(pepper: bytes, secret: str, plain: bytes) -> str:
    """AES-SIV (RFC 5297) under a key of pepper and secret, as hex."""
    return _cipher(pepper, secret).encrypt(plain, None).hex()


def unseal(pepper: bytes, secret: str, sealed: str) -> bytes:
    """What was sealed. Raises Unauthenticated when the secret is another one."""
    try:
        return _cipher(pepper, secret).decrypt(bytes.fromhex(sealed), None)
    except (InvalidTag, ValueError):
        raise Unauthenticated from None


def _cipher(pepper: bytes, secret: str) -> AESSIV:
    return AESSIV(hmac.digest(pepper, b"seal\0" + secret.encode("utf-8", "replace"), "sha512"))
