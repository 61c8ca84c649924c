# SPDX-License-Identifier: EUPL-1.2
"""Uplinks of The Things Stack, as its MQTT integration sends them, by the map that ships."""

import json

from poorter.city.time import parse_us
from poorter.connections.model import device_of, filter_of
from poorter.connections.payload import json_rows
from poorter.load.mapping import read_map
from poorter.load.rows import Taken, make_taker

TOPIC = "v3/air@city/devices/{device}/up"
RECEIVED = "2026-11-25T06:00:00.123456789Z"


def uplink(device: str, **decoded: object) -> bytes:
    message = {
        "end_device_ids": {
            "device_id": device,
            "application_ids": {"application_id": "air"},
            "dev_eui": "0004A30B001C0530",
        },
        "correlation_ids": ["gs:uplink:01"],
        "received_at": "2026-11-25T06:00:00.323456789Z",
        "uplink_message": {
            "f_port": 2,
            "f_cnt": 71,
            "frm_payload": "AWc=",
            "decoded_payload": decoded,
            "rx_metadata": [{"gateway_ids": {"gateway_id": "roof"}, "rssi": -90, "snr": 7.5}],
            "settings": {"data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 7}}},
            "received_at": RECEIVED,
        },
    }
    return json.dumps(message).encode()


def taken(payload: bytes, device: str) -> Taken:
    """As `connections/devices.py` does it: the device comes from the topic."""
    (row,) = json_rows(payload)
    take = make_taker(read_map("things_stack_air"), lambda: parse_us("2026-11-25T07:00:00Z"))
    return take(1, row | {"device": device})


def test_an_uplink_is_readings_of_the_device_of_its_topic() -> None:
    topic = "v3/air@city/devices/bench-12/up"
    assert filter_of(TOPIC) == "v3/air@city/devices/+/up"
    device = device_of(TOPIC, topic)
    assert device == "bench-12"
    found = taken(uplink("somebody-else", temperature=7.5, humidity=81, pm2_5=4), device)
    assert {(r.urn, r.name, r.value, r.unit_code) for r in found.readings} == {
        ("urn:ngsi-ld:AirQualityObserved:bench-12", "temperature", 7.5, "CEL"),
        ("urn:ngsi-ld:AirQualityObserved:bench-12", "relativeHumidity", 81, "P1"),
        ("urn:ngsi-ld:AirQualityObserved:bench-12", "pm25", 4, "GQ"),
    }
    assert {r.observed_at_us for r in found.readings} == {parse_us("2026-11-25T06:00:00.123456Z")}


def test_what_was_not_decoded_is_missing_and_never_zero() -> None:
    found = taken(uplink("a", temperature=None), "a")
    assert (found.readings, found.missing, found.rejects) == ([], 3, [])
    found = taken(uplink("a", temperature=300.0, humidity="wet"), "a")
    assert found.readings == []
    assert [reject.reason for reject in found.rejects] == ["over the maximum of 60", "not a number"]


def test_other_messages_of_the_integration_are_no_readings() -> None:
    joined = {"end_device_ids": {"device_id": "a"}, "join_accept": {"session_key_id": "AX"}}
    found = taken(json.dumps(joined).encode(), "a")
    assert found.readings == []
    assert "received_at" in found.rejects[0].reason
