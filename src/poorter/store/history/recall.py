# SPDX-License-Identifier: EUPL-1.2
"""What segments say of moments that come again, for the identity of a reading.

A file that is loaded once more asks for all instances, a few days at a time, so each batch lies in
the same row groups as the one before it: those stay decoded for a while.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poorter.store.history.plan import SUFFIX, Segment
from poorter.store.history.read import WORDS, Segments
from poorter.store.history.rows import INTEGER, REAL, Ints, Rows

#: what was said of each moment of an instance, (sequence, value), the latest word first
Said = dict[int, list[tuple[int, Any]]]
KEPT_BYTES_MAX = 64 * 1024 * 1024
KEPT_S = 20
_OBJECT_BYTES = 80  # of a value that is no number, about


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows of a row group: instances and where each begins (and the last ends), then a moment, a
    sequence (None: 0 everywhere) and a value a row."""

    instances: Ints
    starts: Ints
    observed_us: Ints
    sequence: Ints | None
    values: NDArray[Any]
    size: int  # bytes


class Recall:
    """Reads row groups; those asked for last stay."""

    def __init__(self, files: Segments) -> None:
        self._files = files
        self._groups: OrderedDict[tuple[str, int], _Group] = OrderedDict()
        self._bytes = 0
        self._used_at = 0.0

    def rest(self) -> None:
        """Let go of what nobody asked for lately."""
        if self._groups and time.monotonic() - self._used_at > KEPT_S:
            self._groups.clear()
            self._bytes = 0

    def add(
        self,
        found: dict[int, Said],
        segment: Segment,
        instances: Ints,
        moments_us: Ints,
        out: Sequence[tuple[int, int, int]],
    ) -> None:
        """Add to `found` what a segment says of each (instance, moment) asked. They are sorted, and
        each is there once; `out`: parts of the segment that no longer count."""
        self._used_at = time.monotonic()
        counts = np.ones(len(instances), bool)
        for instance, from_us, until_us in out:
            counts &= (instances != instance) | (moments_us < from_us) | (moments_us >= until_us)
        instances, moments_us = instances[counts], moments_us[counts]
        if not len(instances):
            return
        name = segment.name + SUFFIX
        wanted = np.unique(instances)
        low, high = int(moments_us.min()), int(moments_us.max()) + 1
        for number in self._files.columns(name).holding(wanted, low, high).tolist():
            group = self._group(name, number)
            first = np.searchsorted(instances, group.instances[0])
            last = np.searchsorted(instances, group.instances[-1], "right")
            _add(found, group, instances[first:last], moments_us[first:last])

    def _group(self, name: str, number: int) -> _Group:
        group = self._groups.get((name, number))
        if group is None:
            group = _packed(self._files.group(name, number, WORDS))
            self._groups[name, number] = group
            self._bytes += group.size
            while self._bytes > KEPT_BYTES_MAX and len(self._groups) > 1:
                self._bytes -= self._groups.popitem(last=False)[1].size
        else:
            self._groups.move_to_end((name, number))
        return group


def _packed(rows: Rows) -> _Group:
    instances, starts = np.unique(rows.instance, return_index=True)
    size = len(rows)
    values: NDArray[Any]
    if (rows.kind == INTEGER).all():
        values = rows.integer
    elif (rows.kind == REAL).all():
        values = rows.real
    else:
        values = np.fromiter(rows.values(), object, size)
    sequence = rows.sequence if rows.sequence.any() else None
    width = 32 + (_OBJECT_BYTES if values.dtype == object else 0)
    starts = np.append(starts, size)
    return _Group(instances, starts, rows.observed_us, sequence, values, width * size)


def _add(found: dict[int, Said], group: _Group, instances: Ints, moments_us: Ints) -> None:
    place = np.searchsorted(group.instances, instances)
    there = group.instances[np.minimum(place, len(group.instances) - 1)] == instances
    instances, moments_us, place = instances[there], moments_us[there], place[there]
    low, high = group.starts[place], group.starts[place + 1]
    first = _first(group.observed_us, low, high, moments_us)
    counts = _first(group.observed_us, first, high, moments_us + 1) - first
    # the rows of each moment lie together: their positions one after another
    rows = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    sequences = [0] * len(rows) if group.sequence is None else group.sequence[rows].tolist()
    for instance, moment_us, sequence, value in zip(
        np.repeat(instances, counts).tolist(),
        np.repeat(moments_us, counts).tolist(),
        sequences,
        group.values[rows].tolist(),
        strict=True,
    ):
        found.setdefault(instance, {}).setdefault(moment_us, []).insert(0, (sequence, value))


def _first(sorted_us: Ints, low: Ints, high: Ints, moments_us: Ints) -> Ints:
    """The first position in each [low, high) that isn't before its moment; `high` if none."""
    low, high = low.copy(), high.copy()
    while (between := low < high).any():
        middle = (low + high) // 2
        before = np.zeros(len(low), bool)
        before[between] = sorted_us[middle[between]] < moments_us[between]
        low[before] = middle[before] + 1
        ends = between & ~before
        high[ends] = middle[ends]
    return low
