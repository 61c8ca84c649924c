# SPDX-License-Identifier: EUPL-1.2
"""Purge (CIM 009, 5.6.21, 6.4.3.3): delete what a query finds, or attributes of it, by pages."""

from __future__ import annotations

from dataclasses import replace

from poorter.city.errors import Invalid, NotFound
from poorter.city.matching import links_in
from poorter.gate.gate import for_update
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.face import NO_CONTENT, Face
from poorter.standards.ngsild.params import check_names, names_in
from poorter.standards.ngsild.selecting import WHICH, parse_which
from poorter.store import contract as c

_PAGE = 200


async def purge(face: Face, request: Request) -> Answer:
    """DELETE /entities. `drop`: only these attributes go; `keep`: all others go."""
    caller, permit = face.permit(request, "write")
    given = request.query()
    check_names(given, WHICH | {"drop", "keep", "geometryProperty"})
    context = await face.context(request)
    drop, keep = names_in(given.get("drop"), context), names_in(given.get("keep"), context)
    if drop and keep:
        raise Invalid("drop and keep exclude each other")
    asked = replace(parse_which(given, context, narrow=bool(drop or keep)), limit=_PAGE)
    if asked.condition is not None and links_in(asked.condition):
        raise Invalid("q: a purge does not go on in linked entities (5.6.21.4)")
    reading = for_update(permit)
    number = 0
    while True:
        page = face.store.query(reading, asked)
        ops: list[c.Op] = []
        for entity in page.entities:
            if not (drop or keep):
                ops.append(c.Delete(entity.urn, missing_ok=True))
                continue
            names = {attribute.name for attribute in entity.attributes}
            gone = names & set(drop) if drop else names - set(keep)
            ops += [c.DeleteAttribute(entity.urn, n, every_instance=True) for n in sorted(gone)]
        if ops:
            number += 1
            try:
                await face.commit(request, caller, permit, *ops, part=f" {number}")
            except NotFound:
                continue  # somebody else took one away in between: look again at this page
        if page.after is None:
            return NO_CONTENT
        asked = replace(asked, after=page.after)
