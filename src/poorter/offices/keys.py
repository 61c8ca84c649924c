# SPDX-License-Identifier: EUPL-1.2
"""Keys of apps: made for one (processor, purpose) that the policy knows, shown once, revocable."""

from __future__ import annotations

from poorter.city.errors import Invalid, NotFound
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.identity.credentials import Credential, new_credential
from poorter.offices.record import all_records, reading, write
from poorter.running import Running
from poorter.store.contract import DeleteRecord, PutRecord

DAYS_MAX = 3660
KEYS_MAX = 10_000
RECORD = "credential"
#: who works without a key: background work, and staff by their session
WITHOUT_KEY = ("internal:", "staff")


def keys(running: Running) -> list[Credential]:
    """All keys that are kept, by what they are bound to; what opens with them is kept nowhere."""
    found = [Credential.from_doc(r.id, r.doc) for r in all_records(running, RECORD)]
    return sorted(found, key=lambda c: (c.processor, c.purpose, c.id))


async def make_key(
    running: Running, processor: str, purpose: str, days: int, by: str
) -> tuple[Credential, str]:
    """A new key, valid from now; the text of it is in the answer and nowhere else.

    Raises: NotFound for a processor or purpose that the policy does not know, Invalid for one
    that has no keys or a wrong number of days.
    """
    policy = running.gate.policy
    if processor.startswith(WITHOUT_KEY):
        raise Invalid(Text(f"{processor} krijgt geen sleutels", f"{processor} has no keys"))
    if processor not in policy.processors:
        raise NotFound(
            Text(
                f"{processor} is hier niet bekend: dat begint met een toestemming",
                f"there is no processor {processor}: a grant makes one",
            )
        )
    if purpose not in policy.purposes:
        raise NotFound(
            Text(f"het doeleinde {purpose} is er niet", f"there is no purpose {purpose}")
        )
    if not 1 <= days <= DAYS_MAX:
        raise Invalid(
            Text(
                f"een sleutel geldt 1 tot {DAYS_MAX} dagen",
                f"a key is valid for 1 to {DAYS_MAX} days",
            )
        )
    if len(keys(running)) >= KEYS_MAX:
        raise Invalid(
            Text(
                f"er zijn al {KEYS_MAX} sleutels: trek er een paar in",
                f"there are {KEYS_MAX} keys already: revoke some of them",
            )
        )
    until_us = running.clock.now_us() + days * DAY_US
    credential, secret = new_credential(processor, purpose, until_us)
    record = PutRecord(RECORD, credential.id, credential.to_doc(), expect=0)
    await write(running, by, f"key {credential.id}", "made", record)
    running.load_credentials()
    return credential, secret


async def revoke_key(running: Running, key_id: str, by: str) -> None:
    """Take a key back: it opens nothing from this moment. Raises NotFound."""
    running.store.record(reading(running), RECORD, key_id)
    await write(running, by, f"key {key_id}", "revoked", DeleteRecord(RECORD, key_id))
    running.load_credentials()
