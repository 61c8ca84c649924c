# SPDX-License-Identifier: EUPL-1.2
"""Contexts kept here, over HTTP (CIM 009, 5.13, 6.27 to 6.30)."""

from __future__ import annotations

from typing import Any

from poorter.city.errors import Invalid, NotFound, Unsupported
from poorter.city.time import format_us
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.contexts import PATH, Stored, context_of
from poorter.standards.ngsild.face import NO_CONTENT, Face, base_url, parsed_json, plain_json
from poorter.standards.ngsild.params import check_names, flag
from poorter.standards.ngsild.problem import Misplaced

_KINDS = ("Hosted", "Cached", "ImplicitlyCreated")


async def add(face: Face, request: Request) -> Answer:
    """POST /jsonldContexts (5.13.2)."""
    face.permit(request, "write")
    face.check_publishes(request)
    doc = await parsed_json(request)
    if not isinstance(doc, dict) or "@context" not in doc:
        raise Misplaced("the document has no @context")
    value = context_of(doc)
    local_id = await face.contexts.keep(value, "Hosted")
    return Answer(201, b"", ((b"location", (PATH + local_id).encode()),))


async def listed(face: Face, request: Request) -> Answer:
    """GET /jsonldContexts (5.13.3)."""
    face.permit(request, "read")
    given = request.query()
    check_names(given, frozenset(("details", "kind")))
    kind = given.get("kind")
    if kind is not None and kind not in _KINDS:
        raise Invalid(f"kind is one of {', '.join(_KINDS)}")
    found = [stored for stored in face.contexts.all() if kind in (None, stored.kind)]
    if flag(given, "details"):
        return plain_json([_details(stored, request) for stored in found])
    return plain_json([_url(stored, request) for stored in found])


async def serve(face: Face, request: Request, given_id: str) -> Answer:
    """GET /jsonldContexts/{id} (5.13.4)."""
    face.permit(request, "read")
    given = request.query()
    check_names(given, frozenset(("details",)))
    stored = face.contexts.stored(given_id)
    if flag(given, "details"):
        return plain_json(_details(stored, request))
    if stored.kind == "Cached":
        raise Unsupported("what came from elsewhere is served there, not here")
    return plain_json({"@context": stored.doc})


async def delete(face: Face, request: Request, given_id: str) -> Answer:
    """DELETE /jsonldContexts/{id} (5.13.5); reload=true fetches a cached one again."""
    face.permit(request, "write")
    given = request.query()
    check_names(given, frozenset(("reload",)))
    reload = flag(given, "reload")
    if not reload:
        await face.contexts.remove(face.contexts.stored(given_id))
        return NO_CONTENT
    try:
        stored = face.contexts.stored(given_id)
    except NotFound as wrong:  # there is nothing cached under it that could be loaded again
        raise Invalid(wrong.detail) from None
    await face.contexts.reload(stored)
    return NO_CONTENT


def _url(stored: Stored, request: Request) -> str:
    return stored.url or base_url(request) + PATH + stored.local_id


def _details(stored: Stored, request: Request) -> dict[str, Any]:
    details = {
        "URL": _url(stored, request),
        "localId": stored.local_id,
        "kind": stored.kind,
        "createdAt": format_us(stored.created_at_us),
    }
    if stored.expires_at_us is not None:
        details["expiresAt"] = format_us(stored.expires_at_us)
    if stored.last_used_us is not None:
        details["lastUsage"] = format_us(stored.last_used_us)
    return details
