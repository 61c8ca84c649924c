# SPDX-License-Identifier: EUPL-1.2
"""The NGSI-LD routes, straight on ASGI. The table is data: a test walks it and meets the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from poorter.city.errors import CityError, Invalid, NotFound, Unsupported
from poorter.city.ids import check_uri
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, send
from poorter.standards.ngsild import (
    attributes,
    batch,
    consumption,
    discovery,
    hosting,
    provision,
    purge,
)
from poorter.standards.ngsild.face import Face, plain_json
from poorter.standards.ngsild.openapi import document
from poorter.standards.ngsild.problem import NoSuchMethod, NoTenants, problem_answer
from poorter.standards.ngsild.snapshots import routes as snapshots
from poorter.standards.ngsild.sources import (
    batching,
    discovering,
    identity,
    instances,
    mapping,
    reading,
    writing,
)
from poorter.standards.ngsild.sources import evolving as evolving_over
from poorter.standards.ngsild.sources import routes as sources
from poorter.standards.ngsild.sources.watched import REGISTRATIONS
from poorter.standards.ngsild.subscriptions.routes import ENTITIES as SUBSCRIPTIONS
from poorter.standards.ngsild.temporal import mapping as evolutions
from poorter.standards.ngsild.temporal import reading as evolution
from poorter.standards.ngsild.temporal import writing as evolving
from poorter.standards.ngsild.tenants import TENANT, Tenants
from poorter.standards.ngsild.versions import conforming, preferred

PREFIX = "/ngsi-ld/v1/"
Handler = Callable[..., Awaitable[Answer]]


async def describe(face: Face, request: Request) -> Answer:
    """GET /openapi.json: what there is here, for whoever may read anything."""
    face.permit(request, "read")
    return plain_json(document(ROUTES))


#: (first segment, number of variable parts, fixed middle) and method to handler
ROUTES: dict[tuple[str, ...], dict[str, Handler]] = {
    ("entities",): {
        "POST": provision.create,
        "GET": consumption.query,
        "DELETE": purge.purge,
    },
    ("entities", "{id}"): {
        "GET": consumption.retrieve,
        "PUT": provision.replace,
        "PATCH": provision.merge,
        "DELETE": provision.delete,
    },
    ("entities", "{id}", "attrs"): {"POST": attributes.append, "PATCH": attributes.change},
    ("entities", "{id}", "attrs", "{attr}"): {
        "PATCH": attributes.change_one,
        "PUT": attributes.replace_one,
        "DELETE": attributes.delete,
    },
    ("entityOperations", "create"): {"POST": batch.create},
    ("entityOperations", "upsert"): {"POST": batch.upsert},
    ("entityOperations", "update"): {"POST": batch.update},
    ("entityOperations", "merge"): {"POST": batch.merge},
    ("entityOperations", "delete"): {"POST": batch.delete},
    ("entityOperations", "query"): {"POST": consumption.query_by_post},
    ("temporal", "entities"): {"POST": evolving.create, "GET": evolution.query},
    ("temporal", "entities", "{id}"): {"GET": evolution.retrieve, "DELETE": evolving.delete},
    ("temporal", "entities", "{id}", "attrs"): {"POST": evolving.append},
    ("temporal", "entities", "{id}", "attrs", "{attr}"): {"DELETE": evolving.delete_attribute},
    ("temporal", "entities", "{id}", "attrs", "{attr}", "{instance}"): {
        "PATCH": evolving.replace,
        "DELETE": evolving.delete_instance,
    },
    ("temporal", "entityMaps"): {"GET": evolutions.create, "POST": evolutions.create_by_post},
    ("temporal", "entityOperations", "query"): {"POST": evolution.query_by_post},
    ("subscriptions",): {"POST": SUBSCRIPTIONS.create, "GET": SUBSCRIPTIONS.query},
    ("subscriptions", "{id}"): {
        "GET": SUBSCRIPTIONS.retrieve,
        "PATCH": SUBSCRIPTIONS.update,
        "DELETE": SUBSCRIPTIONS.delete,
    },
    ("csourceRegistrations",): {"POST": sources.create, "GET": sources.query},
    ("csourceRegistrations", "{id}"): {
        "GET": sources.retrieve,
        "PATCH": sources.update,
        "DELETE": sources.delete,
    },
    ("info", "sourceIdentity"): {"GET": identity.source_identity},
    ("entityMaps",): {"GET": mapping.create, "POST": mapping.create_by_post},
    ("entityMaps", "{id}"): {
        "GET": mapping.retrieve,
        "PATCH": mapping.update,
        "DELETE": mapping.delete,
    },
    ("snapshots",): {"POST": snapshots.create, "DELETE": snapshots.purge},
    ("snapshots", "{id}"): {
        "GET": snapshots.retrieve,
        "PATCH": snapshots.update,
        "DELETE": snapshots.delete,
    },
    ("snapshots", "{id}", "clone"): {"POST": snapshots.clone},
    ("csourceSubscriptions",): {"POST": REGISTRATIONS.create, "GET": REGISTRATIONS.query},
    ("csourceSubscriptions", "{id}"): {
        "GET": REGISTRATIONS.retrieve,
        "PATCH": REGISTRATIONS.update,
        "DELETE": REGISTRATIONS.delete,
    },
    ("types",): {"GET": discovery.types},
    ("types", "{type}"): {"GET": discovery.one_type},
    ("attributes",): {"GET": discovery.attributes},
    ("attributes", "{attr}"): {"GET": discovery.one_attribute},
    ("jsonldContexts",): {"POST": hosting.add, "GET": hosting.listed},
    ("jsonldContexts", "{context}"): {"GET": hosting.serve, "DELETE": hosting.delete},
    ("openapi.json",): {"GET": describe},
}

_BY_LENGTH: dict[int, list[tuple[tuple[str, ...], dict[str, Handler]]]] = {}
for _pattern, _methods in ROUTES.items():
    _BY_LENGTH.setdefault(len(_pattern), []).append((_pattern, _methods))


#: handlers that answer from here only, and those that answer with sources too
SPREAD: dict[Handler, Handler] = {
    consumption.retrieve: reading.retrieve,
    consumption.query: reading.query,
    consumption.query_by_post: reading.query_by_post,
    provision.create: writing.create,
    provision.replace: writing.replace,
    provision.merge: writing.merge,
    provision.delete: writing.delete,
    purge.purge: writing.purge_all,
    attributes.append: writing.append,
    attributes.change: writing.change,
    attributes.change_one: writing.change_one,
    attributes.replace_one: writing.replace_one,
    attributes.delete: writing.delete_one,
    batch.create: batching.create,
    batch.upsert: batching.upsert,
    batch.update: batching.update,
    batch.merge: batching.merge,
    batch.delete: batching.delete,
    evolving.create: instances.create,
    evolving.append: instances.append,
    evolving.delete: instances.delete,
    evolving.delete_attribute: instances.delete_attribute,
    evolving.replace: instances.replace,
    evolving.delete_instance: instances.delete_instance,
    discovery.types: discovering.types,
    discovery.one_type: discovering.one_type,
    discovery.attributes: discovering.attributes,
    discovery.one_attribute: discovering.one_attribute,
    evolution.retrieve: evolving_over.retrieve,
    evolution.query: evolving_over.query,
    evolution.query_by_post: evolving_over.query_by_post,
}


async def mapped_entity(face: Face, request: Request, urn: str) -> Answer:
    """GET /entities/{id} with an entity map."""
    return await mapping.retrieve_mapped(face, request, _reaching(face, consumption.retrieve), urn)


async def mapped_evolution(face: Face, request: Request, urn: str) -> Answer:
    """GET /temporal/entities/{id} with an entity map."""
    return await mapping.retrieve_mapped(face, request, _reaching(face, evolution.retrieve), urn)


def _reaching(face: Face, handler: Handler) -> Handler:
    """The handler that answers with sources too, where there are any."""
    federation = face.federation
    if federation is not None and federation.registry.any:
        return SPREAD.get(handler, handler)
    return handler


#: what makes a tenant that is not there yet (5.5.10); a hosted @context is of a tenant as well
MAKES_TENANTS: frozenset[Handler] = frozenset(
    (
        provision.create,
        batch.create,
        batch.upsert,
        evolving.create,
        SUBSCRIPTIONS.create,
        sources.create,
        REGISTRATIONS.create,
        hosting.add,
    )
)


#: headers that make a request another one than most are
_RARE = frozenset((TENANT, b"prefer", mapping.HEADER, snapshots.HEADER))
#: handlers that can make an entity map, or be held to one
_MAPPED: dict[Handler, Handler] = {
    consumption.query: mapping.query,
    evolution.query: evolutions.query,
    consumption.retrieve: mapped_entity,
    evolution.retrieve: mapped_evolution,
}
_OF_SNAPSHOTS: frozenset[Handler] = frozenset(
    [
        snapshots.create,
        snapshots.purge,
        snapshots.retrieve,
        snapshots.update,
        snapshots.delete,
        snapshots.clone,
    ]
)
#: handlers that can be asked about a snapshot (6.3.22)
_FROZEN: frozenset[Handler] = frozenset(
    [
        consumption.retrieve,
        consumption.query,
        consumption.query_by_post,
        discovery.types,
        discovery.one_type,
        discovery.attributes,
        discovery.one_attribute,
        evolution.retrieve,
        evolution.query,
        evolution.query_by_post,
    ]
)
#: handlers that answer with entities
_ENTITIES: frozenset[Handler] = frozenset(
    [
        consumption.retrieve,
        consumption.query,
        consumption.query_by_post,
    ]
)


def find(path: str, method: str) -> tuple[Handler, list[str]]:
    """The handler and its variable parts, unquoted. Raises NotFound, NoSuchMethod."""
    parts = path[len(PREFIX) :].rstrip("/").split("/")
    for pattern, methods in _BY_LENGTH.get(len(parts), ()):
        variables: list[str] = []
        for fixed, part in zip(pattern, parts, strict=True):
            if fixed[0] == "{":
                part = _unquoted(part) if "%" in part else part
                variables.append(check_uri(part, "the id") if fixed == "{id}" else part)
            elif fixed != part:
                break
        else:
            handler = methods.get(method)
            if handler is None and path.endswith("/") and pattern == ("entities",):
                raise Invalid("the id is missing")
            if handler is None:
                raise NoSuchMethod(f"here: {', '.join(sorted(methods))}")
            return handler, variables
    raise NotFound("there is no such resource")


class NgsiLd:
    """The ASGI application under /ngsi-ld/v1/."""

    def __init__(self, face: Face, tenants: Tenants | None = None) -> None:
        self._face = face
        self._tenants = tenants

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> int:
        """Answer one request; every error is a problem detail."""
        request = Request(scope, receive)
        answer = await self._answer(request)
        await send(answer, transmit)
        self._face.answered(request, answer.status)
        return answer.status

    async def _answer(self, request: Request) -> Answer:
        try:
            handler, variables = find(_raw_path(request.scope), request.method)
            if request.none_of(_RARE) and b"entityMap" not in request.scope["query_string"]:
                return await _reaching(self._face, handler)(self._face, request, *variables)
            if request.header(TENANT) is not None:
                return await self._in_tenant(request, handler, variables)
            return await _as_preferred(self._face, request, handler, variables)
        except CityError as error:
            return problem_answer(error)

    async def _in_tenant(self, request: Request, handler: Handler, variables: list[str]) -> Answer:
        """The same over what the tenant has; the answer names it, whatever it is (5.5.10)."""
        if self._tenants is None:
            raise NoTenants("leave NGSILD-Tenant out: there are no tenants here")
        name = self._tenants.name_of(request)
        try:
            face: Face
            if handler is identity.source_identity:
                face = self._tenants.named(name)
            else:
                face = await self._tenants.face(request, name, handler in MAKES_TENANTS)
            answer = await _as_preferred(face, request, handler, variables)
        except CityError as error:
            answer = problem_answer(error)
        return replace(answer, headers=(*answer.headers, (TENANT, name.encode())))


async def _handled(face: Face, request: Request, handler: Handler, variables: list[str]) -> Answer:
    return await _reaching(face, handler)(face, request, *variables)


async def _as_preferred(
    face: Face, request: Request, handler: Handler, variables: list[str]
) -> Answer:
    """In the form of the version that is preferred, where one is."""
    answer = await _in_its_place(face, request, handler, variables)
    version = preferred(request)
    return answer if version is None else conforming(answer, version, handler in _ENTITIES)


async def _in_its_place(
    face: Face, request: Request, handler: Handler, variables: list[str]
) -> Answer:
    """Of a snapshot where one is named, by an entity map where one is asked for."""
    frozen = request.header(snapshots.HEADER)
    if frozen is None or handler in _OF_SNAPSHOTS:
        if handler in _MAPPED and mapping.asked_for(request):
            return await _MAPPED[handler](face, request, *variables)
        return await _handled(face, request, handler, variables)
    if handler not in _FROZEN:
        raise Unsupported("a snapshot holds what was there: it is read, and no more")
    answer = await handler(snapshots.within(face, request, frozen), request, *variables)
    named = (snapshots.HEADER, frozen.encode("latin-1"))
    return replace(answer, headers=(*answer.headers, named))


def _raw_path(scope: Scope) -> str:
    """The path as sent: an id may hold an encoded slash."""
    raw: Any = scope.get("raw_path")
    path: str = raw.decode("latin-1").partition("?")[0] if raw else scope["path"]
    return path


def _unquoted(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("the path is not percent-encoded UTF-8") from None
