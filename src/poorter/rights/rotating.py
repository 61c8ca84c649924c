# SPDX-License-Identifier: EUPL-1.2
"""Other keys for persons, while the city goes on. One person after the other: a new key counts from
one moment, all that the old one sealed is sealed anew in its place, and when a while later nothing
is found under the old one any more, it goes. A crash at any point leaves both keys, and the work is
taken up where it was.
"""

from __future__ import annotations

from functools import partial

from poorter.city.clock import Clock
from poorter.city.time import MINUTE_US
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.inside import keeping
from poorter.ledger.leaf import make_line
from poorter.rights.consents import OWN
from poorter.rights.erasure import Erasing
from poorter.store.contract import AppendLeaf, Change, Op, Reseal
from poorter.store.walls.sealing import forget, place_of, sealed_anew
from poorter.store.walls.store import WalledStore

#: a change sealed with the old key is written by then, or never
SETTLE_US = MINUTE_US
PERSONS_A_STEP = 50
ROWS_AT_ONCE = 50


class Rotating:
    """Works off what `Vault.begin_rotation` made due."""

    def __init__(self, store: WalledStore, gate: Gate, clock: Clock, erasing: Erasing) -> None:
        self._store = store
        self._vault = store.rows.vault
        self._gate = gate
        self._clock = clock
        self._erasing = erasing
        self._under_way = False

    async def step(self, settle_us: int = SETTLE_US) -> int:
        """Some of the work; how many persons are left to do something about."""
        left = self._vault.left()
        if not left and not self._under_way:
            return 0
        if not self._under_way:
            self._under_way = True
            await self._tell("keys of persons are changed")
        now_us = self._clock.now_us()
        for subject in self._vault.due(PERSONS_A_STEP):
            self._vault.change(subject, now_us)
            await self._reseal(subject)
        for subject in self._vault.former(self._clock.now_us() + 1 - settle_us, PERSONS_A_STEP):
            if await self._reseal(subject) == 0:  # a second look: what was under way has arrived
                self._vault.settle(subject)
                forget()
        left = self._vault.left()
        if not left:
            self._under_way = False
            await self._tell("keys of persons were changed")
        return left

    async def _reseal(self, subject: str) -> int:
        """Everything of a person under the key in use; how many values were under another."""
        turn = partial(_turned, self._vault.keys(subject))
        ops: list[Op] = [
            Reseal(row.urn, partial(turn, row.urn)) for row in self._erasing.rows_of(subject)
        ]
        number = 0
        for start in range(0, len(ops), ROWS_AT_ONCE):
            permit = keeping(self._gate.permit(OWN, RUN, "administer"), self._gate.policy)
            change = Change(tuple(ops[start : start + ROWS_AT_ONCE]))
            done = await self._store.inner.commit_async(permit, change)
            number += sum(map(int, done.results))
        return number

    async def _tell(self, outcome: str) -> None:
        line = make_line(
            "action",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=OWN,
            purpose=RUN,
            about="rights",
            action="rotation",
            outcome=outcome,
        )
        permit = self._gate.permit(OWN, RUN, "administer")
        await self._store.commit_async(permit, Change((AppendLeaf(line.leaf, line.payload),)))


def _turned(
    keys: tuple[bytes, ...],
    urn: str,
    name: str,
    dataset_id: str | None,
    observed_at_us: int | None,
    text: str,
) -> str:
    return (
        sealed_anew(keys, place_of(urn, name, dataset_id, observed_at_us), text) if keys else text
    )
