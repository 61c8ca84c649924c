# SPDX-License-Identifier: EUPL-1.2
"""Another key by which a wall names its rows, while the city goes on.

What is kept stays as it is, for rows lie under ids of their own: history, consents, budgets of
releases and the ledger are not touched. Each purpose sees other ids from one moment on. Those that
it saw before lead to the same rows for as long as was said, so that apps can follow; then the key
before is destroyed, and whoever holds old lists can lay them beside nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from poorter.city.clock import Clock
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.lawful import walls_of
from poorter.ledger.leaf import make_line
from poorter.rights.consents import OWN
from poorter.store.contract import AppendLeaf, Change
from poorter.store.walls.store import WalledStore

#: (purpose, text of that purpose) -> the same with ids as they are shown now
Turn = Callable[[str, str], str]
#: whoever keeps such texts, and turns them
Follower = Callable[[Turn], Awaitable[None]]


class Renaming:
    """Does what `WallKeys.order` made due. What is broken off is done again at the next step."""

    def __init__(self, store: WalledStore, gate: Gate, clock: Clock) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self.keys = store.rows.wall_keys
        self._followers: list[Follower] = []
        self._followed = False

    def follow(self, follower: Follower) -> None:
        """Call `follower` when ids have changed, and once more before the key before goes."""
        self._followers.append(follower)
        self._followed = False

    async def step(self) -> None:
        """Change what is due; destroy the keys whose time is over."""
        for wall, days in self.keys.due():
            self.keys.change(wall, days, self._clock.now_us())
            self._store.rows.pseudonyms.look_again()
            self._followed = False
        for changed in self.keys.untold():
            await self._tell(changed.wall, "names are made with another key")
            self.keys.told(changed.wall)
        kept = self.keys.kept()
        if not self._followers or not kept:
            return
        over = self.keys.over(self._clock.now_us())
        if over or not self._followed:
            for follower in self._followers:
                await follower(self._turned)
            self._followed = True
        for changed in over:
            self.keys.settle(changed.wall)
            self._store.rows.pseudonyms.look_again()
            await self._tell(changed.wall, "the key before was destroyed")

    def _turned(self, purpose: str, text: str) -> str:
        for wall in walls_of(self._gate.policy, purpose):
            text = self._store.rows.pseudonyms.renewed(purpose, wall, text)
        return text

    async def _tell(self, wall: str, outcome: str) -> None:
        line = make_line(
            "action",
            self._clock.now_us(),
            policy_version=self._gate.policy.version,
            processor=OWN,
            purpose=RUN,
            about=f"wall {wall}",
            action="renaming",
            outcome=outcome,
        )
        permit = self._gate.permit(OWN, RUN, "administer")
        await self._store.commit_async(permit, Change((AppendLeaf(line.leaf, line.payload),)))
