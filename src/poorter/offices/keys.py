# SPDX-License-Identifier: EUPL-1.2
"""Keys and certificates of apps: made for one (processor, purpose) that the policy knows, shown
once, replaced with a while in which both work, revocable at once."""

from __future__ import annotations

from dataclasses import replace

from poorter.city.errors import Conflict, Invalid, NotFound
from poorter.city.ids import IN_TENANT, mint
from poorter.city.text import Text
from poorter.city.time import DAY_US
from poorter.identity.certificates import read_certificate
from poorter.identity.credentials import Credential, certificate_digest, new_credential
from poorter.offices.record import all_records, reading, write
from poorter.running import Running
from poorter.store.contract import DeleteRecord, PutRecord

DAYS_MAX = 3660
KEYS_MAX = 10_000
OVERLAP_DAYS, OVERLAP_DAYS_MAX = 7, 90
RECORD = "credential"
#: who works without a key: background work, and staff by their session
WITHOUT_KEY = ("internal:", "staff")


def keys(running: Running) -> list[Credential]:
    """All that are kept, by what they are bound to; what opens with them is kept nowhere."""
    found = [Credential.from_doc(r.id, r.doc) for r in all_records(running, RECORD)]
    return sorted(found, key=lambda c: (c.processor, c.purpose, c.id))


async def make_key(
    running: Running, processor: str, purpose: str, days: int, by: str
) -> tuple[Credential, str]:
    """A new key, valid from now; the text of it is in the answer and nowhere else.

    Raises: NotFound for a processor or purpose that the policy does not know, Invalid for one
    that has no keys or a wrong number of days.
    """
    _check(running, processor, purpose)
    if not 1 <= days <= DAYS_MAX:
        raise Invalid(
            Text(
                f"een sleutel geldt 1 tot {DAYS_MAX} dagen",
                f"a key is valid for 1 to {DAYS_MAX} days",
            )
        )
    now_us = running.clock.now_us()
    credential, secret = new_credential(processor, purpose, now_us + days * DAY_US, now_us)
    record = PutRecord(RECORD, credential.id, credential.to_doc(), expect=0)
    await write(running, by, f"key {credential.id}", "made", record)
    running.load_credentials()
    return credential, secret


async def make_certificate(
    running: Running, processor: str, purpose: str, pem: str, by: str
) -> Credential:
    """Register a client certificate (PEM); it ends when it says so itself.

    Raises: as `make_key`, and Conflict when it is registered already.
    """
    _check(running, processor, purpose)
    now_us = running.clock.now_us()
    der, until_us = read_certificate(pem, now_us)
    digest = certificate_digest(der)
    if any(known.digest == digest for known in keys(running)):
        raise Conflict(Text("dit certificaat is er al", "this certificate is there already"))
    kept = Credential(mint("", 8), digest, processor, purpose, until_us, now_us)
    record = PutRecord(RECORD, kept.id, kept.to_doc(), expect=0)
    await write(running, by, f"certificate {kept.id}", "registered", record)
    running.load_credentials()
    return kept


async def replace_key(
    running: Running, key_id: str, overlap_days: int, by: str
) -> tuple[Credential, str]:
    """A new key for the same (processor, purpose), as long as the old one was made for; the old one
    works `overlap_days` longer, so that nothing stops in between.

    Raises: NotFound, Invalid, Conflict when it was replaced at the same time.
    """
    record = running.store.record(reading(running), RECORD, key_id)
    old = Credential.from_doc(key_id, record.doc)
    now_us = running.clock.now_us()
    if old.is_certificate or (old.until_us is not None and now_us >= old.until_us):
        raise Invalid(
            Text(
                "alleen een sleutel die geldt kan vervangen worden",
                "only a key that is valid can be replaced",
            )
        )
    if not 0 <= overlap_days <= OVERLAP_DAYS_MAX:
        raise Invalid(
            Text(
                f"de oude sleutel werkt nog 0 tot {OVERLAP_DAYS_MAX} dagen",
                f"the old key works 0 to {OVERLAP_DAYS_MAX} days longer",
            )
        )
    _check(running, old.processor, old.purpose)
    span_us = 365 * DAY_US if old.until_us is None else old.until_us - old.made_us
    until_us = now_us + min(span_us, DAYS_MAX * DAY_US)
    new, secret = new_credential(old.processor, old.purpose, until_us, now_us, follows=old.id)
    ends_us = now_us + overlap_days * DAY_US
    ends_us = ends_us if old.until_us is None else min(ends_us, old.until_us)
    ended = replace(old, until_us=ends_us).to_doc()
    await write(
        running,
        by,
        f"key {new.id}",
        f"made in place of {old.id}",
        PutRecord(RECORD, new.id, new.to_doc(), expect=0),
        PutRecord(RECORD, old.id, ended, expect=record.version),
    )
    running.load_credentials()
    return new, secret


async def revoke_key(running: Running, key_id: str, by: str) -> None:
    """Take a key or certificate back: it opens nothing from this moment. Raises NotFound."""
    running.store.record(reading(running), RECORD, key_id)
    await write(running, by, f"key {key_id}", "revoked", DeleteRecord(RECORD, key_id))
    running.load_credentials()


def _check(running: Running, processor: str, purpose: str) -> None:
    policy = running.gate.policy
    if processor.startswith(WITHOUT_KEY) or IN_TENANT in processor:
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
    if len(keys(running)) >= KEYS_MAX:
        raise Invalid(
            Text(
                f"er zijn al {KEYS_MAX} sleutels: trek er een paar in",
                f"there are {KEYS_MAX} keys already: revoke some of them",
            )
        )
