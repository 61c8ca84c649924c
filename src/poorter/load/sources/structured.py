# SPDX-License-Identifier: EUPL-1.2
"""JSON, NDJSON and GeoJSON: nested members become dotted columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from poorter.city.errors import Invalid, TooLarge
from poorter.load.mapping import Source

WHOLE_BYTES_MAX = 512 * 1024 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024
_DEPTH_MAX = 8
_NAMED_MAX = 4
_decode = msgspec.json.Decoder().decode
_CRS84 = ("CRS84", "EPSG::4326", "EPSG:4326")


def read_json(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """Records at `source.records`, or one record a line when the file is NDJSON."""
    if path.suffix in (".ndjson", ".jsonl"):
        yield from _lines(stream)
        return
    found = _whole(path, stream)
    for name in filter(None, source.records.split(".")):
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        found = list(found.values())
    if not isinstance(found, list):
        raise Invalid(f"{path.name} has no list at {source.records or 'its top'}")
    for number, record in enumerate(found, 1):
        yield number, flat(record) if isinstance(record, Mapping) else "not a JSON object"


def read_geojson(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """Features of a FeatureCollection; the geometry is column "geometry"."""
    found = _whole(path, stream)
    features = found.get("features") if isinstance(found, Mapping) else None
    if not isinstance(features, list):
        raise Invalid(f"{path.name} is no FeatureCollection")
    _check_crs(path, found)
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, Mapping):
            yield number, "not a Feature"
            continue
        properties = feature.get("properties")
        row = flat(properties) if isinstance(properties, Mapping) else {}
        row["geometry"] = feature.get("geometry")
        row["feature.id"] = feature.get("id")
        yield number, row


def _check_crs(path: Path, collection: Mapping[str, Any]) -> None:
    crs = collection.get("crs")
    properties = crs.get("properties") if isinstance(crs, Mapping) else None
    name = str(properties.get("name", "")) if isinstance(properties, Mapping) else ""
    if name and not name.endswith(_CRS84):
        raise Invalid(f"{path.name} is in {name}; GeoJSON is WGS 84 (RFC 7946): convert it first")


def _whole(path: Path, stream: BinaryIO) -> Any:
    raw = stream.read(WHOLE_BYTES_MAX + 1)
    if len(raw) > WHOLE_BYTES_MAX:
        raise TooLarge(
            f"{path.name}: a JSON file is read whole and has at most 512 MiB; NDJSON has no limit"
        )
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise Invalid(f"{path.name} is not JSON: {wrong}") from None


def _lines(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    number = 0
    while line := stream.readline(LINE_BYTES_MAX):
        number += 1
        if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
            while (rest := stream.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
                pass
            yield number, f"a line of over {LINE_BYTES_MAX} bytes"
            continue
        if not line.strip():
            continue
        try:
            record = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            yield number, f"not JSON: {wrong}"
            continue
        yield number, flat(record) if isinstance(record, dict) else "not a JSON object"


def flat(record: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested objects as dotted names. A GeoJSON geometry stays whole, and so does a list; the first
    objects of one have names too (`name.0.text`)."""
    row: dict[str, Any] = {}
    for name, value in record.items():
        key = f"{prefix}{name}"
        geometry = isinstance(value, Mapping) and "coordinates" in value and "type" in value
        if isinstance(value, Mapping) and not geometry and depth < _DEPTH_MAX:
            row.update(flat(value, f"{key}.", depth + 1))
            continue
        row[key] = value
        if isinstance(value, list) and depth < _DEPTH_MAX:
            for place, one in enumerate(value[:_NAMED_MAX]):
                if isinstance(one, Mapping):
                    row.update(flat(one, f"{key}.{place}.", depth + 1))
    return row
