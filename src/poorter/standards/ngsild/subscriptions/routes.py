# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions over HTTP (CIM 009, 5.8.1 to 5.8.5, 5.11.2 to 5.11.6; 6.10 to 6.13).

Those to registrations of sources work alike: what differs is in `Book`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from poorter.city.errors import Conflict, Invalid, NotFound
from poorter.city.ids import check_uri, mint
from poorter.city.limits import PAGE_DEFAULT, PAGE_MAX
from poorter.city.time import format_us
from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import NULL, parse_moment
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.params import check_names, flag, number
from poorter.standards.ngsild.sources.hops import hops_of
from poorter.standards.ngsild.subscriptions.delivery import Counts
from poorter.standards.ngsild.subscriptions.keeping import Keeping, record_of
from poorter.standards.ngsild.subscriptions.model import (
    DEFAULT_TRIGGERS,
    READ_ONLY,
    Subscription,
    parse_subscription,
)
from poorter.store.contract import Change, DeleteRecord


@dataclass(frozen=True, slots=True)
class Book:
    """Routes of one kind of subscription: where they lie, who keeps them, who may come in."""

    base: str
    keeping: Callable[[Face], Keeping]
    enter: Callable[[Face, Request], Caller]
    shows_triggers: bool = True  # those that hold where none were named

    async def create(self, face: Face, request: Request) -> Answer:
        """POST /subscriptions (5.8.1)."""
        caller = self.enter(face, request)
        given = request.query()
        check_names(given, frozenset(("local",)))
        doc, context = await face.document(request)
        if isinstance(doc, dict) and flag(given, "local"):
            doc = {**doc, "localOnly": True}  # 5.5.13
        sub_id = mint("urn:ngsi-ld:Subscription:")
        if isinstance(doc, dict) and "id" in doc:
            sub_id = check_uri(doc["id"], "id")
        sub, url = await self._parsed(face, request, caller, doc, context, sub_id)
        sub = replace(sub, via=hops_of(request).header)
        self.keeping(face).has_room()
        try:
            await _keep(face, record_of(self.keeping(face).record, sub, url, Counts(), expect=0))
        except Conflict:
            raise Conflict(f"{sub_id} is there already") from None
        self.keeping(face).put(sub, url)
        location = f"{self.base}/{quote(sub_id, safe=':')}".encode()
        return Answer(201, b"", ((b"location", location),))

    async def retrieve(self, face: Face, request: Request, sub_id: str) -> Answer:
        """GET /subscriptions/{id} (5.8.3)."""
        caller = self.enter(face, request)
        given = request.query()
        check_names(given, frozenset(("options", "sysAttrs")))
        context = await face.context(request)
        wanted = await face.wanted(request, context)
        sub = self._own(face, caller, sub_id)
        return wanted.answer(self._shown(face, sub, context))

    async def query(self, face: Face, request: Request) -> Answer:
        """GET /subscriptions (5.8.4): those of the caller, paged."""
        caller = self.enter(face, request)
        given = request.query()
        check_names(given, frozenset(("limit", "offset", "count", "options", "sysAttrs", "local")))
        limit = number(given, "limit", PAGE_DEFAULT, 0, PAGE_MAX)
        offset = number(given, "offset", 0, 0, 1_000_000)
        count = flag(given, "count")
        if limit == 0 and not count:
            raise Invalid("limit=0 asks for a count: say count=true")
        context = await face.context(request)
        wanted = await face.wanted(request, context)
        mine = self.keeping(face).of(caller.processor, caller.purpose)
        page = [self._shown(face, sub, context) for sub in mine[offset : offset + limit]]
        answer = wanted.answer_list(page)
        more = paging(self.base, limit, offset, len(mine))
        if count:
            more.append((b"ngsild-results-count", str(len(mine)).encode()))
        return replace(answer, headers=(*answer.headers, *more))

    async def update(self, face: Face, request: Request, sub_id: str) -> Answer:
        """PATCH /subscriptions/{id} (5.8.2): members given replace those it has."""
        caller = self.enter(face, request)
        check_names(request.query(), frozenset(("local",)))
        fragment, context = await face.document(request)
        sub = self._own(face, caller, sub_id, change=True)
        if not isinstance(fragment, dict) or not (fragment.keys() - {"@context", "type", "id"}):
            raise Invalid("there is nothing to change in this body")
        if fragment.get("id", sub_id) != sub_id:
            raise Invalid("the id of a subscription stays as it is")
        if fragment.get("type", "Subscription") != "Subscription":
            raise Invalid('type must be "Subscription"')
        now_us = face.clock.now_us()
        ends = fragment.get("expiresAt", NULL)
        if ends != NULL and parse_moment("the subscription", ends, "expiresAt") <= now_us:
            raise Invalid("expiresAt lies in the past")
        doc = _patched(sub.doc, fragment)
        # terms of the fragment are read by its own @context; without one, by the subscription's
        chosen = context if "@context" in fragment or request.header(b"link") else sub.context
        new, url = await self._parsed(face, request, caller, doc, chosen, sub_id, whole=False)
        new = replace(new, via=sub.via)
        counts = self.keeping(face).counts(sub_id)
        await _keep(face, record_of(self.keeping(face).record, new, url, counts))
        self.keeping(face).put(new, url)
        return NO_CONTENT

    async def delete(self, face: Face, request: Request, sub_id: str) -> Answer:
        """DELETE /subscriptions/{id} (5.8.5)."""
        caller = self.enter(face, request)
        check_names(request.query(), frozenset(("local",)))
        self._own(face, caller, sub_id, change=True)
        await _keep(face, DeleteRecord(self.keeping(face).record, sub_id))
        self.keeping(face).remove(sub_id)
        return NO_CONTENT

    async def _parsed(
        self,
        face: Face,
        request: Request,
        caller: Caller,
        doc: Any,
        context: Context,
        sub_id: str,
        whole: bool = True,
    ) -> tuple[Subscription, str]:
        """A checked subscription, and the URL of the @context that it notifies under."""
        now_us = face.clock.now_us() if whole else None
        sub = parse_subscription(doc, context, sub_id, caller.processor, caller.purpose, now_us)
        self.keeping(face).check(sub.endpoint)
        given = doc.get("jsonldContext")
        if given is None:
            known = "" if whole else self.keeping(face).context_url(sub_id)
            return sub, known or await face.hosted_url(request, context)
        url = check_uri(given, "jsonldContext")
        own = await face.contexts.of(url)
        return replace(sub, form=replace(sub.form, context=own)), url

    def _own(self, face: Face, caller: Caller, sub_id: str, change: bool = False) -> Subscription:
        """The caller's subscription. Raises NotFound, also for somebody else's; Invalid to change
        one that another subscription brought."""
        sub = self.keeping(face).get(sub_id)
        if (sub.processor, sub.purpose) != (caller.processor, caller.purpose):
            raise NotFound(f"{sub_id} is not there")
        if change and sub_id not in self.keeping(face).all():
            raise Invalid("it goes with the subscription that brought it: change that one")
        return sub

    def _shown(self, face: Face, sub: Subscription, context: Context) -> dict[str, Any]:
        """A subscription in the words of the caller's @context."""

        def said(name: Any) -> Any:
            return context.compact(sub.context.expand(name)) if isinstance(name, str) else name

        doc: dict[str, Any] = {"id": sub.id, **sub.doc}
        if self.shows_triggers:
            doc.setdefault("notificationTrigger", list(DEFAULT_TRIGGERS))
        notified = dict(doc["notification"])
        if "entities" in doc:
            doc["entities"] = [_selector(one, said) for one in doc["entities"]]
        if "watchedAttributes" in doc:
            doc["watchedAttributes"] = [said(name) for name in doc["watchedAttributes"]]
        if "attributes" in notified:
            notified["attributes"] = [said(name) for name in notified["attributes"]]
        doc["status"] = sub.status(face.clock.now_us())
        url = self.keeping(face).context_url(sub.id)
        if url and url != sub.context.url:  # given, or made for an @context that had no URL
            doc["jsonldContext"] = url
        doc["notification"] = {**notified, **_counted(self.keeping(face).counts(sub.id))}
        return doc


