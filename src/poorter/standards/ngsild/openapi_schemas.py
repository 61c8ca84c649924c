# SPDX-License-Identifier: EUPL-1.2
"""Parameters and bodies of the NGSI-LD API as JSON Schema, for its OpenAPI document."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_URIS: dict[str, Any] = {"type": "string", "description": "URIs, with commas"}
_NAMES: dict[str, Any] = {"type": "string", "description": "Names, with commas"}
_MOMENT: dict[str, Any] = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d{1,6})?Z$",
}


def _number(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _one(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


PARAMETERS: dict[str, dict[str, Any]] = {
    "type": {**_TEXT, "description": "Entity type selection (4.17)"},
    "id": _URIS,
    "idPattern": {**_TEXT, "description": "A regular expression"},
    "attrs": _NAMES,
    "q": {**_TEXT, "description": "Query language (4.9)"},
    "georel": {**_TEXT, "description": "near;maxDistance==metres, within, ... (4.10)"},
    "geometry": _one("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon"),
    "coordinates": {**_TEXT, "description": "A JSON array"},
    "geoproperty": _TEXT,
    "scopeQ": {**_TEXT, "description": "Scope query language (4.19)"},
    "csf": {**_TEXT, "description": "Context source filter (4.9)"},
    "local": _FLAG,
    "options": {**_TEXT, "description": "keyValues, concise, sysAttrs, temporalValues, ..."},
    "format": _one(
        "normalized", "concise", "simplified", "keyValues", "temporalValues", "aggregatedValues"
    ),
    "sysAttrs": _FLAG,
    "pick": {**_NAMES, "description": "Attribute projection language (4.21)"},
    "omit": {**_NAMES, "description": "Attribute projection language (4.21)"},
    "lang": {**_TEXT, "description": "Language tags, best first (4.15)"},
    "datasetId": _URIS,
    "join": _one("flat", "inline", "@none"),
    "joinLevel": _number(1, 5),
    "containedBy": _URIS,
    "geometryProperty": _TEXT,
    "limit": _number(0, 1000),
    "offset": _number(0, 1_000_000),
    "after": {**_TEXT, "description": "Where the page before ended"},
    "count": _FLAG,
    "orderBy": {**_TEXT, "description": "Entity ordering (4.23)"},
    "timerel": _one("before", "after", "between"),
    "timeAt": _MOMENT,
    "endTimeAt": _MOMENT,
    "timeproperty": _one("observedAt", "createdAt", "modifiedAt", "deletedAt"),
    "lastN": _number(1, 10_000),
    "aggrMethods": {**_TEXT, "description": "Of avg, min, max, sum, ... (4.5.19)"},
    "aggrPeriodDuration": {**_TEXT, "description": "An ISO 8601 duration"},
    "details": _FLAG,
    "kind": _one("Hosted", "Cached", "ImplicitlyCreated"),
    "reload": _FLAG,
    "deleteAll": _FLAG,
    "keep": _NAMES,
    "drop": _NAMES,
}

_URI: dict[str, Any] = {"type": "string", "format": "uri"}
_TYPES: dict[str, Any] = {
    "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}],
}
_ATTRIBUTES: dict[str, Any] = {"description": "Attributes by name, in any form of 4.5"}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Any": {},
    "Entity": {
        "type": "object",
        "required": ["id", "type"],
        "properties": {"id": _URI, "type": _TYPES},
        "additionalProperties": _ATTRIBUTES,
    },
    "Evolution": {
        "type": "object",
        "required": ["id", "type"],
        "properties": {"id": _URI, "type": _TYPES},
        "additionalProperties": {"type": "array", "items": {"type": "object"}},
    },
    "Fragment": {"type": "object", "additionalProperties": _ATTRIBUTES},
    "Attribute": {"type": "object"},
    "AnyEntity": {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
    "Entities": {"type": "array", "items": {"type": "object"}},
    "Batch": {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Entity"},
        "minItems": 1,
        "maxItems": 1000,
    },
    "Ids": {"type": "array", "items": _URI, "minItems": 1, "maxItems": 1000},
    "Snapshot": {
        "type": "object",
        "required": ["type"],
        "anyOf": [{"required": ["snapshotQueries"]}, {"required": ["snapshotTemporalQueries"]}],
        "properties": {
            "type": {"const": "Snapshot"},
            "snapshotQueries": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Query"},
                "minItems": 1,
                "maxItems": 20,
            },
            "snapshotTemporalQueries": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Query"},
                "minItems": 1,
                "maxItems": 20,
            },
            "snapshotPriority": {"type": "integer", "minimum": 1, "maximum": 10},
            "snapshotLifetime": {"type": "string"},
        },
        "additionalProperties": False,
    },
    "Query": {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"const": "Query"},
            "entities": {"type": "array", "items": {"type": "object"}},
            "q": _TEXT,
            "geoQ": {"type": "object"},
            "temporalQ": {"type": "object"},
            "scopeQ": _TEXT,
        },
    },
    "Subscription": {
        "type": "object",
        "required": ["type", "notification"],
        "properties": {
            "type": {"const": "Subscription"},
            "entities": {"type": "array", "items": {"type": "object"}},
            "notification": {"type": "object"},
        },
    },
    "CSourceRegistration": {
        "type": "object",
        "required": ["type", "information", "endpoint"],
        "properties": {
            "type": {"const": "ContextSourceRegistration"},
            "information": {"type": "array", "items": {"type": "object"}},
            "endpoint": _URI,
        },
    },
    "ContextDocument": {
        "type": "object",
        "required": ["@context"],
        "properties": {"@context": {}},
    },
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": _URI,
            "title": _TEXT,
            "detail": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
        },
    },
}
