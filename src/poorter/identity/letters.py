# SPDX-License-Identifier: EUPL-1.2
"""The other way round: what the city sends carries a code by which anyone can check it.

Sixteen characters, 80 random bits: nobody makes one up that happens to be ours. What the city says
of a code is signed by both of its keys, so that it can be shown to somebody else later. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from poorter.city.ids import mint
from poorter.city.text import Text
from poorter.city.time import DAY_US, format_us

CODE_CHARS = 16
Kind = Literal["letter", "message", "officer"]
Verdict = Literal["known", "often", "withdrawn", "unknown"]
_LOOK_ALIKE = str.maketrans("oil", "011")
_CODE = re.compile(rf"[0-9a-hjkmnp-tv-z]{{{CODE_CHARS}}}\Z")


@dataclass(frozen=True, slots=True)
class Sort:
    """One kind: its name, how long its code answers, and how many checks are usual: a letter is
    for one household, a pass is shown at many doors."""

    title: Text
    days: int
    checks_usual: int


SORTS: Mapping[Kind, Sort] = {
    "letter": Sort(Text("brief", "letter"), 400, 10),
    "message": Sort(Text("e-mail, sms of ander bericht", "e-mail, text or other message"), 120, 10),
    "officer": Sort(Text("medewerker aan de deur", "officer at the door"), 365, 2000),
}
#: what a letter can be about: a class, never the subject itself, since anyone with the code sees it
SUBJECTS: Mapping[str, Text] = {
    "tax": Text("belasting of een rekening", "tax or a bill"),
    "permit": Text("een vergunning", "a permit"),
    "decision": Text("een besluit of bezwaar", "a decision or an objection"),
    "appointment": Text("een afspraak", "an appointment"),
    "care": Text("zorg, jeugd of inkomen", "care, youth or income"),
    "street": Text("straat, groen, afval of parkeren", "street, green, waste or parking"),
    "invitation": Text("een uitnodiging om mee te praten", "an invitation to have a say"),
    "inspection": Text("een controle of meting aan huis", "an inspection or reading at home"),
    "other": Text("iets anders", "something else"),
}


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent. `sender`: the name on an officer's pass, else empty."""

    kind: Kind
    office: str
    subject: str
    sender: str
    at_us: int
    until_us: int

    def to_doc(self) -> dict[str, Any]:
        """As a record's document."""
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_doc(doc: Mapping[str, Any]) -> Sent:
        """From a record's document."""
        return Sent(*(doc[name] for name in Sent.__slots__))


def new_code() -> str:
    """A code for one letter, message or pass."""
    return mint("", CODE_CHARS)


def read_code(typed: str) -> str | None:
    """The code somebody typed, None for what can be none of ours."""
    code = re.sub(r"[\s\-–.]", "", typed[:100]).lower().translate(_LOOK_ALIKE)
    return code if _CODE.match(code) else None


def until_us(kind: Kind, at_us: int) -> int:
    """When its code stops answering."""
    return at_us + SORTS[kind].days * DAY_US


def statement(code: str, sent: Sent, city: str) -> bytes:
    """What is signed: canonical JSON with the hash of the code, so that it fits this one only."""
    said = {
        "city": city,
        "code_sha256": hashlib.sha256(code.encode()).hexdigest(),
        "kind": sent.kind,
        "office": sent.office,
        "sender": sent.sender,
        "sent_at": format_us(sent.at_us),
        "subject": sent.subject,
        "valid_until": format_us(sent.until_us),
    }
    return msgspec.json.encode(said, order="sorted")


def verdict(sent: Sent | None, checks: int, withdrawn: bool, now_us: int) -> Verdict:
    """What to tell. `checks`: how often it was asked for before."""
    if sent is None or now_us >= sent.until_us:
        return "unknown"
    if withdrawn:
        return "withdrawn"
    return "often" if checks >= SORTS[sent.kind].checks_usual else "known"
