# SPDX-License-Identifier: EUPL-1.2
"""Changing policy: each change is a new signed bundle and a ledger leaf in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Protocol

from poorter.city.clock import Clock
from poorter.city.errors import Invalid, NotFound
from poorter.city.text import Text
from poorter.gate import bundle as bundles
from poorter.gate.gate import Compiled, Gate
from poorter.gate.genesis import RUN, RUN_GOAL
from poorter.gate.lawful import check_lawful
from poorter.gate.permit import ANY_TYPE, Action, Permit, TypeRule
from poorter.gate.policy import Goal, Part, Policy, Purpose, Vote, with_parts
from poorter.gate.ports import PolicyPort
from poorter.identity.keys import KeyPair, PublicPair
from poorter.ledger.leaf import make_line

_OWN = "internal:policy"


def first_permit(valid_until_us: int) -> Permit:
    """The genesis permit: reads and writes the policy itself, nothing else."""
    rules = {"record:bundle": TypeRule()}
    return Permit(_OWN, RUN, "administer", rules, valid_until_us, 0, "genesis")


def reading_permit(valid_until_us: int) -> Permit:
    """What loads the policy at start, before there is a gate to ask."""
    rules = {"record:bundle": TypeRule()}
    return Permit(_OWN, RUN, "read", rules, valid_until_us, 0, "start")


def rebuilding_permit(valid_until_us: int, action: Action) -> Permit:
    """For a store that nobody uses yet: to put back into it what was in a city before. What comes
    back is checked by who restores or imports it, and the city starts only if its policy verifies.
    """
    rules = {ANY_TYPE: TypeRule()}
    return Permit("internal:backup", RUN, action, rules, valid_until_us, 0, "rebuilding")


async def found(port: PolicyPort, policy: Policy, key: KeyPair, clock: Clock, by: str) -> Compiled:
    """Write the first policy and the genesis leaf. Raises Invalid when there is one already."""
    permit = first_permit(clock.now_us() + 60_000_000)
    bundle = bundles.make_bundle(policy, key)
    line = make_line(
        "genesis",
        clock.now_us(),
        policy_version=policy.version,
        processor=_OWN,
        purpose=RUN,
        about=bundle.digest(),
        action="found",
        outcome=by,
    )
    await port.save_bundle(permit, bundles.to_doc(bundle), policy.version, line.leaf, line.payload)
    return bundles.open_bundle(bundle, [key.public()])


class Mark(Protocol):
    """Remembers, apart from the store, the highest policy version that was ever in force."""

    def read(self) -> int:
        """The version; 0 before the first."""
        ...

    def raise_to(self, version: int) -> None:
        """Remember a higher one."""
        ...


def load(
    port: PolicyPort, keys: Iterable[PublicPair], clock: Clock, mark: Mark | None = None
) -> Compiled:
    """The policy in force. Raises NotFound in a city that was never founded, Invalid if it is
    forged, or older than one that was in force here (`mark`)."""
    doc = port.load_bundle(reading_permit(clock.now_us() + 60_000_000))
    if doc is None:
        raise NotFound("this city has no policy yet")
    above = -1 if mark is None else mark.read() - 1
    compiled = bundles.open_bundle(bundles.from_doc(dict(doc)), keys, above)
    if mark is not None:
        mark.raise_to(compiled.policy.version)
    return compiled


class Registry:
    """Adds to, and takes from, the policy of a running city."""

    def __init__(
        self,
        port: PolicyPort,
        gate: Gate,
        key: KeyPair,
        clock: Clock,
        mark: Mark | None = None,
    ) -> None:
        self._mark = mark
        self._port = port
        self._gate = gate
        self._key = key
        self._clock = clock

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._gate.policy

    async def put(self, parts: Iterable[Part], by: str, why: str) -> Policy:
        """Add or replace parts; the policy is checked as a whole, signed, kept, then in force."""
        parts = tuple(parts)
        new = following(self._gate.policy, parts, self._clock.now_us())
        return await self._publish(new, by, why, _names(parts))

    async def adopt(self, goal_id: str, vote: Vote, by: str) -> Policy:
        """The elected body adopts a goal by a recorded vote. Invalid when it was voted down, or on
        a day that is none."""
        goal = self._goal(goal_id)
        _check_day(vote.date)
        if vote.votes_for < 0 or vote.votes_against < 0 or not vote.body.strip():
            raise Invalid(Text("zeg wie stemde, en hoe", "say who voted, and how"))
        if vote.votes_for <= vote.votes_against:
            raise Invalid(
                Text(
                    f"{goal_id} kreeg {vote.votes_for} stemmen voor en {vote.votes_against} tegen",
                    f"{goal_id} got {vote.votes_for} votes for, {vote.votes_against} against",
                )
            )
        adopted = replace(goal, vote=vote, rescinded_at_us=None)
        return await self.put([adopted], by, "adopted")

    async def rescind(self, goal_id: str, by: str) -> Policy:
        """The goal ends, and everything under it: no new permit from this moment."""
        if goal_id == RUN_GOAL:
            raise Invalid(
                Text(
                    "zonder dit doel krijgt niemand meer antwoord; sluit dan de stad",
                    "without this goal nobody could be answered any more; close the city",
                )
            )
        goal = self._goal(goal_id)
        if goal.rescinded_at_us is not None:
            return self._gate.policy
        ended = replace(goal, rescinded_at_us=self._clock.now_us())
        return await self.put([ended], by, "rescinded")

    def _goal(self, goal_id: str) -> Goal:
        goal = self._gate.policy.goals.get(goal_id)
        if goal is None:
            raise NotFound(f"there is no goal {goal_id}")
        return goal

    async def _publish(self, policy: Policy, by: str, why: str, what: str) -> Policy:
        bundle = bundles.make_bundle(policy, self._key)
        compiled = bundles.open_bundle(bundle, [self._key.public()], self._gate.policy.version)
        line = make_line(
            "policy",
            self._clock.now_us(),
            policy_version=policy.version,
            processor=by,
            purpose=RUN,
            about=what,
            action=why,
            outcome=bundle.digest(),
        )
        permit = self._gate.permit(_OWN, RUN, "administer")
        doc = bundles.to_doc(bundle)
        await self._port.save_bundle(permit, doc, policy.version, line.leaf, line.payload)
        self._gate.swap(compiled)
        if self._mark is not None:
            self._mark.raise_to(policy.version)
        return policy


def following(policy: Policy, parts: Iterable[Part], now_us: int) -> Policy:
    """The policy that would follow with these parts. A purpose begins now: it reaches no data that
    was collected before it. Raises Invalid with every reason why it may not."""
    dated = [
        replace(part, from_us=known.from_us if known else max(now_us, part.from_us))
        if isinstance(part, Purpose) and (known is None or not part.from_us)
        else part
        for part in parts
        for known in [policy.purposes.get(part.id)]
    ]
    new = with_parts(policy, dated)
    check_lawful(policy, new)
    return new


def _names(parts: Iterable[Part]) -> str:
    return ", ".join(f"{type(part).__name__.lower()} {part.id}" for part in parts)[:1000]


def _check_day(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise Invalid(
            Text(f"{text!r:.40} is geen datum", f"{text!r:.40} is no date, as in 2026-09-15")
        ) from None
