# SPDX-License-Identifier: EUPL-1.2
"""An attribute as the bytes a store keeps: its normalised JSON, without system times."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from poorter.city.entity import SEALED_MEMBERS, VALUE_KEY, Attribute, Entity
from poorter.city.errors import Invalid, TooLarge
from poorter.city.limits import ATTRIBUTE_BYTES_MAX
from poorter.city.time import format_us, parse_us
from poorter.store.contract import StoredAttribute, StoredEntity

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_META = frozenset(
    ("type", "observedAt", "datasetId", "unitCode", "valueType", "objectType", "expiresAt")
)


def attribute_dict(attribute: Attribute) -> dict[str, Any]:
    """The normalised form of one instance, names as they are, without system times."""
    body: dict[str, Any] = {
        "type": attribute.kind,
        VALUE_KEY[attribute.kind]: attribute.value,
    }
    if attribute.observed_at_us is not None:
        body["observedAt"] = format_us(attribute.observed_at_us)
    if attribute.unit_code is not None:
        body["unitCode"] = attribute.unit_code
    if attribute.dataset_id is not None:
        body["datasetId"] = attribute.dataset_id
    if attribute.value_type is not None:
        body["valueType"] = attribute.value_type
    if attribute.object_types:
        types = attribute.object_types
        body["objectType"] = types[0] if len(types) == 1 else list(types)
    if attribute.expires_at_us is not None:
        body["expiresAt"] = format_us(attribute.expires_at_us)
    for sub in attribute.sub:
        bare = sub.name in SEALED_MEMBERS
        body[sub.name] = sub.value if bare else attribute_dict(sub)
    return body


def encode_attribute(attribute: Attribute) -> bytes:
    """Bytes to keep. Raises Invalid for what JSON can't hold, TooLarge past the limit."""
    try:
        body = _encode(attribute_dict(attribute))
    except (ValueError, TypeError, OverflowError, RecursionError) as wrong:
        raise Invalid(f"{attribute.name}: the value is no JSON: {wrong}") from None
    if b"null" in body and not _finite(attribute.value):  # the encoder writes NaN as null
        raise Invalid(f"{attribute.name}: the value is no JSON: a number must be finite")
    if len(body) > ATTRIBUTE_BYTES_MAX:
        raise TooLarge(
            f"{attribute.name}: an attribute has at most {ATTRIBUTE_BYTES_MAX} bytes, "
            f"this one {len(body)}"
        )
    return body


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_finite, value))


def decode_attribute(
    name: str, body: bytes, created_at_us: int | None = None, modified_at_us: int | None = None
) -> Attribute:
    """The instance that `encode_attribute` made the bytes of."""
    return _attribute(name, _decode(body), created_at_us, modified_at_us)


def decode_entity(stored: StoredEntity) -> Entity:
    """An entity as values."""
    return Entity(
        urn=stored.urn,
        types=stored.types,
        scopes=stored.scopes,
        version=stored.version,
        created_at_us=stored.created_at_us,
        modified_at_us=stored.modified_at_us,
        expires_at_us=stored.expires_at_us,
        attributes=tuple(map(_stored, stored.attributes)),
    )


def _stored(attribute: StoredAttribute) -> Attribute:
    return decode_attribute(
        attribute.name, attribute.body, attribute.created_at_us, attribute.modified_at_us
    )


def _attribute(
    name: str, body: dict[str, Any], created_at_us: int | None, modified_at_us: int | None
) -> Attribute:
    kind = body["type"]
    value_key = VALUE_KEY[kind]
    observed = body.get("observedAt")
    expires = body.get("expiresAt")
    object_types = body.get("objectType", ())
    return Attribute(
        name=name,
        kind=kind,
        value=body[value_key],
        observed_at_us=None if observed is None else parse_us(observed),
        dataset_id=body.get("datasetId"),
        unit_code=body.get("unitCode"),
        sub=tuple(
            Attribute(key, part) if key in SEALED_MEMBERS else _attribute(key, part, None, None)
            for key, part in body.items()
            if key not in _META and key != value_key
        ),
        created_at_us=created_at_us,
        modified_at_us=modified_at_us,
        value_type=body.get("valueType"),
        object_types=(object_types,) if isinstance(object_types, str) else tuple(object_types),
        expires_at_us=None if expires is None else parse_us(expires),
    )
