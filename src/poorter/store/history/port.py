# SPDX-License-Identifier: EUPL-1.2
"""The part of the store contract that is about history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from poorter.city.entity import Observation
from poorter.city.query import HistoryQuery
from poorter.gate.permit import Permit
from poorter.store.history.groups import GroupQuery
from poorter.store.history.report import Bucket, HistorySize, Round


class HistoryStore(Protocol):
    """History: rows lately, columns further back, one answer over both."""

    def history(self, permit: Permit, query: HistoryQuery) -> list[Observation]:
        """Observations by attribute, then event time."""
        ...

    def aggregate(
        self, permit: Permit, query: HistoryQuery, width_us: int
    ) -> dict[str, list[Bucket]]:
        """Buckets of `width_us` per attribute of one entity; empty buckets are absent."""
        ...

    def grouped(self, permit: Permit, query: GroupQuery) -> dict[str, list[Bucket]]:
        """Buckets over many entities by group; what does not exist for the permit is in none, and
        persons never are. It may take a second: for a thread."""
        ...

    def compact(
        self,
        permit: Permit,
        until_us: int,
        all_of_it: bool = False,
        renewed: Callable[[], Permit] | None = None,
    ) -> Round:
        """Bring history of before `until_us` from rows into columnar segments, as far as it is
        nobody's personal data by the "administer" permit's rules, and let go what is past its
        retention. Slow: for a thread. What was broken off has lost and doubled nothing.
        `all_of_it`: also the few late rows that otherwise wait until they are worth it. `renewed`:
        asks the gate anew; a round takes longer than a lease lasts.

        Raises: Conflict when others changed the same history meanwhile: it is tried again later;
        Unavailable when the disk is full."""
        ...

    def history_size(self, permit: Permit) -> HistorySize:
        """What history takes on the disk. Reads all of its index: it may be slow."""
        ...
