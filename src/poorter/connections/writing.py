# SPDX-License-Identifier: EUPL-1.2
"""Readings and things of connections into the store, and what it made of them into the counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import structs

from poorter.city.clock import Clock
from poorter.city.entity import Entity
from poorter.city.errors import CityError, TooMany, Unavailable
from poorter.connections.counting import Counts, Refused
from poorter.gate.permit import Action, Permit
from poorter.load.rows import Reject
from poorter.store.contract import (
    Change,
    Committed,
    Observe,
    ObserveResult,
    Op,
    Put,
    Reading,
    Store,
)
from poorter.store.recording import Recorder

#: how long a writer waits before it tries again while the store can't be written
AGAIN_S = (0.05, 0.2, 1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one message or record brought: readings of one device, or one thing."""

    device: str
    readings: Sequence[Reading] = ()
    thing: Entity | None = None


class Writing:
    """Writes parcels in one transaction where that works, one by one where one of them is refused.

    A disk that is full is waited out: what is not written is not acknowledged either.
    """

    def __init__(
        self,
        store: Store,
        permits: Callable[[Action], Permit],
        clock: Clock,
        counts: Counts,
        kind: str,
        ended: Callable[[], bool],
        recorder: Recorder,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._permits = permits
        self._clock = clock
        self._counts = counts
        self._kind = kind
        self._ended = ended

    def write(self, parcels: Sequence[Parcel]) -> bool:
        """Write them all; False when the city stopped before they were written."""
        try:
            committed = self._commit(parcels)
        except CityError as wrong:
            if len(parcels) == 1:
                self._refused(parcels[0], wrong)
                return True
            return all(self.write([parcel]) for parcel in parcels)
        if committed is None:
            return False
        now_us = self._clock.now_us()
        for parcel, result in zip(parcels, committed.results, strict=True):
            if isinstance(result, ObserveResult):
                self._counts.take(
                    parcel.device, now_us, result.new, result.corrections, result.duplicates
                )
            else:
                self._counts.take_thing(now_us)
        return True

    def _commit(self, parcels: Sequence[Parcel]) -> Committed | None:
        ops = tuple(
            Observe(self._kind, parcel.readings)
            if parcel.thing is None
            else Put(parcel.thing, replace=False)
            for parcel in parcels
        )
        tries = 0
        while not self._ended():
            try:
                return self._write(self._permits("write"), ops)
            except (Unavailable, TooMany):
                time.sleep(AGAIN_S[min(tries, len(AGAIN_S) - 1)])
                tries += 1
        return None

    def _write(self, permit: Permit, ops: tuple[Op, ...]) -> Committed:
        """With the lines of whoever it is about, in the same transaction."""
        lines, trace = self._recorder.writing(permit, ops)
        done = self._store.commit(permit, Change((*ops, *lines))).result()
        self._recorder.ended(permit, trace, ok=True)
        return structs.replace(done, results=done.results[: len(ops)])

    def _refused(self, parcel: Parcel, wrong: CityError) -> None:
        example = Refused(self._clock.now_us(), parcel.device, self._kind, wrong.detail)
        self._counts.refuse("not let in", example, max(1, len(parcel.readings)))


def count_rejects(counts: Counts, rejects: Sequence[Reject], device: str, at_us: int) -> None:
    """Cells and rows that the map refused."""
    for reject in rejects:
        sort = "row" if reject.column in ("(row)", "(id)") else f"value of {reject.column[:40]}"
        counts.refuse(sort, Refused(at_us, device, reject.value[:80], reject.reason))
