# SPDX-License-Identifier: EUPL-1.2
"""National grids: a known point in RD New, and what is no grid."""

import pytest

from poorter.city.errors import Invalid
from poorter.load.grids import to_wgs84


def test_the_tower_that_rd_new_is_measured_from() -> None:
    tower = {"type": "Point", "coordinates": [155000, 463000]}
    longitude, latitude = to_wgs84(tower, "EPSG:28992")["coordinates"]
    assert longitude == pytest.approx(5.38720621, abs=2e-5)
    assert latitude == pytest.approx(52.15517440, abs=2e-5)


def test_shapes_keep_their_form_and_nonsense_is_refused() -> None:
    ring = [[[155000, 463000], [155100, 463000], [155100, 463100], [155000, 463000]]]
    moved = to_wgs84({"type": "Polygon", "coordinates": ring}, "EPSG:28992")
    assert [len(part) for part in moved["coordinates"]] == [4]
    for geometry, crs in (
        ({"type": "Point", "coordinates": [1, 2]}, "EPSG:nothing"),
        ({"type": "Point", "coordinates": "x"}, "EPSG:28992"),
        ("x", "EPSG:28992"),
    ):
        with pytest.raises(Invalid):
            to_wgs84(geometry, crs)
