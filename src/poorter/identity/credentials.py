# SPDX-License-Identifier: EUPL-1.2
"""Keys of apps: each bound to one (processor, purpose), kept only as a hash, revocable at once.

A key reads `poorter_ID_SECRET`; the part after the last underscore has 160 random bits, so a
plain SHA-256 is enough to keep it by: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.errors import Unauthenticated
from poorter.city.ids import mint
from poorter.identity.caller import Caller


@dataclass(frozen=True, slots=True)
class Credential:
    """What is kept of an app's key. `until_us`: None for no end."""

    id: str
    digest: str
    processor: str
    purpose: str
    until_us: int | None = None

    def to_doc(self) -> dict[str, Any]:
        """As a record's document."""
        return {
            "digest": self.digest,
            "processor": self.processor,
            "purpose": self.purpose,
            "until_us": self.until_us,
        }

    @staticmethod
    def from_doc(credential_id: str, doc: Mapping[str, Any]) -> Credential:
        """From a record's document."""
        return Credential(
            credential_id, doc["digest"], doc["processor"], doc["purpose"], doc.get("until_us")
        )


def new_credential(
    processor: str, purpose: str, until_us: int | None = None
) -> tuple[Credential, str]:
    """A new credential and its key. The key is shown once and kept nowhere."""
    credential_id = mint("", 8)
    key = f"poorter_{credential_id}_{mint('', 32)}"
    return Credential(credential_id, _digest(key), processor, purpose, until_us), key


class Credentials:
    """The keys that are valid now, by hash: one dict lookup a request."""

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        self._by_digest: dict[str, tuple[Caller, int | None]] = {}
        self.replace(credentials)

    def replace(self, credentials: Iterable[Credential]) -> None:
        """Exactly these from now on: a revoked key is gone with this call."""
        self._by_digest = {
            c.digest: (Caller(c.processor, c.purpose, c.id), c.until_us) for c in credentials
        }

    def caller(self, key: str, now_us: int) -> Caller:
        """Whose key it is. Raises Unauthenticated when it is unknown, revoked or over."""
        found = self._by_digest.get(_digest(key))
        if found is None or (found[1] is not None and now_us >= found[1]):
            raise Unauthenticated
        return found[0]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
