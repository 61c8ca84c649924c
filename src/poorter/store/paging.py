# SPDX-License-Identifier: EUPL-1.2
"""All records of a kind, page by page: for kinds that have a limit of their own."""

from __future__ import annotations

from collections.abc import Iterator

from poorter.gate.permit import Permit
from poorter.store.contract import Record, Store

PAGE = 1000


def every_record(store: Store, permit: Permit, kind: str) -> Iterator[Record]:
    """By ascending id."""
    after: str | None = None
    while True:
        page = store.records(permit, kind, limit=PAGE, after=after)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id
