# SPDX-License-Identifier: EUPL-1.2
"""What a service may know of a resident: what its law requires, and not a thing more.

A service declares its needs once. Every login asks for those alone, and whatever else a login
brings along does not reach the service (`Known` has no way to it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from poorter.city.text import Text

#: levels of assurance by eIDAS (EU) 2015/1502, the lowest first
Assurance = Literal["low", "substantial", "high"]
LEVELS: tuple[Assurance, ...] = ("low", "substantial", "high")
#: "person": who it is, as a subject per wall; the others are answers yes or no
Need = Literal["person", "resident", "age_over_16", "age_over_18"]
NEEDS: Mapping[Need, Text] = {
    "person": Text("wie u bent", "who you are"),
    "resident": Text("dat u hier woont", "that you live here"),
    "age_over_16": Text("dat u 16 jaar of ouder bent", "that you are 16 or older"),
    "age_over_18": Text("dat u 18 jaar of ouder bent", "that you are 18 or older"),
}


@dataclass(frozen=True, slots=True)
class Service:
    """A service for residents. `law`: why it may ask what it `needs`; `walls`: in which walls it
    may know the person, "*" for all (only where somebody sees their own data)."""

    id: str
    title: Text
    law: str
    needs: frozenset[Need]
    assurance: Assurance = "low"
    walls: tuple[str, ...] = ()


MY_DATA = Service(
    "my-data",
    Text("Wie keek naar mijn gegevens", "Who looked at my data"),
    "AVG 15",
    frozenset(("person",)),
    walls=("*",),
)
CONSENTS = Service(
    "consents",
    Text("Mijn toestemmingen en bezwaren", "My consents and objections"),
    "AVG 7(3), 21",
    frozenset(("person",)),
    walls=("*",),
)
#: those of the platform itself; systems declare their own
SERVICES: tuple[Service, ...] = (MY_DATA, CONSENTS)
