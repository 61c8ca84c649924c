# SPDX-License-Identifier: EUPL-1.2
"""Moments, places and ids: round trips, and clear words for what is none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poorter.city.clock import CommittedClock, ManualClock
from poorter.city.errors import CityError, Invalid
from poorter.city.ids import check_name, check_uri, mint
from poorter.city.place import bounds, centre, check_geometry, distance_m
from poorter.city.time import format_us, parse_us

YEARS = st.integers(-60_000_000_000_000_000, 250_000_000_000_000_000)


@given(YEARS)
def test_a_moment_survives_its_text(at_us: int) -> None:
    assert parse_us(format_us(at_us)) == at_us


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-11-23T12:00:00Z", 1_795_435_200_000_000),
        ("2026-11-23T13:00:00+01:00", 1_795_435_200_000_000),
        ("2026-11-23T12:00:00.000001Z", 1_795_435_200_000_001),
    ],
)
def test_zones_and_fractions_count(text: str, us: int) -> None:
    assert parse_us(text) == us


@given(st.text(max_size=50))
def test_any_text_is_a_moment_or_a_clear_refusal(text: str) -> None:
    try:
        parse_us(text)
    except Invalid as refused:
        assert refused.detail


@pytest.mark.parametrize("text", ["2026-11-23T12:00:00", "2026-11-23", "now", "", "T", "9" * 50])
def test_a_moment_without_zone_or_sense_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_us(text)


def test_zero_zero_is_no_place() -> None:
    with pytest.raises(Invalid, match="missing"):
        check_geometry({"type": "Point", "coordinates": [0, 0]})


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"type": "Point"},
        {"type": "Point", "coordinates": [181, 0]},
        {"type": "Point", "coordinates": [5, math.nan]},
        {"type": "Point", "coordinates": [5, True]},
        {"type": "Point", "coordinates": ["5", "52"]},
        {"type": "Point", "coordinates": [[5, 52]]},
        {"type": "LineString", "coordinates": [[5, 52]]},
        {"type": "Polygon", "coordinates": [[[5, 52], [6, 52], [6, 53], [5, 53]]]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Circle", "coordinates": [5, 52]},
    ],
)
def test_what_is_no_geometry_is_refused_with_a_reason(value: object) -> None:
    with pytest.raises(Invalid) as refused:
        check_geometry(value)
    assert len(refused.value.detail) > 10


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
)


@given(st.sampled_from(["Point", "Polygon", "MultiPolygon", "LineString"]), JSON)
def test_any_json_as_coordinates_is_taken_or_refused(kind: str, coordinates: object) -> None:
    try:
        geometry = check_geometry({"type": kind, "coordinates": coordinates})
    except CityError:
        return
    west, south, east, north = bounds(geometry)
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90


def test_distances_are_metres() -> None:
    amersfoort, apeldoorn = (5.3878, 52.1561), (5.9699, 52.2112)
    assert 39_000 < distance_m(amersfoort, apeldoorn) < 41_000
    assert centre({"type": "LineString", "coordinates": [[4, 50], [6, 52]]}) == (5, 51)


def test_ids_are_uris_and_names_are_terms() -> None:
    assert check_uri("urn:ngsi-ld:Parking:1") == "urn:ngsi-ld:Parking:1"
    for bad in ("no-scheme", "urn:a b", "urn:<x>", "urn:", 7, None, "urn:" + "x" * 600):
        with pytest.raises(Invalid):
            check_uri(bad)
    assert check_name("availableSpotNumber")
    assert check_name("https://example.org/terms#a")
    for bad in ("", "1a", "a b", "a" * 300, None):
        with pytest.raises(Invalid):
            check_name(bad)


def test_minted_ids_differ_and_read_aloud_well() -> None:
    ids = {mint("r-") for _ in range(1000)}
    assert len(ids) == 1000
    assert not set("".join(ids)[2:]) & set("ilou")


def test_a_clock_set_back_revives_nothing() -> None:
    wall = ManualClock(1_000)
    clock = CommittedClock(wall)
    clock.committed(5_000)
    assert clock.now_us() == 5_000
    wall.set_us(9_000)
    assert clock.now_us() == 9_000
