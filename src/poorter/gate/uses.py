# SPDX-License-Identifier: EUPL-1.2
"""How uses are recorded (design 3): personal ones each, before data leaves; others as counts.

A count is one leaf per grant holder and interval, written at most a second after the use. Denials
are counted alike: a door that is tried often is worth knowing.
"""

from __future__ import annotations

from poorter.gate.permit import Permit
from poorter.ledger.leaf import Line, make_line


class Uses:
    """Counts non-personal uses until they are taken for the ledger."""

    def __init__(self) -> None:
        self._counts: dict[str, list[object]] = {}

    def count(self, permit: Permit, number: int = 1) -> None:
        """One use more (or `number`) under this permit."""
        entry = self._counts.get(permit.key)
        if entry is None:
            self._counts[permit.key] = [permit, number]
        else:
            entry[1] += number  # type: ignore[operator]

    def take(self, now_us: int, denials: int) -> list[Line]:
        """The lines for what was counted since the last time."""
        counts, self._counts = self._counts, {}
        lines = []
        for permit, number in counts.values():
            assert isinstance(permit, Permit)
            lines.append(
                make_line(
                    "uses",
                    now_us,
                    policy_version=permit.policy_version,
                    processor=permit.processor,
                    purpose=permit.purpose,
                    legal_basis=permit.legal_basis,
                    action=permit.action,
                    outcome=str(number),
                )
            )
        if denials:
            lines.append(make_line("denials", now_us, outcome=str(denials)))
        return lines


def use_line(permit: Permit, now_us: int, about: str, payload: bytes) -> Line:
    """The line of one personal use. `payload` names the subject; it stays private."""
    return make_line(
        "use",
        now_us,
        policy_version=permit.policy_version,
        processor=permit.processor,
        purpose=permit.purpose,
        legal_basis=permit.legal_basis,
        about=about,
        action=permit.action,
        outcome="intent",
        payload=payload,
    )
