# SPDX-License-Identifier: EUPL-1.2
"""What the gate needs of a store: records and leaves, in one change. Stores implement it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from poorter.gate.permit import Permit


class PolicyPort(Protocol):
    """Keeps the signed policy and the line that says who changed it, in one transaction."""

    def load_bundle(self, permit: Permit) -> Mapping[str, Any] | None:
        """The newest bundle's document, or None in a city without policy."""
        ...

    def save_bundle(
        self, permit: Permit, doc: Mapping[str, Any], version: int, leaf: bytes, payload: bytes
    ) -> Awaitable[object]:
        """Write the bundle if `version` is one above the kept one, with its ledger leaf."""
        ...
