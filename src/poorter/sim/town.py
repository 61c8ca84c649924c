# SPDX-License-Identifier: EUPL-1.2
"""Poorterstad as entities, and the votes of its council."""

from __future__ import annotations

from collections.abc import Iterator

from poorter.city.entity import Attribute, Entity
from poorter.city.text import Text
from poorter.gate.policy import Vote
from poorter.sim import plan
from poorter.sim.course import garage_urn, street_urn

VOTES = {
    "less-searching": Vote(
        "Gemeenteraad Poorterstad",
        "2026-09-15",
        21,
        12,
        (
            Text("Meer garages bouwen", "Build more garages"),
            Text("Betalen per gereden zoekminuut", "Pay by the minute of searching"),
        ),
        (
            Text(
                "Twaalf leden vrezen dat makkelijk parkeren meer auto's trekt.",
                "Twelve members fear that easy parking draws more cars.",
            ),
        ),
    ),
    "room-to-walk": Vote(
        "Gemeenteraad Poorterstad",
        "2026-09-15",
        33,
        0,
        (Text("Camera's met gezichtsherkenning", "Cameras that recognise faces"),),
        (),
    ),
}


def things() -> Iterator[Entity]:
    """All that stands still in town."""
    for garage in plan.GARAGES:
        attributes = [
            Attribute("name", garage.name),
            Attribute("location", plan.point(garage.east_m, garage.north_m), "GeoProperty"),
            Attribute("totalSpotNumber", garage.total),
            Attribute("disabledSpotNumber", garage.badge),
            Attribute("priceRatePerMinute", garage.euro_an_hour / 60),
            Attribute("status", "open"),
        ]
        if garage.rhythm == "overflow":
            attributes += [Attribute("category", "overflow"), Attribute("floodRisk", False)]
        yield Entity(garage_urn(garage), ("OffStreetParking",), tuple(attributes))
    for street in plan.STREETS:
        yield Entity(
            street_urn(street),
            ("CrowdFlowObserved",),
            (
                Attribute("name", street.name),
                Attribute("location", plan.point(street.east_m, street.north_m), "GeoProperty"),
            ),
        )
    for kind, found in (
        ("Neighbourhood", plan.neighbourhoods()),
        ("Road", plan.roads()),
        ("Water", plan.water()),
        ("Garden", plan.gardens()),
    ):
        for name, geometry in found:
            yield Entity(
                f"urn:ngsi-ld:{kind}:{name.lower().replace(' ', '-')}",
                (kind,),
                (Attribute("name", name), Attribute("location", geometry, "GeoProperty")),
            )
