# SPDX-License-Identifier: EUPL-1.2
"""Purge at sources (CIM 009, 5.6.21): only of what a registration covers and its one may write."""

from __future__ import annotations

from typing import Any

from poorter.standards.http.asgi import Answer
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.face import Face, json_answer
from poorter.standards.ngsild.problem import problem
from poorter.standards.ngsild.selecting import parse_which
from poorter.standards.ngsild.sources.asking import Way, all_within
from poorter.standards.ngsild.sources.forwarding import forward
from poorter.standards.ngsild.sources.held import Held
from poorter.standards.ngsild.sources.outcome import there
from poorter.standards.ngsild.sources.planning import Leg
from poorter.standards.ngsild.sources.reading import Question, ids_of, shares_of
from poorter.standards.ngsild.sources.sharing import Share


async def purge_sources(face: Face, held: Held, answer: Answer) -> Answer:
    """After what was here is gone: the same at sources that offer it. 207 when one failed."""
    _, permit = face.permit(held, "write")
    context = await face.context(held)
    given = held.query()
    narrow = bool(given.get("drop") or given.get("keep"))
    question = Question(parse_which(given, context, narrow=narrow), given, context)
    shares = shares_of(face, permit, question, frozenset(("purgeEntity",)))
    way = Way(face.sources, held, context)
    # a filter can't be said in other words: then nothing is asked, rather than too much
    filters = set(given) - {"local", "type", "id", "idPattern"}
    going = [
        one
        for one in shares
        if way.closed(one.registration) is None
        and not (filters and await way.spoken(one.registration) is not context)
    ]
    replies = await all_within(
        [
            forward(
                way,
                one.registration,
                "DELETE",
                "/entities",
                _params(one, question, await way.spoken(one.registration)),
                None,
            )
            for one in going
        ]
    )
    outcomes = [
        there(Leg(one.registration, None), reply) for one, reply in zip(going, replies, strict=True)
    ]
    errors: list[dict[str, Any]] = [
        {"registrationId": one.registration_id, "error": problem(one.error)}
        for one in outcomes
        if one.error is not None
    ]
    return json_answer({"success": [], "errors": errors}, 207) if errors else answer


def _params(share: Share, question: Question, spoken: Context) -> dict[str, str]:
    """The purge in the words of a source, no wider than its share."""
    kept = ("local", "type", "id", "idPattern")
    params = {name: value for name, value in question.params.items() if name not in kept}
    types = [spoken.compact(name) for name in share.types]
    if types:
        params["type"] = ",".join(types)
    params |= ids_of(share, question)
    if share.names and "drop" not in params:
        params.pop("keep", None)
        params["drop"] = ",".join(sorted(spoken.compact(name) for name in share.names))
    return params
