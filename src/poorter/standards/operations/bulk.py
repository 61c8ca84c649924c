# SPDX-License-Identifier: EUPL-1.2
"""GET /api/city/bulk: all entities that match, as lines of JSON, part by part.

Each part leaves after its own lines in the ledger and under a permit of that moment, so a use that
is revoked, a person who objects, or a ledger that can't write ends the answer where it is. The last
line says how many there were: an answer without it is not whole.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from poorter.city.errors import CityError
from poorter.city.limits import PAGE_MAX
from poorter.city.query import Query
from poorter.gate.permit import Permit
from poorter.ledger.tracing import trace_from
from poorter.standards.http.asgi import Request, Send, send
from poorter.standards.http.problem import problem_answer
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.encode import encode_entity
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.params import check_names
from poorter.standards.ngsild.selecting import WHICH, parse_which
from poorter.store.contract import Page
from poorter.store.recording import Bulk

log = logging.getLogger(__name__)
_FORM = Form()
_HEADERS = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]


async def send_bulk(face: Face, request: Request, transmit: Send) -> int:
    """Answer one request; the status."""
    try:
        caller, permit = face.permit(request, "read")
        given = request.query()
        check_names(given, WHICH)
        asked = replace(parse_which(given, CORE, narrow=True), limit=PAGE_MAX)
        bulk = Bulk(trace_from(request.header(b"traceparent")), caller.credential)
        page = await _part(face, bulk, permit, asked)
    except CityError as error:
        return await send(problem_answer(error), transmit)
    await transmit({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    number, whole = 0, False
    try:
        while True:
            number += len(page.entities)
            body = b"".join(_lines(page))
            await transmit({"type": "http.response.body", "body": body, "more_body": True})
            if page.after is None:
                whole = True
                break
            permit = face.gate.permit(caller.processor, caller.purpose, "read")
            page = await _part(face, bulk, permit, replace(asked, after=page.after))
    except CityError as error:
        log.warning("a bulk answer ended early: %s", error.title)
    end = msgspec.json.encode({"entities": number}) + b"\n" if whole else b""
    await transmit({"type": "http.response.body", "body": end})
    if bulk.seen:
        face.recorder.ended(permit, bulk.trace, ok=whole)
    return 200


async def _part(face: Face, bulk: Bulk, permit: Permit, asked: Query) -> Page:
    """One part, recorded."""
    page = face.store.query(permit, asked)
    await face.recorder.in_part(bulk, permit, page.entities)
    return page


def _lines(page: Page) -> Iterator[bytes]:
    for entity in page.entities:
        yield encode_entity(entity, _FORM) + b"\n"
