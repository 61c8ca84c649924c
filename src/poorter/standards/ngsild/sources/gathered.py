# SPDX-License-Identifier: EUPL-1.2
"""Several sources asked at once, entities or evolutions alike: what each gave, what went wrong, and
the answer over what they gave (CIM 009, 4.3.6.7, 6.3.17)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from poorter.city.errors import CityError, Unavailable
from poorter.standards.http.asgi import Answer
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.problem import problem_answer
from poorter.standards.ngsild.sources.asking import ASKED_MAX, Fault, all_within, warning
from poorter.standards.ngsild.sources.sharing import Share

T = TypeVar("T")
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A face that sees what sources gave, who gave what of which entity, and what went wrong."""

    face: Face
    by: dict[str, tuple[str, ...]]
    warnings: Headers = ()


async def ask_all(
    shares: Sequence[Share], ask: Callable[[Share], Awaitable[tuple[list[T], list[Fault]]]]
) -> tuple[list[tuple[Share, list[T]]], Headers]:
    """What each source gave of its share, and a warning for each fault."""
    asked = shares[:ASKED_MAX]
    given: list[tuple[Share, list[T]]] = []
    warnings: list[tuple[bytes, bytes]] = []
    for share, result in zip(asked, await all_within(list(map(ask, asked))), strict=True):
        parts, faults = ([], [result]) if isinstance(result, Fault) else result
        given.append((share, parts))
        warnings += [warning(share.registration, fault) for fault in faults]
    more = Fault(199, f"over {ASKED_MAX} sources", 504)
    warnings += [warning(share.registration, more) for share in shares[ASKED_MAX:]]
    return given, tuple(warnings)


async def answered_over(gathered: Gathered, answer: Callable[[Face], Awaitable[Answer]]) -> Answer:
    """The answer of the handler for what is here, over what sources gave, with the warnings."""
    try:
        try:
            given = await answer(gathered.face)
        except Unavailable:  # a lease that ran out on a busy machine; a grant that did is denied
            given = await answer(gathered.face)
    except CityError as error:
        given = problem_answer(error)
    return replace(given, headers=(*given.headers, *gathered.warnings))
