# SPDX-License-Identifier: EUPL-1.2
"""Paging over time (CIM 009, 6.3.10): which stretch of time a part of an answer covers."""

from __future__ import annotations

from poorter.city.time import format_us
from poorter.standards.ngsild.temporal.asking import Window


def content_range(window: Window, oldest_us: int, newest_us: int) -> bytes:
    """The Content-Range of an answer whose instances lie between two moments.

    It begins where the question does and ends at the last instance given. With lastN it runs back
    in time. A client goes on from its end.
    """
    if window.last is None:
        start_us, end_us = _or(window.from_us, oldest_us), newest_us
        size = "*"
    else:
        start_us, end_us = _or(window.until_us, newest_us), oldest_us
        size = str(window.last)
    return f"date-time {format_us(start_us)}-{format_us(end_us)}/{size}".encode()


def _or(bound_us: int | None, other_us: int) -> int:
    return other_us if bound_us is None else bound_us
