# SPDX-License-Identifier: EUPL-1.2
"""Who looked at my data, in words: the lines about one person with purpose, processor and office
as they were when the data was used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poorter.city.errors import CityError
from poorter.city.text import Text
from poorter.gate import bundle as bundles
from poorter.gate.genesis import RUN
from poorter.gate.policy import Policy, Purpose
from poorter.identity.persons import CITY_HALL
from poorter.running import Running
from poorter.store.insight import SeenLine
from poorter.store.recording import NOTICE, activity_version

#: lines of one wall on a page; all of them are in the file to take home
SHOWN_MAX = 200
VERSIONS_MAX = 1000
_UNKNOWN = Text("niet meer bekend", "not known any more")


@dataclass(frozen=True, slots=True)
class Look:
    """One use in words. `purpose`: the id to object to."""

    line: SeenLine
    why: Text
    basis: str
    who: Text
    organisation: str
    office: str
    what: Text
    purpose: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person is told without asking. "vital": used while the ledger could not write;
    "opened", "translated": two people did that, and said `why`."""

    at_us: int
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class Looked:
    """Everything about one person: looks, the newest first; dates on which lines that are kept
    from them unlock, with how many; how many there are in all; notices."""

    looks: tuple[Look, ...]
    locked: tuple[tuple[str, int], ...]
    erased: int
    number: int
    notices: tuple[Notice, ...]


def walls_of(policy: Policy) -> tuple[str, ...]:
    """The walls in which somebody may be known, and the city hall, where logins are kept."""
    walls = {dataset.wall for dataset in policy.datasets.values() if dataset.personal}
    return tuple(sorted(walls | {CITY_HALL}))


def subjects_of(running: Running, subject: Callable[[str], str]) -> list[tuple[str, str]]:
    """(wall, subject) of a person in every wall; `subject` tells what a wall calls them."""
    return [(wall, subject(wall)) for wall in walls_of(running.gate.policy)]


def looked(running: Running, subjects: list[tuple[str, str]]) -> Looked:
    """The lines about a person, in words."""
    policy = running.gate.policy
    looks: list[Look] = []
    locked: dict[str, int] = {}
    erased = number = 0
    notices: list[Notice] = []
    for wall, subject in subjects:
        total = running.insight.number(wall, subject)
        number += total
        after = max(0, total - SHOWN_MAX)
        for line in running.insight.lines(wall, subject, after, SHOWN_MAX):
            if line.until:
                locked[line.until] = locked.get(line.until, 0) + 1
            elif line.doc is None:
                erased += 1
            else:
                looks.append(_look(running, policy, line))
        notices += _notices(running, wall, subject)
    looks.sort(key=lambda one: -one.line.index)
    return Looked(tuple(looks), tuple(sorted(locked.items())), erased, number, tuple(notices))


def _look(running: Running, policy: Policy, line: SeenLine) -> Look:
    purpose_id, version = line.purpose
    purpose = purpose_at(running, purpose_id, version)
    processor = policy.processors.get(line.resource("service.name"))
    dataset = policy.datasets.get(line.resource("poorter.dataset"))
    return Look(
        line,
        _UNKNOWN if purpose is None else purpose.disclose or purpose.title,
        "" if purpose is None else purpose.legal_basis,
        _UNKNOWN if processor is None else processor.title,
        "" if processor is None else processor.organisation,
        "" if purpose is None else purpose.office,
        _UNKNOWN if dataset is None else dataset.title,
        purpose_id,
    )


def purpose_at(running: Running, purpose_id: str, version: str) -> Purpose | None:
    """The purpose as it read at that version: the policy of now, or an earlier one."""
    now = running.gate.policy.purposes.get(purpose_id)
    if now is not None and activity_version(now) == version:
        return now
    key = f"{purpose_id}@{version}"
    if key not in running.purposes_before:
        _read_before(running)
    return running.purposes_before.get(key)


def _read_before(running: Running) -> None:
    """All versions of all purposes out of the policies that were once in force."""
    permit = running.gate.permit("internal:policy", RUN, "read")
    for record in running.store.records(permit, "bundle", limit=VERSIONS_MAX):
        try:
            policy = bundles.policy_of(bundles.from_doc(record.doc))
        except CityError:
            continue  # what can't be read any more explains nothing
        for purpose in policy.purposes.values():
            running.purposes_before[f"{purpose.id}@{activity_version(purpose)}"] = purpose


def _notices(running: Running, wall: str, subject: str) -> list[Notice]:
    _, name = running.recorder.keys.name(wall, subject)
    permit = running.gate.permit("internal:uses", RUN, "read")
    records = running.store.records(permit, NOTICE, {"subject": name.hex()}, SHOWN_MAX)
    docs = [record.doc for record in records]
    return [Notice(doc["used_us"], doc["kind"], doc.get("why", "")) for doc in docs]
