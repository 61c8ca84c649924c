# SPDX-License-Identifier: EUPL-1.2
"""What crowds may do, as data."""

from __future__ import annotations

from poorter.city.text import Text
from poorter.gate.genesis import OPEN, STAFF
from poorter.gate.policy import Dataset, Goal, Purpose, Target
from poorter.systems.crowds.model import FORECAST
from poorter.systems.shape import Ask

OFFICE = "Openbare orde en evenementen"
PURPOSE = "crowd-information"

GOAL = Goal(
    "room-to-walk",
    Text("Ruimte om te lopen", "Room to walk"),
    Text("Bezoekers, bewoners en ondernemers", "Visitors, residents and shops"),
    targets=(
        Target(
            "busy-streets",
            Text("Straten drukker dan gewoonlijk", "Streets busier than usual"),
            Text("procent", "percent"),
            baseline=25.0,
            target=15.0,
            by="2027-12-31",
        ),
    ),
)
PURPOSES = (
    Purpose(
        PURPOSE,
        GOAL.id,
        Text("Vertellen hoe druk het is", "Tell how busy it is"),
        "Gemeentewet 172 en 174; alleen aantallen, geen persoonsgegevens",
        OFFICE,
        retention_days=60,
    ),
)
DATASETS = (
    Dataset(
        "crowd-forecasts",
        Text("Verwachte drukte", "Expected crowds"),
        "open",
        "open",
        OFFICE,
        {FORECAST: ()},
        retention_days=60,
    ),
)
ASKS = (
    Ask(PURPOSE, "context", ("read",)),
    Ask(PURPOSE, "crowd-forecasts", ("read", "write")),
    Ask(OPEN, "crowd-forecasts", ("read",), "public"),
    Ask(STAFF, "crowd-forecasts", ("read",), "staff"),
)
