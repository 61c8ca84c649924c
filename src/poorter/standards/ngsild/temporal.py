# SPDX-License-Identifier: EUPL-1.2
"""History of an entity (CIM 009, 5.7.3, 6.19): each instance, or aggregates by period (4.5.19)."""

from __future__ import annotations

import re
from typing import Any

from poorter.city.entity import Observation
from poorter.city.errors import Invalid, NotFound, TooLarge
from poorter.city.limits import HISTORY_PAGE_MAX
from poorter.city.time import SECOND_US, format_us
from poorter.standards.http.asgi import Answer, Request
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.face import Face, json_answer
from poorter.standards.ngsild.params import parse_history
from poorter.store.contract import Bucket, StoredEntity

_DURATION = re.compile(r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?\Z")
_METHODS = {
    "totalCount": lambda b: b.count,
    "avg": lambda b: b.mean,
    "min": lambda b: b.minimum,
    "max": lambda b: b.maximum,
    "sum": lambda b: b.total,
}


async def retrieve(face: Face, request: Request, urn: str) -> Answer:
    """GET /temporal/entities/{id}."""
    _, permit = face.permit(request, "read")
    context = await face.context(request)
    given = request.query()
    query = parse_history(urn, given, context)
    options = given.get("options") or given.get("format") or ""
    entity = face.store.entity(permit, urn)
    await face.before_leaving(request, permit, (entity,))
    body = _head(entity, context)
    if "aggregatedValues" in options:
        width_us = _width_us(given.get("aggrPeriodDuration", ""))
        methods = _methods(given.get("aggrMethods", ""))
        for name, buckets in face.store.aggregate(permit, query, width_us).items():
            body[context.compact(name)] = _aggregated(buckets, methods, width_us)
        return json_answer(body)
    found = face.store.history(permit, query)
    if len(found) > HISTORY_PAGE_MAX:
        raise TooLarge(f"ask for at most {HISTORY_PAGE_MAX} instances")
    simple = "temporalValues" in options
    for name, observations in _by_name(found).items():
        body[context.compact(name)] = (
            {
                "type": "Property",
                "values": [[o.value, format_us(o.observed_at_us)] for o in observations],
            }
            if simple
            else [_instance(o) for o in observations]
        )
    if len(body) == 2 and query.names:
        raise NotFound(f"{urn} has no such history")
    return json_answer(body)


def _head(entity: StoredEntity, context: Context) -> dict[str, Any]:
    types = [context.compact(name) for name in entity.types]
    return {"id": entity.urn, "type": types[0] if len(types) == 1 else types}


def _by_name(observations: list[Observation]) -> dict[str, list[Observation]]:
    found: dict[str, list[Observation]] = {}
    for observation in observations:
        found.setdefault(observation.name, []).append(observation)
    return found


def _instance(observation: Observation) -> dict[str, Any]:
    body = {
        "type": "Property",
        "value": observation.value,
        "observedAt": format_us(observation.observed_at_us),
        "instanceId": f"urn:poorter:observation:{observation.sequence}",
    }
    if observation.unit_code is not None:
        body["unitCode"] = observation.unit_code
    if observation.dataset_id is not None:
        body["datasetId"] = observation.dataset_id
    if observation.quality:
        body["quality"] = {"type": "Property", "value": observation.quality}
    return body


def _aggregated(buckets: list[Bucket], methods: list[str], width_us: int) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "Property"}
    for method in methods:
        body[method] = [
            [_METHODS[method](b), format_us(b.start_us), format_us(b.start_us + width_us)]
            for b in buckets
        ]
    return body


def _methods(text: str) -> list[str]:
    methods = [method for method in text.split(",") if method]
    if not methods or any(method not in _METHODS for method in methods):
        raise Invalid(f"aggrMethods is a list of {', '.join(_METHODS)}")
    return methods


def _width_us(text: str) -> int:
    """An ISO 8601 duration of days, hours, minutes, seconds, in microseconds."""
    found = _DURATION.match(text)
    days, hours, minutes, seconds = (int(g or 0) for g in found.groups()) if found else (0,) * 4
    width_us = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * SECOND_US
    if width_us <= 0:
        raise Invalid("aggrPeriodDuration is a duration such as PT1H or P1D")
    return width_us
