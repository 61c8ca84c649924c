# SPDX-License-Identifier: EUPL-1.2
"""Objections: an owner, a term, a code that only the objector has, and steps in order."""

import asyncio
from pathlib import Path

import pytest
from tests.decide.test_decisions import ready, records, sign
from tests.founded import founded

from poorter.city.clock import ManualClock
from poorter.city.errors import Conflict, Denied, Invalid, NotFound
from poorter.city.time import DAY_US
from poorter.decide.stamp import report


def test_an_objection_has_an_owner_a_term_and_an_answer(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await ready(running)
            await running.decisions.advise(sign("free"), "system:parking")
            (decision,) = records(running, "decision")
            filed = await running.objections.file("objection", str(decision["id"]), "It is full!")
            assert filed.office == "Mobiliteit"
            assert filed.answer_by_us == clock.now_us() + 42 * DAY_US
            (open_one,) = running.objections.open()
            assert filed.code not in str(open_one)
            with pytest.raises(Conflict):
                await running.objections.step(open_one.id, "upheld", "ada", "too quick")
            await running.objections.step(open_one.id, "in-review", "ada")
            (open_one,) = running.objections.open()
            with pytest.raises(Invalid):
                await running.objections.step(open_one.id, "rejected", "ada", " ")
            await running.objections.step(open_one.id, "upheld", "ada", "You were right.")
            found = running.objections.follow(filed.code.upper())
            assert (found.doc["state"], found.doc["answer"]) == ("upheld", "You were right.")
            assert running.objections.open() == []
            with pytest.raises(Conflict):
                await running.objections.withdraw(filed.code)

    asyncio.run(run())


def test_terms_unknown_things_and_wrong_codes(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await ready(running)
            await running.decisions.advise(sign("free"), "system:parking")
            (decision,) = records(running, "decision")
            clock.forward_s(42 * 86400)
            with pytest.raises(Conflict, match="term"):
                await running.objections.file("objection", str(decision["id"]), "late")
            await running.objections.file("complaint", str(decision["id"]), "late, still wrong")
            await running.objections.file("privacy", "parking-guidance", "not my data")
            with pytest.raises(NotFound):
                await running.objections.file("privacy", "no-such-thing", "x")
            with pytest.raises(NotFound):
                running.objections.follow("0000")
            with pytest.raises(Invalid):
                await running.objections.file("objection", str(decision["id"]), " ")

    asyncio.run(run())


def test_only_the_objector_withdraws(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            filed = await running.objections.file("privacy", "parking", "no")
            (one,) = running.objections.open()
            with pytest.raises(Denied):
                await running.objections.step(one.id, "withdrawn", "ada")
            await running.objections.withdraw(filed.code)
            assert running.objections.follow(filed.code).doc["state"] == "withdrawn"

    asyncio.run(run())


def test_rubber_stamping_is_of_the_mandate() -> None:
    quick = [{"by": f"officer:{i}", "choice": "accept", "seconds": 2.0} for i in range(20)]
    assert report("m", quick).rubber is True
    slow = [doc | {"seconds": 60.0} for doc in quick]
    assert report("m", slow).rubber is False
    assert report("m", quick[:19]).rubber is None
    departed = [*quick[:18], *({"by": "officer:x", "choice": "refuse", "seconds": 1.0},) * 2]
    assert report("m", departed).rubber is False
    assert report("m", departed).departed == 2
