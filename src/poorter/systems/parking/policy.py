# SPDX-License-Identifier: EUPL-1.2
"""What parking may do, as data: goal, purpose, datasets, mandates, safety table."""

from __future__ import annotations

from poorter.city.query import And, Compare, Path
from poorter.city.text import Text
from poorter.decide.mandate import Bounds, Mandate, Measure
from poorter.decide.safety import Rule
from poorter.gate.genesis import OPEN, STAFF
from poorter.gate.policy import Dataset, Goal, Purpose, Target
from poorter.systems.parking.model import COUNT, FORECAST, PLACE, RESERVATION
from poorter.systems.shape import Ask

OFFICE = "Mobiliteit"
PURPOSE = "parking-guidance"
SIGNS = ("free", "few", "full", "closed")

GOAL = Goal(
    "less-searching",
    Text("Minder zoeken naar een parkeerplaats", "Less searching for a place to park"),
    Text(
        "Wie met de auto komt, en wie langs de zoekroute woont",
        "Who comes by car, and who lives along the way they search",
    ),
    targets=(
        Target(
            "full-on-arrival",
            Text("Kans op een volle plek bij aankomst", "Chance of a full place on arrival"),
            Text("procent", "percent"),
            baseline=18.0,
            target=9.0,
            by="2027-12-31",
        ),
    ),
)
PURPOSES = (
    Purpose(
        PURPOSE,
        GOAL.id,
        Text("Naar een vrije plek wijzen", "Show the way to a free place"),
        "AVG 6(1)(e), Gemeentewet 225 en 149",
        OFFICE,
        retention_days=60,
    ),
)
DATASETS = (
    Dataset(
        "parking-reservations",
        Text(
            "Reserveringen: een plek, een tijd, een code", "Reservations: a place, a time, a code"
        ),
        "mobility",
        "internal",
        OFFICE,
        {RESERVATION: (), "record:hold": ()},
        retention_days=1,
    ),
    Dataset(
        "parking-forecasts",
        Text("Verwachte vrije plekken", "Expected free places"),
        "open",
        "open",
        OFFICE,
        {FORECAST: ()},
        retention_days=60,
    ),
)
ASKS = (
    Ask(PURPOSE, "context", ("read", "command")),
    Ask(PURPOSE, "parking-reservations", ("read", "write")),
    Ask(PURPOSE, "parking-forecasts", ("read", "write")),
    Ask(PURPOSE, "crowd-forecasts", ("read",)),  # where a city has them
    Ask(OPEN, "parking-forecasts", ("read",), "public"),
    Ask(STAFF, "parking-forecasts", ("read",), "staff"),
)

SIGN_MANDATE = Mandate(
    "parking-signs",
    Text("Borden met vrije plekken", "Signs with free places"),
    OFFICE,
    "operator",
    "system:parking",
    PURPOSE,
    PLACE,
    "signText",
    Bounds(choices=SIGNS, rest_s=60),
    Measure(COUNT, 15 * 60),
    mode="automatic",
)
GATE_MANDATE = Mandate(
    "parking-overflow",
    Text("Overloopterrein open of dicht", "Overflow ground open or closed"),
    OFFICE,
    "operator",
    "system:parking",
    PURPOSE,
    PLACE,
    "overflowGate",
    Bounds(choices=("open", "closed")),
    Measure(COUNT, 30 * 60),
)
MANDATES = (SIGN_MANDATE, GATE_MANDATE)

SAFETY = (
    Rule(
        "parking-closed-stays-closed",
        PLACE,
        And(
            (
                Compare(Path("status"), "==", ("closed",)),
                Compare(Path("signText"), "==", ("free", "few")),
            )
        ),
        Text("Een gesloten garage nodigt niemand uit", "A closed garage invites nobody in"),
    ),
    Rule(
        "parking-full-is-not-free",
        PLACE,
        And(
            (
                Compare(Path(COUNT), "==", (0,)),
                Compare(Path("signText"), "==", ("free",)),
            )
        ),
        Text("Een volle garage heet niet vrij", "A full garage is not called free"),
    ),
    Rule(
        "parking-flooded-ground",
        PLACE,
        And(
            (
                Compare(Path("overflowGate"), "==", ("open",)),
                Compare(Path("floodRisk"), "==", (True,)),
            )
        ),
        Text("Een terrein dat kan overstromen blijft dicht", "Ground that may flood stays closed"),
    ),
)
