# SPDX-License-Identifier: EUPL-1.2
"""What somebody encrypts to the city (JWE, RFC 7516), read with the suspicion of `jose`.

One key for one answer, one way to agree on a secret (ECDH-ES on P-256), no compression: what a
short message grows into when it is unpacked is the sender's choice.
"""

from __future__ import annotations

import json
from typing import Any

from poorter.identity.jose import BadToken, decode_part, read_object

AGREEMENT, CURVE = "ECDH-ES", "P-256"
ENCRYPTIONS = ("A128GCM", "A256GCM")
MESSAGE_CHARS_MAX = 256 * 1024
_HEADER = frozenset(("alg", "enc", "kid", "epk", "apu", "apv", "typ", "cty"))


def new_key(kid: str) -> tuple[str, dict[str, Any]]:
    """(private key as text, its public half as a JWK to encrypt to)."""
    from joserfc.jwk import ECKey

    key = ECKey.generate_key(CURVE, private=True)
    public = {name: key.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}
    private = json.dumps(key.as_dict(private=True))
    return private, {**public, "kid": kid, "use": "enc", "alg": AGREEMENT}


def kid_of(message: str) -> str:
    """The key that a message says it is encrypted to; nothing of it is to be believed yet. Raises
    BadToken for a header that is none of ours."""
    if len(message) > MESSAGE_CHARS_MAX or message.count(".") != 4:
        raise BadToken("size")
    header = read_object(decode_part(message.partition(".")[0]))
    if not header.keys() <= _HEADER or header.get("alg") != AGREEMENT:
        raise BadToken("algorithm")
    if header.get("enc") not in ENCRYPTIONS:
        raise BadToken("algorithm")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= 200:
        raise BadToken("key")
    return kid


def decrypt(message: str, private: str) -> dict[str, Any]:
    """The object within. Raises BadToken."""
    from joserfc.errors import JoseError
    from joserfc.jwe import decrypt_compact
    from joserfc.jwk import ECKey

    kid_of(message)
    try:
        key = ECKey.import_key(json.loads(private))
        found = decrypt_compact(message, key, algorithms=[AGREEMENT, *ENCRYPTIONS])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise BadToken("decryption") from None
    if found.plaintext is None:
        raise BadToken("decryption")
    return read_object(found.plaintext)
