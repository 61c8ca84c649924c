# SPDX-License-Identifier: EUPL-1.2
"""What a city answers, as our values: entities, observations, means. What can't be read is the
city's fault and said so (Unavailable), never ours to guess at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from poorter.city.entity import Attribute, Entity, Observation
from poorter.city.errors import CityError, Invalid, Unavailable
from poorter.city.query import HistoryQuery
from poorter.city.time import parse_us
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.decode import parse_attribute, parse_entity
from poorter.systems.city import Mean

_HEAD = frozenset(("id", "type", "scope", "@context", "createdAt", "modifiedAt", "expiresAt"))


def read_entities(docs: Any) -> list[Entity]:
    """A list of entities in normalised form. Raises Unavailable."""
    if not isinstance(docs, list):
        raise Unavailable("the city answers no list of entities")
    return [read_entity(doc) for doc in docs]


def read_entity(doc: Any, version: int = 0) -> Entity:
    """One entity in normalised form, with system times where it has them. Raises Unavailable."""
    try:
        entity = parse_entity(doc, CORE)
    except CityError as wrong:
        raise Unavailable(f"the city answers what is no entity: {wrong.detail}") from None
    created = {key: _times(body) for key, body in _bodies(doc)}
    attributes = []
    for attribute in entity.attributes:
        created_us, modified_us = created.get(attribute.key, (None, None))
        attributes.append(replace(attribute, created_at_us=created_us, modified_at_us=modified_us))
    created_us, modified_us = _times(doc)
    return replace(
        entity,
        attributes=tuple(attributes),
        version=version,
        created_at_us=created_us,
        modified_at_us=modified_us,
    )


def _bodies(doc: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str | None], dict[str, Any]]]:
    """Each attribute instance by name and datasetId."""
    for term, value in doc.items():
        for body in value if isinstance(value, list) else [value]:
            if term not in _HEAD and isinstance(body, dict):
                yield (CORE.expand(term), body.get("datasetId")), body


def _times(body: Mapping[str, Any]) -> tuple[int | None, int | None]:
    return _moment(body.get("createdAt")), _moment(body.get("modifiedAt"))


def _moment(text: Any) -> int | None:
    if text is None:
        return None
    try:
        return parse_us(text)
    except Invalid as wrong:
        raise Unavailable(f"the city answers a time that is none: {wrong.detail}") from None


def read_history(urn: str, doc: Any) -> list[Observation]:
    """Observations of a temporal entity (CIM 009, 4.5.6), by attribute, then event time; instances
    without observedAt are no observations."""
    found = []
    for term, value in _members(doc):
        name = CORE.expand(term)
        for place, body in enumerate(value if isinstance(value, list) else [value]):
            observation = _observation(urn, name, body, place)
            if observation is not None:
                found.append(observation)
    return sorted(found, key=lambda o: (o.name, o.observed_at_us, o.sequence))


def _observation(urn: str, name: str, body: Any, place: int) -> Observation | None:
    if not isinstance(body, dict) or "observedAt" not in body:
        return None
    try:
        attribute = parse_attribute(name, body, CORE)
    except CityError as wrong:
        raise Unavailable(f"the city answers no history of {name}: {wrong.detail}") from None
    created_us, modified_us = _times(body)
    observed_us = attribute.observed_at_us or 0
    sequence = str(body.get("instanceId", "")).rpartition(":")[2]
    return Observation(
        urn,
        name,
        observed_us,
        attribute.value,
        received_at_us=modified_us or created_us or observed_us,
        sequence=int(sequence) if sequence.isascii() and sequence.isdecimal() else place,
        dataset_id=attribute.dataset_id,
        quality=_quality(attribute),
        unit_code=attribute.unit_code,
    )


def _quality(attribute: Attribute) -> int:
    value = next((sub.value for sub in attribute.sub if sub.name == "quality"), 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def following(query: HistoryQuery, covered: str) -> HistoryQuery | None:
    """What is left to ask after a part that covers "date-time from-to/size"; None when that can't
    be told. With `last` it runs back in time."""
    found = re.match(r"date-time (\S+?Z)-(\S+?Z)/", covered)
    end_us = None if found is None else _moment(found.group(2))
    if end_us is None:
        return None
    if query.last is not None:
        return replace(query, until_us=end_us)
    return replace(query, from_us=end_us + 1)


def newest(ordered: list[Observation], last: int | None) -> list[Observation]:
    """The last so many of each attribute."""
    if last is None:
        return ordered
    found: list[Observation] = []
    for _, same in groupby(ordered, key=lambda one: one.name):
        found += list(same)[-last:]
    return found


def read_means(name: str, doc: Any) -> list[Mean] | None:
    """Buckets of one attribute from aggregated values (4.5.19) avg and totalCount; None when the
    answer holds no such thing."""
    body = next((value for term, value in _members(doc) if CORE.expand(term) == name), None)
    if body is None:
        return []
    if not isinstance(body, dict) or not isinstance(body.get("avg"), list):
        return None
    counts = {row[1]: row[0] for row in body.get("totalCount", ()) if len(row) == 3}
    means = []
    for row in body["avg"]:
        if not isinstance(row, list) or len(row) != 3:
            return None
        mean, start, _ = row
        start_us = _moment(start)
        if start_us is not None:
            means.append(Mean(start_us, int(counts.get(start) or 0), mean))
    return means


def means_of(observations: list[Observation], width_us: int) -> list[Mean]:
    """Buckets from the observations themselves, for a city that gives no aggregates."""
    buckets: dict[int, list[float]] = {}
    for one in observations:
        if isinstance(one.value, int | float) and not isinstance(one.value, bool):
            start_us = one.observed_at_us // width_us * width_us
            buckets.setdefault(start_us, []).append(float(one.value))
    return [
        Mean(start_us, len(values), sum(values) / len(values))
        for start_us, values in sorted(buckets.items())
    ]


def _members(doc: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(doc, dict):
        raise Unavailable("the city answers no temporal entity")
    return ((term, value) for term, value in doc.items() if term not in _HEAD)
