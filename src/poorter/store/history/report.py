# SPDX-License-Identifier: EUPL-1.2
"""What history answers besides observations: buckets, what it takes, what compaction came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Round:
    """What a round of compaction came to: rows that left the store, segments written."""

    moved: int = 0
    segments: int = 0


@dataclass(frozen=True, slots=True)
class HistorySize:
    """History on the disk: readings that lie in rows and in segments, and the bytes of each."""

    rows: int
    rows_bytes: int
    compacted: int
    compacted_bytes: int
    segments: int

    @property
    def bytes_each(self) -> float | None:
        """Bytes an observation; None without any."""
        readings = self.rows + self.compacted
        return (self.rows_bytes + self.compacted_bytes) / readings if readings else None


@dataclass(slots=True)  # not frozen: there are many, and that would take twice as long
class Bucket:
    """An aggregate over [start_us, start_us + width): of good readings, corrections applied."""

    start_us: int
    count: int
    mean: float | None
    minimum: float | None
    maximum: float | None
    total: float | None
