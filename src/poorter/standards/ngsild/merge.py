# SPDX-License-Identifier: EUPL-1.2
"""Merge patch (CIM 009, 5.5.12): members given replace, NGSI-LD Null removes, the rest stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from poorter.city.entity import Attribute
from poorter.standards.ngsild.context import Context

#: NGSI-LD Null (4.5.0): JSON-LD itself drops null, so the standard spells it
NULL = "urn:ngsi-ld:null"


def nulls(doc: Mapping[str, Any], context: Context) -> tuple[list[str], dict[str, Any]]:
    """(names of attributes to remove, the document without them)."""
    gone: list[str] = []
    kept: dict[str, Any] = {}
    for term, value in doc.items():
        if _is_null(value):
            gone.append(context.expand(term))
        else:
            kept[term] = value
    return gone, kept


def _is_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(value.get(key) == NULL for key in ("value", "object", "vocab", "json")) or (
            value.get("languageMap") == {"@none": NULL}
        )
    return bool(value == NULL)


def merged(present: Attribute | None, patch: Attribute) -> Attribute:
    """The instance as it stands after the patch."""
    if present is None:
        return patch
    patched = {sub.name for sub in patch.sub}
    subs = tuple(sub for sub in present.sub if sub.name not in patched)
    added = tuple(
        merged(next((s for s in present.sub if s.name == sub.name), None), sub)
        for sub in patch.sub
        if sub.value != NULL
    )
    return replace(
        patch,
        value=_merge_value(present.value, patch.value)
        if patch.kind == present.kind
        else patch.value,
        observed_at_us=patch.observed_at_us or present.observed_at_us,
        unit_code=patch.unit_code or present.unit_code,
        sub=(*subs, *added),
    )


def _merge_value(present: Any, patch: Any) -> Any:
    """RFC 7396 on objects; geometries and all else are replaced as a whole."""
    if not isinstance(present, Mapping) or not isinstance(patch, Mapping):
        return patch
    if "coordinates" in patch:
        return patch
    result = dict(present)
    for key, value in patch.items():
        if value == NULL or value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_value(result.get(key), value)
    return result
