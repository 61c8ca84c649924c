# SPDX-License-Identifier: EUPL-1.2
"""A few invented holders of a blue badge, and a desk that looks one up now and then, so that the
page "who looked at my data" has something true to show. Nobody in it exists."""

from __future__ import annotations

import random
from collections.abc import Iterator

from poorter.city.entity import Attribute, Entity
from poorter.city.query import Compare, Path, Query
from poorter.city.text import Text
from poorter.gate.genesis import RUN_GOAL
from poorter.gate.policy import Dataset, Grant, Part, Processor, Purpose
from poorter.running import Running
from poorter.sim.people import RESIDENTS

TYPE = "BlueBadge"
HOLDERS = 12
CHECK = Purpose(
    "check-blue-badge",
    RUN_GOAL,
    Text("Nagaan of een gehandicaptenparkeerkaart geldig is", "See whether a blue badge is valid"),
    "AVG 6(1)(e) en 9(2)(g), BABW 49",
    "Parkeerbeheer",
    assessment="DPIA 2026-04",
)
ISSUE = Purpose(
    "issue-blue-badge",
    RUN_GOAL,
    Text("Gehandicaptenparkeerkaarten uitgeven", "Issue blue badges"),
    "AVG 6(1)(e) en 9(2)(g), BABW 49",
    "Vergunningen",
    assessment="DPIA 2026-04",
)
BADGES = Dataset(
    "blue-badges",
    Text("Gehandicaptenparkeerkaarten", "Blue badges"),
    "permits",
    "special",
    "Vergunningen",
    {TYPE: ()},
    retention_days=5 * 365,
)
DESK = Processor("permit-desk", Text("Loket vergunningen", "Permit desk"), "Poorterstad")
WARDEN = Processor("parking-warden", Text("Parkeercontroleur", "Parking warden"), "Poorterstad")


def badges() -> Iterator[Entity]:
    """Two residents whom the demo lets in hold one; the other holders are nobody at all."""
    holders = [resident.number for resident in RESIDENTS[:2]]
    holders += [f"nobody-{number}" for number in range(HOLDERS - len(holders))]
    for number, holder in enumerate(holders, 1):
        yield Entity(
            f"urn:ngsi-ld:{TYPE}:{number}",
            (TYPE,),
            (
                Attribute("resident", holder),
                Attribute("number", badge_number(number)),
                Attribute("kind", "driver" if number % 3 else "passenger"),
                Attribute("validUntil", f"20{27 + number % 4}-0{1 + number % 9}-01"),
            ),
        )


def badge_number(number: int) -> str:
    """As printed on the badge."""
    return f"PB-{4000 + 7 * number}"


async def issue_badges(running: Running, officers: tuple[str, str]) -> None:
    """The policy and the badges, once."""
    if BADGES.id in running.gate.policy.datasets:
        return
    grants = [
        Grant("warden-badges", WARDEN.id, CHECK.id, BADGES.id, ("read",), officers),
        Grant("desk-badges", DESK.id, ISSUE.id, BADGES.id, ("read", "write"), officers),
    ]
    parts: list[Part] = [CHECK, ISSUE, BADGES, DESK, WARDEN, *grants]
    await running.registry.put(parts, officers[0], "blue badges")
    city = running.city(DESK.id, ISSUE.id)
    for badge in badges():
        await city.put(badge)


async def look_up(running: Running, dice: random.Random) -> None:
    """A warden stands at a car and asks whether its badge is valid: one line, for one person."""
    number = badge_number(dice.randint(1, HOLDERS))
    asked = Query(types=(TYPE,), condition=Compare(Path("number"), "==", (number,)))
    await running.city(WARDEN.id, CHECK.id).entities(asked)
