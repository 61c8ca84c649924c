# SPDX-License-Identifier: EUPL-1.2
"""GTFS Realtime 1 and 2: a FeedMessage as rows, named as in the specification with dots between.

`source.records` says which: "vehicle", "alert", or "trip_update" with a row for each stop time.
What does not say its moment has that of the whole message.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError, Message
from google.transit import gtfs_realtime_pb2 as gtfs

from poorter.city.errors import Invalid, TooLarge
from poorter.load.mapping import Source

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
_RECORDS = ("vehicle", "trip_update", "alert")
_VERSIONS = ("1.0", "2.0")
_STOP_TIMES = "stop_time_update"


def read_transit(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """The rows of one message. Raises Invalid for what is no whole dataset, TooLarge."""
    if source.records not in _RECORDS:
        raise Invalid(f"source.records of GTFS Realtime is one of {', '.join(_RECORDS)}")
    raw = stream.read(MESSAGE_BYTES_MAX + 1)
    if len(raw) > MESSAGE_BYTES_MAX:
        raise TooLarge(f"{path.name}: a GTFS Realtime message has at most 64 MiB")
    feed = gtfs.FeedMessage()
    try:
        feed.ParseFromString(raw)
    except DecodeError as wrong:
        raise Invalid(f"{path.name} is no GTFS Realtime: {wrong}") from None
    header = feed.header
    if header.gtfs_realtime_version not in _VERSIONS:
        raise Invalid(f"{path.name} is GTFS Realtime {header.gtfs_realtime_version!r:.20}")
    if header.incrementality != gtfs.FeedHeader.FULL_DATASET:
        # "unsupported and behavior is unspecified", says the reference of this mode
        raise Invalid(f"{path.name} is DIFFERENTIAL: GTFS Realtime does not say how to read that")
    of_feed = {"timestamp": header.timestamp} if header.timestamp else {}
    number = 0
    for entity in feed.entity:
        if entity.is_deleted or not entity.HasField(source.records):
            continue
        found = getattr(entity, source.records)
        row = {**of_feed, "id": entity.id, **_flat(found)}
        if source.records != "trip_update":
            number += 1
            yield number, row
            continue
        for update in found.stop_time_update:
            number += 1
            yield number, {**row, **_flat(update, f"{_STOP_TIMES}.")}


def _flat(message: Message, prefix: str = "") -> dict[str, Any]:
    """Fields that are there, nested ones dotted; enums by name, the first translation of a text."""
    row: dict[str, Any] = {}
    for field, value in message.ListFields():
        key = prefix + field.name
        if field.is_repeated:
            if field.name == "translation" and value:
                row[f"{prefix}text"] = value[0].text
            continue
        if field.type == field.TYPE_MESSAGE:
            row |= _flat(value, f"{key}.")
        elif field.type == field.TYPE_ENUM:
            row[key] = field.enum_type.values_by_number[value].name
        else:
            row[key] = value
    return row
