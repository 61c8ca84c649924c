# SPDX-License-Identifier: EUPL-1.2
"""A founded city with a few invented people in a wall, and an app that may read about them."""

from collections.abc import Sequence

from tests.founded import OFFICERS

from poorter.city.entity import Attribute, Entity
from poorter.city.text import Text
from poorter.gate.gate import Gate
from poorter.gate.policy import Dataset, Grant, Processor, Purpose
from poorter.ledger.lines import SealedLine
from poorter.running import Running
from poorter.store.contract import Change, Create

WALL = "badges"
TYPE = "BlueBadge"
PURPOSE = Purpose(
    "check-badge",
    "run-the-platform",
    Text("Nagaan of een kaart geldig is", "See whether a badge is valid"),
    "AVG 6(1)(e)",
    "Vergunningen",
)
SECRET = Purpose(
    "investigate",
    "run-the-platform",
    Text("Onderzoek naar misbruik", "Investigate abuse"),
    "AVG 6(1)(e), 23",
    "Handhaving",
    delay_days=30,
)
DATASET = Dataset(
    "badges",
    Text("Gehandicaptenparkeerkaarten", "Blue badges"),
    WALL,
    "personal",
    "Vergunningen",
    {TYPE: ()},
    retention_days=365,
    about="holder",
)


def person(number: int) -> str:
    return f"urn:ngsi-ld:Person:{number}"


def badge(number: int, holder: int) -> Entity:
    about = Attribute("holder", person(holder), "Relationship")
    return Entity(f"urn:ngsi-ld:{TYPE}:{number}", (TYPE,), (about, Attribute("valid", True)))


def grants(vital: bool = False) -> list[Grant]:
    return [
        Grant("b-r", "app", PURPOSE.id, "badges", ("read",), OFFICERS, vital=vital),
        Grant("b-w", "app", PURPOSE.id, "badges", ("write",), OFFICERS),
        Grant("s-r", "app", SECRET.id, "badges", ("read",), OFFICERS),
    ]


async def with_people(running: Running, holders: Sequence[int], vital: bool = False) -> None:
    """Badge n is held by holders[n]; nobody has read any of it yet."""
    app = Processor("app", Text("Kaartcontrole", "Badge check"), "Poorterstad")
    await running.registry.put([PURPOSE, SECRET, DATASET, app, *grants(vital)], "ada", "a test")
    write = running.gate.permit("app", PURPOSE.id, "write")
    ops = tuple(Create(badge(n, holder)) for n, holder in enumerate(holders))
    await running.store.commit_async(write, Change(ops))


def name_of(running: Running, number: int) -> bytes:
    """What the ledger's store calls a person."""
    return running.recorder.keys.name(WALL, running.subject_of(person(number), WALL))[1]


def sealed(gate: Gate, number: int) -> SealedLine:
    """A line of somebody, for tests that look at places only."""
    return SealedLine(number.to_bytes(16, "big"), bytes(32), b"")
