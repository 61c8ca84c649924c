# SPDX-License-Identifier: EUPL-1.2
"""Parking: to the free place that costs the traveller least, reserved if wished.

For whoever comes by car, and for who lives along the way they search. It must never promise one
unit twice, never guess where it can't count, and never know who parked where: a reservation is a
place, a time and a code.
"""

from __future__ import annotations

from poorter.city.text import Text
from poorter.systems.parking import actions, learning, policy, views, work
from poorter.systems.parking.model import COUNT, PLACE
from poorter.systems.shape import Feed, Field, Indicator, Job, Operation, Setting, System

_TOKEN = Field("token", "text", Text("Uw code", "Your code"))
_BADGE = Field(
    "badge", "flag", Text("Gehandicaptenkaart", "Blue badge"), required=False, default=False
)
_PLACE = Field("place", "uri", Text("Parkeerplaats", "Parking place"))
_ARRIVAL = Field("arrival", "moment", Text("Aankomst", "Arrival"), required=False)

OPERATIONS = (
    Operation(
        "find",
        "ask",
        Text("Vind een plek", "Find a place"),
        (
            Field("destination", "place", Text("Waar moet u zijn", "Where you must be")),
            Field("origin", "place", Text("Waar komt u vandaan", "Where you come from"), False),
            _ARRIVAL,
            Field(
                "stay_minutes",
                "integer",
                Text("Hoe lang blijft u, in minuten", "How long you stay, in minutes"),
                required=False,
                minimum=1,
                maximum=10080,
                default=120,
            ),
            _BADGE,
        ),
        views.find,
    ),
    Operation("places", "ask", Text("Alle plekken nu", "All places now"), (), views.places),
    Operation("place", "ask", Text("Eén plek", "One place"), (_PLACE,), views.place),
    Operation(
        "reservation",
        "ask",
        Text("Hoe staat mijn reservering ervoor", "How my reservation stands"),
        (_TOKEN,),
        actions.reservation,
    ),
    Operation(
        "reserve",
        "act",
        Text("Reserveer een plek", "Reserve a place"),
        (_PLACE, _ARRIVAL, _BADGE),
        actions.reserve,
        actions.runs,
        per_visitor="reservations_per_visitor",
        per_key="reservations_per_key",
    ),
    Operation("cancel", "act", Text("Zeg af", "Cancel"), (_TOKEN,), actions.cancel, actions.runs),
    Operation(
        "extend",
        "act",
        Text("Ik ben later", "I am late"),
        (_TOKEN, Field("until", "moment", Text("Wacht tot", "Wait until"))),
        actions.extend,
        actions.runs,
    ),
    Operation(
        "arrive", "act", Text("Ik ben er", "I am there"), (_TOKEN,), actions.arrive, actions.runs
    ),
    Operation(
        "occupied",
        "act",
        Text("Er staat al iemand", "Somebody stands there"),
        (_TOKEN,),
        actions.occupied,
        actions.runs,
    ),
)

SYSTEM = System(
    name="parking",
    version="1",
    title=Text("Parkeren", "Parking"),
    question=Text(
        "Waar kan ik straks staan, dicht bij waar ik moet zijn?",
        "Where can I park when I get there, close to where I must be?",
    ),
    never=Text(
        "Nooit een plek twee keer beloven; nooit weten wie waar staat.",
        "Never promise a place twice; never know who stands where.",
    ),
    office=policy.OFFICE,
    goals=(policy.GOAL,),
    purposes=policy.PURPOSES,
    datasets=policy.DATASETS,
    asks=policy.ASKS,
    mandates=policy.MANDATES,
    safety=policy.SAFETY,
    feeds=(
        Feed(
            "counts",
            Text("Tellingen van parkeerplekken", "Counts of parking places"),
            PLACE,
            COUNT,
            old_after_s=1800,
            silent_after_s=7200,
        ),
    ),
    operations=OPERATIONS,
    jobs=(
        Job("forecasts", 120, work.make_forecasts),
        Job("learning", 3600, learning.learn_at_night),
        Job("signs", 10, work.advise_signs),
        Job("overflow", 60, work.advise_overflow),
        Job("reservations", 15, work.end_reservations),
    ),
    indicators=(
        Indicator(
            policy.GOAL.id,
            "full-on-arrival",
            Text("Kans op een volle plek bij aankomst", "Chance of a full place on arrival"),
            Text("procent", "percent"),
            work.full_on_arrival,
        ),
    ),
    incidents=work.incidents,
    settings=(
        Setting(
            learning.SETTING,
            "seasonal",
            Text(
                "Hoe vooruit gekeken wordt: seasonal, of elke nacht geleerd: boosted of numpy",
                "How to look ahead: seasonal, or learnt each night: boosted or numpy",
            ),
            learning.KINDS,
        ),
        Setting(
            "reservations_per_visitor",
            4,
            Text(
                "Hoeveel reserveringen één adres tegelijk mag hebben lopen, deze machine zelf "
                "uitgezonderd; 0: zonder grens",
                "How many reservations one address may have running at once, except this machine "
                "itself; 0: no limit",
            ),
        ),
        Setting(
            "reservations_per_key",
            200,
            Text(
                "Hetzelfde, voor een app met een sleutel, die voor velen reserveert",
                "The same, for an app with a key, which reserves for many",
            ),
        ),
    ),
)
