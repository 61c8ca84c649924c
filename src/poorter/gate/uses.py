# SPDX-License-Identifier: EUPL-1.2
"""Uses of what is not personal, as counts: one leaf per grant holder and interval, written at most
a second after the use. Denials are counted alike: a door that is tried often is worth knowing.

Personal uses have a line each, before data leaves: `store.recording`.
"""

from __future__ import annotations

from collections.abc import Mapping

from poorter.gate.permit import Permit
from poorter.ledger.leaf import Line, make_line


class Uses:
    """Counts non-personal uses until they are taken for the ledger."""

    def __init__(self) -> None:
        self._counts: dict[str, list[object]] = {}
        self._lines: list[Line] = []

    def count(self, permit: Permit, number: int = 1) -> None:
        """One use more (or `number`) under this permit."""
        entry = self._counts.get(permit.key)
        if entry is None:
            self._counts[permit.key] = [permit, number]
        else:
            entry[1] += number  # type: ignore[operator]

    def take(
        self, now_us: int, denials: Mapping[tuple[str, str, str], int] | None = None
    ) -> list[Line]:
        """The lines for what was counted, until they are said to be `written`."""
        lines = self._lines
        counts, self._counts = self._counts, {}
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
        for (processor, purpose, action), number in (denials or {}).items():
            lines.append(
                make_line(
                    "denials",
                    now_us,
                    processor=processor,
                    purpose=purpose,
                    action=action,
                    outcome=str(number),
                )
            )
        return list(lines)

    def written(self, number: int) -> None:
        """The first `number` lines taken are in the ledger."""
        del self._lines[:number]
