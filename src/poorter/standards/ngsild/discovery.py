# SPDX-License-Identifier: EUPL-1.2
"""Which types and attributes there are for the caller (CIM 009, 5.7.5 to 5.7.10; 6.25, 6.26)."""

from __future__ import annotations

from typing import Any

from poorter.city.errors import NotFound
from poorter.city.ids import mint
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context, external
from poorter.standards.ngsild.face import Face, Wanted
from poorter.standards.ngsild.params import check_names, flag
from poorter.store.contract import Facet

_LIST = frozenset(("details", "local", "csf", "count"))
_ONE = frozenset(("local",))


async def types(face: Face, request: Request) -> Answer:
    """GET /types (5.7.5, 5.7.6): names, or with details=true their attributes too."""
    facets, context, wanted, detailed = await _asked(face, request)
    by_type = _grouped(facets, "type")
    if detailed:
        return wanted.answer_list([_type(name, found, context) for name, found in by_type.items()])
    names = [context.compact(name) for name in by_type]
    return wanted.answer(_list("EntityTypeList", "typeList", names))


async def one_type(face: Face, request: Request, term: str) -> Answer:
    """GET /types/{type} (5.7.7)."""
    facets, context, wanted, _ = await _asked(face, request, _ONE)
    name = context.expand(term)
    found = _grouped(facets, "type").get(name)
    if found is None:
        raise NotFound("there are no entities of this type")
    details = [
        {
            "id": external(attribute),
            "type": "Attribute",
            "attributeName": context.compact(attribute),
            "attributeTypes": _distinct(one.kind for one in same if one.kind),
        }
        for attribute, same in _grouped(found, "name").items()
    ]
    body = {
        "id": external(name),
        "type": "EntityTypeInfo",
        "typeName": context.compact(name),
        "entityCount": max(one.entities for one in found),
        "attributeDetails": details,
    }
    return wanted.answer(body)


async def attributes(face: Face, request: Request) -> Answer:
    """GET /attributes (5.7.8, 5.7.9): names, or with details=true the types that have them."""
    facets, context, wanted, detailed = await _asked(face, request)
    by_name = _grouped(facets, "name")
    if not detailed:
        names = [context.compact(name) for name in by_name]
        return wanted.answer(_list("AttributeList", "attributeList", names))
    return wanted.answer_list(
        [
            {
                "id": external(name),
                "type": "Attribute",
                "attributeName": context.compact(name),
                "typeNames": _distinct(context.compact(one.type) for one in found if one.type),
            }
            for name, found in by_name.items()
        ]
    )


async def one_attribute(face: Face, request: Request, term: str) -> Answer:
    """GET /attributes/{attr} (5.7.10)."""
    facets, context, wanted, _ = await _asked(face, request, _ONE)
    name = context.expand(term)
    found = _grouped(facets, "name").get(name)
    if found is None:
        raise NotFound("no entity has this attribute")
    body = {
        "id": external(name),
        "type": "Attribute",
        "attributeName": context.compact(name),
        "attributeCount": sum(one.instances for one in found),
        "attributeTypes": _distinct(one.kind for one in found if one.kind),
        "typeNames": _distinct(context.compact(one.type) for one in found if one.type),
    }
    return wanted.answer(body)


async def _asked(
    face: Face, request: Request, known: frozenset[str] = _LIST
) -> tuple[list[Facet], Context, Wanted, bool]:
    _, permit = face.permit(request, "read")
    given = request.query()
    check_names(given, known)
    context = await face.context(request)
    wanted = await face.wanted(request, context)
    facets = face.store.facets(permit)
    await face.before_leaving(request, permit, ())
    return facets, context, wanted, flag(given, "details")


def _type(name: str, found: list[Facet], context: Context) -> dict[str, Any]:
    return {
        "id": external(name),
        "type": "EntityType",
        "typeName": context.compact(name),
        "attributeNames": _distinct(context.compact(one.name) for one in found if one.name),
    }


def _list(kind: str, member: str, names: list[str]) -> dict[str, Any]:
    return {"id": mint(f"urn:ngsi-ld:{kind}:"), "type": kind, member: names}


def _grouped(facets: list[Facet], by: str) -> dict[str, list[Facet]]:
    found: dict[str, list[Facet]] = {}
    for facet in facets:
        key: str = getattr(facet, by)
        if key:
            found.setdefault(key, []).append(facet)
    return found


def _distinct(names: Any) -> list[str]:
    return list(dict.fromkeys(names))
