# SPDX-License-Identifier: EUPL-1.2
"""All that people can do about data on them, wired once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from pathlib import Path

from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.identity.keys import kept_secret, load_key, read_secret
from poorter.identity.persons import Persons
from poorter.rights.analysing import Analyses
from poorter.rights.consents import OWN, Consents
from poorter.rights.erasure import Erasing
from poorter.rights.guardians import Guardians
from poorter.rights.opening import NoticeName, Openings
from poorter.rights.releases import Releases
from poorter.rights.renaming import Renaming
from poorter.rights.requests import Requests
from poorter.rights.rotating import Rotating
from poorter.store.recording import Recorder
from poorter.store.walls.store import WalledStore


@dataclass(frozen=True, slots=True)
class People:
    """Consents, guardians, erasure, and what opens a wall all the same."""

    consents: Consents
    guardians: Guardians
    erasing: Erasing
    openings: Openings
    releases: Releases
    analyses: Analyses
    requests: Requests
    rotating: Rotating
    renaming: Renaming

    def load(self) -> None:
        """Take what stands from the store."""
        self.consents.load()
        self.erasing.restrict()
        self.openings.load()

    async def swept(self) -> None:
        """Erase again whom a restored backup brought back."""
        if self.erasing.due():
            await self.erasing.sweep()


def make_people(
    store: WalledStore,
    gate: Gate,
    keys: Path,
    city_id: str,
    notice_name: NoticeName,
    recorder: Recorder,
) -> People:
    """Wire it, and load what stands. A city founded before there was a dataset for it has none."""
    secret = kept_secret(keys, "receipts")

    def principal(purpose: str, subject: str) -> str:
        """What a receipt calls a person: of one purpose, and nowhere else in use."""
        return hmac.digest(secret, f"{purpose}\0{subject}".encode(), "sha256").hex()[:32]

    clock = store.clock
    erasing = Erasing(store, gate, clock)
    releases = Releases(store, gate, clock, recorder, load_key(keys, "policy"))
    people = People(
        Consents(
            store, gate, store.rows.rights, clock, load_key(keys, "policy"), city_id, principal
        ),
        Guardians(store, gate, clock, Persons(keys), read_secret(keys / "pepper")),
        erasing,
        Openings(store, gate, clock, notice_name),
        releases,
        Analyses(releases),
        Requests(store, gate, clock),
        Rotating(store, gate, clock, erasing),
        Renaming(store, gate, clock),
    )
    if gate.allows(OWN, RUN, "read"):
        people.load()
    return people
