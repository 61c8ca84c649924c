# SPDX-License-Identifier: EUPL-1.2
"""A resident's session: how they came in, how sure that is, and what it says of them.

Apart from staff: another cookie, other records, other permits. What it says of the resident is
sealed under the cookie. A service never sees the session, only a `Known`: what it declared.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from poorter.city.errors import Denied, Unauthenticated
from poorter.city.text import Text
from poorter.city.time import MINUTE_US
from poorter.identity.persons import Persons
from poorter.identity.sealing import seal, unseal
from poorter.identity.services import LEVELS, Assurance, Need, Service
from poorter.identity.sessions import session_id

COOKIE = "poorter_resident"
Method = Literal["desk", "broker", "wallet"]


class Said(msgspec.Struct, frozen=True):
    """What a login says of somebody. `root`: None when it does not say who it is."""

    method: Method
    issuer: str
    assurance: Assurance
    root: bytes | None = None
    attributes: dict[str, bool] = {}

    def has(self, need: Need) -> bool:
        """Whether it answers a need, and with yes."""
        return self.root is not None if need == "person" else self.attributes.get(need) is True


@dataclass(frozen=True, slots=True)
class ResidentSession:
    """A running session; its `id` is the hash of the cookie, `csrf` goes into every form."""

    id: str
    csrf: str
    until_us: int
    said: Said

    def check_csrf(self, token: str) -> None:
        """Raises Denied unless the form carried this session's token."""
        if not hmac.compare_digest(token.encode(), self.csrf.encode()):
            raise Denied(
                Text(
                    "het formulier is te oud of niet van ons: laad de pagina opnieuw",
                    "the form is too old or not ours: load the page again",
                )
            )


class EnterFirst(Unauthenticated):
    """A service needs a login, or one that says more. `service` tells which."""

    def __init__(self, service: Service) -> None:
        super().__init__(Text("log eerst in", "log in first"))
        self.service = service


class Known:
    """What one service may know of whoever is logged in."""

    __slots__ = ("_persons", "_root", "assurance", "attributes", "issuer", "method", "service")

    def __init__(self, service: Service, said: Said, persons: Persons) -> None:
        enough = LEVELS.index(said.assurance) >= LEVELS.index(service.assurance)
        if not enough or not all(said.has(need) for need in service.needs):
            raise EnterFirst(service)
        self.service = service
        self.method = said.method
        self.issuer = said.issuer
        self.assurance: Assurance = said.assurance
        self.attributes = {need: True for need in service.needs if need != "person"}
        self._root = said.root if "person" in service.needs else None
        self._persons = persons

    def subject(self, wall: str) -> str:
        """Who it is in a wall. Raises Denied for a wall that the service has no business in."""
        if self._root is None or not ("*" in self.service.walls or wall in self.service.walls):
            raise Denied
        return self._persons.subject(self._root, wall)


def begin(
    pepper: bytes, said: Said, now_us: int, minutes: int
) -> tuple[ResidentSession, str, dict[str, Any]]:
    """A new session, its cookie, and the document to keep. The cookie is kept nowhere."""
    cookie = secrets.token_urlsafe(32)
    csrf = secrets.token_urlsafe(24)
    session = ResidentSession(session_id(cookie), csrf, now_us + minutes * MINUTE_US, said)
    doc = {
        "csrf": csrf,
        "until_us": session.until_us,
        "sealed": seal(pepper, cookie, msgspec.msgpack.encode(said)),
    }
    return session, cookie, doc


def resume(pepper: bytes, cookie: str, doc: Mapping[str, Any], now_us: int) -> ResidentSession:
    """The session of a cookie. Raises Unauthenticated when it is over or not this cookie's."""
    if now_us >= doc["until_us"]:
        raise Unauthenticated
    said = msgspec.msgpack.decode(unseal(pepper, cookie, doc["sealed"]), type=Said)
    return ResidentSession(session_id(cookie), doc["csrf"], doc["until_us"], said)
