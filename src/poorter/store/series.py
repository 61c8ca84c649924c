# SPDX-License-Identifier: EUPL-1.2
"""Readings by instance: a file has thousands of one thing, and an object for each costs more than
writing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, overload

from poorter.store.contract import Reading


class Series(NamedTuple):
    """Readings of one attribute instance, in the order they came: a value for each moment."""

    urn: str
    name: str
    moments_us: Sequence[int]
    values: Sequence[Any]
    dataset_id: str | None = None
    quality: int = 0
    unit_code: str | None = None

    def readings(self) -> Iterator[Reading]:
        """One by one."""
        urn, name, moments_us, values, dataset_id, quality, unit_code = self
        for moment_us, value in zip(moments_us, values, strict=True):
            yield Reading(urn, name, moment_us, value, dataset_id, quality, unit_code)


class InSeries(Sequence[Reading]):
    """Readings that are kept as series; to whoever looks at them one by one, readings."""

    def __init__(self, series: Sequence[Series]) -> None:
        self.series = series
        self._count = sum(len(one.moments_us) for one in series)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Reading]:
        return chain.from_iterable(one.readings() for one in self.series)

    @overload
    def __getitem__(self, place: int) -> Reading: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Reading]: ...
    def __getitem__(self, place: int | slice) -> Reading | Sequence[Reading]:
        return list(self)[place]


def series_of(readings: Sequence[Reading]) -> Sequence[Series]:
    """The readings by instance, those of each in the order they came."""
    if isinstance(readings, InSeries):
        return readings.series
    made: list[Series] = []
    last: dict[tuple[str, str, str | None], Series] = {}
    for urn, name, moment_us, value, dataset_id, quality, unit_code in readings:
        key = (urn, name, dataset_id)
        series = last.get(key)
        if series is None or series.quality != quality or series.unit_code != unit_code:
            series = last[key] = Series(urn, name, [], [], dataset_id, quality, unit_code)
            made.append(series)
        series.moments_us.append(moment_us)  # type: ignore[attr-defined]
        series.values.append(value)  # type: ignore[attr-defined]
    return made


def urns_of(readings: Sequence[Reading]) -> Iterable[str]:
    """The entities they are about, each once."""
    if isinstance(readings, InSeries):
        return dict.fromkeys(one.urn for one in readings.series)
    return dict.fromkeys(reading.urn for reading in readings)
