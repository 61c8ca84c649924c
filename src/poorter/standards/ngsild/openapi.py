# SPDX-License-Identifier: EUPL-1.2
"""The OpenAPI 3.1 document of the NGSI-LD routes: which there are, what they take and answer.

Parameters and bodies are data here, beside the routes that use them; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poorter.standards.ngsild.openapi_schemas import PARAMETERS, SCHEMAS

VERSION = "1.9.1"
_PROBLEM = {"description": "A problem", "content": {"application/json": {"schema": {
    "$ref": "#/components/schemas/Problem"}}}}  # fmt: skip
_MEDIA = ("application/json", "application/ld+json")
_GEO = "application/geo+json"

_WHICH = "type id idPattern attrs q georel geometry coordinates geoproperty scopeQ local csf"
_FORM = "options format sysAttrs pick omit lang datasetId"
_LINK = "join joinLevel containedBy geometryProperty"
_PAGE = "limit offset after count"
_WHEN = "timerel timeAt endTimeAt timeproperty lastN aggrMethods aggrPeriodDuration"
_TIME = "options format sysAttrs attrs pick omit lang datasetId"

#: "METHOD /path": (what it does, query parameters, schema of the body, of the answer, status)
Row = tuple[str, str, str, str, int]
_ROWS: dict[str, Row] = {
    "POST /entities": ("Create an entity (5.6.1)", "local", "Entity", "", 201),
    "GET /entities": (
        "Query entities (5.7.2)", f"{_WHICH} {_FORM} {_LINK} {_PAGE} orderBy", "", "Entities", 200
    ),
    "DELETE /entities": ("Purge entities (5.6.21)", f"{_WHICH} keep drop", "", "", 204),
    "GET /entities/{id}": (
        "Retrieve an entity (5.7.1)", f"type attrs local {_FORM} {_LINK}", "", "AnyEntity", 200
    ),
    "PUT /entities/{id}": ("Replace an entity (5.6.18)", "type local", "Fragment", "", 204),
    "PATCH /entities/{id}": ("Merge into an entity (5.6.17)", "type local", "Fragment", "", 204),
    "DELETE /entities/{id}": ("Delete an entity (5.6.6)", "type local", "", "", 204),
    "POST /entities/{id}/attrs": (
        "Append attributes (5.6.3)", "options type local", "Fragment", "", 204
    ),
    "PATCH /entities/{id}/attrs": (
        "Update attributes (5.6.2)", "type local", "Fragment", "", 204
    ),
    "PATCH /entities/{id}/attrs/{attr}": (
        "Update a part of an attribute (5.6.4)", "type local", "Attribute", "", 204
    ),
    "PUT /entities/{id}/attrs/{attr}": (
        "Replace an attribute (5.6.19)", "type local", "Attribute", "", 204
    ),
    "DELETE /entities/{id}/attrs/{attr}": (
        "Delete an attribute (5.6.5)", "type local datasetId deleteAll", "", "", 204
    ),
    "POST /entityOperations/create": ("Create many (5.6.7)", "local", "Batch", "Any", 201),
    "POST /entityOperations/upsert": ("Upsert many (5.6.8)", "options local", "Batch", "Any", 201),
    "POST /entityOperations/update": ("Update many (5.6.9)", "options local", "Batch", "", 204),
    "POST /entityOperations/merge": ("Merge many (5.6.20)", "options local", "Batch", "", 204),
    "POST /entityOperations/delete": ("Delete many (5.6.10)", "local", "Ids", "", 204),
    "POST /entityOperations/query": (
        "Query by body (6.23)", f"{_PAGE} options format sysAttrs local", "Query", "Entities", 200
    ),
    "POST /temporal/entities": (
        "Create or add to an evolution (5.6.11)", "local", "Evolution", "", 201
    ),
    "GET /temporal/entities": (
        "Query evolutions (5.7.4)", f"{_WHICH} {_WHEN} {_TIME} {_PAGE} orderBy", "", "Entities", 200
    ),
    "GET /temporal/entities/{id}": (
        "Retrieve an evolution (5.7.3)", f"{_WHEN} {_TIME} local", "", "AnyEntity", 200
    ),
    "DELETE /temporal/entities/{id}": ("Delete an evolution (5.6.16)", "local", "", "", 204),
    "POST /temporal/entities/{id}/attrs": (
        "Add instances (5.6.12)", "local", "Fragment", "", 204
    ),
    "DELETE /temporal/entities/{id}/attrs/{attr}": (
        "Delete instances of an attribute (5.6.13)", "local datasetId deleteAll", "", "", 204
    ),
    "PATCH /temporal/entities/{id}/attrs/{attr}/{instance}": (
        "Replace an instance (5.6.14)", "local", "Fragment", "", 204
    ),
    "DELETE /temporal/entities/{id}/attrs/{attr}/{instance}": (
        "Delete an instance (5.6.15)", "local", "", "", 204
    ),
    "POST /temporal/entityOperations/query": (
        "Query evolutions by body (6.24)", f"{_PAGE} {_TIME} local", "Query", "Entities", 200
    ),
    "GET /types": ("Entity types (5.7.5, 5.7.6)", "details local", "", "Any", 200),
    "GET /types/{type}": ("One entity type (5.7.7)", "local", "", "Any", 200),
    "GET /attributes": ("Attributes (5.7.8, 5.7.9)", "details local", "", "Any", 200),
    "GET /attributes/{attr}": ("One attribute (5.7.10)", "local", "", "Any", 200),
    "GET /info/sourceIdentity": ("Who this city is among sources (5.15.1)", "", "", "Any", 200),
    "GET /entityMaps": (
        "Make an entity map (5.14.4)",
        f"{_WHICH} {_FORM} {_LINK} {_PAGE} orderBy",
        "", "Any", 201,
    ),
    "POST /entityMaps": ("Make an entity map by body (5.14.4)", "", "Query", "Any", 201),
    "GET /temporal/entityMaps": (
        "Make an entity map of evolutions (5.14.5)",
        f"{_WHICH} {_WHEN} {_TIME} {_PAGE}",
        "", "Any", 201,
    ),
    "POST /temporal/entityMaps": (
        "Make an entity map of evolutions by body (5.14.5)", "", "Query", "Any", 201
    ),
    "GET /entityMaps/{id}": ("One entity map (5.14.1)", "", "", "Any", 200),
    "PATCH /entityMaps/{id}": ("Keep an entity map longer (5.14.2)", "", "Fragment", "", 204),
    "DELETE /entityMaps/{id}": ("Delete an entity map (5.14.3)", "", "", "", 204),
    "POST /snapshots": ("Make a snapshot (5.16.1)", "", "Snapshot", "", 201),
    "DELETE /snapshots": ("Delete snapshots by q (5.16.7)", "q", "", "", 204),
    "GET /snapshots/{id}": ("One snapshot's status (5.16.3)", "", "", "Any", 200),
    "PATCH /snapshots/{id}": ("Change a snapshot (5.16.4)", "", "Fragment", "Any", 200),
    "DELETE /snapshots/{id}": ("Delete a snapshot (5.16.5)", "", "", "", 204),
    "POST /snapshots/{id}/clone": ("Copy a snapshot (5.16.2)", "", "Fragment", "", 201),
    "POST /jsonldContexts": ("Host an @context (5.13.2)", "", "ContextDocument", "", 201),
    "GET /jsonldContexts": ("Contexts kept here (5.13.3)", "details kind", "", "Any", 200),
    "GET /jsonldContexts/{context}": ("One @context (5.13.4)", "details", "", "Any", 200),
    "DELETE /jsonldContexts/{context}": ("Forget an @context (5.13.5)", "reload", "", "", 204),
}  # fmt: skip
for _name, _base, _local in (
    ("Subscription", "/subscriptions", ""),
    ("CSourceRegistration", "/csourceRegistrations", "local"),
    ("Subscription", "/csourceSubscriptions", ""),
):
    _ROWS |= {
        f"POST {_base}": (f"Make a {_name}", "local", _name, "", 201),
        f"GET {_base}": (f"Every {_name}", "limit offset count local", "", "Any", 200),
        f"GET {_base}/{{id}}": (f"One {_name}", _local, "", "Any", 200),
        f"PATCH {_base}/{{id}}": (f"Change a {_name}", "local", "Fragment", "", 204),
        f"DELETE {_base}/{{id}}": (f"Delete a {_name}", "local", "", "", 204),
    }


def document(routes: Mapping[tuple[str, ...], Mapping[str, Any]]) -> dict[str, Any]:
    """The document of the routes there are."""
    paths: dict[str, dict[str, Any]] = {}
    for pattern, methods in routes.items():
        path = "/" + "/".join(pattern)
        operations: dict[str, Any] = {
            method.lower(): _operation(f"{method} {path}") for method in methods
        }
        variables = [part[1:-1] for part in pattern if part.startswith("{")]
        if variables:
            operations["parameters"] = [_variable(name) for name in variables]
        paths[path] = operations
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Poorter: NGSI-LD",
            "version": VERSION,
            "description": "ETSI GS CIM 009. What a caller may not see does not exist for it.",
        },
        "servers": [{"url": "/ngsi-ld/v1"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _variable(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 512}
    about = "A URI" if name in ("id", "instance") else "A term or a URI"
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def _operation(key: str) -> dict[str, Any]:
    method = key.partition(" ")[0]
    summary, names, body, answer, status = _ROWS.get(key, (key, "", "", "Any", 200))
    found: dict[str, Any] = {
        "operationId": key.replace(" /", " ").replace("/", ".").replace(" ", "-"),
        "summary": summary,
        "parameters": [
            {"name": name, "in": "query", "schema": PARAMETERS[name]} for name in names.split()
        ],
        "responses": {str(status): _answer(answer), "default": _PROBLEM},
    }
    if answer and status != 200:
        found["responses"]["200"] = _answer(answer)
    if method in ("POST", "PATCH", "PUT"):
        found["responses"]["204"] = {"description": "Done"}
        found["responses"]["207"] = _answer("Any")
    if answer in ("Entities", "AnyEntity"):
        found["responses"]["206"] = _answer(answer)
    if body:
        schema = {"$ref": f"#/components/schemas/{body}"}
        content = {"application/json": {"schema": schema}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _answer(name: str) -> dict[str, Any]:
    if not name:
        return {"description": "Done"}
    schema = {"$ref": f"#/components/schemas/{name}"}
    content = {media: {"schema": schema} for media in _MEDIA}
    if name in ("Entities", "AnyEntity"):
        content[_GEO] = {"schema": {"type": "object"}}
    return {"description": "The answer", "content": content}
