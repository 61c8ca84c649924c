# SPDX-License-Identifier: EUPL-1.2
"""The gate's port over a store: the signed policy as one record, changed together with its leaf."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from poorter.city.errors import NotFound
from poorter.gate.permit import Permit
from poorter.store.contract import AppendLeaf, Change, PutRecord, Store

KIND = "bundle"
CURRENT = "current"


class PolicyStore:
    """Keeps bundles in a store. Older versions stay readable under their number."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load_bundle(self, permit: Permit) -> Mapping[str, Any] | None:
        """The newest bundle's document, or None in a city without policy."""
        try:
            return self._store.record(permit, KIND, CURRENT).doc
        except NotFound:
            return None

    def save_bundle(
        self, permit: Permit, doc: Mapping[str, Any], version: int, leaf: bytes, payload: bytes
    ) -> Awaitable[object]:
        """Write the bundle if `version` is one above the kept one; Conflict otherwise."""
        ops = (
            PutRecord(KIND, CURRENT, doc, expect=version - 1),
            PutRecord(KIND, f"v{version:08d}", doc, expect=0),
            AppendLeaf(leaf, payload),
        )
        return self._store.commit_async(permit, Change(ops))
