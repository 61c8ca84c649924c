# SPDX-License-Identifier: EUPL-1.2
"""A question about the history of many entities at once."""

from __future__ import annotations

from dataclasses import dataclass

from poorter.city.time import HOUR_US


@dataclass(frozen=True, slots=True)
class GroupQuery:
    """Buckets of the attribute `name` over entities of a type, put together by the id or text that
    their attribute `by` holds, or by the entity of type `areas` that they lie in. [from, until) in
    event time, in whole buckets of `width_us` best: their sums are kept by the hour."""

    type: str
    name: str
    from_us: int
    until_us: int
    by: str = ""
    areas: str | None = None
    width_us: int = HOUR_US
