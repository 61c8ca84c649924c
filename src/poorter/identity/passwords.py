# SPDX-License-Identifier: EUPL-1.2
"""Passwords of staff: scrypt (RFC 7914) with parameters kept beside the hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import cache

from poorter.city.errors import Invalid
from poorter.city.text import Text

PASSWORD_CHARS_MIN = 12
PASSWORD_CHARS_MAX = 256
_N, _R, _P = 2**15, 8, 1
_MEMORY_BYTES = 64 * 1024 * 1024


#: kept for who has no password here: nothing opens it
NO_PASSWORD = ""


def hash_password(password: str) -> str:
    """A line to keep in place of the password. Invalid when it is too short or too long."""
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise Invalid(
            Text(
                f"een wachtwoord heeft {PASSWORD_CHARS_MIN} tot {PASSWORD_CHARS_MAX} tekens",
                f"a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters",
            )
        )
    salt = secrets.token_bytes(16)
    return f"scrypt${_N}${_R}${_P}${salt.hex()}${_derive(password, salt, _N, _R, _P).hex()}"


def verify_password(password: str, kept: str) -> bool:
    """Whether the password is the one that `kept` was made from; constant in time."""
    if len(password) > PASSWORD_CHARS_MAX or kept == NO_PASSWORD:
        return False
    _, n, r, p, salt, digest = kept.split("$")
    derived = _derive(password, bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(derived, bytes.fromhex(digest))


@cache
def nobody() -> str:
    """Verified against when the name is unknown, so that it takes as long as a known one."""
    return hash_password(secrets.token_hex(16))


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY_BYTES, dklen=32
    )
