# SPDX-License-Identifier: EUPL-1.2
"""What the parts of a spread write came to, as one answer (CIM 009, 5.2.16 to 5.2.18, 6.3.17)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from poorter.city.errors import CityError, Conflict, Denied, Invalid, NotFound
from poorter.standards.http.asgi import Answer
from poorter.standards.http.outgoing import Reply
from poorter.standards.ngsild.context import external
from poorter.standards.ngsild.face import json_answer, plain_json
from poorter.standards.ngsild.problem import (
    Clash,
    Loop,
    SourceFailed,
    SourceSilent,
    problem,
    problem_answer,
)
from poorter.standards.ngsild.sources.asking import Fault
from poorter.standards.ngsild.sources.planning import NOT_OFFERED, Leg


@dataclass(frozen=True, slots=True)
class Outcome:
    """One part: done, or why not. `names`: the attributes it was about, None for a whole entity."""

    error: CityError | None
    names: frozenset[str] | None = None
    registration_id: str | None = None
    answer: Answer | None = None  # of this city itself
    partly: tuple[dict[str, Any], ...] = field(default=())  # what a source says it did not do


def here(answer: Answer, names: frozenset[str] | None) -> Outcome:
    """This city's own part."""
    return Outcome(None, names, answer=answer)


def there(leg: Leg, reply: Reply | Fault) -> Outcome:
    """The part of a source."""
    reg_id = leg.registration.id
    if isinstance(reply, Fault):
        return Outcome(error_of(reply), leg.names, reg_id)
    if reply.status == 207:
        return Outcome(None, leg.names, reg_id, partly=tuple(_failures(reply)))
    if 200 <= reply.status < 300:
        return Outcome(None, leg.names, reg_id)
    return Outcome(error_of(Fault(299, "", reply.status)), leg.names, reg_id)


def error_of(fault: Fault) -> CityError:
    """What a caller is told of a source that failed. Its own words stay out: they may tell more
    than the caller may know."""
    if fault is NOT_OFFERED:
        return Clash(fault.text)
    known: dict[int, type[CityError]] = {404: NotFound, 409: Conflict, 403: Denied, 400: Invalid}
    if fault.status in known:
        return known[fault.status]("" if fault.status == 403 else "a context source says so")
    kind = {508: Loop, 504: SourceSilent}.get(fault.status, SourceFailed)
    return kind(fault.text or f"it answers {fault.status}")


def _failures(reply: Reply) -> list[dict[str, Any]]:
    try:
        doc = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [{}]
    if not isinstance(doc, dict):
        return [{}]
    listed = doc.get("errors", doc.get("notUpdated", []))
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else [{}]


def of_entity(urn: str, outcomes: Sequence[Outcome], good: Answer) -> Answer:
    """One answer for a write of an entity."""
    alone = _settled(outcomes, good)
    if alone is not None:
        return alone
    errors = [_entity_error(urn, one) for one in outcomes if one.error is not None]
    errors += [
        {"entityId": urn, "registrationId": one.registration_id, "error": problem(_PARTLY)}
        for one in outcomes
        if one.partly
    ]
    done = [urn] if any(one.error is None for one in outcomes) else []
    return json_answer({"success": done, "errors": errors}, 207)


_PARTLY = SourceFailed("a context source did only a part of it")


def _entity_error(urn: str, one: Outcome) -> dict[str, Any]:
    assert one.error is not None
    shown: dict[str, Any] = {"entityId": urn, "error": problem(one.error)}
    if one.registration_id is not None:
        shown["registrationId"] = one.registration_id
    return shown


def of_attributes(outcomes: Sequence[Outcome], good: Answer) -> Answer:
    """One answer for a write of attributes."""
    alone = _settled(outcomes, good)
    if alone is not None:
        return alone
    updated: set[str] = set()
    missed: list[dict[str, Any]] = []
    for one in outcomes:
        names = one.names or frozenset()
        own = _own_result(one)
        if own is not None:
            updated.update(own.get("updated", []))
            missed += own.get("notUpdated", [])
        elif one.error is None and not one.partly:
            updated.update(map(external, names))
        else:
            reason = one.error.detail or one.error.title if one.error else _PARTLY.detail
            for name in sorted(names):
                shown = {"attributeName": external(name), "reason": reason}
                if one.registration_id is not None:
                    shown["registrationId"] = one.registration_id
                missed.append(shown)
    return plain_json({"updated": sorted(updated), "notUpdated": missed}, 207)


def _own_result(one: Outcome) -> dict[str, Any] | None:
    if one.answer is None or one.answer.status != 207:
        return None
    found: dict[str, Any] = msgspec.json.decode(one.answer.body)
    return found


def _settled(outcomes: Sequence[Outcome], good: Answer) -> Answer | None:
    """The answer where all parts agree; None where some failed and others did not."""
    failed = [one.error for one in outcomes if one.error is not None]
    mixed = any(one.partly or _own_result(one) is not None for one in outcomes)
    if not failed and not mixed:
        return next((one.answer for one in outcomes if one.answer is not None), good)
    if len(failed) < len(outcomes) or mixed:
        return None
    if len(outcomes) == 1 or all(isinstance(error, Clash) for error in failed):
        return problem_answer(failed[0])
    return None
