# SPDX-License-Identifier: EUPL-1.2
"""The first policy of a city: what lets it run at all, and open data for the public.

Background work has grants like everybody else. The goal they serve is the duty to run the
platform accountably; the council's own goals come on top, one vote each.
"""

from __future__ import annotations

from poorter.city.text import Text
from poorter.gate.permit import Action
from poorter.gate.policy import (
    Dataset,
    Goal,
    Grant,
    Policy,
    Processor,
    Purpose,
    Vote,
    with_parts,
)

RUN_GOAL = "run-the-platform"
RUN = "run"
OPEN = "open-data"
STAFF = "control-room"
INSPECT = "inspect-ledger"
LOGIN = "log-in"
HISTORY = "internal:history"

#: processor of background work, its datasets and actions
INTERNAL: tuple[tuple[str, tuple[str, ...], tuple[Action, ...]], ...] = (
    ("internal:ledger", ("ledger",), ("read",)),
    ("internal:policy", ("policy",), ("read", "administer")),
    ("internal:identity", ("identity", "residents", "letters"), ("read", "administer")),
    ("internal:rights", ("rights",), ("read", "administer")),
    ("internal:release", ("context",), ("write",)),
    ("internal:decide", ("decisions", "policy"), ("read", "decide")),
    ("internal:uses", ("ledger", "answers"), ("read", "administer")),
    ("internal:load", ("context", "loads"), ("read", "write")),
    ("internal:goals", ("context",), ("read", "write")),
    ("internal:ngsi-ld", ("ngsi-ld",), ("read", "administer")),
    ("internal:publish", ("decisions", "policy", "ledger"), ("read",)),
    ("internal:backup", ("everything",), ("read",)),
    (HISTORY, ("context",), ("read", "administer")),
)

#: entity types of the open city; personal data never goes under these
CITY_TYPES = (
    "OffStreetParking",
    "ParkingSpot",
    "ParkingGroup",
    "CrowdFlowObserved",
    "TrafficFlowObserved",
    "AirQualityObserved",
    "WeatherObserved",
    "Neighbourhood",
    "Garden",
    "City",
    "Road",
    "Water",
    "KeyPerformanceIndicator",
    "ReleasedFigure",
    "Device",
    "BikeHireDockingStation",
    "GtfsStop",
    "GtfsRoute",
    "GtfsTrip",
    "Vehicle",
)

_DATASETS = (
    Dataset(
        "context",
        Text("De toestand van de stad", "The state of the city"),
        "open",
        "open",
        "Informatievoorziening",
        dict.fromkeys(CITY_TYPES, ()),
        commands=("signText", "overflowGate"),
    ),
    Dataset(
        "ledger",
        Text("Het logboek", "The ledger"),
        "city-hall",
        "internal",
        "Informatievoorziening",
        {"record:leaf": (), "record:notice": ()},
    ),
    Dataset(
        "policy",
        Text("Doelen en grondslagen", "Goals and grounds"),
        "open",
        "open",
        "Griffie",
        {"record:bundle": ()},
    ),
    Dataset(
        "identity",
        Text("Sleutels en sessies van medewerkers", "Keys and staff sessions"),
        "city-hall",
        "personal",
        "Informatievoorziening",
        {
            f"record:{kind}": ()
            for kind in (
                *("officer", "invitation", "session", "credential", "draft", "device"),
                "inspection",
            )
        },
        retention_days=400,
    ),
    Dataset(
        "residents",
        Text("Inloggen van inwoners", "Logins of residents"),
        "city-hall",
        "personal",
        "Publieksdienst",
        {f"record:{kind}": () for kind in ("desk-code", "resident-session", "login-try")},
        retention_days=1,
    ),
    Dataset(
        "letters",
        Text("Wat de stad verstuurde, zonder aan wie", "What the city sent, without to whom"),
        "city-hall",
        "internal",
        "Publieksdienst",
        {"record:letter": ()},
    ),
    Dataset(
        "rights",
        Text("Toestemmingen, bezwaren en wissingen", "Consents, objections and erasures"),
        "city-hall",
        "personal",
        "Informatievoorziening",
        {
            f"record:{kind}": ()
            for kind in (
                "consent",
                "guardian",
                "erasure",
                "erasure-request",
                "legal-hold",
                "opening",
                "translation",
                "lattice",
                "release",
                "notice",
            )
        },
        retention_days=3650,
    ),
    Dataset(
        "decisions",
        Text("Adviezen, besluiten en bezwaren", "Advice, decisions and objections"),
        "city-hall",
        "internal",
        "Griffie",
        {
            f"record:{kind}": ()
            for kind in ("advice", "decision", "mandate", "outcome", "objection", "indicator")
        },
    ),
    Dataset(
        "loads",
        Text("Hoever een bestand geladen is", "How far a file is loaded"),
        "city-hall",
        "internal",
        "Informatievoorziening",
        {"record:load": ()},
    ),
    Dataset(
        "ngsi-ld",
        Text("Abonnementen, bronnen en contexten van apps", "What apps subscribed and registered"),
        "city-hall",
        "internal",
        "Informatievoorziening",
        {
            f"record:{kind}": ()
            for kind in (
                "jsonld-context",
                "subscription",
                "registration",
                "registration-subscription",
                "placed-subscription",
                "dead-letter",
            )
        },
    ),
    Dataset(
        "sources",
        Text("Welke bronnen er zijn", "Which sources there are"),
        "open",
        "open",
        "Informatievoorziening",
        {"record:registration": ()},
    ),
    Dataset(
        "answers",
        Text("Antwoorden bij een herhaalde vraag", "Answers to a repeated request"),
        "city-hall",
        "internal",
        "Informatievoorziening",
        {"record:replay": ()},
        retention_days=1,
    ),
    Dataset(
        "metrics",
        Text("Cijfers over het draaien van de stad", "Figures of how the city runs"),
        "city-hall",
        "internal",
        "Informatievoorziening",
        {"record:metrics": ()},
    ),
    Dataset(
        "everything",
        Text("Alles, voor de reservekopie", "Everything, for the backup"),
        "city-hall",
        "special",
        "Informatievoorziening",
        {"*": ()},
        retention_days=35,
    ),
)


