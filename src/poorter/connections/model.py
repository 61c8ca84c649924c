# SPDX-License-Identifier: EUPL-1.2
"""A connection as its file has it, checked as it is read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.genesis import RUN
from poorter.load.mapping import Map, read_map

FOLDER = "connections"
CONNECTIONS_MAX = 200
#: what a topic's {device} may be: it becomes part of ids, topics and file lines
DEVICE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class Title(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people read."""

    nl: str
    en: str


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one device may send: messages a second and at once, bytes a message. Readings from
    before `late_days` days are refused: a clock that is wrong by that much tells nothing."""

    rate_per_second: float = 1.0
    burst: int = 60
    message_bytes: int = 16_384
    late_days: int = 30


class Mqtt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices on a broker. `topic` and `status_topic` hold {device} as one whole level; the broker
    lets a device speak on its own topics only (see `poorter broker`)."""

    broker: str  # mqtt://host:port or mqtts://host:port
    topic: str
    status_topic: str = ""
    payload: Literal["json", "senml"] = "json"
    username: str = ""
    password_file: str = ""
    devices: Literal["registered", "any"] = "registered"


class Poll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feed at a URL. `next`: path in a JSON answer to the URL of its next page."""

    url: str
    every_s: float = 60.0
    next: str = ""
    pages_max: int = 100


class Commands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command attribute of a type that goes to a device when a decision sets it. `device`: the
    attribute that names the device, by its name or as urn:ngsi-ld:Device:NAME. What the device
    has not answered for within `expires_s` is over."""

    type: str
    attribute: str
    device: str
    topic: str
    ack_topic: str
    expires_s: float = 60.0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: Title
    map: str
    processor: str = "internal:load"
    purpose: str = RUN
    old_after_s: int = 1800
    silent_after_s: int = 7200
    mqtt: Mqtt | None = None
    poll: Poll | None = None
    limits: Limits = Limits()
    commands: list[Commands] = []


class Connection(msgspec.Struct, frozen=True):
    """One connection. Exactly one of `mqtt` and `poll` is there."""

    name: str
    title: Text
    map: Map
    processor: str
    purpose: str
    old_after_s: int
    silent_after_s: int
    mqtt: Mqtt | None
    poll: Poll | None
    limits: Limits
    commands: tuple[Commands, ...]


def read_connections(folder: Path) -> tuple[Connection, ...]:
    """The connections of the city in `folder`, by name.

    Raises: Invalid naming the file and what is wrong in it.
    """
    files = sorted((folder / FOLDER).glob("*.toml"))
    if len(files) > CONNECTIONS_MAX:
        raise Invalid(f"{folder / FOLDER} holds more than {CONNECTIONS_MAX} connections")
    return tuple(_read(file) for file in files)


def _read(file: Path) -> Connection:
    try:
        found = msgspec.convert(tomllib.loads(file.read_text("utf-8")), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as wrong:
        raise Invalid(f"{file.name}: {wrong}") from None
    if (found.mqtt is None) == (found.poll is None):
        raise Invalid(f"{file.name}: a connection is [mqtt] or [poll], one of the two")
    beside = file.parent / found.map
    map_ = read_map(str(beside) if beside.suffix == ".toml" else found.map)
    if found.mqtt is not None:
        _check_mqtt(file.name, found.mqtt, map_, found.commands)
    elif found.commands:
        raise Invalid(f"{file.name}: commands go to devices, over [mqtt]")
    return Connection(
        file.stem,
        Text(found.title.nl, found.title.en),
        map_,
        found.processor,
        found.purpose,
        found.old_after_s,
        found.silent_after_s,
        found.mqtt,
        found.poll,
        found.limits,
        tuple(found.commands),
    )


def _check_mqtt(name: str, mqtt: Mqtt, map_: Map, commands: list[Commands]) -> None:
    more = [topic for rule in commands for topic in (rule.topic, rule.ack_topic)]
    for topic in filter(None, (mqtt.topic, mqtt.status_topic, *more)):
        if topic.split("/").count("{device}") != 1 or any(c in topic for c in "+#"):
            raise Invalid(f"{name}: {topic} needs {{device}} as one whole level, and no wildcards")
    if any(rule.expires_s <= 0 for rule in commands):
        raise Invalid(f"{name}: expires_s is more than nothing")
    if map_.readings is None or map_.readings.wide is not None:
        raise Invalid(f"{name}: a map for devices is one of readings, long")
    if "{device}" not in map_.readings.id:
        raise Invalid(
            f"{name}: the map's id must hold {{device}}, taken from the topic; "
            "otherwise one device could speak for another"
        )


def filter_of(topic: str) -> str:
    """The topic filter that a subscription takes."""
    return topic.replace("{device}", "+")


def device_of(pattern: str, topic: str) -> str | None:
    """Which device speaks on `topic`; None when it does not fit the pattern or is no good name."""
    wanted, found = pattern.split("/"), topic.split("/")
    if len(wanted) != len(found):
        return None
    device = None
    for one, other in zip(wanted, found, strict=True):
        if one == "{device}":
            device = other
        elif one != other:
            return None
    return device if device is not None and DEVICE.match(device) else None
