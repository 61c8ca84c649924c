# SPDX-License-Identifier: EUPL-1.2
"""Notifications from sources, handed on to the subscribers here (CIM 009, 5.8.6): held to what the
source registered, made whole where entities are split, let out by the subscriber's own permit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from poorter.city.entity import Attribute, Kind
from poorter.city.errors import CityError, Denied, Invalid, NotFound, Unavailable
from poorter.city.ids import check_uri
from poorter.city.time import format_us, parse_us
from poorter.gate.permit import Permit, TypeRule
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, parse_json, send
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import parse_types
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.linked import Links
from poorter.standards.ngsild.problem import NoSuchMethod, problem_answer
from poorter.standards.ngsild.represent import normalised, represent
from poorter.standards.ngsild.sources.asking import Way
from poorter.standards.ngsild.sources.changes import Key, changes_in
from poorter.standards.ngsild.sources.hops import Hops
from poorter.standards.ngsild.sources.model import Registration
from poorter.standards.ngsild.sources.reading import completed
from poorter.standards.ngsild.sources.received import Received, held_to, merged, read_entity
from poorter.standards.ngsild.sources.reducing import filters_go
from poorter.standards.ngsild.sources.sharing import Share
from poorter.standards.ngsild.sources.subscribing import Placed
from poorter.standards.ngsild.subscriptions.engine import Said
from poorter.standards.ngsild.subscriptions.matching import meant
from poorter.standards.ngsild.subscriptions.message import (
    add_previous,
    lost_data,
    shown,
    whole_data,
)
from poorter.standards.ngsild.subscriptions.model import Subscription
from poorter.standards.ngsild.tenants import Tenants
from poorter.store.body import attribute_dict
from poorter.store.contract import StoredEntity, visible

log = logging.getLogger(__name__)
AT_ONCE = 64
DATA_MAX = 5000  # entities in one notification
_OK = Answer(200)


@dataclass(frozen=True, slots=True)
class Told:
    """What a source says of one entity: as it is, attributes it lost, what they were, when it
    went."""

    received: Received
    lost: Mapping[str, Kind]
    was: Mapping[Key, Attribute]
    gone_us: int | None = None


class Arrivals:
    """The ASGI application that sources send notifications to. The name of the subscription is
    what lets one in: only the source was told it."""

    def __init__(self, face: Face, tenants: Tenants) -> None:
        self._face = face
        self._tenants = tenants
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> int:
        request = Request(scope, receive)
        try:
            answer = await self._take(request)
        except CityError as error:
            answer = problem_answer(error)
        return await send(answer, transmit)

    async def _take(self, request: Request) -> Answer:
        self._face.caller(request)  # its rate limit
        if request.method != "POST":
            raise NoSuchMethod("here: POST")
        doc = parse_json(await request.body())
        if not isinstance(doc, dict) or not isinstance(doc.get("subscriptionId"), str):
            raise Invalid("a notification names its subscriptionId")
        data = doc.get("data")
        if not isinstance(data, list) or len(data) > DATA_MAX:
            raise Invalid(f"data is a list of at most {DATA_MAX} entities")
        face, placed = self._known(doc["subscriptionId"])
        if len(self._tasks) >= AT_ONCE:
            raise Unavailable(f"{AT_ONCE} notifications are at work: try again in a moment")
        inline = doc.get("@context")
        own = await face.context(request)
        context = own if inline is None else await face.contexts.of(inline)
        work = self._work(face, placed, data, context)
        task = asyncio.create_task(work, name="a notification")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return _OK

    def _known(self, placed_id: str) -> tuple[Face, Placed]:
        """What a source calls by this name, here or in a tenant. Raises NotFound."""
        for tenant in self._tenants.open:
            found = tenant.face.sources.subscribing.known(placed_id)
            if found is not None:
                return tenant.face, found
        found = self._face.sources.subscribing.known(placed_id)
        if found is None:
            raise NotFound("there is no such subscription")
        return self._face, found

    async def _work(self, face: Face, placed: Placed, data: list[Any], context: Context) -> None:
        try:
            await hand_on(face, placed, data, context)
        except CityError as wrong:
            log.warning("a notification of source %s: %s", placed.pair[1], wrong.detail)


async def hand_on(face: Face, placed: Placed, data: list[Any], context: Context) -> None:
    """Tell the subscriber what may be told. Raises CityError where nothing can be made of it."""
    sub = face.subscriptions.get(placed.pair[0])
    registration = face.sources.registry.get(placed.pair[1])
    share = face.sources.subscribing.share(sub, registration)
    if share is None:
        return
    told: dict[str, Told] = {}
    for doc in data:
        inline = doc.get("@context") if isinstance(doc, dict) else None
        known = context if inline is None else await face.contexts.of(inline)
        one = _told(face, doc, known, registration, share)
        if one is not None:
            told[one.received.urn] = one
    there = {urn: one for urn, one in told.items() if one.gone_us is None}
    split = face.sources.subscribing.splits(sub)
    way = Way(face.sources, None, sub.context, Hops(sub.via))
    if split and there:
        permit = _permit(face, sub)
        parts = [one.received for one in there.values()]
        whole = await completed(face, way, permit, share, parts)
    else:
        now_us = face.clock.now_us()
        whole = {urn: merged([one.received], (), now_us) for urn, one in there.items()}
    checked = not filters_go(sub, await way.spoken(registration), split)

    def made(sub: Subscription, permit: Permit) -> Said | None:
        return _data(face, sub, permit, told, whole, checked)

    face.subscriptions.hand_on(sub.id, made)


def _permit(face: Face, sub: Subscription) -> Permit:
    return face.gate.permit(sub.processor, sub.purpose, "read")


def _told(
    face: Face, doc: Any, context: Context, registration: Registration, share: Share
) -> Told | None:
    """One entity of a notification, as far as the source may speak of it."""
    giving = face.sources.registry.may(registration)
    if giving is None or not isinstance(doc, dict):
        return None
    gone_us = parse_us(doc["deletedAt"]) if "deletedAt" in doc else None
    changes = changes_in(doc, context)
    if gone_us is not None:
        urn, types = check_uri(doc.get("id"), "id"), parse_types(doc.get("type"), context)
        received: Received | None = Received(urn, types, (), None, None, ())
    else:
        received = read_entity(changes.doc, context, face.clock.now_us())
    held = None if received is None else held_to(received, registration, giving, None)
    if held is None or (share.types and not set(share.types) & set(held.types)):
        return None
    if share.names:
        kept = tuple(one for one in held.instances if one.stored.name in share.names)
        held = replace(held, instances=kept)
    names, rule = registration.names_of(held.urn, held.types), giving.rule_of(held.types)

    def may_tell(name: str) -> bool:
        return (
            rule is not None
            and rule.covers(name)
            and (not names or name in names)
            and (not share.names or name in share.names)
        )

    lost = {name: kind for name, kind in changes.lost.items() if may_tell(name)}
    was = {key: one for key, one in changes.was.items() if may_tell(key[0])}
    return Told(held, lost, was, gone_us)


def _data(
    face: Face,
    sub: Subscription,
    permit: Permit,
    told: Mapping[str, Told],
    whole: Mapping[str, StoredEntity],
    checked: bool,
) -> Said | None:
    """What the subscriber sees of it now."""
    try:
        links = Links(face.store, permit, sub.form.contained_by)
    except Denied:
        return None
    docs: list[dict[str, Any]] = []
    leaving: list[StoredEntity] = []
    for urn, one in told.items():
        entity = whole.get(urn) or merged([one.received], (), face.clock.now_us())
        seen = visible(entity, permit)
        rule = permit.rule_of(entity.types)
        if seen is None or rule is None or not meant(sub, seen):
            continue
        leaving.append(seen)
        if one.gone_us is not None:
            bare = structs.replace(seen, attributes=())
            form = replace(sub.form, join=None)
            doc = represent(bare, form, form.pick, form.omit)
            told_of = _lost(sub, one, rule) if sub.show_changes else {}
            docs.append({**doc, "deletedAt": format_us(one.gone_us), **told_of})
            continue
        if checked and not face.subscriptions.meets(sub, seen, permit):
            leaving.pop()
            continue
        doc, *more = whole_data(sub, (seen,), links)
        for term, value in _lost(sub, one, rule).items():
            doc.setdefault(term, value)
        if sub.show_changes:
            for key, old in one.was.items():
                if rule.covers(key[0]) and key[0] not in one.lost:
                    add_previous(doc, key, _normalised(old, sub), sub.form.context)
        docs += [doc, *more]
    return (docs, tuple(leaving)) if docs else None


def _lost(sub: Subscription, one: Told, rule: TypeRule) -> dict[str, Any]:
    """Attributes that went, in the subscriber's words."""
    found: dict[str, Any] = {}
    for name in sorted(one.lost):
        if rule.covers(name) and shown(sub, name):
            was = {key[1]: old for key, old in one.was.items() if key[0] == name}
            dataset = None if None in was or not was else min(filter(None, was))
            old = was.get(dataset)
            before = None if old is None else _normalised(old, sub)
            found[sub.form.context.compact(name)] = lost_data(sub, one.lost[name], dataset, before)
    return found


def _normalised(old: Attribute, sub: Subscription) -> dict[str, Any]:
    return normalised(attribute_dict(old), sub.form.context)
