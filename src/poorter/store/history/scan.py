# SPDX-License-Identifier: EUPL-1.2
"""What a segment says, seen together with what the store knows better of its stretch of time.

`Out`: parts that no longer count, because they went back to the store's rows to be changed there.
`late`: the store's rows of that stretch, which came after the segment was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from poorter.city.time import HOUR_US
from poorter.store.history.hours import Sums, rebucketed, sums_of
from poorter.store.history.plan import HOURS_SUFFIX, SUFFIX, Segment
from poorter.store.history.read import NUMBERS, Segments
from poorter.store.history.rows import Ints, Rows, among, joined

Out: TypeAlias = Sequence[tuple[int, int, int]]  # (instance, from, until)


def without(rows: Rows, out: Out) -> Rows:
    """The rows that still count."""
    for instance, from_us, until_us in out:
        low, high = np.searchsorted(rows.instance, (instance, instance + 1))
        moments = rows.observed_us[low:high]
        first, last = np.searchsorted(moments, (from_us, until_us)) + low
        if first < last:
            rows = rows.take(np.r_[0:first, last : len(rows)])
    return rows


def rows_in(
    files: Segments,
    segment: Segment,
    instances: Ints | None,
    from_us: int,
    until_us: int,
    out: Out = (),
    names: tuple[str, ...] | None = None,
    backwards: bool = False,
) -> Iterator[Rows]:
    """The rows of a segment in [from, until) that still count, group by group."""
    name = segment.name + SUFFIX
    for rows in files.rows(name, instances, from_us, until_us, names, backwards):
        kept = without(rows, out)
        if len(kept):
            yield kept


def rows_between(
    files: Segments, segment: Segment, before: int, last: int, out: Out
) -> Iterator[Rows]:
    """The rows that still count, of instances in (before, last]."""
    file = files.columns(segment.name + SUFFIX)
    for group in file.between(before, last):
        rows = files.group(segment.name + SUFFIX, group)
        low, high = np.searchsorted(rows.instance, (before, last), "right")
        kept = without(rows.take(slice(low, high)), out)
        if len(kept):
            yield kept


def sums_in(
    files: Segments,
    segment: Segment,
    instances: Ints,
    from_us: int,
    until_us: int,
    width_us: int,
    late: Rows,
    out: Out,
) -> Iterator[Sums]:
    """Sums of a segment together with its late rows, by instance and bucket of `width_us`."""
    from_us, until_us = max(from_us, segment.from_us), min(until_us, segment.until_us)
    changed = np.unique(np.append(late.instance, np.array([o[0] for o in out], np.int64)))
    changed = changed[among(changed, instances)]
    if len(changed):
        read = rows_in(files, segment, changed, from_us, until_us, out, NUMBERS)
        inside = (late.observed_us >= from_us) & (late.observed_us < until_us)
        yield sums_of(joined([*read, late.take(inside)]), width_us)
        instances = instances[~among(instances, changed)]
    first, last = -(-from_us // HOUR_US), until_us // HOUR_US
    stretches = [(from_us, until_us)]
    if segment.hours_size and width_us % HOUR_US == 0 and first < last and len(instances):
        for sums in files.hours(segment.name + HOURS_SUFFIX, instances):
            inside = (sums.bucket >= first) & (sums.bucket < last)
            part = sums.take(inside)
            yield rebucketed(part, part.key, width_us)
        stretches = [(from_us, first * HOUR_US), (last * HOUR_US, until_us)]
    for start_us, end_us in stretches:
        if start_us < end_us and len(instances):
            read = rows_in(files, segment, instances, start_us, end_us, (), NUMBERS)
            for rows in whole_moments(read):
                yield sums_of(rows, width_us)


def whole_moments(parts: Iterable[Rows]) -> Iterator[Rows]:
    """The same rows, cut so that all that was said of one moment stays together."""
    held: Rows | None = None
    for rows in parts:
        if held is not None:
            rows = joined([held, rows])
        same = (rows.instance == rows.instance[-1]) & (rows.observed_us == rows.observed_us[-1])
        size = len(rows) - int(same.sum())
        held = rows.take(slice(size, None))
        if size:
            yield rows.take(slice(size))
    if held is not None:
        yield held