def genesis(city_id: str, body: str, date: str, officers: tuple[str, str]) -> Policy:
    """Version 1. `officers` approve the first grants; `body` is who founds the city."""
    goal = Goal(
        RUN_GOAL,
        Text("De stad draait en legt verantwoording af", "The city runs and gives account"),
        Text("Iedereen in de stad", "Everybody in the city"),
        vote=Vote(body, date, 0, 0),
    )
    purposes = (
        Purpose(
            RUN,
            RUN_GOAL,
            Text("Het platform laten werken", "Keep the platform working"),
            "AVG 6(1)(e), Gemeentewet 160",
            "Informatievoorziening",
        ),
        Purpose(
            OPEN,
            RUN_GOAL,
            Text("Open gegevens voor iedereen", "Open data for everybody"),
            "Wet hergebruik van overheidsinformatie",
            "Informatievoorziening",
        ),
        Purpose(
            STAFF,
            RUN_GOAL,
            Text("De meldkamer", "The control room"),
            "AVG 6(1)(e), Gemeentewet 160",
            "Meldkamer",
        ),
        Purpose(
            INSPECT,
            RUN_GOAL,
            Text("Kijken wie gegevens gebruikte, bij een zaak", "See who used data, for a case"),
            "AVG 6(1)(e), 24, 32",
            "Functionaris gegevensbescherming",
        ),
        Purpose(
            LOGIN,
            RUN_GOAL,
            Text("Inwoners laten inloggen", "Let residents log in"),
            "AVG 6(1)(e), Wet digitale overheid 7",
            "Publieksdienst",
        ),
    )
    processors = (
        Processor("public", Text("Iedereen", "Everybody"), "-"),
        Processor("staff", Text("Medewerkers", "Staff"), city_id),
        *(
            Processor(name, Text("Het platform zelf", "The platform"), city_id)
            for name, _, _ in INTERNAL
        ),
    )
    grants = [
        Grant("public-open", "public", OPEN, "context", ("read",), officers),
        Grant("staff-context", "staff", STAFF, "context", ("read",), officers),
        Grant(
            "identity-log-in", "internal:identity", LOGIN, "residents", ("administer",), officers
        ),
        Grant("staff-ledger", "staff", INSPECT, "ledger", ("read",), officers),
        Grant("staff-decisions", "staff", STAFF, "decisions", ("read",), officers),
    ]
    for name, datasets, actions in INTERNAL:
        for dataset in datasets:
            reads_only = dataset == "policy" and name != "internal:policy"
            allowed: tuple[Action, ...] = ("read",) if reads_only else actions
            grant_id = f"{name.split(':')[1]}-{dataset}"
            grants.append(Grant(grant_id, name, RUN, dataset, allowed, officers))
    return with_parts(Policy(), (goal, *purposes, *_DATASETS, *processors, *grants))
