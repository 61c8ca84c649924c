# SPDX-License-Identifier: EUPL-1.2
"""Which stretches of time become segments, and which segments become one. Pure.

Segments lie side by side in time and never overlap, so that a moment is in at most one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from poorter.city.time import DAY_US, HOUR_US

SUFFIX = ".parquet"
HOURS_SUFFIX = ".hours.parquet"
#: rows that leave the store in one transaction, which holds up writing for as long as it takes
FOLD_ROWS_MAX = 250_000
MERGED_ROWS_MAX = 16_000_000
#: late rows wait until they are this share of their segment, or for a day
LATE_SHARE = 1 / 16


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as the store's manifest has it: [from, until), whole hours; sizes in bytes."""

    name: str
    from_us: int
    until_us: int
    rows: int
    size: int
    hours_size: int
    made_us: int


@dataclass(frozen=True, slots=True)
class Window:
    """What is to become one segment: rows that wait in the store, and segments it replaces."""

    from_us: int
    until_us: int
    sources: tuple[Segment, ...] = ()


def folds(
    waiting: Mapping[int, int], segments: Sequence[Segment], now_us: int, all_of_it: bool = False
) -> Iterator[Window]:
    """Stretches with rows that wait. `waiting`: how many by hour since 1970; `segments` by time.

    `all_of_it`: late rows don't wait any longer.
    """
    left = dict(sorted(waiting.items()))
    for segment in segments:
        hours = range(segment.from_us // HOUR_US, segment.until_us // HOUR_US)
        inside = [hour for hour in left if hour in hours]
        late = sum(left.pop(hour) for hour in inside)
        old = now_us - segment.made_us > DAY_US
        if late and (all_of_it or old or late >= segment.rows * LATE_SHARE):
            yield Window(segment.from_us, segment.until_us, (segment,))
    ends = [segment.from_us // HOUR_US for segment in segments]
    first = last = held = 0
    for hour, count in left.items():
        passed = any(last <= end <= hour for end in ends)
        if held and (passed or held + count > FOLD_ROWS_MAX):
            yield Window(first * HOUR_US, last * HOUR_US)
            held = 0
        if not held:
            first = hour
        held += count
        last = hour + 1
    if held:
        yield Window(first * HOUR_US, last * HOUR_US)


def merge(segments: Sequence[Segment]) -> Window | None:
    """Two neighbours of like size, which become one; so a reading is written again only as often
    as its segment doubles."""
    for earlier, later in pairwise(segments):
        both = earlier.rows + later.rows
        alike = earlier.rows <= 2 * later.rows and later.rows <= 2 * earlier.rows
        small = min(earlier.rows, later.rows) < 4096 and both <= FOLD_ROWS_MAX
        if both <= MERGED_ROWS_MAX and (alike or small):
            return Window(earlier.from_us, later.until_us, (earlier, later))
    return None
