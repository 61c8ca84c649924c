# SPDX-License-Identifier: EUPL-1.2
"""The OpenAPI 3.1 document of all operations, from their declarations."""

from __future__ import annotations

from typing import Any

from poorter.systems.shape import Field, Operation, System

_SCHEMAS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "moment": {"type": "string", "format": "date-time"},
    "uri": {"type": "string", "format": "uri"},
    "flag": {"type": "boolean"},
    "place": {"type": "string", "description": "longitude,latitude in degrees (WGS 84)"},
}


def openapi(systems: tuple[System, ...]) -> dict[str, Any]:
    """The document."""
    paths = {
        f"/api/{system.name}/{operation.name}": _path(system, operation)
        for system in systems
        for operation in system.operations
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Poorter", "version": "1"},
        "paths": paths,
    }


def _path(system: System, operation: Operation) -> dict[str, Any]:
    about: dict[str, Any] = {
        "operationId": f"{system.name}.{operation.name}",
        "summary": operation.title.en,
        "tags": [system.name],
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {}}},
            "default": {"description": "A problem", "content": {"application/problem+json": {}}},
        },
    }
    if operation.kind == "ask":
        about["parameters"] = [
            {"name": f.name, "in": "query", "required": f.required, "schema": _schema(f)}
            for f in operation.fields
        ]
        return {"get": about}
    about["parameters"] = [
        {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"}}
    ]
    schema = {
        "type": "object",
        "required": [f.name for f in operation.fields if f.required],
        "properties": {f.name: _schema(f) for f in operation.fields},
        "additionalProperties": False,
    }
    about["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"post": about}


def _schema(field: Field) -> dict[str, Any]:
    schema = {**_SCHEMAS[field.kind], "title": field.title.en}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    if field.default is not None:
        schema["default"] = field.default
    return schema
