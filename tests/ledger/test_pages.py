# SPDX-License-Identifier: EUPL-1.2
"""Lines of one answer share pages: each opens to its own, and those of before stay readable."""

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.founded import founded
from tests.ledger.test_evidence import checking
from tests.ledger.test_recording import in_city, lines, opened, reading
from tests.people import PURPOSE, WALL, name_of, person, with_people

from poorter.city.clock import ManualClock
from poorter.city.errors import NotFound
from poorter.gate.genesis import RUN
from poorter.ledger.evidence import verify_evidence
from poorter.ledger.leaf import decode_leaf
from poorter.ledger.lines import SealedLine, leaf_prefix, read_line
from poorter.ledger.sealing import PAGE_LINES, month_of, store_name
from poorter.running import Running
from poorter.store.contract import AppendLines, Change

pytestmark = pytest.mark.usefixtures("engine")
SUBJECT = "dpl.core.data_subject_id"


async def record(running: Running, numbers: range) -> None:
    permit = running.gate.permit("app", PURPOSE.id, "read")
    people = [("badges", WALL, running.subject_of(person(n), WALL)) for n in numbers]
    await running.recorder.record(permit, people)


def test_each_line_opens_to_its_own_person(tmp_path: Path) -> None:
    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1])
        people = range(PAGE_LINES * 2 + 5)
        await record(running, people)
        await record(running, people)
        spans, weight = set(), 0
        for number in people:
            found = lines(running, number)
            assert [line.kept.seq for line in found] == [1, 2]
            for line in found:
                doc = opened(running, line)
                assert store_name(doc["attributes"][SUBJECT]) == name_of(running, number)
                assert running.store.line_at(reading(running), line.index) == line
                spans.add(doc["span_id"])
                weight += len(running.store.leaf_payload(reading(running), line.index))
        assert len(spans) == 2 * len(people)
        assert weight / len(spans) < 200, "one that is kept alone takes over 600 bytes"

    in_city(tmp_path, body)


def test_lines_of_before_there_were_pages_stay_readable(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await with_people(running, [1])
            await record(running, range(1, 2))
            (new,) = lines(running, 1)
            salt, text = running.recorder.keys.open(new.kept)
            month = month_of(clock.now_us())
            cipher = running.recorder.keys._cipher(month, make=False)
            alone = month.to_bytes(2, "big") + bytes(12)
            alone += cipher.encrypt(bytes(12), salt + text, None)
            old = SealedLine(name_of(running, 1), new.kept.inner, alone)
            leaf = msgspec.structs.replace(decode_leaf(new.leaf), commitment=b"")
            own = running.gate.permit("internal:uses", RUN, "administer")
            change = Change((AppendLines(leaf_prefix(leaf), bytes(16), [old]),))
            await running.store.commit_async(own, change)
            assert [opened(running, line) for line in lines(running, 1)] == [read_line(text)] * 2
            running.sequencer.step()
            subject = running.subject_of(person(1), WALL)
            evidence = running.insight.evidence([(WALL, subject)], "quorum none")
            shown = verify_evidence(evidence, checking(running))
            assert not shown.wrong and len(shown.opened) == 2

    asyncio.run(run())


def test_a_line_without_its_page_can_t_be_read(tmp_path: Path) -> None:
    """A mirror brings back leaves without what lay beside them; and no place opens to another."""

    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1])
        await record(running, range(1, 4))
        second = max((lines(running, n)[0] for n in (1, 2)), key=lambda line: line.index).kept
        assert second.place == 1
        for damaged in (
            replace(second, sealed=b""),
            replace(second, sealed=second.sealed[:-1]),
            replace(second, place=0),
            replace(second, place=2),
            replace(second, place=PAGE_LINES),
        ):
            with pytest.raises(NotFound):
                running.recorder.keys.open(damaged)

    in_city(tmp_path, body)
