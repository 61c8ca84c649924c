# SPDX-License-Identifier: EUPL-1.2
"""Invented residents of Poorterstad, with citizen numbers of the range kept free for tests."""

from __future__ import annotations

from dataclasses import dataclass

from poorter.identity.paper import spelled
from poorter.identity.passwords import NO_PASSWORD
from poorter.identity.persons import BSN
from poorter.identity.services import NEEDS, Need
from poorter.identity.sessions import Officer
from poorter.offices.desk import issue_code
from poorter.offices.people import officers
from poorter.offices.record import write
from poorter.running import Running
from poorter.store.contract import PutRecord


@dataclass(frozen=True, slots=True)
class Resident:
    """Somebody who is not there. `age` in years."""

    name: str
    number: str
    age: int


RESIDENTS = (
    Resident("Fenna de Wit", "999990019", 71),
    Resident("Youssef Amrani", "999990020", 34),
    Resident("Lotte Smit", "999990032", 15),
)


#: staff who log in at the example issuer, and the role that the city gives them
APPOINTED = {"roos": "operator", "bram": "desk"}


async def appoint(running: Running) -> None:
    """The staff of the example issuer, into office. A second time changes nothing."""
    known = {officer.name for officer in officers(running)}
    for login, role in APPOINTED.items():
        if login not in known:
            kept = Officer(login, "Publieksdienst", (role,), NO_PASSWORD, "staff", login)
            record = PutRecord("officer", login, kept.to_doc())
            await write(running, "example city", f"officer {login}", "set", record)


def subject_of(running: Running, resident: Resident, wall: str) -> str:
    """What the resident is called in a wall."""
    return running.persons.subject(running.persons.root(BSN, resident.number), wall)


async def hand_out(running: Running, by: str) -> list[tuple[Resident, str]]:
    """A code from the desk for each of them, as printed."""
    found = []
    for resident in RESIDENTS:
        says = [need for need in NEEDS if _holds(resident, need)]
        issued = await issue_code(running, resident.number, says, "passport", by)
        found.append((resident, spelled(issued.code)))
    return found


def _holds(resident: Resident, need: Need) -> bool:
    least = {"age_over_16": 16, "age_over_18": 18}.get(need, 0)
    return resident.age >= least
