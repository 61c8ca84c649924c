# SPDX-License-Identifier: EUPL-1.2
"""Observations as arrays, one per column; always sorted by instance, moment, sequence.

An instance is an attribute of an entity under one datasetId, as the store numbers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: (instance, observed_us, sequence, received_us, quality, value); a value that is neither number
#: nor text is JSON in bytes
Row = tuple[int, int, int, int, int, Any]

INTEGER, REAL, TEXT, JSON = range(4)
_KINDS = {int: INTEGER, float: REAL, str: TEXT, bytes: JSON}
BAD = 3
_PART = 256


@dataclass(frozen=True, slots=True)
class Rows:
    """One array a column, all of one length; times in microseconds UTC.

    `kind` says which of `integer`, `real`, `words` (text or JSON bytes) holds the value.
    """

    instance: Ints
    observed_us: Ints
    sequence: Ints
    received_us: Ints
    quality: Ints
    kind: NDArray[np.int8]
    integer: Ints
    real: Floats
    words: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.instance)

    def take(self, which: Any) -> Rows:
        """The rows of a slice, a mask or an array of positions."""
        return Rows(*(getattr(self, name)[which] for name in self.__slots__))

    def numbers(self) -> tuple[Mask, Floats]:
        """Which rows hold a number, and the numbers as doubles."""
        return self.kind <= REAL, np.where(self.kind == INTEGER, self.integer, self.real)

    def tuples(self) -> Iterator[Row]:
        """Row by row; made in small parts, since often only the first few are wanted."""
        for start in range(0, len(self), _PART):
            yield from self.take(slice(start, start + _PART))._tuples()

    def _tuples(self) -> Iterator[Row]:
        return zip(
            self.instance.tolist(),
            self.observed_us.tolist(),
            self.sequence.tolist(),
            self.received_us.tolist(),
            self.quality.tolist(),
            self.values(),
            strict=True,
        )

    def values(self) -> Iterator[Any]:
        """Value by value, of the type it had."""
        for kind, integer, real, words in zip(
            self.kind.tolist(),
            self.integer.tolist(),
            self.real.tolist(),
            self.words.tolist(),
            strict=True,
        ):
            yield integer if kind == INTEGER else real if kind == REAL else words


def make_rows(rows: Sequence[Row]) -> Rows:
    """Arrays of rows, in the order given."""
    size = len(rows)
    whole = list(zip(*rows, strict=True)) if rows else [()] * 6
    values = whole[5]
    kind = np.fromiter((_KINDS[type(value)] for value in values), np.int8, size)
    integer, real = np.zeros(size, np.int64), np.zeros(size)
    words = np.full(size, None, object)
    whole_numbers = kind == INTEGER
    if whole_numbers.all():
        integer[:] = values
    else:
        integer[whole_numbers] = [v for v in values if type(v) is int]
        real[kind == REAL] = [v for v in values if type(v) is float]
        words[kind >= TEXT] = [v for v in values if isinstance(v, str | bytes)]
    instance, observed_us, sequence, received_us, quality = (
        np.array(column, np.int64) for column in whole[:5]
    )
    return Rows(instance, observed_us, sequence, received_us, quality, kind, integer, real, words)


def joined(parts: Iterable[Rows]) -> Rows:
    """All of them, sorted."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return make_rows(())
    if len(parts) == 1:
        return parts[0]
    return in_order(Rows(*(np.concatenate([getattr(p, n) for p in parts]) for n in Rows.__slots__)))


def in_order(rows: Rows) -> Rows:
    """Sorted by instance, moment and sequence, as segments are and merging takes them to be."""
    return rows.take(np.lexsort((rows.sequence, rows.observed_us, rows.instance)))


def latest(rows: Rows) -> Mask:
    """The latest word on each moment of each instance."""
    last = np.ones(len(rows), bool)
    if len(rows) > 1:
        same = rows.instance[1:] == rows.instance[:-1]
        last[:-1] = ~(same & (rows.observed_us[1:] == rows.observed_us[:-1]))
    return last


def among(values: Ints, wanted: Ints) -> Mask:
    """Which values are among `wanted`, which is sorted."""
    if not len(wanted):
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
    found: Mask = wanted[at] == values
    return found
