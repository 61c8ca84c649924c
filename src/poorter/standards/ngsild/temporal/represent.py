# SPDX-License-Identifier: EUPL-1.2
"""Temporal evolutions as JSON data (CIM 009, 4.5.6 to 4.5.9). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from poorter.city.entity import Instance
from poorter.city.time import format_us
from poorter.standards.ngsild.represent import (
    concise,
    in_language,
    normalised,
    simple,
    without_expiry,
)
from poorter.standards.ngsild.temporal.asking import Asked, time_of
from poorter.standards.ngsild.temporal.scopes import scopes_shown
from poorter.store.body import attribute_dict
from poorter.store.evolving import Evolution

#: what pairs of value and time are kept under (4.5.9)
_VALUES = {
    "Property": "values",
    "GeoProperty": "values",
    "Relationship": "objects",
    "LanguageProperty": "languageMaps",
    "VocabProperty": "vocabs",
    "JsonProperty": "jsons",
    "ListProperty": "valueLists",
    "ListRelationship": "objectLists",
}


def document(evolution: Evolution, asked: Asked) -> dict[str, Any]:
    """The evolution with its instances, whole or as pairs of value and time."""
    members = head(evolution, asked)
    context = asked.form.context
    scopes = scopes_shown(evolution, asked.window)
    if scopes and shown("scope", asked):
        members["scope"] = (
            _pairs(scopes, asked)[0] if asked.values else [_instance(one, asked) for one in scopes]
        )
    found = by_name(evolution.instances)
    for name in sorted(evolution.beyond or ()):
        found.setdefault(name, [])  # what only begins beyond this page is there, and empty
    for name, instances in found.items():
        if not shown(name, asked):
            continue
        if asked.values:
            pairs = _pairs(instances, asked)
            members[context.compact(name)] = pairs[0] if len(pairs) == 1 else pairs
        else:
            members[context.compact(name)] = [_instance(one, asked) for one in instances]
    return members


def head(evolution: Evolution, asked: Asked) -> dict[str, Any]:
    """The members that are no attributes, the scope apart."""
    members: dict[str, Any] = {}
    if shown("id", asked):
        members["id"] = evolution.urn
    if shown("type", asked):
        types = [asked.form.context.compact(name) for name in evolution.types]
        members["type"] = types[0] if len(types) == 1 else types
    if asked.form.times:
        members["createdAt"] = format_us(evolution.created_at_us)
        members["modifiedAt"] = format_us(evolution.modified_at_us)
        if evolution.expires_at_us is not None:
            members["expiresAt"] = format_us(evolution.expires_at_us)
        if evolution.deleted_at_us is not None:
            members["deletedAt"] = format_us(evolution.deleted_at_us)
    return members


def shown(name: str, asked: Asked) -> bool:
    """Whether a member is to be seen."""
    form = asked.form
    if name not in ("id", "type", "scope") and form.only is not None and name not in form.only:
        return False
    if form.pick is not None and name not in form.pick:
        return False
    return form.omit is None or name not in form.omit


def by_name(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    """Instances of each attribute, in their order."""
    found: dict[str, list[Instance]] = {}
    for one in instances:
        found.setdefault(one.attribute.name, []).append(one)
    return found


def _instance(one: Instance, asked: Asked) -> dict[str, Any]:
    doc = _normalised(one, asked)
    if one.instance_id:
        doc["instanceId"] = one.instance_id
    if asked.form.times or asked.window.time == "createdAt":
        doc["createdAt"] = format_us(one.attribute.created_at_us or 0)
    if asked.form.times or asked.window.time == "modifiedAt":
        doc["modifiedAt"] = format_us(one.attribute.modified_at_us or 0)
    if not asked.form.times:
        doc = without_expiry(doc)
    if one.deleted_at_us is not None:
        doc["deletedAt"] = format_us(one.deleted_at_us)
    if not asked.form.concise:
        return doc
    short = concise(doc)
    return short if isinstance(short, dict) else {"value": short}


def _normalised(one: Instance, asked: Asked) -> dict[str, Any]:
    doc = normalised(attribute_dict(one.attribute), asked.form.context)
    if asked.form.languages is not None and one.deleted_at_us is None:
        doc = in_language(doc, asked.form.languages)
    return doc


def _pairs(instances: list[Instance], asked: Asked) -> list[dict[str, Any]]:
    """[value, time] of each instance, apart by kind and datasetId."""
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    for one in instances:
        doc = _normalised(one, asked)
        kind, dataset = doc["type"], one.attribute.dataset_id
        key = _VALUES[kind]
        body = found.setdefault((kind, dataset), {"type": kind, key: []})
        if dataset is not None:
            body["datasetId"] = dataset
        moment_us = time_of(one, asked.window.time)
        if moment_us is None:  # asked for all: what has no such time tells when it was written
            moment_us = one.deleted_at_us or one.attribute.modified_at_us or 0
        value = simple(doc)
        body[key].append([value, format_us(moment_us)])
    return list(found.values())
