# SPDX-License-Identifier: EUPL-1.2
"""Looking behind a wall all the same: breaking the glass for one person, and translating one id.

Both take two people, leave a leaf about the person, and tell the person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poorter.city.clock import Clock
from poorter.city.errors import Denied, Invalid, NotFound
from poorter.city.ids import mint
from poorter.city.text import Text
from poorter.city.time import HOUR_US
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.inside import ABOUT, keeping
from poorter.gate.lawful import walls_of
from poorter.gate.permit import Action, Permit
from poorter.gate.policy import skeleton
from poorter.gate.rights import Opening
from poorter.ledger.leaf import make_line
from poorter.rights.consents import OWN
from poorter.store.contract import AppendLeaf, Change, Op, PutRecord
from poorter.store.walls.rows import own_value
from poorter.store.walls.store import WalledStore

KIND, TRANSLATED, NOTICE = "opening", "translation", "notice"
HOURS_MAX = 24
#: (wall, subject) -> what notices to that person are kept under
NoticeName = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Two:
    """The two people that it takes, and why. Raises Denied when they are one, or say nothing."""

    first: str
    second: str
    why: str

    def __post_init__(self) -> None:
        if not self.first.strip() or skeleton(self.first) == skeleton(self.second):
            raise Denied(Text("dit doen twee mensen samen", "this takes two people"))
        if not self.why.strip():
            raise Invalid(Text("zeg waarom", "say why"))


class Openings:
    """Breaks the glass, and translates between purposes."""

    def __init__(
        self, store: WalledStore, gate: Gate, clock: Clock, notice_name: NoticeName
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._notice_name = notice_name

    def load(self) -> None:
        """Take those that still run from the store."""
        now_us = self._clock.now_us()
        for record in self._store.records(self._permit("read"), KIND):
            opening = Opening(record.doc["subject"], record.doc["purpose"], record.doc["until_us"])
            if now_us < opening.until_us:
                self._store.rows.rights.open(opening)

    async def break_glass(self, subject: str, purpose: str, hours: int, two: Two) -> str:
        """One person's rows exist for one purpose for some hours, whatever that person said; the
        id of the opening. The person is told. Raises Invalid, NotFound for no such purpose."""
        if not 1 <= hours <= HOURS_MAX:
            raise Invalid(
                Text(f"1 tot {HOURS_MAX} uur, niet langer", f"for 1 to {HOURS_MAX} hours")
            )
        wall = self._wall(purpose)
        now_us = self._clock.now_us()
        until_us = now_us + hours * HOUR_US
        kept = mint("opening-", 12)
        doc = {
            "subject": subject,
            "purpose": purpose,
            "until_us": until_us,
            "by": [two.first, two.second],
            "why": two.why.strip()[:1000],
        }
        await self._write(
            kept, subject, wall, purpose, "opened", two, PutRecord(KIND, kept, doc, 0)
        )
        self._store.rows.rights.open(Opening(subject, purpose, until_us))
        return kept

    async def translate(self, shown: str, purpose: str, other: str, two: Two) -> str:
        """What `other` purpose calls the row that `purpose` knows as `shown`, behind the same wall.

        Raises: Denied over a wall, NotFound for an id that leads to nothing.
        """
        wall = self._wall(purpose)
        if self._wall(other) != wall:
            raise Denied(
                Text(
                    "over een muur heen wordt niets vertaald, ook niet door twee mensen",
                    "nothing is translated over a wall, by two people neither",
                )
            )
        pseudonyms = self._store.rows.pseudonyms
        kept = pseudonyms.kept(purpose, wall, shown)
        nothing = NotFound(Text("dit nummer leidt nergens heen", "this id leads to nothing"))
        if kept is None:
            raise nothing
        try:
            subject = own_value(self._store.inner.entity(self._permit("read"), kept), ABOUT)
        except NotFound:
            raise nothing from None
        if subject is None or self._store.rows.vault.key(subject) is None:
            raise nothing
        doc = {"purpose": purpose, "other": other, "by": [two.first, two.second], "why": two.why}
        name = mint("translation-", 12)
        put = PutRecord(TRANSLATED, name, doc, 0)
        await self._write(name, subject, wall, other, "translated", two, put)
        return pseudonyms.shown(other, wall, kept)

    def _wall(self, purpose: str) -> str:
        walls = walls_of(self._gate.policy, purpose)
        if len(walls) != 1:
            raise NotFound(Text("zo'n gebruik is er niet", "there is no such use of persons' data"))
        return next(iter(walls))

    async def _write(
        self, name: str, subject: str, wall: str, purpose: str, outcome: str, two: Two, op: Op
    ) -> None:
        now_us = self._clock.now_us()
        line = make_line(
            "action",
            now_us,
            policy_version=self._gate.policy.version,
            processor=OWN,
            purpose=purpose,
            about=name,
            action=outcome,
            outcome=outcome,
            payload=f"{two.first}, {two.second}: {two.why}".encode(),
        )
        whose = self._notice_name(wall, subject)
        told = {"subject": whose, "kind": outcome, "used_us": now_us, "at_us": now_us}
        told |= {"purpose": purpose, "why": two.why.strip()[:1000]}
        notice = PutRecord(NOTICE, f"{name}-{whose}", told, keys={"subject": whose})
        leaf = AppendLeaf(line.leaf, line.payload, subject)
        permit = self._permit("administer")
        await self._store.inner.commit_async(permit, Change((op, notice, leaf)))

    def _permit(self, action: Action) -> Permit:
        return keeping(self._gate.permit(OWN, RUN, action), self._gate.policy)
