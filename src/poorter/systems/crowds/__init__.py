# SPDX-License-Identifier: EUPL-1.2
"""Crowds: how busy it is, how busy it will be, and where it is quiet.

For whoever goes out, and for who keeps the streets safe. Counts only: it must never follow a
person, and its counters can't.
"""

from __future__ import annotations

from poorter.city.text import Text
from poorter.systems.crowds import policy, views, work
from poorter.systems.crowds.model import COUNT, COUNTER
from poorter.systems.shape import Feed, Field, Indicator, Job, Operation, System

SYSTEM = System(
    name="crowds",
    version="1",
    title=Text("Drukte", "Crowds"),
    question=Text(
        "Hoe druk is het nu en straks, en waar is het rustig?",
        "How busy is it now and later, and where is it quiet?",
    ),
    never=Text(
        "Nooit iemand herkennen of volgen: alleen aantallen.",
        "Never recognise or follow anybody: counts only.",
    ),
    office=policy.OFFICE,
    goals=(policy.GOAL,),
    purposes=policy.PURPOSES,
    datasets=policy.DATASETS,
    asks=policy.ASKS,
    feeds=(
        Feed(
            "people",
            Text("Tellingen van voetgangers", "Counts of pedestrians"),
            COUNTER,
            COUNT,
            old_after_s=7200,
            silent_after_s=21600,
        ),
    ),
    operations=(
        Operation("now", "ask", Text("Hoe druk is het", "How busy is it"), (), views.now),
        Operation(
            "quiet",
            "ask",
            Text("Waar is het rustig", "Where is it quiet"),
            (Field("near", "place", Text("In de buurt van", "Near"), required=False),),
            views.quiet,
        ),
    ),
    jobs=(Job("forecasts", 300, work.make_forecasts),),
    indicators=(
        Indicator(
            policy.GOAL.id,
            "busy-streets",
            Text("Straten drukker dan gewoonlijk", "Streets busier than usual"),
            Text("procent", "percent"),
            work.busy_streets,
        ),
    ),
    incidents=work.incidents,
)
