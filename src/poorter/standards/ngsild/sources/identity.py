# SPDX-License-Identifier: EUPL-1.2
"""Who this city is among sources (CIM 009, 5.15.1, 5.2.40; 6.33)."""

from __future__ import annotations

from poorter.city.time import SECOND_US, format_us
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.params import check_names


async def source_identity(face: Face, request: Request) -> Answer:
    """GET /info/sourceIdentity: the name that goes into Via headers, and the time here."""
    face.permit(request, "read")
    check_names(request.query(), frozenset())
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    now_us = face.clock.now_us()
    alias = face.sources.alias
    up_s = max(0, now_us - face.sources.began_us) // SECOND_US
    return wanted.answer(
        {
            "id": f"urn:ngsi-ld:ContextSourceIdentity:{alias}",
            "type": "ContextSourceIdentity",
            "contextSourceAlias": alias,
            "contextSourceUptime": f"PT{up_s}S",
            "contextSourceTimeAt": format_us(now_us),
        }
    )
