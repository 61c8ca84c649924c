# SPDX-License-Identifier: EUPL-1.2
"""What an ID token and a logout token must say to be believed (OIDC Core 3.1.3.7, Back-Channel
Logout 1.0, 2.6). Pure: the signature was judged before."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from poorter.identity.jose import BadToken, check_times

AGE_S_MAX = 600
SUBJECT_CHARS_MAX = 255
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def check_id_token(
    claims: Mapping[str, Any], issuer: str, client_id: str, nonce: str, now_us: int
) -> None:
    """Raises BadToken unless this issuer made it for us, for this very login, just now."""
    _check_parties(claims, issuer, client_id)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise BadToken("nonce")
    if not _subject(claims):
        raise BadToken("subject")
    check_times(claims, now_us, AGE_S_MAX)


def check_logout_token(
    claims: Mapping[str, Any], issuer: str, client_id: str, now_us: int
) -> tuple[str, str]:
    """(sid, sub) of what is to end, either may be "". Raises BadToken."""
    _check_parties(claims, issuer, client_id)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise BadToken("event")
    if "nonce" in claims or not isinstance(claims.get("jti"), str):
        raise BadToken("event")
    check_times(claims, now_us, AGE_S_MAX)
    sid, subject = claims.get("sid", ""), claims.get("sub", "")
    if not isinstance(sid, str) or not isinstance(subject, str) or not (sid or subject):
        raise BadToken("subject")
    return sid[:SUBJECT_CHARS_MAX], subject[:SUBJECT_CHARS_MAX]


def _check_parties(claims: Mapping[str, Any], issuer: str, client_id: str) -> None:
    if claims.get("iss") != issuer:
        raise BadToken("issuer")
    audience = claims.get("aud")
    many = audience if isinstance(audience, list) else [audience]
    if client_id not in many or not all(isinstance(one, str) for one in many):
        raise BadToken("audience")
    if (len(many) > 1 or "azp" in claims) and claims.get("azp") != client_id:
        raise BadToken("audience")


def _subject(claims: Mapping[str, Any]) -> bool:
    subject = claims.get("sub")
    return isinstance(subject, str) and 0 < len(subject) <= SUBJECT_CHARS_MAX
