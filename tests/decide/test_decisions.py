# SPDX-License-Identifier: EUPL-1.2
"""Advice, mandate, decision, action, outcome: by hand and automatic, and what stops them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.founded import founded, free, garage, observe, put

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Denied, Invalid
from poorter.decide.advice import Proposal
from poorter.decide.decisions import OWN
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.running import Running
from poorter.store.contract import Change, Op, PutRecord, SetAttributes

URN = "urn:ngsi-ld:OffStreetParking:a"


def sign(value: str, **more: object) -> Proposal:
    fields = {
        "mandate": "parking-signs",
        "urn": URN,
        "attribute": "signText",
        "value": value,
        "reasons": ("because",),
        "inputs": {"free": 3},
        "algorithm": "test/1",
    }
    return Proposal(**{**fields, **more})  # type: ignore[arg-type]


async def present(running: Running, attribute: str = "signText") -> object:
    entity = await running.city("staff", "control-room").entity(URN)
    assert entity is not None
    return entity.value(attribute)


def record(running: Running, kind: str, record_id: str) -> dict[str, object]:
    return running.store.record(running.gate.permit(OWN, RUN, "read"), kind, record_id).doc


def records(running: Running, kind: str) -> list[dict[str, object]]:
    found = running.store.records(running.gate.permit(OWN, RUN, "read"), kind)
    return [r.doc | {"id": r.id} for r in found]


async def ready(running: Running, count: int = 40) -> None:
    await put(running, garage("a", 100))
    await observe(running, "OffStreetParking", free(running, "a", count))


def test_automatic_within_bounds_acts_and_its_outcome_is_measured(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await ready(running)
            before = len(
                running.store.leaves(running.gate.permit("internal:ledger", RUN, "read"), 0, 999)
            )
            advice = await running.decisions.advise(sign("free"), "system:parking")
            assert await present(running) == "free"
            (decision,) = records(running, "decision")
            assert decision["by"] == "mandate:parking-signs"
            assert decision["advice"] == advice
            assert decision["office"] == "Mobiliteit"
            assert await running.decisions.measure() == 0
            clock.forward_s(16 * 60)
            await observe(running, "OffStreetParking", free(running, "a", 55))
            assert await running.decisions.measure() == 1
            outcome = record(running, "outcome", str(decision["id"]))
            assert (outcome["before"], outcome["after"]) == (40, 55)
            leaves = running.store.leaves(
                running.gate.permit("internal:ledger", RUN, "read"), before, 99
            )
            assert len(leaves) == 3  # advice, decision, outcome

    asyncio.run(run())


def test_what_the_safety_table_forbids_no_decision_brings_about(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running, 0)
            advice = await running.decisions.advise(sign("free"), "system:parking")
            assert await present(running) is None
            doc = record(running, "advice", advice)
            assert doc["state"] == "waiting"
            assert "parking-full-is-not-free" in str(doc["held_back"])
            with pytest.raises(Conflict, match="safety table"):
                await running.decisions.decide(advice, "ada", ["operator"], "accept", "", seen_us=0)
            assert await present(running) is None

    asyncio.run(run())


def test_no_other_writer_reaches_a_command_attribute(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            op = SetAttributes(URN, (Attribute("signText", "free"),))
            for processor in ("internal:load", "internal:goals"):
                permit = running.gate.permit(processor, RUN, "write")
                with pytest.raises(Denied):
                    await running.store.commit_async(permit, Change((op,)))
            with pytest.raises(Denied):
                await put(
                    running, Entity(URN, ("OffStreetParking",), (Attribute("signText", "x"),))
                )
            assert await present(running) is None

    asyncio.run(run())


def test_by_hand_needs_the_role_a_reason_to_depart_and_the_bounds(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            decisions = running.decisions
            await decisions.turn("parking-signs", "by-hand", "ada", "trying by hand")
            advice = await decisions.advise(sign("few"), "system:parking")
            assert await present(running) is None
            with pytest.raises(Denied):
                await decisions.decide(advice, "ada", ["clerk"], "accept", "")
            with pytest.raises(Invalid):
                await decisions.decide(advice, "ada", ["operator"], "refuse", " ")
            with pytest.raises(Invalid):
                await decisions.decide(advice, "ada", ["operator"], "amend", "so", value="party")
            decision = await decisions.decide(
                advice, "ada", ["operator"], "amend", "I see otherwise", value="full"
            )
            assert await present(running) == "full"
            assert record(running, "decision", decision)["advised"] == "few"
            with pytest.raises(Conflict):
                await decisions.decide(advice, "ada", ["operator"], "accept", "")

    asyncio.run(run())


def test_rubber_stamping_stops_the_automation_not_the_clerk(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await ready(running)
            decisions = running.decisions
            await decisions.turn("parking-signs", "by-hand", "ada", "trying")
            for number in range(20):
                value = ("few", "free")[number % 2]
                advice = await decisions.advise(sign(value), "system:parking")
                seen_us = clock.now_us() - 2_000_000
                await decisions.decide(advice, "ada", ["operator"], "accept", "", seen_us=seen_us)
            with pytest.raises(Conflict, match="nobody decided"):
                await decisions.turn("parking-signs", "automatic", "ada", "it goes so well")
            advice = await decisions.advise(sign("few"), "system:parking")
            await decisions.decide(advice, "ada", ["operator"], "accept", "")
            assert await present(running) == "few"

    asyncio.run(run())


def test_two_who_decide_at_once_make_one_decision(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            await running.decisions.turn("parking-signs", "by-hand", "ada", "race")
            advice = await running.decisions.advise(sign("few"), "system:parking")
            tries = [
                running.decisions.decide(advice, f"o{i}", ["operator"], "accept", "")
                for i in range(10)
            ]
            results = await asyncio.gather(*tries, return_exceptions=True)
            assert sum(isinstance(result, str) for result in results) == 1
            assert len(records(running, "decision")) == 1

    asyncio.run(run())


def test_a_sign_rests_before_it_changes_again_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(tmp_path, clock) as running:
            await ready(running)
            await running.decisions.advise(sign("free"), "system:parking")
            await running.decisions.advise(sign("few"), "system:parking")
            assert await present(running) == "free"
            clock.forward_s(61)
            await running.decisions.advise(sign("full"), "system:parking")
            assert await present(running) == "full"

    asyncio.run(run())


def test_the_stop_button_overtakes_what_is_under_way(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            decisions = running.decisions
            sent = decisions._commit

            async def stopped_just_before(permit: Permit, ops: Sequence[Op]) -> None:
                if any(isinstance(op, PutRecord) and op.kind == "decision" for op in ops):
                    decisions._commit = sent  # type: ignore[method-assign]
                    await decisions.turn("parking-signs", "by-hand", "ada", "wait")
                await sent(permit, ops)

            decisions._commit = stopped_just_before  # type: ignore[method-assign]
            advice = await decisions.advise(sign("free"), "system:parking")
            assert await present(running) is None
            assert records(running, "decision") == []
            waiting = record(running, "advice", advice)
            assert waiting["state"] == "waiting"
            assert "stopped" in str(waiting["held_back"])
            await decisions.decide(advice, "ada", ["operator"], "accept", "")
            assert await present(running) == "free"

    asyncio.run(run())


def test_a_rescinded_goal_stops_all_of_it_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            await running.decisions.turn("parking-signs", "by-hand", "ada", "wait")
            advice = await running.decisions.advise(sign("few"), "system:parking")
            city = running.city("system:parking", "parking-guidance")
            assert await city.entity(URN) is not None
            await running.registry.rescind("less-searching", "ada")
            with pytest.raises(Denied):
                await running.decisions.decide(advice, "ada", ["operator"], "accept", "")
            with pytest.raises(Denied):
                await running.decisions.advise(sign("full"), "system:parking")
            with pytest.raises(Denied):
                await city.entity(URN)
            assert await present(running) is None

    asyncio.run(run())


def test_dissent_stays_on_the_record(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            dissent = (("forecast", "full within the hour"),)
            await running.decisions.advise(sign("free", dissent=dissent), "system:parking")
            (decision,) = records(running, "decision")
            assert decision["dissent"] == [["forecast", "full within the hour"]]

    asyncio.run(run())


def test_advice_of_another_system_or_without_reasons_is_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with founded(tmp_path, ManualClock()) as running:
            await ready(running)
            with pytest.raises(Denied):
                await running.decisions.advise(sign("free"), "system:crowds")
            with pytest.raises(Invalid):
                await running.decisions.advise(sign("free", reasons=()), "system:parking")
            with pytest.raises(Invalid):
                await running.decisions.advise(
                    sign("free", attribute="overflowGate"), "system:parking"
                )

    asyncio.run(run())
