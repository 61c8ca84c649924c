# SPDX-License-Identifier: EUPL-1.2
"""The queries of a snapshot (CIM 009, 5.16.1): checked when it is asked for, answered in the
background as each by itself would be, with sources and the gate as it is then; then it is told."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from poorter.city.errors import CityError, Invalid, TooLarge
from poorter.city.ids import mint
from poorter.city.limits import HISTORY_PAGE_MAX, PAGE_MAX
from poorter.city.query import Selector
from poorter.city.time import format_us
from poorter.gate.permit import Permit
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.problem import problem
from poorter.standards.ngsild.selecting import from_body, parse_which
from poorter.standards.ngsild.snapshots.keeping import (
    ENTITIES_MAX,
    INSTANCES_MAX,
    QUERIES_MAX,
    Snapshot,
)
from poorter.standards.ngsild.sources import evolving
from poorter.standards.ngsild.sources.evolutions import together
from poorter.standards.ngsild.sources.held import Held
from poorter.standards.ngsild.sources.reading import gather, question_of
from poorter.standards.ngsild.subscriptions.sending import Sender
from poorter.standards.ngsild.temporal.asking import parse_asked
from poorter.standards.ngsild.temporal.reading import given_by, heads_of
from poorter.standards.ngsild.temporal.searching import Search
from poorter.store.contract import StoredEntity
from poorter.store.evolving import Evolution

log = logging.getLogger(__name__)
Asked = tuple[dict[str, str], tuple[Selector, ...]]


@dataclass(frozen=True, slots=True)
class Queries:
    """What a snapshot is made of: queries for entities, and for evolutions."""

    entities: tuple[Asked, ...]
    evolutions: tuple[Asked, ...]


@dataclass(slots=True)
class _Found:
    entities: dict[str, StoredEntity] = field(default_factory=dict)
    evolutions: dict[str, Evolution] = field(default_factory=dict)


def queries_of(told: dict[str, Any], context: Context) -> Queries:
    """What is asked for, checked. Raises Invalid."""
    if "snapshotQueries" not in told and "snapshotTemporalQueries" not in told:
        raise Invalid("say what it is of: snapshotQueries or snapshotTemporalQueries (5.2.41)")
    entities: list[Asked] = []
    for query in _listed(told, "snapshotQueries"):
        if isinstance(query, dict) and "temporalQ" in query:
            raise Invalid("temporalQ belongs into snapshotTemporalQueries (5.2.41)")
        given, selectors = from_body(query, context)
        parse_which(given, context, selectors)
        entities.append((given, selectors))
    evolutions: list[Asked] = []
    for query in _listed(told, "snapshotTemporalQueries"):
        given, selectors = given_by(query, {}, context)
        parse_asked(given, context, None)
        Search(given, context, selectors)
        evolutions.append((given, selectors))
    return Queries(tuple(entities), tuple(evolutions))


def _listed(told: dict[str, Any], member: str) -> list[Any]:
    if member not in told:
        return []
    found = told[member]
    if not isinstance(found, list) or not 1 <= len(found) <= QUERIES_MAX:
        raise Invalid(f"{member} holds 1 to {QUERIES_MAX} queries")
    return found


async def fill(
    face: Face, held: Held, permit: Permit, context: Context, snapshot: Snapshot, queries: Queries
) -> None:
    """Ask each query, keep what they find, and tell how it went."""
    found = _Found()
    details = [
        await _tried(_ask(face, held, permit, context, asked, found)) for asked in queries.entities
    ]
    temporal = [
        await _tried(_ask_in_time(face, held, permit, context, asked, found))
        for asked in queries.evolutions
    ]
    try:
        face.snapshots.fill(snapshot, found.entities, found.evolutions)
    except TooLarge as wrong:
        details, temporal = ([_failure(wrong) for _ in some] for some in (details, temporal))
    snapshot.details, snapshot.temporal_details = details, temporal
    snapshot.status = _status(details + temporal)
    await tell(face, snapshot)


async def _tried(asking: Any) -> dict[str, Any]:
    """ExecutionResultDetails of one query (5.2.42)."""
    try:
        return {"resultStatus": "success" if await asking else "empty"}
    except CityError as wrong:
        return _failure(wrong)


def _failure(wrong: CityError) -> dict[str, Any]:
    return {"resultStatus": "failure", "problemDetails": problem(wrong)}


def _status(details: list[dict[str, Any]]) -> str:
    """Of the whole: a success where each query found something, partial where any did (5.16.1)."""
    each = {one["resultStatus"] for one in details}
    if len(each) == 1:
        return str(each.pop())
    return "partial" if "success" in each else "failure"


async def _ask(
    face: Face, held: Held, permit: Permit, context: Context, query: Asked, found: _Found
) -> bool:
    """Add what one query finds; whether it finds any."""
    given, selectors = query
    any_there = False
    asked = replace(parse_which(given, context, selectors), limit=PAGE_MAX)
    question = question_of(face, asked, given, context)
    over = await gather(face, held, face.renewed(permit), context, question)
    while True:
        permit = face.renewed(permit)
        page = over.face.store.query(permit, asked)
        await face.before_leaving(held, permit, page.entities)
        any_there = any_there or bool(page.entities)
        for entity in page.entities:
            found.entities.setdefault(entity.urn, entity)
        if len(found.entities) > ENTITIES_MAX:
            raise TooLarge(f"a snapshot holds at most {ENTITIES_MAX} entities")
        if page.after is None:
            return any_there
        asked = replace(asked, after=page.after)
        await asyncio.sleep(0)


async def _ask_in_time(
    face: Face, held: Held, permit: Permit, context: Context, query: Asked, found: _Found
) -> bool:
    """The same for evolutions, each with all of its instances in the time asked for."""
    given, selectors = query
    asked = parse_asked(given, context, None)
    which = evolving.which(given, context, selectors)
    question = evolving.temporal_question(face, which, given, context)
    over = await evolving.gather(face, held, face.renewed(permit), question)
    place: dict[str, str] = {"limit": str(PAGE_MAX)}
    any_there = False
    while True:
        permit = face.renewed(permit)
        search = Search({**given, **place}, context, selectors)
        page = search.page(over.face.store, permit, asked, HISTORY_PAGE_MAX)
        await face.before_leaving(held, permit, heads_of(face, permit, page.evolutions))
        any_there = any_there or bool(page.evolutions)
        for one in page.evolutions:
            if one.beyond is not None:
                raise TooLarge(f"{one.urn} has over {HISTORY_PAGE_MAX} instances: ask for less")
            known = found.evolutions.get(one.urn)
            found.evolutions[one.urn] = one if known is None else together(known, one)
        if sum(len(one.instances) for one in found.evolutions.values()) > INSTANCES_MAX:
            raise TooLarge(f"a snapshot holds at most {INSTANCES_MAX} instances")
        if page.following is None:
            return any_there
        place |= {name: str(value) for name, value in page.following.items()}
        await asyncio.sleep(0)


async def tell(face: Face, snapshot: Snapshot) -> None:
    """A SnapshotNotification (5.3.4, 5.16.6), once; who missed it reads the status."""
    endpoint = snapshot.endpoint
    if endpoint is None or face.federation is None:
        return
    message: dict[str, Any] = {
        "id": mint("urn:ngsi-ld:SnapshotNotification:"),
        "type": "SnapshotNotification",
        "snapshotId": snapshot.id,
        "notifiedAt": format_us(face.clock.now_us()),
        "snapshotStatus": snapshot.status,
    }
    if snapshot.details:
        message["snapshotQueriesDetails"] = snapshot.details
    if snapshot.temporal_details:  # so it is called here (5.3.4), otherwise than in 5.2.41
        message["temporalSnapshotQueriesDetails"] = snapshot.temporal_details
    headers = {"NGSILD-Snapshot": snapshot.id}
    try:
        sender = Sender(face.federation.outgoing)
        await sender.send(endpoint, msgspec.json.encode(message), headers)
    except CityError as wrong:
        log.warning("the status of %s was not told: %s", snapshot.id, wrong.detail)
