# SPDX-License-Identifier: EUPL-1.2
"""The tables of a city as they are, for whoever copies them from engine to engine: names, columns
and numbers are the same on each, so segments of history stay where they lie and count there too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from poorter.city.errors import Unavailable

#: rows that are copied, compared or written at once
PART_ROWS = 5000
HISTORY = "history"
Values = tuple[Any, ...]


class Unfinished(Unavailable):
    """A part of a city lies here: it was on its way, and did not arrive."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `kinds`: of each column, i an integer, f a double, t a text, b bytes, l a boolean,
    v a value of history. `key`: which columns are its key."""

    name: str
    columns: tuple[str, ...]
    kinds: str
    key: tuple[int, ...]

    def key_of(self, row: Sequence[Any]) -> Values:
        """The key of a row."""
        return tuple(row[at] for at in self.key)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.columns[at] for at in self.key)


def alike(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two rows say the same: 1 is not 1.0, and engines keep true in ways of their own."""
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return type(one) is type(other) and bool(one == other)
    return bool(one == other)


def parts(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """The same rows, some at a time."""
    left = iter(rows)
    while part := list(islice(left, PART_ROWS)):
        yield part
