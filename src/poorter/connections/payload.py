# SPDX-License-Identifier: EUPL-1.2
"""What devices send, as rows: JSON objects as they are, SenML packs by moment (RFC 8428)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from poorter.city.errors import Invalid
from poorter.load.sources.structured import flat

ROWS_MAX = 1000
#: RFC 8428, 4.5.3: a time below this is relative to now
_RELATIVE_BELOW_S = 2**28
_decode = msgspec.json.Decoder().decode


def json_rows(payload: bytes) -> list[dict[str, Any]]:
    """One object, or a list of objects: a row each. Raises Invalid."""
    found = _parsed(payload)
    records = found if isinstance(found, list) else [found]
    if len(records) > ROWS_MAX:
        raise Invalid(f"a message holds at most {ROWS_MAX} readings")
    if not all(isinstance(record, Mapping) for record in records):
        raise Invalid("a message is a JSON object, or a list of them")
    return [flat(record) for record in records]


def senml_rows(payload: bytes, now_s: float) -> list[dict[str, Any]]:
    """A pack as one row a moment: `time` in seconds, and a column for each name (without the base
    name, "value" where a record has none of its own). Raises Invalid, also for a field that must
    be understood and isn't (RFC 8428, 4.4)."""
    found = _parsed(payload)
    if not isinstance(found, list) or not found or len(found) > ROWS_MAX:
        raise Invalid(f"a SenML pack is a list of 1 to {ROWS_MAX} records")
    base_t = base_v = 0.0
    base_n = ""
    rows: dict[float, dict[str, Any]] = {}
    for record in found:
        if not isinstance(record, Mapping):
            raise Invalid("a SenML record is a JSON object")
        unknown = [name for name in record if name.endswith("_")]
        if unknown:
            raise Invalid(f"{unknown[0][:40]} must be understood, and is not")
        base_n = str(record.get("bn", base_n))
        base_t = _number(record, "bt", base_t)
        base_v = _number(record, "bv", base_v)
        name = str(record.get("n", "")) or "value"
        value = _value(record, base_v)
        if value is None:
            continue  # a record of base values only
        at_s = base_t + _number(record, "t", 0.0)
        if at_s < _RELATIVE_BELOW_S:
            at_s += now_s
        row = rows.setdefault(at_s, {"time": at_s, "base": base_n})
        row[name] = value
    return list(rows.values())


def _value(record: Mapping[str, Any], base_v: float) -> Any:
    if "v" in record or "bv" in record:
        return base_v + _number(record, "v", 0.0)
    return next((record[name] for name in ("vs", "vb", "vd") if name in record), None)


def _number(record: Mapping[str, Any], name: str, default: float) -> float:
    value = record.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{name} is a number")
    return float(value)


def _parsed(payload: bytes) -> Any:
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise Invalid(f"not JSON: {wrong}") from None
