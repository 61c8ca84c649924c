# SPDX-License-Identifier: EUPL-1.2
"""Keys and certificates of apps and devices: each bound to one (processor, purpose), kept only as a
hash, revocable at once.

A key reads `poorter_ID_SECRET`; the part after the last underscore has 160 random bits, so a
plain SHA-256 is enough to keep it by: there is nothing to guess. A certificate is kept by the hash
of all of it: exactly this one opens, whoever signed it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.errors import Unauthenticated
from poorter.city.ids import IN_TENANT, mint
from poorter.identity.caller import Caller


@dataclass(frozen=True, slots=True)
class Credential:
    """What is kept of an app's key or certificate. `until_us`: None for no end; `used_us`: when it
    was last used, to the hour; `follows`: the id of the one that it replaces."""

    id: str
    digest: str
    processor: str
    purpose: str
    until_us: int | None = None
    made_us: int = 0
    used_us: int | None = None
    follows: str = ""

    @property
    def is_certificate(self) -> bool:
        """Whether it is a certificate rather than a key."""
        return self.digest.startswith(_CERTIFICATE)

    def to_doc(self) -> dict[str, Any]:
        """As a record's document."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "id"}

    @staticmethod
    def from_doc(credential_id: str, doc: Mapping[str, Any]) -> Credential:
        """From a record's document."""
        return Credential(
            credential_id,
            doc["digest"],
            doc["processor"],
            doc["purpose"],
            doc.get("until_us"),
            doc.get("made_us", 0),
            doc.get("used_us"),
            doc.get("follows", ""),
        )


def new_credential(
    processor: str,
    purpose: str,
    until_us: int | None = None,
    made_us: int = 0,
    follows: str = "",
) -> tuple[Credential, str]:
    """A new credential and its key. The key is shown once and kept nowhere."""
    credential_id = mint("", 8)
    key = f"poorter_{credential_id}_{mint('', 32)}"
    kept = Credential(
        credential_id, _digest(key), processor, purpose, until_us, made_us, None, follows
    )
    return kept, key


_CERTIFICATE = "certificate "


def certificate_digest(der: bytes) -> str:
    """What a certificate is kept by."""
    return _CERTIFICATE + hashlib.sha256(der).hexdigest()


class Credentials:
    """What is valid now, by hash: one dict lookup a request."""

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        self._by_digest: dict[str, tuple[Caller, int | None]] = {}
        self._used: dict[str, int] = {}
        self.replace(credentials)

    def replace(self, credentials: Iterable[Credential]) -> None:
        """Exactly these from now on: a revoked key is gone with this call."""
        self._by_digest = {
            c.digest: (Caller(c.processor, c.purpose, c.id), c.until_us)
            for c in credentials
            if IN_TENANT not in c.processor  # that one is reached through its tenant only
        }

    def caller(self, key: str, now_us: int) -> Caller:
        """Whose key it is. Raises Unauthenticated when it is unknown, revoked or over."""
        return self._caller(_digest(key), now_us)

    def holder(self, der: bytes, now_us: int) -> Caller:
        """Whose certificate it is. Raises as `caller`."""
        return self._caller(certificate_digest(der), now_us)

    def take_used(self) -> dict[str, int]:
        """When each was last used since this was last asked, by id."""
        used, self._used = self._used, {}
        return used

    def _caller(self, digest: str, now_us: int) -> Caller:
        found = self._by_digest.get(digest)
        if found is None or (found[1] is not None and now_us >= found[1]):
            raise Unauthenticated
        self._used[found[0].credential] = now_us
        return found[0]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
