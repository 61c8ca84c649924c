# SPDX-License-Identifier: EUPL-1.2
"""How observations lie in a segment.

A time is kept as it is, or as what it differs by (observed: from the row before it of the same
instance; received: from observed), in the largest unit that is exact. Reals with few decimals are
kept as whole numbers. docs/segments.md describes the file for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from poorter.store.history.parquet import Column
from poorter.store.history.rows import INTEGER, JSON, REAL, TEXT, Ints, Rows

VERSION = 1
#: where a file says what it holds
META = b"poorter"


@dataclass(frozen=True, slots=True)
class Layout:
    """What the columns of a file mean. `decimals` None: reals as they are."""

    base_us: int = 0
    observed: str = "observed"  # or observed_step
    observed_unit_us: int = 1
    received: str = "received"  # or received_delay
    received_unit_us: int = 1
    decimals: int | None = None

    @property
    def real(self) -> str:
        """The name of the column of reals."""
        return "real" if self.decimals is None else "decimal"

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return (
            "instance",
            self.observed,
            self.received,
            "quality",
            "sequence",
            "integer",
            self.real,
            "text",
            "json",
        )

    def column(self, name: str) -> str:
        """What a column is called in this layout."""
        return {
            "observed": self.observed,
            "received": self.received,
            "real": self.real,
        }.get(name, name)

    def to_doc(self) -> dict[str, Any]:
        """For the file's metadata."""
        return {"version": VERSION, **asdict(self)}


def rows_of(columns: Mapping[str, Column], layout: Layout) -> Rows:
    """The rows of one group; columns that were not read come out as zeros."""
    instance: Ints = columns["instance"].values
    size = len(instance)
    zeros = np.zeros(size, np.int64)
    observed = _times(columns, layout.observed, instance, layout)
    received = zeros
    if layout.received in columns:
        received = columns[layout.received].values * layout.received_unit_us
        received += observed if layout.received == "received_delay" else layout.base_us
    kind = np.full(size, JSON, np.int8)
    integer, real, words = zeros, np.zeros(size), np.full(size, None, object)
    for name, number in (("integer", INTEGER), (layout.real, REAL)):
        column = columns.get(name)
        if column is None or not (there := column.present()).any():
            continue
        kind[there] = number
        if number == INTEGER:
            integer = column.values
        else:
            real = (
                column.values if layout.decimals is None else column.values / 10.0**layout.decimals
            )
    for name, number in (("text", TEXT), ("json", JSON)):
        column = columns.get(name)
        if column is None or not (there := column.present()).any():
            continue
        kind[there] = number
        words[there] = column.values[there]
    quality = columns["quality"].values.astype(np.int64) if "quality" in columns else zeros
    sequence = columns["sequence"].values.astype(np.int64) if "sequence" in columns else zeros
    return Rows(instance, observed, sequence, received, quality, kind, integer, real, words)


def _times(columns: Mapping[str, Column], name: str, instance: Ints, layout: Layout) -> Ints:
    found: Ints = columns[name].values
    if name == "observed_step" and len(found):
        whole = np.cumsum(found)
        starts = np.flatnonzero(np.concatenate(([True], instance[1:] != instance[:-1])))
        lengths = np.diff(np.append(starts, len(found)))
        found = whole - np.repeat(whole[starts] - found[starts], lengths)
    return found * layout.observed_unit_us + layout.base_us
