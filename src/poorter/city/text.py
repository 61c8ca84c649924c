# SPDX-License-Identifier: EUPL-1.2
"""Words for people, always in both languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """The same sentence in Dutch and English."""

    nl: str
    en: str

    def for_language(self, language: str) -> str:
        """The sentence in `language` ("nl" or "en"; anything else reads English)."""
        return self.nl if language == "nl" else self.en
