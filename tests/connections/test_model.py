# SPDX-License-Identifier: EUPL-1.2
"""Files of connections, and payloads as rows: what fits, and what is refused in words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poorter.city.errors import Invalid
from poorter.connections.model import device_of, read_connections
from poorter.connections.payload import json_rows, senml_rows

MAP = """
title = "sensors"
[source]
format = "json"
[readings]
type = "AirQualityObserved"
id = "urn:ngsi-ld:AirQualityObserved:{device}"
time = "at"
[[readings.values]]
column = "t"
attribute = "temperature"
unit = "CEL"
minimum = -60
maximum = 60
"""
CONNECTION = """
title = { nl = "Sensoren", en = "Sensors" }
map = "sensors-map.toml"
[mqtt]
broker = "mqtt://127.0.0.1:1883"
topic = "d/{device}/up"
"""


def put(folder: Path, text: str, map_: str = MAP) -> Path:
    (folder / "connections").mkdir(exist_ok=True)
    (folder / "maps").mkdir(exist_ok=True)
    (folder / "maps" / "sensors-map.toml").write_text(map_)
    text = text.replace('map = "sensors', 'map = "../maps/sensors')
    (folder / "connections" / "sensors.toml").write_text(text)
    return folder


def test_a_connection_is_read(tmp_path: Path) -> None:
    (found,) = read_connections(put(tmp_path, CONNECTION))
    assert found.name == "sensors"
    assert found.mqtt is not None and found.mqtt.devices == "registered"
    assert found.limits.message_bytes == 16_384


@pytest.mark.parametrize(
    ("text", "map_", "says"),
    [
        (CONNECTION.replace("d/{device}/up", "d/+/up"), MAP, "{device}"),
        (CONNECTION.replace("d/{device}/up", "d/x{device}/up"), MAP, "whole level"),
        (CONNECTION + "colour = 3", MAP, "colour"),
        (CONNECTION, MAP.replace("{device}", "{id}"), "speak for another"),
        (CONNECTION.split("[mqtt]", maxsplit=1)[0], MAP, "one of the two"),
        ("title = 3", MAP, "sensors.toml"),
    ],
)
def test_a_wrong_connection_is_refused(tmp_path: Path, text: str, map_: str, says: str) -> None:
    with pytest.raises(Invalid) as wrong:
        read_connections(put(tmp_path, text, map_))
    assert says in wrong.value.detail


def test_the_device_is_one_level_of_the_topic() -> None:
    assert device_of("d/{device}/up", "d/a1/up") == "a1"
    for topic in ("d/a1/down", "d/a1/b/up", "d//up", "d/a b/up", "d/a:1/up", "x/a1/up", ""):
        assert device_of("d/{device}/up", topic) is None


def test_senml_as_the_rfc_has_it() -> None:
    # RFC 8428, 5.1.2: base name, base time, relative times
    pack = (
        b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076e+09,"bu":"A","bver":5,'
        b'"n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"v":1.2},'
        b'{"n":"current","t":-4,"v":1.3}]'
    )
    rows = senml_rows(pack, 0.0)
    assert rows == [
        {"time": 1276020076.0, "base": "urn:dev:ow:10e2073a0108006:", "voltage": 120.1},
        {"time": 1276020071.0, "base": "urn:dev:ow:10e2073a0108006:", "current": 1.2},
        {"time": 1276020072.0, "base": "urn:dev:ow:10e2073a0108006:", "current": 1.3},
    ]


def test_senml_relative_base_value_and_kinds() -> None:
    rows = senml_rows(b'[{"n":"t","bv":20,"v":1.5,"t":-10},{"n":"on","vb":false,"t":-10}]', 1e9)
    assert rows == [{"time": 1e9 - 10, "base": "", "t": 21.5, "on": False}]
    assert senml_rows(b'[{"n":"s","vs":"open","bt":1e9}]', 0)[0]["s"] == "open"


@pytest.mark.parametrize(
    "pack",
    [b"{}", b"[]", b"[1]", b'[{"n":"a","v":"x"}]', b'[{"n":"a","must_":1,"v":1}]', b"[", b"\xff"],
)
def test_senml_that_is_none(pack: bytes) -> None:
    with pytest.raises(Invalid):
        senml_rows(pack, 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_refused(raw: bytes) -> None:
    for read in (json_rows, lambda payload: senml_rows(payload, 0.0)):
        try:
            rows = read(raw)
        except Invalid:
            continue
        assert all(isinstance(row, dict) for row in rows)
