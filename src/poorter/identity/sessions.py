# SPDX-License-Identifier: EUPL-1.2
"""Sessions of staff: a cookie kept only as a hash, an end, and a token against forged forms."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.errors import Denied, Unauthenticated
from poorter.city.text import Text
from poorter.city.time import HOUR_US
from poorter.identity.passwords import nobody, verify_password

ROLES = ("officer", "operator", "clerk", "desk")
SESSION_HOURS_MAX = 10
COOKIE = "poorter_session"


@dataclass(frozen=True, slots=True)
class Officer:
    """Somebody of the city's staff: name, office, roles; `password` is a kept hash. With a login
    at an issuer, `login` is their name at the provider `login_at`, and no password opens."""

    name: str
    office: str
    roles: tuple[str, ...]
    password: str
    login_at: str = ""
    login: str = ""

    def to_doc(self) -> dict[str, Any]:
        """As a record's document."""
        return {
            "office": self.office,
            "roles": list(self.roles),
            "password": self.password,
            "login_at": self.login_at,
            "login": self.login,
        }

    @staticmethod
    def from_doc(name: str, doc: Mapping[str, Any]) -> Officer:
        """From a record's document."""
        return Officer(
            name,
            doc["office"],
            tuple(doc["roles"]),
            doc["password"],
            doc.get("login_at", ""),
            doc.get("login", ""),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """A running session. `id` is the hash of the cookie; `csrf` goes into every form."""

    id: str
    officer: str
    roles: tuple[str, ...]
    csrf: str
    until_us: int

    def to_doc(self) -> dict[str, Any]:
        """As a record's document."""
        return {
            "officer": self.officer,
            "roles": list(self.roles),
            "csrf": self.csrf,
            "until_us": self.until_us,
        }

    @staticmethod
    def from_doc(session_id: str, doc: Mapping[str, Any]) -> Session:
        """From a record's document."""
        return Session(
            session_id, doc["officer"], tuple(doc["roles"]), doc["csrf"], doc["until_us"]
        )

    def check_csrf(self, token: str) -> None:
        """Raises Denied unless the form carried this session's token."""
        if not hmac.compare_digest(token.encode(), self.csrf.encode()):
            raise Denied(
                Text(
                    "het formulier is te oud of niet van ons: laad de pagina opnieuw",
                    "the form is too old or not ours: load the page again",
                )
            )


def log_in(officer: Officer | None, password: str, now_us: int) -> tuple[Session, str]:
    """A new session and its cookie value.

    Raises Unauthenticated, in the same time and words, for a wrong name and a wrong password.
    """
    here = officer is not None and not officer.login_at
    kept = officer.password if officer is not None and here else nobody()
    if not verify_password(password, kept) or officer is None or not here:
        raise Unauthenticated("name or password is not right")
    return begin_session(officer, officer.roles, now_us)


def begin_session(officer: Officer, roles: tuple[str, ...], now_us: int) -> tuple[Session, str]:
    """A new session, its cookie never one that was there before. `roles`: those of the officer,
    or fewer."""
    cookie = secrets.token_urlsafe(32)
    until_us = now_us + SESSION_HOURS_MAX * HOUR_US
    csrf = secrets.token_urlsafe(24)
    return Session(session_id(cookie), officer.name, roles, csrf, until_us), cookie


def session_id(cookie: str) -> str:
    """What a session is kept under: the hash, so that a copied database opens no session."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
