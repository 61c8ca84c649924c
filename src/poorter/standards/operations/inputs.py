# SPDX-License-Identifier: EUPL-1.2
"""Inputs of an operation: checked text or JSON to values, by the declared fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from poorter.city.errors import Invalid
from poorter.city.ids import check_uri
from poorter.city.limits import TEXT_CHARS_MAX
from poorter.city.text import Text
from poorter.city.time import parse_us
from poorter.systems.shape import Field


def read_inputs(fields: tuple[Field, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name. Raises Invalid naming the field; an unknown one is refused, not ignored."""
    known = {field.name: field for field in fields}
    for name in given:
        if name not in known:
            raise Invalid(f"there is no field {name!r:.60}; here: {', '.join(known) or 'none'}")
    values: dict[str, Any] = {}
    for field in fields:
        raw = given.get(field.name)
        if raw is None or raw == "":
            if field.required:
                raise Invalid(
                    Text(
                        f"{field.title.nl}: niet ingevuld",
                        f"{field.name} is missing ({field.title.en})",
                    )
                )
            values[field.name] = field.default
        else:
            values[field.name] = _read(field, raw)
    return values


def _read(field: Field, raw: Any) -> Any:
    if field.kind in ("number", "integer"):
        return _number(field, raw)
    if field.kind == "flag":
        if raw in (True, "true", "on", "1"):
            return True
        if raw in (False, "false", "off", "0"):
            return False
        raise Invalid(Text(f"{field.title.nl}: ja of nee", f"{field.name} is true or false"))
    if not isinstance(raw, str) or len(raw) > TEXT_CHARS_MAX:
        raise Invalid(
            Text(
                f"{field.title.nl}: een tekst van hoogstens {TEXT_CHARS_MAX} tekens",
                f"{field.name} is a text of at most {TEXT_CHARS_MAX} characters",
            )
        )
    if field.kind == "moment":
        try:
            return parse_us(raw)
        except Invalid as wrong:
            raise Invalid(
                Text(
                    f"{field.title.nl}: geen datum en tijd met tijdzone",
                    f"{field.name}: {wrong.detail}",
                )
            ) from None
    if field.kind == "uri":
        return check_uri(raw, field.name)
    if field.kind == "place":
        return _place(field, raw)
    return raw.strip()


def _number(field: Field, raw: Any) -> float | int:
    try:
        value = float(raw)
    except (TypeError, ValueError):
        raise Invalid(Text(f"{field.title.nl}: een getal", f"{field.name} is a number")) from None
    if isinstance(raw, bool) or not math.isfinite(value):
        raise Invalid(Text(f"{field.title.nl}: een getal", f"{field.name} is a number"))
    if field.kind == "integer":
        if value != int(value):
            raise Invalid(
                Text(f"{field.title.nl}: een heel getal", f"{field.name} is a whole number")
            )
        value = int(value)
    if field.minimum is not None and value < field.minimum:
        raise Invalid(
            Text(
                f"{field.title.nl}: {field.minimum:g} of meer",
                f"{field.name} is at least {field.minimum:g}",
            )
        )
    if field.maximum is not None and value > field.maximum:
        raise Invalid(
            Text(
                f"{field.title.nl}: hoogstens {field.maximum:g}",
                f"{field.name} is at most {field.maximum:g}",
            )
        )
    return value


def _place(field: Field, raw: str) -> tuple[float, float]:
    """ "longitude,latitude" in degrees; 0,0 is a missing position."""
    parts = raw.split(",")
    try:
        longitude, latitude = (float(part) for part in parts)
    except ValueError:
        raise Invalid(
            Text(
                f"{field.title.nl}: schrijf lengtegraad,breedtegraad",
                f"{field.name} reads longitude,latitude",
            )
        ) from None
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90) or (longitude, latitude) == (0, 0):
        raise Invalid(
            Text(
                f"{field.title.nl}: deze plek bestaat niet (lengtegraad,breedtegraad)",
                f"{field.name} is no place on earth (longitude,latitude)",
            )
        )
    return longitude, latitude
