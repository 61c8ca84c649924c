# SPDX-License-Identifier: EUPL-1.2
"""Consent records and receipts as ISO/IEC TS 27560 has them. Pure.

One record for each person and purpose; what happens to it is appended as events. A receipt is what
the person takes home: the record as it stands, with two signatures over it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from poorter.city.time import format_us
from poorter.gate.policy import Dataset, Purpose
from poorter.gate.rights import ALL, FOREVER_US, Choice
from poorter.identity.keys import KeyPair, PublicPair

SCHEMA = "ISO/IEC TS 27560:2023"
KIND = "consent"
EVENTS_MAX = 200
State = Literal["given", "withdrawn", "objected", "lifted"]
_STANDING: Mapping[str, Literal["consent", "objection"]] = {
    "given": "consent",
    "objected": "objection",
}
_MESSAGE = b"poorter-consent-receipt\n"


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody chose, and who they were to the person whom it is about."""

    state: State
    at_us: int
    by: Literal["self", "guardian"]
    items: tuple[str, ...] = ()
    until_us: int | None = None
    language: str = "nl"


def record_id(subject: str, purpose: str) -> str:
    """One record a person and purpose."""
    return f"{subject}.{purpose}"


def stepped(
    known: Mapping[str, Any] | None,
    step: Step,
    subject: str,
    purpose: Purpose,
    datasets: Iterable[Dataset],
    controller: str,
) -> dict[str, Any]:
    """The record after a step. The oldest events but the first make room."""
    datasets = tuple(datasets)
    events = list(known["events"]) if known else []
    if len(events) >= EVENTS_MAX:
        del events[1]
    events.append(
        {
            "event_time": format_us(step.at_us),
            "event_type": "consent" if purpose.on_consent else "objection",
            "event_state": step.state,
            "entity_id": step.by,
            "validity_duration": None if step.until_us is None else format_us(step.until_us),
        }
    )
    return {
        "schema_version": SCHEMA,
        "record_id": record_id(subject, purpose.id),
        "pii_principal_id": subject,
        "pii_processing": _processing(step, purpose, datasets),
        "party_identification": [
            {"party_id": controller, "party_role": "pii_controller", "party_name": purpose.office}
        ],
        "events": events,
        "state": step.state,
        "items": list(step.items),
        "from_us": step.at_us,
        "until_us": step.until_us,
    }


def _processing(step: Step, purpose: Purpose, datasets: tuple[Dataset, ...]) -> dict[str, Any]:
    days = [d.retention_days for d in datasets if d.retention_days is not None]
    names = sorted({name for d in datasets for named in d.types.values() for name in named})
    return {
        "language": step.language,
        "purpose": purpose.id,
        "purpose_description": {"nl": purpose.title.nl, "en": purpose.title.en},
        "lawful_basis": f"GDPR 6(1)({purpose.article6})"
        + (f", 9(2)({purpose.article9})" if purpose.article9 else ""),
        "national_law": purpose.legal_basis,
        "pii_information": [{"pii_attribute_id": name} for name in step.items or names],
        "pii_types": sorted({name for d in datasets for name in d.entity_types}),
        "special_pii": any(d.data_class == "special" for d in datasets),
        "pii_controllers": [purpose.office],
        "collection_method": "given by the person, or by who helps them",
        "retention_period_days": min(days) if days else None,
        "impact_assessment": purpose.assessment or None,
        "withdrawal_method": "the same page, the same form, at once; or at the desk",
        "privacy_rights": ["access", "erasure", "objection", "withdrawal", "complaint"],
    }


def choice_of(doc: Mapping[str, Any], subject: str, purpose: str) -> Choice | None:
    """What of a record stands; None after a withdrawal."""
    said = _STANDING.get(doc["state"])
    if said is None:
        return None
    until_us = FOREVER_US if doc["until_us"] is None else int(doc["until_us"])
    items = frozenset(doc["items"]) or ALL
    return Choice(subject, purpose, said, items, int(doc["from_us"]), until_us)


def make_receipt(record: Mapping[str, Any], principal: str, at_us: int, key: KeyPair) -> str:
    """The receipt as JSON text. `principal`: what the receipt calls the person; never the kept
    subject, which is nobody's business outside the wall."""
    content = {**record, "pii_principal_id": principal, "record_id": f"{principal}.{at_us}"}
    body = msgspec.json.encode(
        {
            "receipt_metadata": {"schema_version": SCHEMA, "issued_at": format_us(at_us)},
            "receipt_content": content,
        },
        order="deterministic",
    )
    ed25519, mldsa = key.sign(_MESSAGE + body)
    signed = {
        "receipt": body.decode(),
        "key": key.name,
        "ed25519": base64.b64encode(ed25519).decode(),
        "ml-dsa-65": base64.b64encode(mldsa).decode(),
    }
    return msgspec.json.encode(signed).decode()


def read_receipt(text: str, keys: Iterable[PublicPair]) -> dict[str, Any]:
    """What a receipt says. Raises ValueError unless one of `keys` signed it in both ways."""
    try:
        signed = msgspec.json.decode(text, type=dict[str, str])
        body = signed["receipt"].encode()
        signatures = (
            base64.b64decode(signed["ed25519"], validate=True),
            base64.b64decode(signed["ml-dsa-65"], validate=True),
        )
    except (msgspec.MsgspecError, KeyError, ValueError) as wrong:
        raise ValueError(f"this is no receipt: {wrong}") from None
    if not any(key.verify(signatures, _MESSAGE + body) for key in keys):
        raise ValueError("the receipt is not signed by this city in both ways")
    doc: dict[str, Any] = msgspec.json.decode(body)
    return doc
