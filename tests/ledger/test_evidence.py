# SPDX-License-Identifier: EUPL-1.2
"""What a person takes home shows every line about them; each way to hide one shows at its leaf."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.founded import founded
from tests.people import PURPOSE, SECRET, WALL, person, with_people

from poorter.city.clock import ManualClock
from poorter.city.query import Query
from poorter.identity.keys import read_ring
from poorter.jobs import record_uses
from poorter.ledger.checkpoint import Checkpoint, verify_checkpoint
from poorter.ledger.evidence import Evidence, Shown, read_evidence, verify_evidence
from poorter.ledger.receipt import make_receipt
from poorter.running import Running

READS = 5


async def read_all(running: Running, purpose: str = PURPOSE.id) -> None:
    await running.city("app", purpose).entities(Query(types=("BlueBadge",)))


def subject(running: Running, number: int) -> str:
    return running.subject_of(person(number), WALL)


def evidence(running: Running, number: int) -> Evidence:
    return running.insight.evidence([(WALL, subject(running, number))], "quorum none")


def checking(running: Running) -> Callable[[bytes], Checkpoint]:
    keys = [e.public() for e in read_ring(running.config.paths_keys) if e.use == "ledger"]
    return lambda note: verify_checkpoint(note, keys, running.config.ledger_origin)


class Case:
    """The evidence of one person, of a city where several were looked at."""

    def __init__(self, folder: Path) -> None:
        asyncio.run(self._make(folder))

    async def _make(self, folder: Path) -> None:
        clock = ManualClock()
        async with founded(folder, clock) as running:
            await with_people(running, [1, 2, 1])
            for _ in range(READS - 1):
                await read_all(running)
            await read_all(running, SECRET.id)
            assert await running.insight.write_map() == "2026-01-01"
            assert await running.insight.write_map() is None, "once a day"
            await record_uses(running)
            self.check = checking(running)
            self.trust = running.trust_text()
            size, note = running.sequencer.note_over(0)
            permit = running.gate.permit("internal:ledger", "run", "read")
            first = running.store.leaves(permit, 0, 1)[0][1]
            self.receipt = make_receipt(first, 0, size, running.sequencer.node, note)
            self.evidence = evidence(running, 1)
            self.other = evidence(running, 2)
            self.nobody = evidence(running, 9)
            for _ in range(2):
                await read_all(running)
            await record_uses(running)
            self.later = evidence(running, 1)
            clock.forward_s(31 * 86_400)
            await record_uses(running)
            self.unlocked = evidence(running, 1)

    def verify(self, found: Evidence | None = None) -> Shown:
        data = msgspec.json.encode(found or self.evidence)
        return verify_evidence(read_evidence(data), self.check)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("evidence"))


def test_all_lines_are_shown_and_the_delayed_one_is_counted(case: Case) -> None:
    shown = case.verify()
    assert shown.wrong == []
    assert len(shown.opened) == READS - 1
    assert [until for _, until in shown.closed] == ["2026-01-31"]
    assert all(PURPOSE.id in str(doc) for _, doc in shown.opened)
    assert SECRET.id not in msgspec.json.encode(case.evidence).decode()
    assert any("the map says 5 lines" in line for line in shown.checked)
    assert len(case.evidence.subjects[0].outcomes) == READS - 1


def test_on_its_day_the_delayed_line_opens(case: Case) -> None:
    shown = case.verify(case.unlocked)
    assert shown.wrong == [] and shown.closed == []
    assert sum(SECRET.id in str(doc) for _, doc in shown.opened) == 1


def test_lines_after_the_newest_map_are_in_sequence_too(case: Case) -> None:
    shown = case.verify(case.later)
    assert shown.wrong == [] and len(shown.opened) == READS - 1 + 2


def test_who_was_never_looked_at_can_be_shown_so(case: Case) -> None:
    shown = case.verify(case.nobody)
    assert shown.wrong == [] and shown.opened == []
    assert any("the map says 0 lines" in line for line in shown.checked)


def changed(found: Evidence, work: Callable[[dict[str, Any]], None]) -> Evidence:
    doc = msgspec.to_builtins(found)
    work(doc)
    return msgspec.convert(doc, Evidence)


def lines(doc: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = doc["subjects"][0]["lines"]
    return found


@pytest.mark.parametrize("dropped", range(READS))
def test_a_dropped_line_shows_at_its_leaf(case: Case, dropped: int) -> None:
    index = case.evidence.subjects[0].lines[dropped].index
    less = changed(case.evidence, lambda doc: lines(doc).pop(dropped))
    wrong = case.verify(less).wrong
    if dropped == 0:
        assert case.verify(less).open_ends, "what comes before is said not to be there"
        assert lines(msgspec.to_builtins(less))[0]["prev"] == index
    else:
        assert index in [one.index for one in wrong]


def test_all_of_it_left_out_shows_by_the_map(case: Case) -> None:
    less = changed(case.evidence, lambda doc: lines(doc).clear())
    wrong = case.verify(less).wrong
    assert case.evidence.subjects[0].lines[-1].index in [one.index for one in wrong]


def flip(text: str) -> str:
    return ("B" if text[10] == "A" else "A").join((text[:10], text[11:]))


def renumber(doc: dict[str, Any]) -> None:
    """Drop a line and number the rest anew: the leaves hold the true numbers."""
    gone = lines(doc).pop(2)
    lines(doc)[2]["prev"] = gone["prev"]
    for line in lines(doc)[2:]:
        line["seq"] -= 1


ATTACKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "leaf": lambda doc: lines(doc)[1].update(leaf=flip(lines(doc)[1]["leaf"])),
    "proof": lambda doc: lines(doc)[1]["proof"].__setitem__(0, flip(lines(doc)[1]["proof"][0])),
    "salt": lambda doc: lines(doc)[1].update(salt=flip(lines(doc)[1]["salt"])),
    "line": lambda doc: lines(doc)[1].update(line=lines(doc)[1]["line"].replace("badge", "gadge")),
    "seq": lambda doc: lines(doc)[1].update(seq=7),
    "prev": lambda doc: lines(doc)[1].update(prev=0),
    "index": lambda doc: lines(doc)[1].update(index=lines(doc)[1]["index"] + 1),
    "swap": lambda doc: lines(doc).insert(1, lines(doc).pop(2)),
    "double": lambda doc: lines(doc).insert(1, lines(doc)[1]),
    "renumber": renumber,
    "map": lambda doc: doc["subjects"][0]["heads"][0].update(found=["00" * 32, 4, 1]),
    "siblings": lambda doc: doc["subjects"][0]["heads"][0].update(siblings=["A" * 43 + "="]),
    "outcome": lambda doc: doc["subjects"][0]["outcomes"][0].update(text='{"trace_id":"x"}'),
}


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_what_was_changed_is_named(case: Case, attack: str) -> None:
    found = case.verify(changed(case.evidence, ATTACKS[attack]))
    assert found.wrong
    subject = case.evidence.subjects[0]
    places = {line.index for line in subject.lines} | {o.index for o in subject.outcomes}
    places |= {head.index for head in subject.heads}
    assert {one.index for one in found.wrong} & (places | {subject.lines[1].index + 1})


def test_somebody_else_s_lines_are_not_mine(case: Case) -> None:
    def swap(doc: dict[str, Any]) -> None:
        doc["subjects"][0]["lines"] = msgspec.to_builtins(case.other)["subjects"][0]["lines"]

    wrong = case.verify(changed(case.evidence, swap)).wrong
    assert any("somebody else" in one.what for one in wrong)


def test_a_checkpoint_of_others_is_not_believed(case: Case) -> None:
    def unsign(doc: dict[str, Any]) -> None:
        doc["checkpoint"] = doc["checkpoint"].replace("\n\u2014", "\n\u2014", 1)[:-40] + "\n"

    (wrong,) = case.verify(changed(case.evidence, unsign)).wrong
    assert wrong.index is None and "checkpoint" in wrong.what
