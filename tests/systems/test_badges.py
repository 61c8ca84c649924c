# SPDX-License-Identifier: EUPL-1.2
"""The example city's blue badges: a resident sees the warden who looked theirs up, no more."""

import asyncio
import random
from pathlib import Path

from tests.founded import OFFICERS, founded

from poorter.city.clock import ManualClock
from poorter.jobs import record_uses
from poorter.offices.looked import looked, subjects_of
from poorter.sim.badges import BADGES, CHECK, HOLDERS, WARDEN, issue_badges, look_up
from poorter.sim.people import RESIDENTS, subject_of


def test_a_look_up_is_a_line_for_one_person(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await issue_badges(running, OFFICERS)
            await issue_badges(running, OFFICERS)
            dice, looks = random.Random(3), 40
            for _ in range(looks):
                await look_up(running, dice)
            await record_uses(running)
            permit = running.gate.permit("internal:ledger", "run", "read")
            heads = running.store.heads(permit).heads
            assert len(heads) == HOLDERS
            assert sum(seq for _, seq, _ in heads) == HOLDERS + looks, "each was issued once"
            resident = RESIDENTS[0]
            subjects = subjects_of(running, lambda wall: subject_of(running, resident, wall))
            found = looked(running, subjects)
            dice = random.Random(3)
            theirs = sum(dice.randint(1, HOLDERS) == 1 for _ in range(looks))
            assert found.number == 1 + theirs > 1
            whys = [look.why for look in found.looks]
            assert whys.count(CHECK.title) == theirs
            assert found.looks[0].who == WARDEN.title and found.looks[0].what == BADGES.title
            assert all(look.line.ended for look in found.looks)

    asyncio.run(run())
