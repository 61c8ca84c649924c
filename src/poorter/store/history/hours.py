# SPDX-License-Identifier: EUPL-1.2
"""Count, total, least and most by instance and hour, or any other width: of good numbers, the
latest word on each moment. Pure; the arrays of one call have one length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from poorter.city.time import HOUR_US
from poorter.store.history.rows import BAD, Floats, Ints, Rows, latest


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over buckets: `key` says of what (an instance, or a group of them), `bucket` counts
    widths since 1970. A pair may come more than once until `summed` has put them together."""

    key: Ints
    bucket: Ints
    count: Ints
    total: Floats
    least: Floats
    most: Floats

    def __len__(self) -> int:
        return len(self.key)

    def take(self, which: Any) -> Sums:
        """Those of a mask or positions."""
        return Sums(*(getattr(self, name)[which] for name in self.__slots__))


def sums_of(rows: Rows, width_us: int) -> Sums:
    """By instance and bucket, in order. Raw readings in, with their corrections."""
    is_number, number = rows.numbers()
    good = latest(rows) & is_number & (rows.quality < BAD)
    number = number[good]
    ones = np.ones(len(number), np.int64)
    buckets = rows.observed_us[good] // width_us
    return summed([Sums(rows.instance[good], buckets, ones, number, number, number)])


def summed(parts: Iterable[Sums]) -> Sums:
    """Each (key, bucket) once, in order."""
    parts = list(parts)
    if not parts:
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        return Sums(none, none, none, nothing, nothing, nothing)
    whole = Sums(*(np.concatenate([getattr(p, name) for p in parts]) for name in Sums.__slots__))
    if not len(whole):
        return whole
    ahead = (whole.key[1:] > whole.key[:-1]) | (
        (whole.key[1:] == whole.key[:-1]) & (whole.bucket[1:] >= whole.bucket[:-1])
    )
    if not ahead.all():
        whole = whole.take(np.lexsort((whole.bucket, whole.key)))
    changes = (whole.key[1:] != whole.key[:-1]) | (whole.bucket[1:] != whole.bucket[:-1])
    starts = np.flatnonzero(np.concatenate(([True], changes)))
    with np.errstate(over="ignore"):  # of huge numbers the sum is infinite, as in any database
        total = np.add.reduceat(whole.total, starts)
    return Sums(
        whole.key[starts],
        whole.bucket[starts],
        np.add.reduceat(whole.count, starts),
        total,
        np.minimum.reduceat(whole.least, starts),
        np.maximum.reduceat(whole.most, starts),
    )


def rebucketed(sums: Sums, keys: Ints, width_us: int) -> Sums:
    """Sums by hour under other keys, in buckets of a number of whole hours."""
    buckets = sums.bucket // (width_us // HOUR_US)
    return Sums(keys, buckets, sums.count, sums.total, sums.least, sums.most)
