# SPDX-License-Identifier: EUPL-1.2
"""Who asks, and for which purpose: what a credential comes down to."""

from __future__ import annotations

from dataclasses import dataclass

PUBLIC_PROCESSOR = "public"
PUBLIC_PURPOSE = "open-data"


@dataclass(frozen=True, slots=True)
class Caller:
    """One (processor, purpose), as bound to a credential; `credential` keys rate and replay."""

    processor: str
    purpose: str
    credential: str


#: No credential: the public, for open data.
PUBLIC = Caller(PUBLIC_PROCESSOR, PUBLIC_PURPOSE, "public")
