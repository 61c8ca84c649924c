# SPDX-License-Identifier: EUPL-1.2
"""POST /processing-activities, as the read extension has it, with the authentication and the pages
that it leaves open.

A resident (by their session) reads their own lines and nobody else's. An app (by its key) reads
the lines of a trace that it takes part in. Nobody else reads anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from poorter.city.errors import CityError, Denied, Invalid, NotFound, Unauthenticated
from poorter.identity.caller import PUBLIC, Caller
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, send
from poorter.standards.http.asking import Asking
from poorter.store.insight import Insight, SeenLine

PATH = "/processing-activities"
VERSION = b"1.1.0"
PAGE_DEFAULT, PAGE_MAX = 100, 1000
_PROBLEM = (b"content-type", b"application/problem+json")
_JSON = (b"content-type", b"application/json")
_ACTIVITY = ("dpl.core.processing_activity_id", "dpl.core.processingActivityId")
_SUBJECT = "dpl.core.data_subject_id"
#: name of a field of the extension, and of the same in a line
_FIELDS = {
    "traceId": "trace_id",
    "spanId": "span_id",
    "status": "status",
    "name": "name",
    "startTime": "start_time",
    "endTime": "end_time",
    "parentSpanId": "parent_span_id",
    "resource": "resource",
    "attributes": "attributes",
}

#: (wall, subject) of the resident whose session a cookie is, None for no session
ResidentOf = Callable[[str], list[tuple[str, str]] | None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for; None: anything."""

    trace: str | None
    activity: str | None
    subject: str | None
    from_ms: int | None
    until_ms: int | None
    limit: int
    after: int

    def meets(self, doc: Mapping[str, Any]) -> bool:
        """Whether a line is asked for."""
        attributes = doc["attributes"]
        return (
            (self.trace is None or doc["trace_id"] == self.trace)
            and (self.activity is None or attributes.get(_ACTIVITY[0]) == self.activity)
            and (self.subject is None or attributes.get(_SUBJECT) == self.subject)
            and (self.from_ms is None or doc["start_time"] >= self.from_ms)
            and (self.until_ms is None or doc["end_time"] <= self.until_ms)
        )


class LogReading:
    """The ASGI application at /processing-activities."""

    def __init__(self, insight: Insight, asking: Asking, resident_of: ResidentOf) -> None:
        self._insight = insight
        self._asking = asking
        self._resident_of = resident_of

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> int:
        """Answer one request."""
        try:
            answer = await self._answer(Request(scope, receive))
        except CityError as error:
            body = {"title": error.title, "detail": error.detail, "status": error.status}
            body |= {"errors": {}}
            answer = Answer(error.status, msgspec.json.encode(body), (_PROBLEM,))
        more = ((b"api-version", VERSION), (b"cache-control", b"no-store"))
        return await send(answer, transmit, more)

    async def _answer(self, request: Request) -> Answer:
        if request.method != "POST":
            raise NotFound("here: POST")
        caller = self._asking.caller(request)
        media = (request.header(b"content-type") or "").partition(";")[0].strip()
        if media != "application/json":  # no form of another site's page can send this
            raise Invalid("send application/json")
        asked = parse_asked(await request.json(), request.query())
        if caller is PUBLIC:
            subjects = self._resident_of(request.header(b"cookie") or "")
            if subjects is None:
                raise Unauthenticated("log in as a resident, or send the key of an app")
            lines = self._own(subjects, asked)
        else:
            lines = self._traced(asked, caller)
        found: list[dict[str, Any]] = []
        following = None
        for index, doc in lines:
            if len(found) == asked.limit:
                following = index
                break
            found.append({name: doc[own] for name, own in _FIELDS.items() if own in doc})
        body: dict[str, Any] = {"processingActivities": found}
        if following is not None:
            body["after"] = following - 1
        return Answer(200, msgspec.json.encode(body), (_JSON,))

    def _own(
        self, subjects: list[tuple[str, str]], asked: Asked
    ) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """A resident's own, by the order of the ledger. Somebody else's id is denied."""
        if asked.subject is not None:
            ids = {self._insight.id_of(*one): one for one in subjects}
            if asked.subject not in ids:
                raise Denied
            subjects = [ids[asked.subject]]
        lines: list[SeenLine] = []
        for wall, subject in subjects:
            lines += self._insight.all_lines(wall, subject)
        for line in sorted(lines, key=lambda one: one.index):
            if line.index > asked.after and line.doc is not None and asked.meets(line.doc):
                yield line.index, line.doc

    def _traced(self, asked: Asked, caller: Caller) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The lines of a trace that the app's own processor made for the purpose of its key."""
        if asked.trace is None:
            raise Denied
        trace = bytes.fromhex(asked.trace)
        for line in self._insight.of_trace(trace, caller.processor, caller.purpose):
            if line.index > asked.after and line.doc is not None and asked.meets(line.doc):
                yield line.index, line.doc


def parse_asked(doc: Any, query: Mapping[str, str]) -> Asked:
    """What is asked for, in body or URL. Raises Invalid naming the field."""
    if not isinstance(doc, dict):
        raise Invalid("the body is a JSON object")
    attributes = doc.get("attributes", {})
    if not isinstance(attributes, dict):
        raise Invalid("attributes is a JSON object")
    given: dict[str, Any] = {**query, **doc, **attributes}
    trace = _text(given, "traceId")
    if trace is not None and (len(trace) != 32 or any(c not in "0123456789abcdef" for c in trace)):
        raise Invalid("traceId is 16 bytes in lower case hexadecimal")
    activity = _text(given, _ACTIVITY[0]) or _text(given, _ACTIVITY[1])
    subject = _text(given, _SUBJECT)
    if trace is None and activity is None and subject is None:
        raise Invalid(f"give at least one of traceId, {_ACTIVITY[0]}, {_SUBJECT}")
    limit = _number(given, "limit")
    if limit is not None and not 1 <= limit <= PAGE_MAX:
        raise Invalid(f"limit is 1 to {PAGE_MAX}")
    after = _number(given, "after")
    return Asked(
        trace,
        activity,
        subject,
        _number(given, "startTime"),
        _number(given, "endTime"),
        PAGE_DEFAULT if limit is None else limit,
        -1 if after is None else after,
    )


def _text(given: Mapping[str, Any], name: str) -> str | None:
    found = given.get(name)
    if found is not None and (not isinstance(found, str) or not 1 <= len(found) <= 1000):
        raise Invalid(f"{name} is a text")
    return found


def _number(given: Mapping[str, Any], name: str) -> int | None:
    found = given.get(name)
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) < 18:
        found = int(found)
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**62:
        raise Invalid(f"{name} is a whole number, not below 0")
    return found