def _reader(face: Face, request: Request) -> Caller:
    """Who may read may ask to be told."""
    return face.permit(request, "read")[0]


def _entities(face: Face) -> Keeping:
    return face.subscriptions


#: subscriptions to entities
ENTITIES = Book("/ngsi-ld/v1/subscriptions", _entities, _reader)


def paging(base: str, limit: int, offset: int, total: int) -> list[tuple[bytes, bytes]]:
    """Links to the page before and after (6.3.10)."""
    links: list[tuple[bytes, bytes]] = []
    for rel, start in (("prev", max(0, offset - limit)), ("next", offset + limit)):
        there = offset > 0 if rel == "prev" else offset + limit < total
        if there and limit:
            url = f"{base}?{urlencode({'limit': limit, 'offset': start})}"
            link = f'<{url}>;rel="{rel}";type="application/ld+json"'
            links.append((b"link", link.encode()))
    return links


def _patched(doc: Any, fragment: dict[str, Any]) -> dict[str, Any]:
    """5.5.8 on a subscription: each member as a whole, NGSI-LD Null removes."""
    after = dict(doc)
    for member, value in fragment.items():
        if member in READ_ONLY - {"jsonldContext"} or member == "id":
            continue
        if value == NULL:
            if member in ("type", "notification"):
                raise Invalid(f"{member} can't be removed")
            after.pop(member, None)
        else:
            after[member] = value
    return after


async def _keep(face: Face, op: Any) -> None:
    own = face.own("administer")
    await face.store.commit_async(own, Change((op,)))


def _selector(one: dict[str, Any], said: Any) -> dict[str, Any]:
    kind = one["type"]
    plain = not any(char in kind for char in "(),;|*")
    return {**one, "type": said(kind) if plain else kind}


def _counted(counts: Counts) -> dict[str, Any]:
    if counts.last_us is None:
        return {}
    shown: dict[str, Any] = {"timesSent": counts.sent}
    if counts.failed:
        shown["timesFailed"] = counts.failed
    for name, at_us in (
        ("lastNotification", counts.last_us),
        ("lastSuccess", counts.success_us),
        ("lastFailure", counts.failure_us),
    ):
        if at_us is not None:
            shown[name] = format_us(at_us)
    if counts.status is not None:
        shown["status"] = counts.status
    return shown
