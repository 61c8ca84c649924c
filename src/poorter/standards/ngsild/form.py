# SPDX-License-Identifier: EUPL-1.2
"""How entities are to be written: what the parameters of a request come down to."""

from __future__ import annotations

from dataclasses import dataclass

from poorter.standards.ngsild.context import CORE, Context
from poorter.standards.ngsild.projection import Projection


@dataclass(frozen=True, slots=True)
class Form:
    """`simplified` keeps values only, `concise` leaves out what can be told, `times` adds system
    times. `only`: these attributes (attrs). `datasets`: instances of these datasetIds, None being
    the default instance. `join`: what becomes of relationships, `join_level` links deep.
    `geometry`: GeoJSON, with this GeoProperty as the geometry."""

    simplified: bool = False
    concise: bool = False
    times: bool = False
    context: Context = CORE
    only: frozenset[str] | None = None
    embed: bytes | None = None  # "@context" to write into the answer (ld+json)
    pick: Projection | None = None
    omit: Projection | None = None
    languages: tuple[str, ...] | None = None
    datasets: frozenset[str | None] | None = None
    join: str | None = None
    join_level: int = 0
    contained_by: frozenset[str] = frozenset()
    geometry: str | None = None

    @property
    def stored(self) -> bool:
        """Whether stored bytes can be handed on as they are."""
        return (
            not self.simplified
            and not self.concise
            and self.context is CORE
            and self.languages is None
            and self.datasets is None
            and self.pick is None
            and self.omit is None
            and self.join is None
            and self.geometry is None
        )
